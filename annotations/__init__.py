"""The versioned annotation store and the file formats that go in and out of it.

This package knows neither the models nor the command line.
"""

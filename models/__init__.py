"""Segmenters and their training: arrays in, label images out.

This package knows neither the annotation store nor the command line. Heavy frameworks (torch,
TensorFlow, Cellpose, StarDist) are imported by the function that needs them.
"""

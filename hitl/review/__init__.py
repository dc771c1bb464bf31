"""Correcting labels by hand: a session of edits, its draft, and the round that it becomes.

`session` knows neither Qt nor napari; a test or a script can call all of it. `window` shows it.
"""

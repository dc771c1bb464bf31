"""Correcting labels by hand: a session of edits, its draft, and the round that it becomes.

Only `hitl.review.window` and `hitl.review.widget` know Qt and napari; everything that they do is
a function of the other modules, which a test or a script can call.
"""

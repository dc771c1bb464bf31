"""The correction window: napari and Qt around a session."""

"""Damaged files without end, thrown at every reader: `python -m tests.fuzz --help`."""

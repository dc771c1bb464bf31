"""Edits: what a person changed, found by comparing labels, and what follows from it."""

"""Copies found by content: landmarks of each volume, what is alike among them, and the proof."""

"""Segmenting fields and files with segmenters and trained runs; nothing here is committed."""

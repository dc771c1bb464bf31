"""Nuclei by smoothing, local contrast, blob seeds and watershed: no weights, no training."""

from models.classical.segmenter import ClassicalSegmenter

__all__ = ["ClassicalSegmenter"]

"""Models that the project trained itself, on synthetic nuclei, and ships."""

from models.starter.segmenter import StarterSegmenter

__all__ = ["StarterSegmenter"]

"""Pretrained Cellpose as a segmenter: the real package, behind the toolkit's contract."""

from models.cellpose.segmenter import CellposeSegmenter
from models.cellpose.weights import available, weights_path

__all__ = ["CellposeSegmenter", "available", "weights_path"]

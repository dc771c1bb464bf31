"""Cellpose-SAM behind the toolkit's contracts: segmenter, fine-tuning, paired slices."""

from models.cellpose.runfolder import load_run
from models.cellpose.segmenter import CellposeSegmenter
from models.cellpose.slices import PairedSlice, paired_slices
from models.cellpose.trainer import CellposeTrainer
from models.cellpose.weights import available, weights_of, weights_path

__all__ = [
    "CellposeSegmenter",
    "CellposeTrainer",
    "PairedSlice",
    "available",
    "load_run",
    "paired_slices",
    "weights_of",
    "weights_path",
]

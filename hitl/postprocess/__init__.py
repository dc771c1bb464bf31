"""Clean instance masks, and derive the edge class from them."""

from hitl.postprocess.masks import clean_masks, edge_class
from hitl.postprocess.objects import clean_objects
from hitl.postprocess.pipeline import postprocess

__all__ = [
    "clean_masks",
    "clean_objects",
    "edge_class",
    "postprocess",
]

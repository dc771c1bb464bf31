"""Clean instance masks, and derive the edge class from them."""

from hitl.postprocess.config import PostprocessConfig, postprocess
from hitl.postprocess.masks import clean_masks, edge_class
from hitl.postprocess.objects import clean_objects

__all__ = [
    "PostprocessConfig",
    "clean_masks",
    "clean_objects",
    "edge_class",
    "postprocess",
]

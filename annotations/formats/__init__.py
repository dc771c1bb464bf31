"""Reading images and labels, and writing what other tools open.

A format is one object (`annotations.formats.format.Format`) in a file of its own, and one line in
`annotations.formats.registry`.
"""

from importlib import import_module
from typing import TYPE_CHECKING, Any

if TYPE_CHECKING:
    from annotations.formats.checks import check_labels_match, label_axes, refuse_series
    from annotations.formats.joined import open_joined
    from annotations.formats.parts import components, select_values, values_in
    from annotations.formats.reading import open_image, open_labels, read_labels
    from annotations.formats.sources import FileImage, LabelSource
    from annotations.formats.tiff_write import write_image_tiff, write_labels_tiff

__all__ = [
    "FileImage",
    "LabelSource",
    "check_labels_match",
    "components",
    "label_axes",
    "open_image",
    "open_joined",
    "open_labels",
    "read_labels",
    "refuse_series",
    "select_values",
    "values_in",
    "write_image_tiff",
    "write_labels_tiff",
]

_MODULES = ("checks", "sources", "reading", "joined", "parts", "tiff_write")


def __getattr__(name: str) -> Any:
    """Import on first use: the command line reads the formats' names, which must cost nothing."""
    for module in _MODULES if name in __all__ else ():
        found = import_module(f"annotations.formats.{module}")
        if hasattr(found, name):
            return getattr(found, name)
    raise AttributeError(f"module {__name__!r} has no attribute {name!r}")

"""A model's errors in the correction window: where they are, of which kind, which is in view."""

from __future__ import annotations

import warnings
from typing import Any

import numpy as np
from napari.utils.colormaps import DirectLabelColormap

from hitl.review.session.field_errors import FieldErrors
from hitl.review.session.worklist import ViewedWorklist
from hitl.review.window.dock import Listing
from labels.spacing import Spacing

COLOURS = {
    "merged": "#e69f00",
    "split": "#cc79a7",
    "missed": "#d55e00",
    "spurious": "#9aa0a8",
    "shifted": "#56b4e9",
}
"""The report's (Okabe and Ito, 2008): told apart with any colour vision."""
SYMBOLS = {
    "merged": "square",
    "split": "diamond",
    "missed": "disc",
    "spurious": "x",
    "shifted": "triangle_up",
}
SIGNS = {"merged": "■", "split": "◆", "missed": "●", "spurious": "✕", "shifted": "▲"}
"""As `SYMBOLS`, in text."""
_OTHERS = (1.0, 1.0, 1.0, 0.45)
_POINT_UM, _POINT_PX = 3.0, (10, 18)
_HERE = 1.6


class ErrorLayers:
    """A point per error, and the outlines of what was predicted; it changes nothing.

    Parameters
    ----------
    viewer : napari viewer
    found : FieldErrors
    spacing_um : (float, float, float)
    """

    def __init__(self, viewer: Any, found: FieldErrors, spacing_um: Spacing) -> None:
        self.found = found
        self.worklist = ViewedWorklist(found.entries)
        self.points: Any = None
        self.predicted: Any = None
        self._viewer = viewer
        self._place = {"scale": spacing_um, "units": ("um", "um", "um")}
        self._size = _POINT_UM / spacing_um[1]
        self._shown = False

    def open(self) -> list[Any]:
        """Add the layers, the first time, and return those that are new.

        Raises
        ------
        AnnotationError, OSError
            What was predicted cannot be read.
        """
        if self.points is not None:
            return []
        labels, entries = self.found.read_predicted(), self.found.entries
        if labels is not None:
            name = f"predicted by {self.found.model}"
            self.predicted = self._viewer.add_labels(labels, name=name, opacity=1.0, **self._place)
            self.predicted.contour = 1
            self.predicted.editable = False
        kinds = [error.kind for error in entries]
        self.points = self._viewer.add_points(
            np.reshape([error.position_zyx for error in entries], (-1, 3)),
            name="errors",
            **self._place,
            ndim=3,
            size=self._size,
            canvas_size_limits=_POINT_PX,
            face_color=[COLOURS[kind] for kind in kinds] or "white",
            symbol=[SYMBOLS[kind] for kind in kinds] or "disc",
            border_color="black",
            # In the volume they are seen through the objects that they lie in.
            blending="translucent_no_depth",
            features={"error": kinds, "why": [error.why for error in entries]},
        )
        self.points.editable = False
        # It is hidden in the volume, yet napari warns before it hears of that.
        warnings.filterwarnings("ignore", message="Contours are not displayed")
        self._viewer.dims.events.ndisplay.connect(self._update)
        self._update()
        return [layer for layer in (self.predicted, self.points) if layer is not None]

    @property
    def listing(self) -> Listing:
        """How the dock's table shows the errors."""
        model = self.found.model
        return Listing(
            columns=("error", "IoU", "why"),
            cells=lambda error: (
                f"{SIGNS[error.kind]} {error.kind}",
                "–" if error.iou is None else f"{error.iou:.2f}",
                error.why,
            ),
            colour=lambda error: COLOURS[error.kind],
            title=f"errors of {model} looked at",
            empty=f"{model} made no error here",
            width=86,
        )

    def show(self, shown: bool) -> None:
        """Show or hide them."""
        self._shown = shown
        self._update()

    def point_out(self, row: int) -> None:
        """Make one error's point stand out, and its predicted objects."""
        error = self.found.entries[row]
        here = np.arange(len(self.found.entries)) == row
        self.points.size = np.where(here, _HERE, 1.0) * self._size
        self.points.border_color = np.where(here[:, None], [1.0, 1, 1, 1], [0.0, 0, 0, 1])
        if self.predicted is not None:
            colours: dict[int | None, Any] = {None: _OTHERS, 0: (0, 0, 0, 0)}
            colours |= dict.fromkeys(error.pred_ids, COLOURS[error.kind])
            self.predicted.colormap = DirectLabelColormap(color_dict=colours)

    def _update(self) -> None:
        self.points.visible = self._shown
        if self.predicted is not None:
            # A contour is one only in a slice; in the volume it would be filled.
            self.predicted.visible = self._shown and self._viewer.dims.ndisplay == 2

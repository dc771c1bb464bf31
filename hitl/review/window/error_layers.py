"""A model's errors in the correction window: where they are, of which kind, which is in view."""

from __future__ import annotations

import warnings
from typing import Any

import numpy as np
from napari.utils.colormaps import DirectLabelColormap

from hitl.review.session.model_errors import ModelErrors
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
    found : ModelErrors
    spacing_um : (float, float, float)

    Raises
    ------
    AnnotationError, OSError
        What was predicted cannot be read.
    """

    def __init__(self, viewer: Any, found: ModelErrors, spacing_um: Spacing) -> None:
        labels = found.read_predicted()
        self._viewer = viewer
        self._found = found
        self._shown = False
        place: dict[str, Any] = {"scale": spacing_um, "units": ("um", "um", "um")}
        self.predicted: Any = None
        if labels is not None:
            self.predicted = viewer.add_labels(
                labels, name=f"predicted by {found.model}", opacity=1.0, **place
            )
            self.predicted.contour = 1
            self.predicted.editable = False
        kinds = [error.kind for error in found.entries]
        self._size = _POINT_UM / spacing_um[1]
        self.points = viewer.add_points(
            np.reshape([m.position_zyx for m in found.entries], (-1, 3)),
            name="errors",
            **place,
            ndim=3,
            size=self._size,
            canvas_size_limits=_POINT_PX,
            face_color=[COLOURS[kind] for kind in kinds] or "white",
            symbol=[SYMBOLS[kind] for kind in kinds] or "disc",
            border_color="black",
            # In the volume they are seen through the objects that they lie in.
            blending="translucent_no_depth",
            features={"error": kinds, "why": [m.why for m in found.entries]},
        )
        self.points.editable = False
        # It is hidden in the volume, yet napari warns before it hears of that.
        warnings.filterwarnings("ignore", message="Contours are not displayed")
        viewer.dims.events.ndisplay.connect(self._update)
        self._update()

    @property
    def all(self) -> list[Any]:
        """Every layer, to bind keys to."""
        return [self.points] if self.predicted is None else [self.predicted, self.points]

    def show(self, shown: bool) -> None:
        """Show or hide them."""
        self._shown = shown
        self._update()

    def point_out(self, row: int) -> None:
        """Make one error's point stand out, and its predicted objects."""
        error = self._found.entries[row]
        here = np.arange(len(self._found.entries)) == row
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


def listing_of(found: ModelErrors) -> Listing:
    """Return how the dock's table shows a model's errors."""
    return Listing(
        columns=("error", "IoU", "why"),
        cells=lambda error: (
            f"{SIGNS[error.kind]} {error.kind}",
            "–" if error.iou is None else f"{error.iou:.2f}",
            error.why,
        ),
        colour=lambda error: COLOURS[error.kind],
        title=f"errors of {found.model} looked at",
        empty=f"{found.model} made no error here",
        width=86,
    )

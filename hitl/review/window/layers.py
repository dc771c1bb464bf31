"""The layers of the correction window: image, labels, what is checked, what is selected."""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any

import numpy as np
from napari.components import ViewerModel
from napari.utils.colormaps import Colormap, DirectLabelColormap
from numpy.typing import NDArray

from hitl.review.session.boxes import Box, union
from hitl.review.session.channels import GREY, SeenChannel
from hitl.review.session.picking import as_voxel, first_along_ray
from hitl.review.session.review_session import ReviewSession
from hitl.review.session.undo import Operation

_CHECKED = (0.25, 0.85, 0.45, 0.28)
_SELECTED = (1.0, 1.0, 1.0, 1.0)
_OPACITY_2D, _OPACITY_3D = 0.45, 0.9
_POINT_UM, _POINT_PX = 2.5, (8, 14)
_VIEW_3D = (0.0, 25.0, 60.0)
"""Camera angles in degrees: the slices lie, seen from above and aside."""


class ReviewLayers:
    """Shows a session; it changes none of it.

    Parameters
    ----------
    viewer : napari viewer
    session : ReviewSession
    channels : sequence of SeenChannel
        A layer each, added up as light.
    """

    def __init__(
        self, viewer: ViewerModel, session: ReviewSession, channels: Sequence[SeenChannel]
    ) -> None:
        self.viewer = viewer
        self.session = session
        place: dict[str, Any] = {"scale": session.spacing_um, "units": ("um", "um", "um")}
        self.images = [
            viewer.add_image(
                channel.voxels,
                name=f"image {channel.name}",
                **place,
                colormap=_colormap(channel),
                blending="additive",
                contrast_limits=_contrast(channel.voxels),
            )
            for channel in channels
        ]
        self.checked = viewer.add_labels(
            session.verified,
            name="checked",
            **place,
            colormap=DirectLabelColormap(color_dict={None: (0, 0, 0, 0), 1: _CHECKED}),
            opacity=1.0,
        )
        self.checked.editable = False
        # A copy: what a person paints into it becomes an edit of the session afterwards.
        self.labels = viewer.add_labels(
            session.labels.copy(), name="labels", opacity=_OPACITY_2D, **place
        )
        self.selected = viewer.add_labels(
            np.zeros((1, 1, 1), np.uint8),
            name="selected",
            **place,
            colormap=DirectLabelColormap(color_dict={None: (0, 0, 0, 0), 1: _SELECTED}),
            opacity=1.0,
        )
        self.selected.editable = False
        self.points = viewer.add_points(
            np.zeros((0, 3)),
            name="clicked",
            **place,
            ndim=3,
            size=_POINT_UM / session.spacing_um[1],
            # A nucleus of 2 µm must not hide below its point.
            canvas_size_limits=_POINT_PX,
            face_color="#ffd54f",
            border_color="black",
        )
        self._shows_checked = True
        self.labels.preserve_labels = True
        viewer.scale_bar.visible = True
        viewer.dims.axis_labels = ("z", "y", "x")
        viewer.dims.events.ndisplay.connect(self._turn)
        self.activate()

    @property
    def all(self) -> list[Any]:
        """Every layer, to bind keys to."""
        return [*self.images, self.checked, self.labels, self.selected, self.points]

    def activate(self) -> None:
        """Let the mouse and the keys go to the labels."""
        self.viewer.layers.selection.active = self.labels

    def show(self, session: ReviewSession) -> None:
        """Show another session of the same field."""
        self.session = session
        self.labels.data = session.labels.copy()
        self.checked.data = session.verified
        self.outline(0)

    def follow(self, operation: Operation) -> None:
        """Show what an operation has changed."""
        box = operation.extent("labels")
        if box is not None:
            self.labels.data[box] = self.session.labels[box]
            self.labels.refresh()
        if operation.extent("verified") is not None:
            self.checked.refresh()

    def outline(self, object_id: int) -> None:
        """Draw a white line around an object; 0 for none."""
        mask, corner = np.zeros((1, 1, 1), np.uint8), (0, 0, 0)
        if object_id in self.session.boxes:
            box = self.session.boxes[object_id]
            mask = rim(self.session.labels[box] == object_id).astype(np.uint8)
            z, y, x = (part.start for part in box)
            corner = (z, y, x)
        self.selected.data = mask
        self.selected.translate = np.array(corner) * self.session.spacing_um

    def show_checked(self, shown: bool) -> None:
        """Show or hide what is checked; in the volume it is hidden anyway."""
        self._shows_checked = shown
        self.checked.visible = shown and self.viewer.dims.ndisplay == 2

    def _turn(self) -> None:
        """Look at the volume from aside, at nothing but image and objects."""
        flat = self.viewer.dims.ndisplay == 2
        self.selected.visible = flat
        self.checked.visible = flat and self._shows_checked
        self.labels.opacity = _OPACITY_2D if flat else _OPACITY_3D
        if not flat:
            self.camera.angles = _VIEW_3D

    def mark(self, voxels: Sequence[tuple[int, int, int]]) -> None:
        """Put a point on each of these voxels (z, y, x), and on no other."""
        self.points.data = np.reshape(voxels, (-1, 3))
        self.activate()

    def look_at(self, voxel: tuple[int, int, int]) -> None:
        """Bring a voxel (z, y, x) into view."""
        place = [i * step for i, step in zip(voxel, self.session.spacing_um, strict=True)]
        self.viewer.dims.set_point((0, 1, 2), place)
        self.camera.center = tuple(place) if self.viewer.dims.ndisplay == 3 else (0.0, *place[1:])

    def show_slice_of(self, operation: Operation) -> None:
        """Go to a slice that an operation changed, unless one is in view."""
        boxes = [operation.extent("labels"), operation.extent("verified")]
        found = [box for box in boxes if box is not None]
        if not found:
            return
        box: Box = found[0] if len(found) == 1 else union(found[0], found[1])
        if not box[0].start <= self.slice < box[0].stop:
            middle = (box[0].start + box[0].stop - 1) // 2
            self.viewer.dims.set_point(0, middle * self.session.spacing_um[0])

    @property
    def camera(self) -> Any:
        """Where the person looks from; napari 0.9 moved it."""
        return getattr(self.viewer, "scene", self.viewer).camera

    @property
    def slice(self) -> int:
        """The z that is shown in 2D."""
        z = round(self.viewer.dims.point[0] / self.session.spacing_um[0])
        return int(np.clip(z, 0, self.session.labels.shape[0] - 1))

    def voxel_at(self, event: Any) -> tuple[int, int, int] | None:
        """Return the voxel under the mouse; in 3D the first labelled one behind it, or None.

        Raises
        ------
        ReviewError
            Beside the field.
        """
        if self.viewer.dims.ndisplay == 2:
            return as_voxel(self.labels.world_to_data(event.position), self.labels.data.shape)
        start, stop = self.labels.get_ray_intersections(
            event.position, event.view_direction, event.dims_displayed, world=True
        )
        if start is None or stop is None:
            return None
        return first_along_ray(self.session.labels, np.asarray(start), np.asarray(stop))

    def painted(self, atoms: Any) -> tuple[NDArray[np.uint32], Box | None]:
        """Return what a stroke of the brush left, and the box that it was in."""
        box = painted_box(atoms, self.labels.data.shape)
        return (self.labels.data[box] if box else self.labels.data), box


def _colormap(channel: SeenChannel) -> Any:
    """Return the ramp from black to a channel's colour."""
    name = f"#{channel.colour}"
    return "gray" if channel.colour == GREY else Colormap(["#000000", name], name=name)


def _contrast(voxels: NDArray[Any]) -> tuple[float, float]:
    low, high = np.percentile(voxels[:: max(1, voxels.shape[0] // 8)], [1, 99.8])
    # Channels in floating point may lie between 0 and 1.
    least = 1.0 if voxels.dtype.kind in "iu" else 1e-6
    return float(low), float(max(high, low + least))


def rim(mask: NDArray[np.bool_]) -> NDArray[np.bool_]:
    """Return the outermost voxels of each slice of an object, shape (Z, Y, X)."""
    framed = np.pad(mask, ((0, 0), (1, 1), (1, 1)))
    inner = framed[:, :-2, 1:-1] & framed[:, 2:, 1:-1] & framed[:, 1:-1, :-2] & framed[:, 1:-1, 2:]
    return mask & ~inner


def painted_box(atoms: Any, shape: tuple[int, ...]) -> Box | None:
    """Return the box around a stroke, as napari's paint event tells it; None when it does not.

    napari 0.9 gives slices, the versions before it index arrays.
    """
    whole: Box | None = None
    for atom in atoms:
        key = getattr(atom, "slice_key", None) or (atom[0] if isinstance(atom, tuple) else None)
        if key is None or len(key) != len(shape):
            return None
        z, y, x = (_span(part, size) for part, size in zip(key, shape, strict=True))
        if z is None or y is None or x is None:
            continue
        whole = (z, y, x) if whole is None else union(whole, (z, y, x))
    return whole


def _span(part: Any, size: int) -> slice | None:
    if isinstance(part, slice):
        start, stop, _ = part.indices(size)
        return slice(start, stop)
    values = np.asarray(part)
    return slice(int(values.min()), int(values.max()) + 1) if values.size else None

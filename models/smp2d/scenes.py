"""Images with the labels of all their classes, from samples of one class each."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from typing import Any, Literal

import numpy as np
from numpy.typing import NDArray

from labels.spacing import Spacing
from models.base import Kind, TrainingSample
from models.errors import TrainingDataError
from models.smp2d.architecture import Activation, Output

Classes = Literal["auto", "pooled", "softmax", "sigmoid"]

KNOWN_TOGETHER = 0.75
"""Share of the voxels where a class is known in which all must be: softmax learns only there."""


@dataclass(frozen=True)
class Scene:
    """An image and what is known of each output in it.

    Parameters
    ----------
    name : str
    image : ndarray, shape (C, Z, Y, X)
    labels : tuple of ndarray of uint32, shape (Z, Y, X), one per output
    masks : tuple of ndarray of bool, shape (Z, Y, X), one per output
        True where the label, or that there is none, may be learned from.
    spacing_um : (float, float, float)
        Voxel size (z, y, x) in µm.
    """

    name: str
    image: NDArray[Any]
    labels: tuple[NDArray[np.uint32], ...]
    masks: tuple[NDArray[np.bool_], ...]
    spacing_um: Spacing


def plan_outputs(
    samples: Sequence[TrainingSample], classes: Classes, notes: list[str]
) -> tuple[tuple[Output, ...], Activation]:
    """Return what a network is to tell apart, and whether outputs exclude each other.

    Parameters
    ----------
    samples : sequence of TrainingSample
    classes : {"auto", "pooled", "softmax", "sigmoid"}
        ``"auto"`` pools classes that are never seen in the same image, and tells all others apart:
        with softmax where no two of them overlap and most of what is known of one is known of
        all, else sigmoid.
    notes : list of str
        Told what was chosen.

    Raises
    ------
    TrainingDataError
        Classes that cannot be told apart, or cannot be pooled.
    """
    kinds: dict[str, Kind] = {sample.class_name: sample.kind for sample in samples}
    together = _seen_together(samples)
    if len(kinds) == 1 or classes == "pooled" or (classes == "auto" and not together):
        return (_pooled(kinds),), "sigmoid"
    if not together:
        raise TrainingDataError(
            f"classes={classes}: expected classes of the same images, got {', '.join(kinds)}, "
            "which are seen in other images, channels or preprocessing each; train one network for "
            "all with classes=pooled, or name one class"
        )
    outputs = tuple(Output(name, kind) for name, kind in kinds.items())
    why = _why_overlapping(join(samples, outputs))
    if classes == "softmax" and why:
        raise TrainingDataError(
            f"classes=softmax: expected at most one class in a voxel, all of them known, "
            f"but {why}; take classes=sigmoid"
        )
    activation: Activation = "sigmoid" if classes == "sigmoid" or why else "softmax"
    chosen = "classes that may overlap" if activation == "sigmoid" else "one class for each pixel"
    reason = f" because {why}" if classes == "auto" and why else ""
    notes.append(f"learns {', '.join(kinds)} as {chosen} ({activation}){reason}")
    return outputs, activation


def _pooled(kinds: dict[str, Kind]) -> Output:
    if len(set(kinds.values())) > 1:
        listed = ", ".join(f"{name} ({kind})" for name, kind in kinds.items())
        raise TrainingDataError(
            f"expected one kind of labels for one output, objects or areas, got {listed}; train a "
            "network for each kind"
        )
    return Output("", next(iter(kinds.values())))


def _grouped(samples: Sequence[TrainingSample]) -> list[list[TrainingSample]]:
    groups: dict[object, list[TrainingSample]] = {}
    for number, sample in enumerate(samples):
        # A class of a projection is seen in another image than one of the slices.
        key = (sample.scene, sample.image.shape) if sample.scene else number
        groups.setdefault(key, []).append(sample)
    return list(groups.values())


def _seen_together(samples: Sequence[TrainingSample]) -> bool:
    """Whether some image shows several classes, and every such image is the same to all of them."""
    shared = [group for group in _grouped(samples) if len(group) > 1]
    return bool(shared) and all(
        one.spacing_um == group[0].spacing_um and np.array_equal(one.image, group[0].image)
        for group in shared
        for one in group[1:]
    )


def _why_overlapping(scenes: Sequence[Scene]) -> str:
    """Say why softmax does not do, in words; empty where it does."""
    in_all = in_any = 0
    for scene in scenes:
        inside = sum((labels > 0).astype(np.uint8) for labels in scene.labels)
        if np.any(inside > 1):
            return f"classes overlap in {scene.name!r}"
        in_all += int(np.logical_and.reduce(scene.masks).sum())
        in_any += int(np.logical_or.reduce(scene.masks).sum())
    if in_all < KNOWN_TOGETHER * in_any:
        return f"all classes are known in {in_all / in_any:.0%} only of the voxels where one is"
    return ""


def join(samples: Sequence[TrainingSample], outputs: Sequence[Output]) -> list[Scene]:
    """Return a scene for each image, with the labels of each output; those it lacks are unknown."""
    groups = [[sample] for sample in samples] if len(outputs) == 1 else _grouped(samples)
    scenes = []
    for group in groups:
        found = {sample.class_name: sample for sample in group}
        own = [group[0] if not output.name else found.get(output.name) for output in outputs]
        shape = group[0].labels.shape
        scenes.append(
            Scene(
                group[0].scene or group[0].name,
                group[0].image,
                tuple(
                    np.zeros(shape, np.uint32) if one is None else np.where(one.mask, one.labels, 0)
                    for one in own
                ),
                tuple(np.zeros(shape, bool) if one is None else one.mask for one in own),
                group[0].spacing_um,
            )
        )
    return scenes

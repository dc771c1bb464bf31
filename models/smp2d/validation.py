"""How good the network is on labelled scenes, cheap enough for every epoch."""

from __future__ import annotations

import itertools
from collections.abc import Sequence
from dataclasses import dataclass, fields, replace
from typing import Any

import numpy as np
from numpy.typing import NDArray

from labels.progress import Progress, part_of
from models.budget import Budget
from models.devices import Compute
from models.learner import Judged
from models.smp2d.architecture import Architecture
from models.smp2d.patches import PreparedScene, Targets
from models.smp2d.predict import SlicePredictor, area_of, object_maps, objects_of
from models.tiling import fitted_tile, tile_starts
from models.unet3d.instances import (
    FOREGROUNDS,
    InstanceSettings,
    Labelled,
    detection_f1,
    tune,
)

SMALLEST_PROBABILITY = 1e-7


def windows(scenes: Sequence[PreparedScene], voxels: int) -> list[PreparedScene]:
    """Return the part of each scene that is judged, `voxels` at most of all together."""
    scenes = [scene for scene in scenes if scene.known]
    return [_window(scene, max(1, voxels // len(scenes))) for scene in scenes]


def _window(scene: PreparedScene, voxels: int) -> PreparedScene:
    """Return the scene, or every so manieth of its slices, or the best part of one of them."""
    depth, *plane = scene.image.shape[1:]
    kept = max(1, voxels // (plane[0] * plane[1]))
    if kept >= depth:
        return scene
    some = np.linspace(0, depth - 1, kept + 2).round().astype(int)[1:-1]
    thinner = _part(scene, (some, slice(None), slice(None)))
    _, height, width = fitted_tile((1, *plane), (1, 1, 1), voxels)
    starts = itertools.product(
        tile_starts(plane[0], height, 0.0, 0), tile_starts(plane[1], width, 0.0, 0)
    )
    boxes = [(slice(None), slice(y, y + height), slice(x, x + width)) for y, x in starts]
    best = max(boxes, key=lambda box: int((thinner.labels[(slice(None), *box)] > 0).sum()))
    return _part(thinner, best)


def _part(scene: PreparedScene, box: tuple[Any, ...]) -> PreparedScene:
    at = (slice(None), *box)
    parts = {each.name: getattr(scene.targets, each.name)[at] for each in fields(Targets)}
    return replace(scene, image=scene.image[at], labels=scene.labels[at], targets=Targets(**parts))


@dataclass(frozen=True, kw_only=True)
class Judge:
    """How the network of a training is judged, and its thresholds are chosen.

    Parameters
    ----------
    architecture : Architecture
    compute : Compute
    instances : tuple of InstanceSettings
        Thresholds of each output of objects before any are chosen.
    judged, tuned : list of PreparedScene
        Windows to judge an epoch on, and to choose thresholds on.
    budget : Budget
        Learns from judging how long choosing will take.
    """

    architecture: Architecture
    compute: Compute
    instances: tuple[InstanceSettings, ...]
    judged: list[PreparedScene]
    tuned: list[PreparedScene]
    budget: Budget

    @property
    def values(self) -> tuple[str, ...]:
        """What judging tells: the loss, and Dice and F1 of objects of each output that has them."""
        outputs = self.architecture.outputs
        found = [("dice", output) for output in outputs]
        found += [("f1_instances", outputs[number]) for number in self.architecture.objects]
        return "loss", *(f"{what}_{output.name}" if output.name else what for what, output in found)

    def epoch(self, network: Any, progress: Progress) -> Judged:
        """Judge a network: the score is the mean over outputs, less half the loss.

        Dice is that of pixels, of each image, averaged over the images that show the class.
        """
        began = self.budget.elapsed
        predicted = self._predicted(network, self.judged, progress)
        between = self.budget.elapsed
        values = self._judged(predicted)
        once = between - began + len(FOREGROUNDS) * (self.budget.elapsed - between)
        self.budget.keep(once * _voxels(self.tuned) / _voxels(self.judged))
        return values

    def _judged(self, predicted: list[NDArray[np.float32]]) -> Judged:
        a = self.architecture
        pairs = list(zip(predicted, self.judged, strict=True))
        loss = float(np.mean([_loss(maps, scene, a) for maps, scene in pairs]))
        dice = [
            _mean([_dice(maps, scene, a, number) for maps, scene in pairs])
            for number in range(len(a.outputs))
        ]
        f1 = [
            _mean([each for maps, scene in pairs for each in self._f1(maps, scene, number)])
            for number in a.objects
        ]
        objects = dict(zip(a.objects, f1, strict=True))
        scores = [(own + objects.get(number, own)) / 2 for number, own in enumerate(dice)]
        values = dict(zip(self.values, (loss, *dice, *f1), strict=True))
        return Judged(values, float(np.mean(scores)) - loss / 2)

    def _f1(self, maps: NDArray[np.float32], scene: PreparedScene, number: int) -> list[float]:
        """Return the F1 of objects of each slice that shows any."""
        settings = self.instances[self.architecture.objects.index(number)]
        found = objects_of(maps, self.architecture, number, scene.spacing_um, settings)
        truth, known = scene.labels[number], scene.targets.known[number] > 0
        return [
            detection_f1(t[None], p[None], k[None])
            for t, p, k in zip(truth, found, known, strict=True)
            if k.any() and (t.any() or p[k].any())
        ]

    def thresholds(
        self, network: Any, progress: Progress
    ) -> tuple[tuple[InstanceSettings, ...], float]:
        """Choose thresholds of each output of objects; return them and their mean F1."""
        predicted = self._predicted(network, self.tuned, progress)
        found = []
        for place, number in enumerate(self.architecture.objects):
            slices = [
                Labelled(
                    object_maps(maps, self.architecture, number)[:, z : z + 1],
                    scene.labels[number][z : z + 1],
                    scene.targets.known[number][z : z + 1] > 0,
                )
                for maps, scene in zip(predicted, self.tuned, strict=True)
                for z in range(maps.shape[1])
                if scene.targets.known[number][z].any()
            ]
            spacing = self.tuned[0].spacing_um
            found.append(tune(slices, spacing, self.instances[place], progress))
        return tuple(settings for settings, _ in found), _mean([f1 for _, f1 in found])

    def _predicted(
        self, network: Any, parts: list[PreparedScene], progress: Progress
    ) -> list[NDArray[np.float32]]:
        predictor = SlicePredictor(network, self.architecture, self.compute)
        return [
            predictor.maps(scene.image, progress=part_of(progress, number, len(parts)))
            for number, scene in enumerate(parts)
        ]


def _voxels(parts: Sequence[PreparedScene]) -> int:
    return sum(part.image[0].size for part in parts)


def _mean(values: Sequence[float | None]) -> float:
    """Return the mean of what is known; 0 where nothing is."""
    known = [value for value in values if value is not None]
    return float(np.mean(known)) if known else 0.0


def _loss(maps: NDArray[np.float32], scene: PreparedScene, a: Architecture) -> float:
    """Return the unweighted cross-entropy, so that runs with other losses compare."""
    p = maps[: len(a.outputs)]
    inside, known = scene.targets.inside > 0, scene.targets.known > 0
    if a.activation == "softmax":
        background = (1 - p.sum(axis=0)) * ~inside.any(axis=0)
        right = ((p * inside).sum(axis=0) + background)[known.all(axis=0)]
    else:
        right = np.where(inside, p, 1 - p)[known]
    chosen = np.maximum(right, SMALLEST_PROBABILITY)
    return float(-np.log(chosen).mean()) if chosen.size else 0.0


def _dice(
    maps: NDArray[np.float32], scene: PreparedScene, a: Architecture, number: int
) -> float | None:
    known = scene.targets.known[number] > 0
    truth = scene.targets.inside[number][known] > 0
    found = area_of(maps, a, number)[known]
    total = int(truth.sum() + found.sum())
    return 2 * int((truth & found).sum()) / total if total else None

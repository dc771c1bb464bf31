"""How good the network is on labelled volumes, cheap enough for every epoch."""

from __future__ import annotations

import itertools
from collections.abc import Sequence
from dataclasses import asdict, dataclass, field, fields, replace
from typing import Any

import numpy as np

from labels.progress import Progress, part_of
from labels.spacing import Spacing
from models.budget import Budget
from models.devices import Compute
from models.tensors import WEIGHTS_FILE, write_tensors
from models.tiling import Size, fitted_tile, tile_starts
from models.training import Training
from models.unet3d.architecture import Architecture
from models.unet3d.instances import (
    FOREGROUNDS,
    InstanceSettings,
    Labelled,
    detection_f1,
    label_objects,
    mean_f1,
    tune,
)
from models.unet3d.patches import PreparedStack
from models.unet3d.predict import NetworkPredictor
from models.unet3d.targets import EDGE, NUCLEUS, Targets


@dataclass(frozen=True)
class Validation:
    """Values of one epoch.

    Parameters
    ----------
    loss : float
        Cross-entropy of the classes, whatever was learned from: no class and no voxel counts
        more than another, so that all runs compare.
    f1_edge, f1_nucleus : float
        Voxel F1 of the most probable class.
    f1_instances : float
        F1 of objects at IoU 0.5.
    """

    loss: float
    f1_edge: float
    f1_nucleus: float
    f1_instances: float

    @property
    def score(self) -> float:
        """What the best checkpoint is chosen by: higher is better.

        On a handful of objects F1 moves in steps or not at all, and the loss decides.
        """
        return (self.f1_edge + self.f1_nucleus + 2 * self.f1_instances) / 4 - self.loss / 2


def windows(stacks: Sequence[PreparedStack], voxels: int) -> list[PreparedStack]:
    """Return the part of each stack that is judged: all, or the window with most known objects.

    Parameters
    ----------
    stacks : sequence of PreparedStack
    voxels : int
        Largest number of voxels of all windows together.
    """
    stacks = [s for s in stacks if s.known.size]
    return [_window(s, max(1, voxels // len(stacks))) for s in stacks]


def _window(stack: PreparedStack, voxels: int) -> PreparedStack:
    shape = stack.labels.shape
    size = fitted_tile(shape, (1, 1, 1), voxels)
    starts = itertools.product(
        *(tile_starts(n, s, 0.0, 0) for n, s in zip(shape, size, strict=True))
    )
    boxes = [tuple(slice(a, a + n) for a, n in zip(at, size, strict=True)) for at in starts]
    best = max(boxes, key=lambda box: int((stack.labels[box] > 0).sum()))
    parts = {f.name: getattr(stack.targets, f.name)[best] for f in fields(Targets)}
    return replace(
        stack,
        image=stack.image[(slice(None), *best)],
        labels=stack.labels[best],
        targets=Targets(**parts),
    )


@dataclass(frozen=True, kw_only=True)
class Judge:
    """How the network of a training is judged, and its thresholds are chosen.

    Parameters
    ----------
    architecture : Architecture
    patch : (int, int, int)
        Size (z, y, x) of the training's patches.
    compute : Compute
    spacing_um : (float, float, float)
        Voxel size (z, y, x) in µm.
    instances : InstanceSettings
        The thresholds before any are chosen.
    judged, tuned : list of PreparedStack
        Windows to judge an epoch on, and to choose thresholds on, which begin with the former.
    budget : Budget
        Learns from judging how long choosing will take.
    base : UNet3D, optional
        The network that training started from.
    base_instances : InstanceSettings
        Its own.
    """

    architecture: Architecture
    patch: Size
    compute: Compute
    spacing_um: Spacing
    instances: InstanceSettings
    judged: list[PreparedStack]
    tuned: list[PreparedStack]
    budget: Budget
    base: Any = None
    base_instances: InstanceSettings = field(default_factory=InstanceSettings)

    def epoch(self, network: Any, progress: Progress) -> Validation:
        """Judge a network."""
        began = self.budget.elapsed
        predicted = self._predicted(network, self.judged, progress)
        between = self.budget.elapsed
        values = judge(predicted, self.judged, self.spacing_um, self.instances)
        # Choosing predicts its windows, and makes objects of them for each threshold.
        once = between - began + len(FOREGROUNDS) * (self.budget.elapsed - between)
        with_base = 0.0 if self.base is None else self.budget.elapsed - began
        self.budget.keep(once * _voxels(self.tuned) / _voxels(self.judged) + with_base)
        return values

    def choose(self, network: Any, training: Training, progress: Progress) -> bool:
        """Choose thresholds for a network; keep the base where it finds more objects with any.

        What counts for that are the windows that no network learned from, and the base's own
        thresholds.
        """
        predicted = self._predicted(network, self.tuned, progress)
        tuned, f1 = tune(predicted, self.spacing_um, self.instances, progress)
        if self.base is None:
            training.conclude({"instances": asdict(tuned)}, {"f1_instances_tuned": f1})
            return True
        seen = predicted[: len(self.judged)]
        least = self._found(self._predicted(self.base, self.judged, progress), self.base_instances)
        for settings in (tuned, self.instances):
            if all(np.greater_equal(self._found(seen, settings), least)):
                found = mean_f1(predicted, self.spacing_um, settings)
                training.conclude({"instances": asdict(settings)}, {"f1_instances_tuned": found})
                return True
        sha = write_tensors(training.folder / WEIGHTS_FILE, self.base.state_dict())
        training.keep_base({"weights_sha256": sha, "instances": asdict(self.base_instances)})
        return True

    def _found(
        self, predicted: Sequence[Labelled], settings: InstanceSettings
    ) -> tuple[float, float]:
        """Return the F1 of objects at IoU 0.5, and over those that thresholds are chosen by."""
        spacing = self.spacing_um
        return mean_f1(predicted, spacing, settings, (0.5,)), mean_f1(predicted, spacing, settings)

    def _predicted(
        self, network: Any, parts: list[PreparedStack], progress: Progress
    ) -> list[Labelled]:
        predictor = NetworkPredictor(network, self.architecture, self.compute, self.patch)
        return [
            Labelled(
                predictor.maps(s.image, progress=part_of(progress, number, len(parts))),
                s.labels,
                s.targets.voxels > 0,
            )
            for number, s in enumerate(parts)
        ]


def _voxels(parts: Sequence[PreparedStack]) -> int:
    return sum(part.labels.size for part in parts)


def judge(
    predicted: Sequence[Labelled],
    parts: Sequence[PreparedStack],
    spacing_um: Spacing,
    instances: InstanceSettings,
) -> Validation:
    """Judge predicted windows, all voxels that count together, objects averaged over windows.

    Parameters
    ----------
    predicted : sequence of Labelled
    parts : sequence of PreparedStack
        The same windows.
    spacing_um : (float, float, float)
        Voxel size (z, y, x) in µm.
    instances : InstanceSettings
    """
    counts, entropy, voxels, detected = np.zeros((3, 3)), 0.0, 0, []
    for volume, part in zip(predicted, parts, strict=True):
        truth = part.targets.classes[volume.known]
        p = volume.maps[:3, volume.known]
        chosen = p.argmax(axis=0)
        counts += np.bincount(truth * 3 + chosen, minlength=9).reshape(3, 3)
        own = np.maximum(np.take_along_axis(p, truth[None].astype(np.intp), 0)[0], 1e-7)
        entropy -= float(np.log(own).sum())
        voxels += truth.size
        labels = label_objects(volume.maps, spacing_um, instances)
        detected.append(detection_f1(volume.truth, labels, volume.known))
    right, total = counts.diagonal(), counts.sum(0) + counts.sum(1)
    f1 = np.divide(2 * right, total, out=np.ones(3), where=total > 0)
    return Validation(
        entropy / max(voxels, 1), float(f1[EDGE]), float(f1[NUCLEUS]), float(np.mean(detected))
    )

"""What a model may learn from: labelled fields, never a test field, only voxels that count."""

from __future__ import annotations

import math
from dataclasses import dataclass
from typing import Any

import numpy as np

from annotations.fields import LabelsInfo
from annotations.store import AnnotationStore
from hitl.preprocess.pipeline import preprocess
from hitl.project.config import ProjectConfig
from hitl.project.errors import LeakageError, NothingToDoError
from hitl.project.reporter import Reporter
from models.base import TrainingSample

MIN_VALIDATION_VOXELS = 4


@dataclass(frozen=True)
class TrainingSet:
    """Samples and where they come from.

    Parameters
    ----------
    train, val : tuple of TrainingSample
    sources : tuple of mapping
        Per field: name, split, round, objects, verified share, hashes of file and voxels.
    round : int
        The round that the labels come from.
    verified_only : bool
        Whether only voxels that a person verified count.
    """

    train: tuple[TrainingSample, ...]
    val: tuple[TrainingSample, ...]
    sources: tuple[dict[str, Any], ...]
    round: int
    verified_only: bool


def collect_samples(
    store: AnnotationStore, config: ProjectConfig, names: tuple[str, ...], reporter: Reporter
) -> TrainingSet:
    """Gather training and validation samples from the last round.

    Verified voxels count and nothing else, when there are any; otherwise every voxel of the
    proposals does. Without a labelled field of split ``val``, a slab at the far end in y of each
    training field is held out.

    Raises
    ------
    LeakageError
        A test field was named, or a training field shares voxels with one.
    NothingToDoError
        No labels to train on.
    """
    train = _labelled(store, "train", names)
    val = _labelled(store, "val", ())
    if not train:
        raise NothingToDoError(
            "there are no labels to train on; make some with `hitl bootstrap PROJECT`, "
            "or add a field with `hitl add PROJECT IMAGE --labels FILE`"
        )
    refuse_leakage(store, [info.address for info in (*train, *val)])
    verified_only = any(_has_verified(store, info.address) for info in train)
    if not verified_only:
        reporter.note("no voxel is verified by a person yet: trains on the proposals as they are")
    samples = [_sample(store, info, config, verified_only) for info in train]
    if verified_only:
        samples = [sample for sample in samples if sample.mask.any()]
    if val:
        held_out = [
            _sample(store, info, config, _has_verified(store, info.address)) for info in val
        ]
    else:
        reporter.note(
            "no labelled field of split val: holds out the last "
            f"{config.training.validation_share:.0%} in y of each training field for validation"
        )
        pairs = [split_sample(sample, config.training.validation_share) for sample in samples]
        samples, held_out = [a for a, _ in pairs], [b for _, b in pairs]
    return TrainingSet(
        tuple(samples),
        tuple(held_out),
        tuple(_source(store, info) for info in (*train, *val)),
        store.last_round(),
        verified_only,
    )


def refuse_leakage(store: AnnotationStore, names: list[str]) -> None:
    """Refuse to train on voxels that a test field holds too, under whatever name.

    Raises
    ------
    LeakageError
        Names both fields and what to do.
    """
    tests = [info.address for info in store.all_labels() if info.split == "test"]
    for name in names:
        for test in tests:
            shared = store.shared_slices(name, test)
            if shared:
                raise LeakageError(
                    f"field {name} holds the same voxels as test field {test} in {len(shared)} of "
                    "its slices: scores on it would mean nothing; leave one of them out (add only "
                    "one to a new project, or train on others with --field)"
                )


def split_sample(sample: TrainingSample, share: float) -> tuple[TrainingSample, TrainingSample]:
    """Split a sample in y: all but the last `share` to train on, the last to validate on.

    Raises
    ------
    NothingToDoError
        When the field is too small in y to be split.
    """
    height = sample.image.shape[1]
    held_out = held_out_rows(height, share)
    if held_out is None:
        raise NothingToDoError(
            f"field {sample.name} has {height} voxels in y, too few to hold some out for "
            "validation; add a labelled field of split val"
        )
    learned = slice(0, held_out.start)
    return _crop(sample, learned, ""), _crop(sample, held_out, " (held out)")


def held_out_rows(height: int, share: float) -> slice | None:
    """Return the last `share` of the voxels in y, None where too few would be left."""
    cut = height - max(round(height * share), MIN_VALIDATION_VOXELS)
    return slice(cut, height) if cut >= MIN_VALIDATION_VOXELS else None


def _crop(sample: TrainingSample, rows: slice, suffix: str) -> TrainingSample:
    return TrainingSample(
        sample.name + suffix,
        sample.image[:, rows],
        sample.labels[:, rows],
        sample.mask[:, rows],
        sample.spacing_um,
    )


def _labelled(store: AnnotationStore, split: str, names: tuple[str, ...]) -> list[LabelsInfo]:
    chosen = [store.labels(name).info for name in names] or [
        info for info in store.all_labels() if info.split == split
    ]
    for info in chosen:
        if info.split == "test":
            raise LeakageError(
                f"field {info.address} is of split test and never reaches training; "
                "name fields of split train"
            )
    return [info for info in chosen if len(store.labels(info.address).objects.id) > 0]


def _has_verified(store: AnnotationStore, name: str) -> bool:
    return store.labels(name).verified_voxels > 0


def _sample(
    store: AnnotationStore, info: LabelsInfo, config: ProjectConfig, verified_only: bool
) -> TrainingSample:
    view = store.labels(info.address)
    labels = np.asarray(view.labels[:])
    mask = (
        np.asarray(view.verified[:]) > 0 if verified_only else np.ones(labels.shape, dtype=np.bool_)
    )
    image = preprocess(config.preprocess, view.read_channel())
    return TrainingSample(info.address, image, labels, mask, info.spacing_um)


def _source(store: AnnotationStore, info: LabelsInfo) -> dict[str, Any]:
    view = store.labels(info.address)
    return {
        "field": info.address,
        "split": info.split,
        "objects": len(view.objects.id),
        "verified_share": round(view.verified_voxels / math.prod(info.zyx), 4),
        "source": info.field.source,
        "source_sha256": info.source_sha256,
        "spacing_um": list(info.spacing_um),
    }

"""What a model may learn from: labelled fields, never a test field, only voxels that count."""

from __future__ import annotations

from collections.abc import Collection, Mapping, Sequence
from dataclasses import dataclass
from typing import Any

import numpy as np

from annotations.copies.copy import Copy
from annotations.fields import LabelsInfo
from annotations.store import AnnotationStore
from annotations.views import LabelsView
from hitl.preprocess.pipeline import preprocess, steps_for
from hitl.project.addresses import chosen_labels
from hitl.project.config import CONFIG_NAME, ProjectConfig
from hitl.project.copies import known_copies
from hitl.project.errors import LeakageError, NothingToDoError
from hitl.project.reporter import Reporter
from hitl.training.held_out import HELD_OUT, check_large_enough, split_sample
from models.base import TrainingSample

Samples = list[tuple[LabelsInfo, TrainingSample]]
"""What is learned, and of which labels it is."""


@dataclass(frozen=True)
class TrainingSet:
    """Samples and where they come from.

    Parameters
    ----------
    train, val : tuple of TrainingSample
    val_of : tuple of (str, str)
        Field and class of each of `val`.
    sources : tuple of mapping
        Per labels: field, class, time points, split, objects, verified share, source.
    round : int
        The round that the labels come from.
    verified_only : bool
        Whether only voxels that a person verified count.
    classes : tuple of str
        What is learned.
    """

    train: tuple[TrainingSample, ...]
    val: tuple[TrainingSample, ...]
    val_of: tuple[tuple[str, str], ...]
    sources: tuple[dict[str, Any], ...]
    round: int
    verified_only: bool
    classes: tuple[str, ...]


def collect_samples(
    store: AnnotationStore,
    config: ProjectConfig,
    names: tuple[str, ...],
    reporter: Reporter,
    classes: tuple[str, ...] = (),
    *,
    one_channel: bool = False,
) -> TrainingSet:
    """Gather training and validation samples from the last round.

    Verified voxels count and nothing else, when there are any; otherwise every voxel of the
    proposals does. Without a labelled field of split ``val``, a share of each training field is
    held out, see `hitl.training.held_out`: the same tiles for all its classes and time points.

    Parameters
    ----------
    store : AnnotationStore
    config : ProjectConfig
    names : tuple of str
        Fields, or labels as FIELD:CLASS; all of split train when empty.
    reporter : Reporter
    classes : tuple of str
        Only these; all of kind instances when empty.
    one_channel : bool
        Whether the model takes one channel only.

    Raises
    ------
    LeakageError
        A test field was named, or a training field shares voxels with one.
    NothingToDoError
        No labels to train on, or classes that see different numbers of channels, or more than the
        model takes.
    """
    train = labelled(store, "train", names, classes)
    if not train:
        raise NothingToDoError(
            "there are no labels to train on; make some with `hitl bootstrap PROJECT`, "
            "or add a field with `hitl add PROJECT IMAGE --labels FILE`"
        )
    check_labelled(train, classes)
    check_channels(train, one_channel, reporter)
    taught = tuple(dict.fromkeys(info.class_name for info in train))
    learned = {info.field.name for info in train}
    # A field of split val that was named is learned from, in whatever class.
    val = [i for i in labelled(store, "val", (), taught) if i.field.name not in learned]
    used = learned | {info.field.name for info in val}
    refuse_leakage(store, used, known_copies(store, reporter))
    check_readable(train, val, config)
    views = {info.key: store.labels(info.key) for info in (*train, *val)}
    verified_only = any(views[info.key].verified_voxels for info in train)
    if not verified_only:
        reporter.note("no voxel is verified by a person yet: trains on the proposals as they are")
    samples = [each for i in train for each in samples_of(views[i.key], config, verified_only)]
    if val:
        held_out = [
            each
            for info in val
            for each in samples_of(views[info.key], config, views[info.key].verified_voxels > 0)
        ]
    else:
        share = config.training.validation_share
        reporter.note(
            f"no labelled field of split val: holds out about {share:.0%} of each training field "
            "for validation, whole objects all over it"
        )
        samples, held_out = hold_out(samples, share)
    return training_set(store, views, [*train, *val], samples, held_out, verified_only)


def hold_out(samples: Samples, share: float) -> tuple[Samples, Samples]:
    """Split what counts of each sample: to train on, and to validate on."""
    halves = [(info, split_sample(sample, share)) for info, sample in samples]
    learned = _known([(info, rest) for info, (rest, _) in halves])
    return learned, _known([(info, kept) for info, (_, kept) in halves])


def training_set(
    store: AnnotationStore,
    views: Mapping[str, LabelsView],
    used: Sequence[LabelsInfo],
    samples: Samples,
    held_out: Samples,
    verified_only: bool,
) -> TrainingSet:
    """Return samples with where they come from.

    Parameters
    ----------
    store : AnnotationStore
    views : mapping of str to LabelsView
        By key.
    used : sequence of LabelsInfo
        What the samples are of.
    samples, held_out : list of (LabelsInfo, TrainingSample)
        To train on, and to validate on.
    verified_only : bool
    """
    named = {sample.name for _, sample in (*samples, *held_out)}
    return TrainingSet(
        tuple(sample for _, sample in samples),
        tuple(sample for _, sample in held_out),
        tuple((info.field.name, info.class_name) for info, _ in held_out),
        tuple(_source(views[info.key], named) for info in used),
        store.last_round(),
        verified_only,
        tuple(dict.fromkeys(info.class_name for info, _ in samples)),
    )


def check_labelled(train: list[LabelsInfo], classes: tuple[str, ...]) -> None:
    """Refuse a class that was asked for and of which nothing is labelled."""
    for name in classes:
        if name not in {info.class_name for info in train}:
            raise NothingToDoError(
                f"class {name}: no field to train on holds a label of it; label some, or leave it "
                "out of --class"
            )


def check_channels(train: list[LabelsInfo], one_channel: bool, reporter: Reporter) -> None:
    """Refuse to teach one model from different numbers of channels; tell of several classes."""
    seen = {info.class_name: len(info.seen) for info in train}
    for name, count in seen.items():
        if one_channel and count > 1:
            raise NothingToDoError(
                f"class {name} is seen in {count} channels, and the model takes one; add its "
                "fields again with the one that shows the objects (`hitl add --channel`), or train "
                "another model"
            )
    if len(set(seen.values())) > 1:
        listed = ", ".join(f"{name} ({count})" for name, count in seen.items())
        raise NothingToDoError(
            f"the classes see different numbers of channels: {listed}; train a model for each "
            "with --class NAME"
        )
    if len(seen) > 1:
        reporter.note(
            f"trains one model on the classes {', '.join(seen)}; --class NAME trains on one alone"
        )


def refuse_leakage(
    store: AnnotationStore, fields: Collection[str], copies: Collection[Copy]
) -> None:
    """Refuse to train on what a test field holds too, under whatever name and in which channel.

    Parameters
    ----------
    store : AnnotationStore
    fields : collection of str
        What is to be trained on.
    copies : collection of Copy
        Those of the store.

    Raises
    ------
    LeakageError
        Names both fields and what to do.
    """
    infos = {info.name: info for info in store.fields()}
    tests = {name: info for name, info in infos.items() if info.split == "test"}
    advice = (
        "scores on it would mean nothing; leave one of them out (add only one to a new project, or "
        "train on others with --field)"
    )
    files = {i.source_sha256: name for name, i in tests.items() if i.source_sha256 is not None}
    for name in fields:
        other = files.get(infos[name].source_sha256 or "")
        if other is not None:
            raise LeakageError(
                f"field {name} comes from the same file as test field {other}: {advice}"
            )
    for copy in copies:
        for name, test in (copy.names, copy.names[::-1]):
            if name in fields and test in tests:
                raise LeakageError(
                    f"field {name} shares voxels with test field {test} ({copy}): {advice}"
                )


def check_readable(
    train: Sequence[LabelsInfo], val: Sequence[LabelsInfo], config: ProjectConfig
) -> None:
    """Refuse, before any image is read, what could not be preprocessed or split afterwards."""
    for info in (*train, *val):
        steps_for(config.steps_of(info.class_name), info, CONFIG_NAME)
    for info in () if val else train:
        check_large_enough(info.address, info.zyx[1:], config.training.validation_share)


def labelled(
    store: AnnotationStore, split: str, names: tuple[str, ...], classes: tuple[str, ...]
) -> list[LabelsInfo]:
    """Return what of a split is labelled, or what was named; refuse a field of split test."""
    chosen = chosen_labels(store, names, classes)
    if not names:
        chosen = [info for info in chosen if info.split == split]
    named = {name for name in names if ":" in name}
    for info in chosen:
        if info.split == "test":
            raise LeakageError(
                f"field {info.field.name} is of split test and never reaches training; "
                "name fields of split train"
            )
    return [
        info
        for info in chosen
        if any(store.labels(info.key).counts.values())
        # An area is one object as large as the image: it is learned only where it is asked for.
        and (info.label_class.kind == "instances" or classes or info.key in named)
    ]


def samples_of(view: LabelsView, config: ProjectConfig, verified_only: bool) -> Samples:
    """Return what may be learned from each time point of labels."""
    info = view.info
    steps = steps_for(config.steps_of(info.class_name), info, CONFIG_NAME)
    found: Samples = []
    for each in view.time_points():
        labels = np.asarray(each.labels[...])
        if verified_only:
            mask = np.asarray(each.verified[...]) > 0
            if not mask.any():
                continue
        elif info.times > 1 and not labels.any():
            continue
        else:
            mask = np.ones(labels.shape, dtype=np.bool_)
        image = preprocess(steps, each.read_image())
        sample = TrainingSample(
            each.name, image, labels, mask, info.spacing_um, info.class_name,
            info.label_class.kind, f"{info.field.name} t{each.time}",
        )  # fmt: skip
        found.append((info, sample))
    return found


def _known(parts: Samples) -> Samples:
    """Leave out parts of which nothing is known, as long as another is left."""
    return [(info, part) for info, part in parts if part.mask.any()] or parts


def _source(view: LabelsView, used: Collection[str]) -> dict[str, Any]:
    info = view.info
    named = [(each.time, each.name) for each in view.time_points()]
    return {
        "field": info.field.name,
        "class": info.class_name,
        "times": [time for time, name in named if {name, name + HELD_OUT} & set(used)],
        "split": info.split,
        "objects": sum(view.counts.values()),
        "verified_share": round(view.verified_voxels / info.voxels, 4),
        "source": info.field.source,
        "source_sha256": info.source_sha256,
        "spacing_um": list(info.spacing_um),
    }

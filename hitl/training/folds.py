"""Folds: which fields a training learns from, is chosen on, and is scored on, each field once."""

from __future__ import annotations

from collections.abc import Collection, Iterable, Mapping, Sequence
from dataclasses import dataclass, replace

from annotations.copies.copy import Copy
from annotations.fields import FieldInfo
from annotations.store import AnnotationStore
from hitl.project.config import ProjectConfig
from hitl.project.copies import known_copies
from hitl.project.errors import LeakageError, NothingToDoError, UsageError
from hitl.project.reporter import Reporter
from hitl.training.samples import (
    Samples,
    TrainingSet,
    check_channels,
    check_labelled,
    check_readable,
    hold_out,
    labelled,
    refuse_leakage,
    samples_of,
    training_set,
)
from labels.hashing import values_sha256
from labels.numbers import number_of

BY_FIELD = "field"

FEWEST_GROUPS = 4
"""With fewer to learn from, the epoch is chosen on a part of each field, not on whole fields."""


@dataclass(frozen=True)
class Fold:
    """Names of fields.

    Parameters
    ----------
    learned, chosen_on, scored : tuple of str
        What is learned from; what the epoch and the thresholds are chosen on, which is a part of
        the learned ones where it is empty; and the fold itself.
    """

    learned: tuple[str, ...]
    chosen_on: tuple[str, ...]
    scored: tuple[str, ...]


@dataclass(frozen=True)
class FoldData:
    """A fold's samples.

    Parameters
    ----------
    number : int
        From 1.
    data : TrainingSet
        What is trained and chosen on.
    scored : TrainingSet
        The same, with the fold itself in the place of the validation.
    """

    number: int
    data: TrainingSet
    scored: TrainingSet


def check_folds(count: int, by: str) -> None:
    """Refuse folds that are none.

    Raises
    ------
    UsageError
    """
    if count < 0 or count == 1:
        raise UsageError(f"--folds {count}: expected 2 or more, such as --folds 5")
    if by and not count:
        raise UsageError(f"--by {by}: it says how folds are made; give --folds too")


def collect_folds(
    store: AnnotationStore,
    config: ProjectConfig,
    names: tuple[str, ...],
    reporter: Reporter,
    classes: tuple[str, ...],
    count: int,
    by: str,
    *,
    one_channel: bool,
) -> list[FoldData]:
    """Gather the samples of each fold from the last round; fields of split test stay out.

    Parameters
    ----------
    store, config, names, reporter, classes, one_channel
        As `hitl.training.samples.collect_samples` takes them; fields of split val are in the
        folds, too, since every fold has its own.
    count : int
    by : str
        ``"field"``, or a key of the fields' metadata: fields of one value stay together.

    Raises
    ------
    LeakageError
        Two folds hold voxels of the same image.
    NothingToDoError
        Nothing labelled, or fewer fields, or values, than folds.
    """
    splits = ("train",) if names else ("train", "val")
    infos = [info for split in splits for info in labelled(store, split, names, classes)]
    if not infos:
        raise NothingToDoError(
            "there are no labels to make folds of; add fields with `hitl add PROJECT IMAGE "
            "--labels FILE`"
        )
    check_labelled(infos, classes)
    check_channels(infos, one_channel, reporter)
    check_readable(infos, infos, config)
    fields = {info.field.name: info.field for info in infos}
    copies = known_copies(store, reporter)
    refuse_leakage(store, set(fields), copies)
    folds = make_folds(list(fields.values()), count, by, config.training.validation_share)
    refuse_copies(folds, fields, copies)
    reporter.note(_told(folds, by))
    views = {info.key: store.labels(info.key) for info in infos}
    verified_only = any(view.verified_voxels for view in views.values())
    if not verified_only:
        reporter.note("no voxel is verified by a person yet: trains on the proposals as they are")
    found = {info.key: (info, samples_of(views[info.key], config, verified_only)) for info in infos}

    def of(chosen: Collection[str]) -> Samples:
        return [each for info, own in found.values() if info.field.name in chosen for each in own]

    parts = []
    for number, fold in enumerate(folds, 1):
        learned, chosen_on = of(fold.learned), of(fold.chosen_on)
        if not fold.chosen_on:
            learned, chosen_on = hold_out(learned, config.training.validation_share)
        used = [info for info in infos if info.field.name in {*fold.learned, *fold.chosen_on}]
        data = training_set(store, views, used, learned, chosen_on, verified_only)
        scored = of(fold.scored)
        parts.append(
            FoldData(
                number,
                data,
                replace(
                    data,
                    val=tuple(sample for _, sample in scored),
                    val_of=tuple((info.field.name, info.class_name) for info, _ in scored),
                ),
            )
        )
    return parts


def make_folds(fields: Sequence[FieldInfo], count: int, by: str, share: float) -> list[Fold]:
    """Deal fields out; the same fields give the same folds.

    Parameters
    ----------
    fields : sequence of FieldInfo
    count : int
    by : str
        See `collect_folds`.
    share : float
        Of the fields that are not in the fold, to choose on.

    Raises
    ------
    NothingToDoError
        Fewer fields, or values, than folds; a field without the key.
    """
    groups = _groups(fields, by)
    if count > len(groups):
        what = "field" if by == BY_FIELD else f"value of {by}"
        raise NothingToDoError(
            f"--folds {count}: expected at most {len(groups)}, as there "
            f"{'is' if len(groups) == 1 else 'are'} {number_of(len(groups), what, _several(what))} "
            "to train on; take fewer folds, or add fields"
        )
    dealt: list[list[str]] = [[] for _ in range(count)]
    # Large groups first, else in an order that has nothing to do with how fields were added.
    for name in sorted(groups, key=lambda each: (-len(groups[each]), values_sha256(each))):
        min(dealt, key=lambda fold: sum(len(groups[each]) for each in fold)).append(name)
    return [_fold(dealt, number, groups, share) for number in range(count)]


def _several(what: str) -> str:
    return what.replace("value ", "values ", 1) if what.startswith("value ") else f"{what}s"


def _groups(fields: Sequence[FieldInfo], by: str) -> dict[str, list[str]]:
    groups: dict[str, list[str]] = {}
    for field in fields:
        if by != BY_FIELD and by not in field.metadata:
            known = sorted({key for each in fields for key in each.metadata})
            raise NothingToDoError(
                f"--by {by}: field {field.name} does not say its {by}; known of the fields are "
                f"{', '.join(known) or 'no metadata at all'} (hitl add --meta {by}=…); take --by "
                "field, or name fields with --field"
            )
        group = field.name if by == BY_FIELD else field.metadata[by]
        groups.setdefault(group, []).append(field.name)
    return groups


def _fold(
    dealt: Sequence[Sequence[str]], number: int, groups: Mapping[str, list[str]], share: float
) -> Fold:
    scored = tuple(name for group in dealt[number] for name in groups[group])
    # From the following folds in turn, so that each fold is chosen on others.
    others = [
        group for step in range(1, len(dealt)) for group in dealt[(number + step) % len(dealt)]
    ]
    chosen: list[str] = []
    if len(others) >= FEWEST_GROUPS:
        total = sum(len(groups[group]) for group in others)
        while not chosen or len(chosen) < round(share * total):
            chosen += groups[others.pop(0)]
    learned = tuple(name for group in others for name in groups[group])
    return Fold(learned, tuple(chosen), scored)


def refuse_copies(
    folds: Sequence[Fold], fields: Mapping[str, FieldInfo], copies: Iterable[Copy]
) -> None:
    """Refuse fields in two folds that hold voxels of the same image.

    Raises
    ------
    LeakageError
        Names both.
    """
    of = {name: number for number, fold in enumerate(folds, 1) for name in fold.scored}
    advice = (
        "what is learned from one would be scored on the other; remove one (`hitl remove`), leave "
        "it out with --field, or keep them together with --by KEY (hitl add --meta KEY=…)"
    )
    first: dict[str, str] = {}
    for name, field in fields.items():
        other = first.setdefault(field.source_sha256 or name, name)
        if of[other] != of[name]:
            raise LeakageError(
                f"fields {other} and {name}, in folds {of[other]} and {of[name]}, come from the "
                f"same file: {advice}"
            )
    for copy in copies:
        one, other = copy.names
        if one in of and other in of and of[one] != of[other]:
            raise LeakageError(
                f"fields {one} and {other}, in folds {of[one]} and {of[other]}, share voxels "
                f"({copy}): {advice}"
            )


def _told(folds: Sequence[Fold], by: str) -> str:
    sizes = ", ".join(str(len(fold.scored)) for fold in folds)
    chosen = len(folds[0].chosen_on)
    how = (
        f"on {number_of(chosen, 'field')} of the others"
        if chosen
        else "on a part of each of the others"
    )
    return (
        f"{number_of(len(folds), 'fold')} by {by} of {sizes} fields, each scored by a model that "
        f"learned from none of it; the epoch is chosen {how}"
    )

"""Which run is in use, and the comparison that a run must pass to take its place."""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from contextlib import contextmanager, nullcontext
from dataclasses import asdict, dataclass
from typing import Any

import filelock
import numpy as np
from numpy.typing import NDArray

from annotations.copies.copy import Copy
from annotations.fields import LabelsInfo
from annotations.views import LabelsView
from hitl.evaluation.strata import ObjectPairs, Stratum, compare_strata, count_objects, pair_objects
from hitl.prediction.predict import cached_prediction
from hitl.prediction.predictor import BOOTSTRAP, Predictor
from hitl.project.copies import known_copies, note_copies_of
from hitl.project.errors import HitlError, NothingToDoError, ProjectError, UsageError
from hitl.project.folder import Project, now
from hitl.project.records import write_record
from hitl.project.reporter import Reporter
from hitl.project.runs import IN_USE, read_card, read_in_use
from hitl.training.held_out import WHOLE_OBJECTS, held_out_voxels
from hitl.training.samples import refuse_leakage
from labels.numbers import number_of

LOCK_TIMEOUT_S = 10.0

FEW = 5
"""With fewer items no difference, however large, could be told from noise."""


class RegressionError(HitlError):
    """A run that is worse than the model in use, or that finds nothing."""


@dataclass(frozen=True)
class Promoted:
    """A run that is in use now, or what a comparison says of putting it in use.

    Parameters
    ----------
    run : str
    replaced : str or None
        The run that was in use before.
    compared_with : str or None
        The run that was in use, or the bootstrap's segmenter for the first promotion; None where
        a forced promotion had nothing to compare on.
    fields : tuple of str
        Where they were compared.
    strata : tuple of Stratum
        All objects first.
    forced : bool
    objections : tuple of str
        What speaks against it; where it was not forced, it is not promoted for these.
    dry_run : bool
        Nothing was written.
    """

    run: str
    replaced: str | None
    compared_with: str | None
    fields: tuple[str, ...]
    strata: tuple[Stratum, ...]
    forced: bool
    objections: tuple[str, ...]
    dry_run: bool = False

    @property
    def refused(self) -> bool:
        """Whether the run is not to be put in use."""
        return bool(self.objections) and not self.forced


@dataclass(frozen=True)
class _Part:
    """One time point of labels, and the share of it that no training saw."""

    view: LabelsView
    share: float = 1.0

    @property
    def info(self) -> LabelsInfo:
        return self.view.info

    def read(self) -> tuple[NDArray[np.uint32], NDArray[np.bool_]]:
        """Return the truth, and where a person knows what is there and no training saw it.

        Only one field is held at a time.
        """
        truth = np.asarray(self.view.labels[...], dtype=np.uint32)
        known = np.asarray(self.view.verified[...]) > 0
        return truth, known if self.share == 1 else known & held_out_voxels(truth, self.share)


def promote(
    project: Project,
    run: str,
    reporter: Reporter,
    *,
    force: bool = False,
    why: str = "",
    by: str | None = None,
    dry_run: bool = False,
) -> Promoted:
    """Put a run in use, unless it is worse than what is in use.

    Both are compared on labelled fields of split val, on what people verified there; without
    any, on what they verified in the part of the training fields that training held out. Test
    fields are never looked at. The first run is compared with the bootstrap's segmenter, since
    that is what it would replace. See `evaluation.strata.compare_strata` for when it counts as
    worse.

    Parameters
    ----------
    project : Project
    run : str
        A finished run's id.
    reporter : Reporter
    force : bool
        Promote it all the same; who, when, why and what spoke against it are recorded.
    why : str
        The reason, needed with `force`.
    by : str, optional
        Who; the config's annotator, else the name of the account, when not given.
    dry_run : bool
        Only compare, and tell whether it would be put in use.

    Raises
    ------
    RegressionError
        The run is worse beyond noise, overall or in a stratum, or finds no object.
    NothingToDoError
        It is in use already, or nothing is verified to compare on.
    ProjectError
        Unknown run.
    UsageError
        `force` without a reason, or a reason without `force`.
    LeakageError
        A field to compare on shares voxels with a test field.
    """
    project.run(run)
    by = project.annotator(by)
    if force and not why.strip():
        raise UsageError("--force: expected the reason, got none; give it with --why TEXT")
    if why and not force:
        raise UsageError("--why: it is the reason for --force; give both, or neither")
    with nullcontext() if dry_run else _alone(project):
        known = read_in_use(project)
        if known["run"] == run:
            raise NothingToDoError(f"{run} is in use already; nothing changed")
        against = known["run"] or BOOTSTRAP
        result = _judge(project, run, against, reporter, force=force, dry_run=dry_run)
        if dry_run:
            return result
        if result.refused:
            raise RegressionError(_refusal(result))
        entry = {
            **asdict(result),
            "when": now(),
            "by": by,
            "why": why,
            "weights_sha256": read_card(project.run(run))["weights_sha256"],
        }
        del entry["dry_run"]
        write_record(project.folder / IN_USE, {"run": run, "history": [*known["history"], entry]})
    return result


@contextmanager
def _alone(project: Project) -> Iterator[None]:
    """Let one promotion at a time read and write the record."""
    file = project.folder / f"{IN_USE}.lock"
    lock = filelock.FileLock(file)
    try:
        lock.acquire(timeout=LOCK_TIMEOUT_S)
    except filelock.Timeout as error:
        raise ProjectError(
            f"{project.folder}: another promotion is under way (it holds {file.name}); wait until "
            "it is done and try again"
        ) from error
    try:
        yield
    finally:
        lock.release()


def _judge(
    project: Project, run: str, against: str, reporter: Reporter, *, force: bool, dry_run: bool
) -> Promoted:
    """Compare, and say what speaks against the run."""
    replaced = None if against == BOOTSTRAP else against
    models = [Predictor(project, name, reporter) for name in (against, run)]
    try:
        parts = _parts(project, models, reporter)
    except NothingToDoError as error:
        if not force:
            raise
        return Promoted(run, replaced, None, (), (), True, (str(error),), dry_run)
    items, found = _items(project, parts, models, keep=not dry_run)
    fields = tuple(part.view.name for part in parts)
    strata = compare_strata(items)
    objections = [stratum.figures() for stratum in strata if stratum.worse]
    if not found:
        objections.insert(0, f"it finds no object in {', '.join(fields)}")
    return Promoted(
        run, replaced, models[0].name, fields, strata, force, tuple(objections), dry_run
    )


def _items(
    project: Project, parts: Sequence[_Part], models: Sequence[Predictor], *, keep: bool
) -> tuple[dict[str, ObjectPairs], bool]:
    """Scores of both models by class, and whether the second finds anything at all."""
    items: dict[str, list[ObjectPairs]] = {}
    found = False
    for part in parts:
        in_use, candidate = (
            cached_prediction(project, model, part.view, keep=keep) for model in models
        )
        found = found or bool(candidate.any())
        pairs = pair_objects(*part.read(), in_use, candidate, part.info.spacing_um)
        items.setdefault(part.info.class_name, []).append(pairs)
    return {name: ObjectPairs.joined(own) for name, own in items.items()}, found


def _parts(project: Project, models: Sequence[Predictor], reporter: Reporter) -> list[_Part]:
    """Where two models can be compared; nothing is segmented to find out.

    Raises
    ------
    NothingToDoError
        Nowhere.
    """
    parts = _unseen(project, models, reporter)
    taken = {info.key for info in models[0].own([part.info for part in parts])}
    if not taken:
        raise NothingToDoError(
            f"{models[0].why_not(parts[0].info)}, so there is nothing to compare with; promote "
            "without a comparison with --force --why TEXT"
        )
    parts = [part for part in parts if part.info.key in taken]
    for model in models:
        model.check(part.info for part in parts)
    objects = sum(count_objects(*part.read()) for part in parts)
    if not objects:
        raise _nothing_verified(project)
    if objects < FEW:
        reporter.note(
            f"only {number_of(objects, 'verified object')} to compare on: no difference could be "
            "told from noise; verify more objects of a field of split val"
        )
    return parts


def _unseen(project: Project, models: Sequence[Predictor], reporter: Reporter) -> list[_Part]:
    """Return what was verified of the classes of both, and that neither was trained on."""
    store = project.store()
    cards = [model.card for model in reversed(models) if model.card is not None]
    taught = set.intersection(*(set(card["classes"]) for card in cards))
    if not taught:
        listed = " and ".join(f"{c['run']} on {', '.join(c['classes'])}" for c in cards)
        raise NothingToDoError(
            f"{listed} were trained on no class in common, so they cannot be compared; promote "
            "without a comparison with --force --why TEXT"
        )
    verified = [
        each
        for view in store.views()
        if view.verified_voxels > 0 and view.info.class_name in taught
        for each in view.time_points()
    ]
    parts = [_Part(view) for view in verified if view.info.split == "val"]
    copies = known_copies(store, reporter)
    if parts:
        _note_training(cards, parts, copies, reporter)
    else:
        share = min([project.config.training.validation_share, *map(_share, cards)])
        parts = [_Part(view, share) for view in verified if view.info.split == "train"]
        reporter.note(
            f"no verified field of split val: compares on the {share:.0%} of the training fields "
            "that were held out"
        )
        for card in cards:
            if any(source["split"] == "val" for source in card["trained_on"]):
                reporter.note(
                    f"{card['run']} was trained when there was a field of split val, so nothing "
                    "of the training fields was held out: its scores here flatter it"
                )
            elif card["config"].get("held_out") != WHOLE_OBJECTS:
                reporter.note(
                    f"{card['run']} was trained by an earlier version, which held out another part "
                    "of the training fields: its scores here flatter it"
                )
    if not parts:
        raise _nothing_verified(project)
    refuse_leakage(store, {part.info.field.name for part in parts}, copies)
    return parts


def _share(card: dict[str, Any]) -> float:
    return float(card["config"]["validation_share"])


def _note_training(
    cards: list[dict[str, Any]], parts: list[_Part], copies: list[Copy], reporter: Reporter
) -> None:
    for card in cards:
        seen = {s["source_sha256"] for s in card["trained_on"] if s["split"] == "train"} - {None}
        for part in parts:
            if part.info.source_sha256 in seen:
                reporter.note(
                    f"{card['run']} was trained on the file of {part.info.address}: its scores "
                    "there flatter it"
                )
        learned = {s["field"] for s in card["trained_on"] if s["split"] == "train"}
        scored = {p.info.field.name for p in parts if p.info.source_sha256 not in seen}
        note_copies_of(card["run"], learned, scored, copies, reporter)


def _nothing_verified(project: Project) -> NothingToDoError:
    share = project.config.training.validation_share
    return NothingToDoError(
        "there is no verified object to compare on: verify some in a field of split val (or in "
        f"the {share:.0%} of a training field that is held out), add one with `hitl add PROJECT "
        "IMAGE --split val --labels FILE`, or promote without a comparison with --force --why TEXT"
    )


def _refusal(result: Promoted) -> str:
    return (
        f"{result.run} is not promoted, {result.compared_with} does better on "
        f"{', '.join(result.fields)}: {'; '.join(result.objections)}. Train again on more "
        "verified objects like these, or promote it all the same with --force --why TEXT"
    )

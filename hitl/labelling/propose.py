"""The next round's labels: a model fills what nobody has verified."""

from __future__ import annotations

import time
from collections.abc import Sequence
from dataclasses import asdict, dataclass
from pathlib import Path
from typing import Any

import numpy as np

from annotations.rounds import EditCounts, ModelRef, RoundInfo
from annotations.stacks import StackInfo
from annotations.store import AnnotationStore
from hitl.cli.tables import plain_table
from hitl.labelling.bootstrap import make_segmenter, segment_stack
from hitl.labelling.merge import merge_proposal
from hitl.prediction.predict import BOOTSTRAP, RunSegmenter, run_segmenter
from hitl.project.cards import read_card
from hitl.project.errors import NothingToDoError
from hitl.project.folder import Project
from hitl.project.in_use import named_or_in_use
from hitl.project.reporter import Reporter
from models.base import Segmentation, Segmenter
from models.registry import SEGMENTERS


@dataclass(frozen=True)
class StackProposal:
    """What a proposal did to one stack.

    Parameters
    ----------
    stack : str
    found : int
        Objects that the model found.
    added, deleted, reshaped : int
        Proposals that are new, gone, or of another shape under the same id.
    unchanged : int
        Proposals that are as they were.
    kept : int
        Objects that people accepted or corrected, which no model changes.
    seconds : float
    """

    stack: str
    found: int
    added: int
    deleted: int
    reshaped: int
    unchanged: int
    kept: int
    seconds: float


@dataclass(frozen=True)
class Proposed:
    """A round of proposals.

    Parameters
    ----------
    round : int
        Number of the round that was committed.
    model : str
    stacks : tuple of StackProposal
    """

    round: int
    model: str
    stacks: tuple[StackProposal, ...]

    def to_dict(self) -> dict[str, Any]:
        """Return what `--json` prints."""
        return asdict(self)

    def table(self) -> Any:
        """Return what is printed for people."""
        columns = ("added", "deleted", "reshaped", "unchanged", "kept")
        return plain_table(
            ("stack", *columns, "seconds"),
            [
                (s.stack, *(str(getattr(s, name)) for name in columns), f"{s.seconds:.1f}")
                for s in self.stacks
            ],
            title=f"round {self.round}, proposed by {self.model}",
            right=(*columns, "seconds"),
        )

    def sentence(self) -> str:
        """Return the same in one line."""
        added, deleted, reshaped = (
            sum(getattr(s, name) for s in self.stacks) for name in ("added", "deleted", "reshaped")
        )
        return (
            f"round {self.round}: {self.model} proposed {added} new objects, reshaped {reshaped} "
            f"and took back {deleted} in {len(self.stacks)} stacks; what people verified is as "
            "it was"
        )


@dataclass(frozen=True)
class _Source:
    """What makes the labels: a run, or a segmenter with the project's settings."""

    name: str
    segmenter: Segmenter
    run: RunSegmenter | None
    weights_sha256: str | None

    def reference(self) -> ModelRef:
        return ModelRef(
            name=self.name, weights_sha256=self.weights_sha256, settings=self.segmenter.describe()
        )


def propose(
    project: Project, model: str | None, stacks: tuple[str, ...], reporter: Reporter
) -> Proposed:
    """Run a model on stacks and fill what nobody has verified; one round, all stacks or none.

    The model runs before the store is opened for writing: people can go on correcting, and what
    they committed meanwhile stays too.

    Parameters
    ----------
    project : Project
    model : str, optional
        A run's id, a segmenter's name or ``"bootstrap"``; the promoted run when not given.
    stacks : tuple of str
        Only these; all of split train and val when empty.
    reporter : Reporter

    Raises
    ------
    NothingToDoError
        No stack, a test stack, no model in use, or a model that finds no object anywhere.
    ProjectError
        Unknown run.
    """
    store = project.store()
    chosen = _choose(store, stacks)
    source = _source(project, named_or_in_use(project, model), reporter)
    found: dict[str, Segmentation] = {}
    seconds: dict[str, float] = {}
    for info in chosen:
        started = time.monotonic()
        found[info.name] = _segment(project, store, source, info, reporter)
        seconds[info.name] = round(time.monotonic() - started, 2)
    _refuse_nothing(source.name, found, reporter)
    return _commit(project, source, found, seconds)


def _choose(store: AnnotationStore, names: Sequence[str]) -> list[StackInfo]:
    named = [store.stack(name).info for name in dict.fromkeys(names)]
    chosen = named or [info for info in store.stacks() if info.split != "test"]
    if not chosen:
        raise NothingToDoError(
            "there is no stack of split train or val; add one with `hitl add PROJECT IMAGE`"
        )
    for info in chosen:
        if info.split == "test":
            raise NothingToDoError(
                f"stack {info.name} is of split test, its labels are a person's; "
                "`hitl predict` and `hitl evaluate` run models on it"
            )
    return chosen


def _source(project: Project, model: str, reporter: Reporter) -> _Source:
    if model in SEGMENTERS or model == BOOTSTRAP:
        name = project.config.bootstrap.segmenter if model == BOOTSTRAP else model
        segmenter = make_segmenter(project.config, name, reporter)
        digest = segmenter.describe().get("weights_sha256")
        return _Source(segmenter.name, segmenter, None, digest)
    folder: Path = project.run(model)
    run = run_segmenter(folder)
    return _Source(model, run.segmenter, run, read_card(folder)["weights_sha256"])


def _segment(
    project: Project,
    store: AnnotationStore,
    source: _Source,
    info: StackInfo,
    reporter: Reporter,
) -> Segmentation:
    if source.run is None:
        return segment_stack(store, info.name, project.config, source.segmenter, reporter)
    limit = project.config.prediction.whole_up_to_voxels
    return source.run.segment_stack(store.stack(info.name), limit, project.folder, reporter)


def _refuse_nothing(model: str, found: dict[str, Segmentation], reporter: Reporter) -> None:
    """Stop a model that finds nothing: it would only take proposals away."""
    empty = [stack for stack, result in found.items() if not result.labels.any()]
    if len(empty) == len(found):
        raise NothingToDoError(
            f"{model} found no object in {', '.join(empty)}: nothing was proposed and nothing "
            "changed; look at its training, or propose with another model (--model)"
        )
    for stack in empty:
        reporter.note(f"{model} found no object in {stack}: its unverified proposals are gone")


def _commit(
    project: Project,
    source: _Source,
    found: dict[str, Segmentation],
    seconds: dict[str, float],
) -> Proposed:
    about = RoundInfo(
        kind="propose",
        message=f"proposals of {source.name} for {', '.join(found)}",
        author=f"model:{source.name}",
        model=source.reference(),
        config=project.config.model_dump(mode="json"),
    )
    results = []
    with project.store(read_only=False).begin_round(about) as round_:
        for stack, segmentation in found.items():
            view = round_.stack(stack)
            before = view.objects
            labels, objects, counts = merge_proposal(
                np.asarray(view.labels[...]),
                np.asarray(view.verified[...]),
                before,
                segmentation.labels,
                segmentation.confidence,
                f"model:{source.name}",
                round_.number,
            )
            round_.set_labels(stack, labels, objects)
            round_.count(stack, counts)
            n_found = int(np.count_nonzero(np.unique(segmentation.labels)))
            results.append(_result(stack, n_found, objects.counts(), counts, seconds[stack]))
    return Proposed(round_.number, source.name, tuple(results))


def _result(
    stack: str, found: int, statuses: dict[str, int], counts: EditCounts, seconds: float
) -> StackProposal:
    return StackProposal(
        stack=stack,
        found=found,
        added=counts.added,
        deleted=counts.deleted,
        reshaped=counts.reshaped,
        unchanged=statuses["proposed"] - counts.added - counts.reshaped,
        kept=statuses["accepted"] + statuses["corrected"],
        seconds=seconds,
    )

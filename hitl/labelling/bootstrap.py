"""The first labels: a segmenter that needs no training, its masks cleaned, committed as a round."""

from __future__ import annotations

import time
from dataclasses import dataclass

import numpy as np

from annotations.rounds import ModelRef, RoundInfo
from annotations.stacks import StackInfo
from annotations.store import AnnotationStore
from hitl import postprocess, preprocess
from hitl.labelling.merge import merge_proposal
from hitl.labelling.requests import BootstrapRequest
from hitl.project.config import ProjectConfig, segmenter_options
from hitl.project.errors import NothingToDoError
from hitl.project.folder import Project
from hitl.project.reporter import Reporter
from models.base import Segmentation, Segmenter
from models.registry import segmenter_class


@dataclass(frozen=True)
class StackResult:
    """What came out for one stack."""

    stack: str
    objects: int
    seconds: float


@dataclass(frozen=True)
class Bootstrapped:
    """What a bootstrap did.

    Parameters
    ----------
    round : int
        Number of the round that was committed.
    segmenter : str
    stacks : tuple of StackResult
    """

    round: int
    segmenter: str
    stacks: tuple[StackResult, ...]


def bootstrap(project: Project, request: BootstrapRequest, reporter: Reporter) -> Bootstrapped:
    """Segment the stacks that have no labels yet, and commit the result as one round.

    Parameters
    ----------
    project : Project
    request : BootstrapRequest
        Of stacks that have labels, those that a person verified are kept.
    reporter : Reporter

    Raises
    ------
    NothingToDoError
        No stack to bootstrap.
    ModelError
        The segmenter's weights or the image are not to be had.
    """
    store = project.store()
    chosen = _choose_stacks(store, request.stacks, request.replace, reporter)
    segmenter = make_segmenter(
        project.config, request.segmenter or project.config.bootstrap.segmenter, reporter
    )
    results, proposals = [], {}
    for info in chosen:
        started = time.monotonic()
        found = segment_stack(store, info.name, project.config, segmenter, reporter)
        proposals[info.name] = found
        results.append(
            StackResult(info.name, len(found.confidence), round(time.monotonic() - started, 2))
        )
    number = _commit(project, segmenter, proposals)
    return Bootstrapped(number, segmenter.name, tuple(results))


def make_segmenter(config: ProjectConfig, name: str, reporter: Reporter) -> Segmenter:
    """Build a segmenter with the config's options; ``"auto"`` takes Cellpose where it can run."""
    if name == "auto":
        from models.cellpose import available

        here, why = available()
        name = "cellpose" if here else "starter"
        if here:
            reporter.note("bootstraps with Cellpose, whose weights are on this machine")
        else:
            reporter.note(f"bootstraps with the starter model that ships: {why}")
    cls = segmenter_class(name)
    return cls(**segmenter_options(config, name))


def segment_stack(
    store: AnnotationStore,
    stack: str,
    config: ProjectConfig,
    segmenter: Segmenter,
    reporter: Reporter,
) -> Segmentation:
    """Preprocess, segment and clean one stack as the project's config says.

    The result's `confidence` has an entry for every object that is left (NaN where the segmenter
    gave none).
    """
    info = store.stack(stack).info
    image = preprocess.apply(config.preprocess, store.stack(stack).read_channel())
    found = segmenter.segment(
        image,
        info.spacing_um,
        progress=lambda done, total, what: reporter.progress(done, total, f"{stack}: {what}"),
    )
    for note in found.notes:
        reporter.note(f"{stack}: {note}")
    labels = found.labels
    if config.bootstrap.clean:
        labels = postprocess.postprocess(labels, info.spacing_um, config.postprocess)
    ids = np.unique(labels)
    confidence = {int(i): float(found.confidence.get(int(i), np.nan)) for i in ids[ids > 0]}
    return Segmentation(labels, confidence, found.probability, found.notes)


def _choose_stacks(
    store: AnnotationStore, names: tuple[str, ...], replace: bool, reporter: Reporter
) -> list[StackInfo]:
    every = store.stacks()
    if not every:
        raise NothingToDoError("the project has no stacks; add one with `hitl add PROJECT IMAGE`")
    wanted = [store.stack(name).info for name in names] or [s for s in every if s.split != "test"]
    if not wanted:
        raise NothingToDoError(
            "every stack is of split test; add one to learn from with `hitl add PROJECT IMAGE`"
        )
    chosen = []
    for info in wanted:
        if info.split == "test":
            raise NothingToDoError(
                f"stack {info.name} is of split test, its labels are a person's; "
                "`hitl predict` and `hitl evaluate` run models on it"
            )
        labelled = len(store.stack(info.name).objects.id) > 0
        if labelled and not replace:
            reporter.note(f"{info.name} has labels already and is left as it is (see --replace)")
        else:
            chosen.append(info)
    if not chosen:
        raise NothingToDoError(
            "every stack has labels already; --replace makes the unverified ones anew"
        )
    return chosen


def _commit(project: Project, segmenter: Segmenter, proposals: dict[str, Segmentation]) -> int:
    description = segmenter.describe()
    about = RoundInfo(
        kind="bootstrap",
        message=f"bootstrap of {', '.join(proposals)} with {segmenter.name}",
        author=f"model:{segmenter.name}",
        model=ModelRef(
            name=segmenter.name,
            weights_sha256=description.get("weights_sha256"),
            settings=description,
        ),
        config=project.config.model_dump(mode="json"),
    )
    store = project.store(read_only=False)
    with store.begin_round(about) as round_:
        for stack, found in proposals.items():
            view = round_.stack(stack)
            labels, objects, counts = merge_proposal(
                np.asarray(view.labels[...]),
                np.asarray(view.verified[...]),
                view.objects,
                found.labels,
                found.confidence,
                f"model:{segmenter.name}",
                round_.number,
            )
            round_.set_labels(stack, labels, objects)
            round_.count(stack, counts)
    return round_.number

"""Simulated rounds on a project's own labelled fields."""

from __future__ import annotations

from collections.abc import Sequence

import numpy as np

from annotations.fields import LabelsInfo
from annotations.store import AnnotationStore
from hitl.prediction.predictor import BOOTSTRAP, Predictor
from hitl.preprocess.grey import one_channel
from hitl.project.addresses import chosen_labels
from hitl.project.errors import LeakageError, NothingToDoError
from hitl.project.folder import Project
from hitl.project.reporter import Reporter
from hitl.queue.alternatives import Alternatives
from hitl.simulate.oracle import Case
from hitl.simulate.retrain import ModelRetraining
from hitl.simulate.rounds import SimulationResult, check_plan, simulate
from hitl.simulate.strategies import STRATEGIES


def simulate_project(
    project: Project,
    *,
    fields: tuple[str, ...] = (),
    rounds: int | None = None,
    objects_per_round: int = 10,
    strategies: Sequence[str] = (),
    repeats: int = 5,
    seed: int = 0,
    retrain: str | None = None,
    settings: dict[str, object] | None = None,
    reporter: Reporter,
) -> SimulationResult:
    """Correct the bootstrap's labels towards those that people gave, strategy by strategy.

    Nothing is written to the store; other segmentations are kept in the project's predictions.

    Parameters
    ----------
    project : Project
    fields : tuple of str
        Only these; all of split train and val that people labelled everywhere when empty.
    rounds, objects_per_round, strategies, repeats, seed
        As for `simulate`; all rounds that there are when `rounds` is not given, all strategies
        when none is.
    retrain : str, optional
        A trainable model to train on what is corrected after each round (slow).
    settings : dict, optional
        Its options.
    reporter : Reporter

    Returns
    -------
    SimulationResult

    Raises
    ------
    NothingToDoError
        No field that people labelled everywhere.
    LeakageError
        A model would be trained on a test field.
    ConfigError, UnknownModelError
        As `simulate`; no such model or option.
    """
    strategies = strategies or tuple(STRATEGIES)
    check_plan(strategies, rounds, objects_per_round, repeats, retrained=retrain is not None)
    store = project.store()
    chosen = _known(store, fields)
    training = None
    if retrain is not None:
        for info in chosen:
            if info.split == "test":
                raise LeakageError(
                    f"field {info.address} is of split test and never reaches training; "
                    "name others, or simulate without --retrain"
                )
        names = dict.fromkeys(info.class_name for info in chosen)
        if len(names) > 1:
            raise NothingToDoError(
                f"--retrain: expected fields of one class, got {', '.join(names)}; name labels "
                "with --field FIELD:CLASS"
            )
        options = settings or {}
        training = ModelRetraining.of_project(project, retrain, options, reporter, chosen[0])
    return simulate(
        _cases(project, store, chosen, reporter),
        rounds=rounds,
        objects_per_round=objects_per_round,
        strategies=strategies,
        repeats=repeats,
        seed=seed,
        retrain=training,
        retrained=retrain or "",
        reporter=reporter,
    )


def _known(store: AnnotationStore, names: tuple[str, ...]) -> list[LabelsInfo]:
    """Return the fields whose every voxel a person has verified."""
    # An area is one object: there is no order in which to correct it.
    every = [i for i in chosen_labels(store, names) if i.label_class.kind == "instances"]
    chosen = [i for i in every if names or i.split != "test"]
    known = []
    for info in chosen:
        view = store.labels(info.key)
        if view.verified_voxels == info.voxels and any(view.counts.values()):
            known.append(info)
        elif names:
            raise NothingToDoError(
                f"field {info.address} is not labelled by hand everywhere: there is no truth to "
                "correct towards; name another"
            )
    if not known:
        raise NothingToDoError(
            "no field of split train or val is labelled by hand everywhere; add one with "
            "`hitl add PROJECT IMAGE --labels FILE`, or name a test field with --field"
        )
    return known


def _cases(
    project: Project, store: AnnotationStore, fields: list[LabelsInfo], reporter: Reporter
) -> list[Case]:
    first = Predictor(project, BOOTSTRAP, reporter)
    first.check(fields)
    alternatives = Alternatives(project, reporter)
    cases = []
    views = [view for info in fields for view in store.labels(info.key).time_points()]
    for view in views:
        found = first.segment(view)
        others = alternatives.segmentations(view, first.name, reporter.progress)
        cases.append(
            Case(
                name=view.name,
                image=one_channel(view.read_image()),
                spacing_um=view.info.spacing_um,
                truth=np.asarray(view.labels[...], np.uint32),
                labels=found.labels,
                confidence=found.confidence,
                others=others,
            )
        )
    return cases

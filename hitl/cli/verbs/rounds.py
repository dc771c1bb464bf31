"""Verbs of a correction round: what to correct, out to a tool and back in, propose, promote."""

from __future__ import annotations

from collections.abc import Iterable, Mapping
from pathlib import Path
from typing import TYPE_CHECKING, Annotated, Any

from annotations.formats.registry import export_formats
from annotations.formats.tiff import TIFF
from hitl.cli.console import Console
from hitl.cli.verb import Result, verb
from hitl.labelling.requests import ImportRequest
from hitl.project import completion
from hitl.project.errors import NothingToDoError, ProjectError, UsageError
from hitl.project.options import MOST, Annotator, Classes, Field, Fields, Flag, RoundNumber
from hitl.queue.kinds import ErrorKind

if TYPE_CHECKING:
    from hitl.project.folder import Project

PANEL = "Correction rounds"

MOST_DAYS = 1_000_000

Compared = Annotated[
    int | None, Flag(argument=True, min=0, max=MOST, complete=completion.round_numbers)
]

DryRun = Annotated[bool, Flag(help="Only tell what would be done; nothing is written.")]

ErrorsModel = Annotated[
    str | None,
    Flag(
        "--model",
        metavar="RUN",
        help="Whose errors; the run in use, else the best.",
        complete=completion.model_names,
    ),
]


def strategy_names(given: Mapping[str, Any]) -> Iterable[str]:
    """Return the ways to choose what is corrected next."""
    from hitl.simulate.strategies import STRATEGIES

    return STRATEGIES


def format_tools() -> dict[str, str]:
    """Return the formats that labels are exported in, and for which tool."""
    return {name: found.tool for name, found in export_formats().items()}


@verb(PANEL)
def queue(
    project: Project,
    out: Console,
    fields: Fields = (),
    classes: Classes = (),
    limit: Annotated[int, Flag(min=1, max=MOST)] = 20,
    errors: bool = False,
    model: ErrorsModel = None,
    kinds: Annotated[tuple[ErrorKind, ...], Flag("--kind")] = (),
    evaluation: Annotated[
        int | None, Flag(metavar="N", min=1, max=MOST, complete=completion.evaluation_numbers)
    ] = None,
) -> Result:
    """List what to correct next, and why: the largest expected error first.

    Parameters
    ----------
    limit : int
        Entries to list.
    errors : bool
        List what a model got wrong in an evaluation instead.
    kinds : tuple of str
        Only this kind of error (repeatable).
    evaluation : int, optional
        The newest if not given.
    """
    from hitl.cli.printing import queue as printing
    from hitl.queue.build import build_queue
    from hitl.queue.model_errors import list_errors

    if not errors:
        if model is not None or kinds or evaluation is not None:
            raise UsageError("--model, --kind and --evaluation go with --errors")
        return printing.queued(build_queue(project, fields, limit, out, classes=classes))
    return printing.errors(
        list_errors(
            project, fields, reporter=out, classes=classes, model=model, evaluation=evaluation,
            kinds=kinds, limit=limit,
        )
    )  # fmt: skip


@verb(PANEL)
def correct(
    project: Project,
    out: Console,
    field: Field,
    time: Annotated[int | None, Flag(metavar="T", min=0, max=MOST)] = None,
    annotator: Annotator = None,
    limit: Annotated[int, Flag(min=0, max=MOST)] = 50,
    errors: bool = False,
    model: ErrorsModel = None,
) -> None:
    """Correct a field in a napari window; a draft is kept until a round is committed.

    Parameters
    ----------
    time : int, optional
        Time point, from 0; needed where there are several.
    limit : int
        Queue entries; 0: all proposals, unranked.
    errors : bool
        Begin with what a model got wrong in an evaluation.
    """
    from hitl.queue.build import build_queue
    from hitl.review.session.field_errors import field_errors
    from hitl.review.session.project_session import time_point
    from hitl.review.window.opening import check_display, open_window

    at = time_point(project, field, time).time
    check_display()
    model_errors = None
    try:
        model_errors = field_errors(project, field, model, at)
    except (NothingToDoError, ProjectError) as error:
        # Asked for, it must be there; otherwise labels can be corrected all the same.
        if errors or model is not None:
            raise
        if isinstance(error, ProjectError):
            out.note(str(error))
    ranked = limit and not errors
    entries = build_queue(project, (field,), limit, out, time=at).entries if ranked else None
    window = open_window(
        project,
        field,
        annotator=project.annotator(annotator),
        time=at,
        queue=entries,
        errors=model_errors,
    )
    if errors:
        window.toggle_errors()
    window.run()


@verb(PANEL)
def export(
    project: Project,
    out: Console,
    field: Field,
    destination: Annotated[Path, Flag(metavar="DEST", help="Folder to write to.")],
    file_format: Annotated[str, Flag("--format", choices=format_tools)] = TIFF.name,
    round_number: RoundNumber = None,
) -> Result:
    """Write a field and its labels for another tool to correct.

    Parameters
    ----------
    round_number : int, optional
        Labels as of this round.
    """
    from hitl.cli.printing.labelling import exported
    from hitl.labelling.exchange.export import export

    return exported(export(project, field, destination, file_format, round_number, out))


@verb(PANEL, "import")
def import_(project: Project, request: ImportRequest, out: Console) -> Result:
    """Take corrected labels back in as one round, whichever tool they come from."""
    from hitl.cli.printing.labelling import imported
    from hitl.labelling.exchange.importing import import_labels

    return imported(import_labels(project, request, out))


@verb(PANEL)
def propose(
    project: Project,
    out: Console,
    model: Annotated[
        str | None,
        Flag(
            metavar="RUN",
            help="The promoted run if not given.",
            complete=completion.model_names,
        ),
    ] = None,
    fields: Fields = (),
    classes: Classes = (),
    dry_run: DryRun = False,
) -> Result:
    """Make the next round: a model fills what nobody has verified."""
    from hitl.cli.printing.labelling import proposed
    from hitl.labelling.propose import propose

    return proposed(propose(project, model, fields, out, classes, dry_run=dry_run))


@verb(PANEL)
def promote(
    project: Project,
    out: Console,
    run: Annotated[str, Flag(help="A finished run's id.", complete=completion.run_names)],
    force: Annotated[bool, Flag(help="Promote what got worse; recorded, needs --why.")] = False,
    why: Annotated[str, Flag(help="The reason for --force.")] = "",
    dry_run: DryRun = False,
) -> Result:
    """Put a run in use, unless it is worse than the one in use."""
    from hitl.cli.printing.training import promoted
    from hitl.training.promote import promote

    return promoted(promote(project, run, out, force=force, why=why, dry_run=dry_run))


@verb(PANEL)
def diff(
    project: Project,
    a: Annotated[Compared, Flag(help="A round; the one before B.")] = None,
    b: Annotated[Compared, Flag(help="Another round; the last one.")] = None,
) -> Result:
    """Tell what changed between two rounds, object by object."""
    from annotations.differences import diff_rounds
    from hitl.cli.printing.labelling import difference

    store = project.store()
    last = store.last_round()
    if a is None and last < 1:
        raise NothingToDoError(
            f"expected two rounds to compare, got {last + 1}; `hitl log` lists what there is"
        )
    b = last if b is None else b
    return difference(diff_rounds(store, b - 1 if a is None else a, b))


@verb(PANEL)
def blame(
    project: Project,
    field: Field,
    object_id: Annotated[
        int,
        Flag(argument=True, metavar="OBJECT", help="Id of the object.", min=1, max=2**32 - 1),
    ],
) -> Result:
    """One object's history: each round that changed it, by whom, with which model."""
    from annotations.history import blame
    from hitl.cli.printing.labelling import blamed

    return blamed(field, object_id, blame(project.store(), field, object_id))


@verb(PANEL)
def rollback(
    project: Project,
    number: Annotated[
        int,
        Flag(
            argument=True,
            metavar="ROUND",
            help="The round to go back to.",
            min=0,
            max=MOST,
            complete=completion.round_numbers,
        ),
    ],
    dry_run: DryRun = False,
) -> Result:
    """Commit a round that equals an earlier one; the history is kept."""
    from hitl.cli.printing.labelling import rolled_back
    from hitl.labelling.rollback import rollback

    return rolled_back(rollback(project, number, dry_run=dry_run))


@verb(PANEL)
def gc(
    project: Project,
    older_than_days: Annotated[
        float | None, Flag(min=0, max=MOST_DAYS, help="Leave younger files alone.")
    ] = None,
    dry_run: Annotated[bool, Flag(help="Only count.")] = False,
) -> Result:
    """Free what killed writers left behind; no round is touched."""
    from datetime import timedelta

    from hitl.cli.printing.labelling import collected
    from hitl.project.garbage import collect_garbage

    age = None if older_than_days is None else timedelta(days=older_than_days)
    return collected(collect_garbage(project, age, dry_run=dry_run))


@verb(PANEL)
def simulate(
    project: Project,
    out: Console,
    rounds: Annotated[int | None, Flag(min=1, max=MOST)] = None,
    objects_per_round: Annotated[int, Flag(min=1, max=MOST)] = 10,
    strategies: Annotated[
        tuple[str, ...], Flag("--strategy", metavar="S", complete=strategy_names)
    ] = (),
    fields: Fields = (),
    repeats: Annotated[int, Flag(min=1, max=10_000)] = 5,
    seed: Annotated[int, Flag(min=0, max=2**32 - 1)] = 0,
    retrain: Annotated[str | None, Flag(metavar="MODEL", complete=completion.trainer_names)] = None,
) -> Result:
    """Plan an annotation budget: an oracle corrects from known labels.

    Parameters
    ----------
    rounds : int, optional
        Until all is right if not given.
    objects_per_round : int
        Objects corrected in a round.
    strategies : tuple of str
        queue, random, … (repeatable); all if none.
    retrain : str, optional
        Train a model each round (slow).
    """
    from hitl.cli.printing.simulate import simulated
    from hitl.simulate.project_fields import simulate_project

    return simulated(
        simulate_project(
            project,
            fields=fields,
            rounds=rounds,
            objects_per_round=objects_per_round,
            strategies=strategies,
            repeats=repeats,
            seed=seed,
            retrain=retrain,
            reporter=out,
        )
    )

"""Verbs of a correction round: what to correct, out to a tool and back in, propose, promote."""

from __future__ import annotations

from enum import StrEnum
from pathlib import Path
from typing import Annotated, Literal, cast

import typer

from annotations.formats.registry import export_formats
from annotations.formats.tiff import TIFF
from hitl.cli.app import app
from hitl.cli.console import console
from hitl.cli.options import AxesOption, JsonOption, ProjectArgument, StackOption
from hitl.project.errors import NothingToDoError, ProjectError

PANEL = "Correction rounds"

StackArgument = Annotated[str, typer.Argument(metavar="STACK", help="Name of the stack.")]
AnnotatorOption = Annotated[
    str | None,
    typer.Option("--annotator", metavar="NAME", help="Who corrects; the config's if not given."),
]


class ErrorKind(StrEnum):
    """A kind of error; typer takes no list of literals."""

    MERGED = "merged"
    SPLIT = "split"
    MISSED = "missed"
    SPURIOUS = "spurious"
    SHIFTED = "shifted"


ErrorsModelOption = Annotated[
    str | None,
    typer.Option("--model", metavar="RUN", help="Whose errors; the run in use, else the best."),
]


@app.command(rich_help_panel=PANEL)
def queue(
    project: ProjectArgument,
    stack: StackOption = None,
    limit: Annotated[int, typer.Option("--limit", min=1, help="Entries to list.")] = 20,
    errors: Annotated[
        bool, typer.Option("--errors", help="List what a model got wrong in an evaluation instead.")
    ] = False,
    model: ErrorsModelOption = None,
    kind: Annotated[
        list[ErrorKind] | None,
        typer.Option("--kind", help="Only this kind of error (repeatable)."),
    ] = None,
    evaluation: Annotated[
        int | None, typer.Option("--evaluation", metavar="N", help="The newest if not given.")
    ] = None,
    as_json: JsonOption = False,
) -> None:
    """List what to correct next, and why: the largest expected error first."""
    from hitl.project.folder import Project

    if not errors and not (model is None and kind is None and evaluation is None):
        raise typer.BadParameter("--model, --kind and --evaluation go with --errors")
    stacks = tuple(stack or ())
    with console(as_json) as out:
        opened = Project.open(project)
        if errors:
            from hitl.queue.model_errors import list_errors

            listed = list_errors(
                opened,
                stacks,
                reporter=out,
                model=model,
                evaluation=evaluation,
                kinds=kind or (),
                limit=limit,
            )
            out.result(listed.to_dict(), listed.tables())
            return
        from hitl.queue.build import build_queue

        found = build_queue(opened, stacks, limit, out)
        out.result(found.to_dict(), found.table())


@app.command(rich_help_panel=PANEL)
def correct(
    project: ProjectArgument,
    stack: StackArgument,
    annotator: AnnotatorOption = None,
    limit: Annotated[
        int, typer.Option("--limit", min=0, help="Queue entries; 0: all proposals, unranked.")
    ] = 50,
    errors: Annotated[
        bool, typer.Option("--errors", help="Begin with what a model got wrong in an evaluation.")
    ] = False,
    model: ErrorsModelOption = None,
) -> None:
    """Correct a stack in a napari window; a draft is kept until a round is committed."""
    from hitl.project.annotator import annotator_of
    from hitl.project.folder import Project
    from hitl.queue.build import build_queue
    from hitl.review.session.stack_errors import stack_errors
    from hitl.review.window.opening import check_display, open_window

    with console(False) as out:
        opened = Project.open(project)
        check_display()
        model_errors = None
        try:
            model_errors = stack_errors(opened, stack, model)
        except (NothingToDoError, ProjectError) as error:
            # Asked for, it must be there; otherwise labels can be corrected all the same.
            if errors or model is not None:
                raise
            if isinstance(error, ProjectError):
                out.note(str(error))
        ranked = limit and not errors
        entries = build_queue(opened, (stack,), limit, out).entries if ranked else None
        window = open_window(
            opened,
            stack,
            annotator=annotator_of(opened, annotator),
            queue=entries,
            errors=model_errors,
        )
        if errors:
            window.toggle_errors()
        window.run()


def export_format(name: str) -> str:
    """Return the name of a format that labels can be exported in, or refuse it."""
    if name not in export_formats():
        raise typer.BadParameter(f"{name!r} is not one of {', '.join(export_formats())}.")
    return name


@app.command(rich_help_panel=PANEL)
def export(
    project: ProjectArgument,
    stack: StackArgument,
    destination: Annotated[Path, typer.Argument(metavar="DEST", help="Folder to write to.")],
    file_format: Annotated[
        str,
        typer.Option(
            "--format",
            metavar=f"[{'|'.join(export_formats())}]",
            parser=export_format,
            autocompletion=lambda: list(export_formats()),
            help="; ".join(f"{name}: {fmt.tool}" for name, fmt in export_formats().items()),
        ),
    ] = TIFF.name,
    round_number: Annotated[
        int | None, typer.Option("--round", metavar="R", help="Labels as of this round.")
    ] = None,
    as_json: JsonOption = False,
) -> None:
    """Write a stack and its labels for another tool to correct."""
    from hitl.labelling.exchange import export as run
    from hitl.project.folder import Project

    with console(as_json) as out:
        opened = Project.open(project)
        done = run(opened, stack, destination, file_format, round_number, out)
        out.result(done.to_dict(), done.sentence())


@app.command(name="import", rich_help_panel=PANEL)
def import_(
    project: ProjectArgument,
    stack: StackArgument,
    file: Annotated[Path, typer.Argument(metavar="FILE", help="Corrected labels.")],
    annotator: AnnotatorOption = None,
    minutes: Annotated[
        float | None, typer.Option("--minutes", min=0, help="Minutes of hand work.")
    ] = None,
    verified: Annotated[
        Literal["all", "changed"],
        typer.Option("--verified", help="What the person has looked at."),
    ] = "changed",
    axes: AxesOption = None,
    coded: Annotated[
        bool, typer.Option("--coded", help="The file holds 0 background, 1 edge, 2 and up nuclei.")
    ] = False,
    as_json: JsonOption = False,
) -> None:
    """Take corrected labels back in as one round, whichever tool they come from."""
    from hitl.labelling.exchange import ImportRequest, import_labels
    from hitl.project.annotator import annotator_of
    from hitl.project.folder import Project

    with console(as_json) as out:
        opened = Project.open(project)
        request = ImportRequest(
            stack=stack,
            file=file,
            annotator=annotator_of(opened, annotator),
            minutes=minutes,
            verified=verified,
            axes=axes,
            coded=coded,
        )
        done = import_labels(opened, request, out)
        out.result(done.to_dict(), done.sentence())


@app.command(rich_help_panel=PANEL)
def propose(
    project: ProjectArgument,
    model: Annotated[
        str | None,
        typer.Option("--model", metavar="RUN", help="The promoted run if not given."),
    ] = None,
    stack: StackOption = None,
    as_json: JsonOption = False,
) -> None:
    """Make the next round: a model fills what nobody has verified."""
    from hitl.labelling.propose import propose as run
    from hitl.project.folder import Project

    with console(as_json) as out:
        done = run(Project.open(project), model, tuple(stack or ()), out)
        out.result(done.to_dict(), done.table())


@app.command(rich_help_panel=PANEL)
def promote(
    project: ProjectArgument,
    run_id: Annotated[str, typer.Argument(metavar="RUN", help="A finished run's id.")],
    force: Annotated[
        bool, typer.Option("--force", help="Promote what got worse; recorded, needs --why.")
    ] = False,
    why: Annotated[str, typer.Option("--why", help="The reason for --force.")] = "",
    as_json: JsonOption = False,
) -> None:
    """Put a run in use, unless it is worse than the one in use."""
    from hitl.project.folder import Project
    from hitl.training.promote import promote as run

    with console(as_json) as out:
        done = run(Project.open(project), run_id, out, force=force, why=why)
        out.result(done.to_dict(), done.table())


@app.command(rich_help_panel=PANEL)
def diff(
    project: ProjectArgument,
    a: Annotated[int, typer.Argument(metavar="A", help="A round.")],
    b: Annotated[int, typer.Argument(metavar="B", help="Another round.")],
    as_json: JsonOption = False,
) -> None:
    """Tell what changed between two rounds, object by object."""
    from hitl.labelling.history import diff as run
    from hitl.project.folder import Project

    with console(as_json) as out:
        done = run(Project.open(project), a, b)
        out.result(done.to_dict(), done.table())


@app.command(rich_help_panel=PANEL)
def blame(
    project: ProjectArgument,
    stack: StackArgument,
    object_id: Annotated[int, typer.Argument(metavar="OBJECT", help="Id of the object.")],
    as_json: JsonOption = False,
) -> None:
    """One object's history: each round that changed it, by whom, with which model."""
    from hitl.labelling.history import blame_object
    from hitl.project.folder import Project

    with console(as_json) as out:
        done = blame_object(Project.open(project), stack, object_id)
        out.result(done.to_dict(), done.table())


@app.command(rich_help_panel=PANEL)
def rollback(
    project: ProjectArgument,
    number: Annotated[int, typer.Argument(metavar="ROUND", help="The round to go back to.")],
    as_json: JsonOption = False,
) -> None:
    """Commit a round that equals an earlier one; the history is kept."""
    from hitl.labelling.history import rollback as run
    from hitl.project.folder import Project

    with console(as_json) as out:
        done = run(Project.open(project), number)
        out.result(done.to_dict(), done.table())


@app.command(rich_help_panel=PANEL)
def gc(
    project: ProjectArgument,
    older_than_days: Annotated[
        float | None, typer.Option("--older-than-days", min=0, help="Leave younger files alone.")
    ] = None,
    dry_run: Annotated[bool, typer.Option("--dry-run", help="Only count.")] = False,
    as_json: JsonOption = False,
) -> None:
    """Free what killed writers left behind; no round is touched."""
    from hitl.labelling.history import gc as run
    from hitl.project.folder import Project

    with console(as_json) as out:
        done = run(Project.open(project), older_than_days=older_than_days, dry_run=dry_run)
        out.result(done.to_dict(), done.sentence())


@app.command(rich_help_panel=PANEL)
def simulate(
    project: ProjectArgument,
    rounds: Annotated[
        int | None, typer.Option("--rounds", min=1, help="Until all is right if not given.")
    ] = None,
    objects_per_round: Annotated[
        int, typer.Option("--objects-per-round", min=1, help="Objects corrected in a round.")
    ] = 10,
    strategy: Annotated[
        list[str] | None,
        typer.Option("--strategy", metavar="S", help="queue, random, … (repeatable); all if none."),
    ] = None,
    stack: StackOption = None,
    repeats: Annotated[int, typer.Option("--repeats", min=1)] = 5,
    seed: Annotated[int, typer.Option("--seed")] = 0,
    retrain: Annotated[
        str | None,
        typer.Option("--retrain", metavar="MODEL", help="Train a model each round (slow)."),
    ] = None,
    as_json: JsonOption = False,
) -> None:
    """Plan an annotation budget: an oracle corrects from known labels."""
    from hitl.project.folder import Project
    from hitl.simulate.project_stacks import simulate_project
    from hitl.simulate.strategies import STRATEGIES, Strategy

    with console(as_json) as out:
        done = simulate_project(
            Project.open(project),
            stacks=tuple(stack or ()),
            rounds=rounds,
            objects_per_round=objects_per_round,
            strategies=cast("tuple[Strategy, ...]", tuple(strategy or STRATEGIES)),
            repeats=repeats,
            seed=seed,
            retrain=retrain,
            reporter=out,
        )
        out.result(done.to_dict(), done.table())

"""Verbs that need no project."""

from __future__ import annotations

from pathlib import Path
from typing import Annotated

import typer

from hitl.cli.app import app
from hitl.cli.console import console
from hitl.cli.options import AxesOption, JsonOption, SpacingOption

PANEL = "Without a project"


@app.command(rich_help_panel=PANEL)
def segment(
    image: Annotated[Path, typer.Argument(metavar="IMAGE", help="TIFF, OME-Zarr, NPY or ND2.")],
    output: Annotated[Path, typer.Argument(metavar="OUTPUT", help="Label TIFF to write.")],
    segmenter: Annotated[
        str | None,
        typer.Option("--segmenter", metavar="NAME", help="`hitl models` lists the names."),
    ] = None,
    model: Annotated[
        Path | None, typer.Option("--model", metavar="RUN_FOLDER", help="Folder of a trained run.")
    ] = None,
    spacing_um: SpacingOption = None,
    axes: AxesOption = None,
    channel: Annotated[
        str | None,
        typer.Option("--channel", metavar="C", help="Channel to segment: name, or number from 0."),
    ] = None,
    settings: Annotated[
        list[str] | None,
        typer.Option("--set", metavar="KEY=VALUE", help="One of the segmenter's options."),
    ] = None,
    overwrite: Annotated[
        bool, typer.Option("--overwrite", help="Replace OUTPUT where it exists.")
    ] = False,
    as_json: JsonOption = False,
) -> None:
    """Segment one image file."""
    from hitl.prediction.files import SegmentRequest, segment_file
    from hitl.project.config import parse_settings

    if segmenter is not None and model is not None:
        raise typer.BadParameter("give --segmenter or --model, not both")
    with console(as_json) as out:
        request = SegmentRequest(
            image=image,
            output=output,
            segmenter=segmenter,
            run_folder=model,
            spacing_um=spacing_um,
            axes=axes,
            channel=channel,
            settings=parse_settings(settings or []),
            overwrite=overwrite,
        )
        done = segment_file(request, out)
        out.result(done.to_dict(), done.sentence())


@app.command(rich_help_panel=PANEL)
def demo(
    folder: Annotated[
        Path | None,
        typer.Argument(metavar="FOLDER", help="New folder; demo, demo-2, … if not given."),
    ] = None,
    stacks: Annotated[
        Path | None,
        typer.Option(
            "--stacks",
            metavar="FOLDER",
            help="Your own: one folder per stack with image.tif and labels.tif.",
        ),
    ] = None,
    spacing_um: SpacingOption = None,
    minutes: Annotated[
        float, typer.Option("--minutes", min=0.1, help="Training time of each model.")
    ] = 1.25,
    as_json: JsonOption = False,
) -> None:
    """Run the whole line once, on a stack that is installed already."""
    from hitl.cli.demo import free_folder, run_demo

    with console(as_json) as out:
        done = run_demo(folder or free_folder(), stacks, spacing_um, minutes, out)
        out.result(done.to_dict(), done.tables())


@app.command(rich_help_panel=PANEL)
def models(
    options: Annotated[
        str | None, typer.Option("--options", metavar="NAME", help="List the options of one model.")
    ] = None,
    as_json: JsonOption = False,
) -> None:
    """Tell what can be run here, and what is missing for the rest."""
    from hitl.project.models import list_models, list_options

    with console(as_json) as out:
        found = list_models() if options is None else list_options(options)
        out.result(found.to_dict(), found.table())

"""The verb that measures nuclei, in a project or of two files."""

from __future__ import annotations

from pathlib import Path
from typing import Annotated, Literal

import typer

from hitl.cli.app import app
from hitl.cli.console import console
from hitl.cli.options import AxesOption, JsonOption, SpacingOption, StackOption

PANEL = "Models"
FILE_OPTIONS = "Plain files, without a project"


@app.command(rich_help_panel=PANEL)
def measure(
    project: Annotated[
        Path | None,
        typer.Argument(metavar="[PROJECT]", help="Project folder; or give --labels and --image."),
    ] = None,
    stack: StackOption = None,
    round_number: Annotated[
        int | None,
        typer.Option("--round", metavar="R", help="Labels as of this round; else the last."),
    ] = None,
    model: Annotated[
        str | None,
        typer.Option("--model", metavar="RUN", help="Measure what this run or segmenter predicts."),
    ] = None,
    output: Annotated[
        Path | None,
        typer.Option(
            "--output", metavar="DIR", help="Where to; PROJECT/measurements/0001, … if not given."
        ),
    ] = None,
    formats: Annotated[
        str, typer.Option("--format", metavar="LIST", help="Of parquet, csv, xlsx.")
    ] = "parquet,csv,xlsx",
    fucci: Annotated[
        tuple[str, str] | None,
        typer.Option(
            "--fucci",
            metavar="G1 SG2M",
            help="Phase of each nucleus, from the G1 marker's and the S/G2/M marker's channel.",
        ),
    ] = None,
    gate: Annotated[
        Literal["mixture", "otsu"],
        typer.Option("--gate", help="How FUCCI thresholds are found, for each stack."),
    ] = "mixture",
    thresholds: Annotated[
        tuple[float, float] | None,
        typer.Option(
            "--thresholds", metavar="G1 SG2M", help="FUCCI thresholds to use: mean intensities."
        ),
    ] = None,
    neighbour_um: Annotated[
        float, typer.Option("--neighbour-um", help="Count the centroids within this distance.")
    ] = 20.0,
    solidity: Annotated[
        bool, typer.Option("--solidity", help="Also the share of its convex hull (slow).")
    ] = False,
    overwrite: Annotated[
        bool, typer.Option("--overwrite", help="Replace an earlier measurement in DIR.")
    ] = False,
    labels: Annotated[
        Path | None,
        typer.Option("--labels", help="Label image.", rich_help_panel=FILE_OPTIONS),
    ] = None,
    image: Annotated[
        Path | None,
        typer.Option("--image", help="Image of these labels.", rich_help_panel=FILE_OPTIONS),
    ] = None,
    spacing_um: SpacingOption = None,
    axes: AxesOption = None,
    as_json: JsonOption = False,
) -> None:
    """Measure nuclei: one row each, as Parquet, CSV and XLSX."""
    files = _two_files(project, labels, image, output)
    if files is None and (spacing_um is not None or axes is not None):
        raise typer.BadParameter("--spacing-um and --axes are for --labels and --image")
    if files is not None and (stack or round_number is not None or model is not None):
        raise typer.BadParameter("--stack, --round and --model are for a PROJECT")
    if fucci is None and thresholds is not None:
        raise typer.BadParameter("--thresholds: say which channels they are for with --fucci")
    with console(as_json) as out:
        from hitl.measure.fucci import FucciOptions
        from hitl.measure.nuclei import MeasureOptions
        from hitl.measure.output import parse_formats
        from hitl.measure.request import MeasureRequest

        request = MeasureRequest(
            output=output,
            formats=parse_formats(formats),
            options=MeasureOptions(neighbour_um=neighbour_um, solidity=solidity),
            fucci=None
            if fucci is None
            else FucciOptions(channels=fucci, method=gate, thresholds=thresholds),
            overwrite=overwrite,
        )
        if files is not None:
            from hitl.measure.request import measure_files

            done = measure_files(*files, request, out, spacing_um=spacing_um, axes=axes)
        else:
            from hitl.measure.project import measure_project
            from hitl.project.folder import Project

            assert project is not None
            opened = Project.open(project)
            done = measure_project(opened, tuple(stack or ()), round_number, model, request, out)
        out.result(done.to_dict(), done.tables())


def _two_files(
    project: Path | None, labels: Path | None, image: Path | None, output: Path | None
) -> tuple[Path, Path] | None:
    """Return labels and image, or None where a project was named."""
    if project is not None:
        if labels is not None or image is not None:
            raise typer.BadParameter("give a PROJECT, or --labels and --image, not both")
        return None
    if labels is None or image is None:
        raise typer.BadParameter("give a PROJECT, or both --labels and --image")
    if output is None:
        raise typer.BadParameter("say where to write with --output DIR")
    return labels, image

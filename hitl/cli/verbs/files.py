"""Verbs that need no project."""

from __future__ import annotations

from pathlib import Path
from typing import Annotated

from hitl.cli.console import Console
from hitl.cli.verb import Result, verb
from hitl.cli.verbs.models import All
from hitl.evaluation.requests import ScoreRequest
from hitl.prediction.requests import SegmentRequest
from hitl.project import completion
from hitl.project.options import Axes, Flag, VoxelSize
from hitl.simulate.requests import SynthRequest

PANEL = "Without a project"


@verb(PANEL)
def segment(request: SegmentRequest, out: Console) -> Result:
    """Segment one image file."""
    from hitl.cli.printing.prediction import segmented
    from hitl.prediction.files import segment_file

    return segmented(segment_file(request, out))


@verb(PANEL)
def score(request: ScoreRequest, out: Console, everything: All = False) -> Result:
    """All metrics of one label image against another."""
    from hitl.cli.printing.evaluation import scored
    from hitl.evaluation.score_files import score_files

    return scored(score_files(request, out), everything)


@verb(PANEL)
def demo(
    out: Console,
    folder: Annotated[
        Path | None, Flag(argument=True, help="New folder; demo, demo-2, … if not given.")
    ] = None,
    stacks: Annotated[
        Path | None,
        Flag(
            metavar="FOLDER",
            help="Your own: one folder per stack with image.tif and labels.tif.",
        ),
    ] = None,
    spacing_um: VoxelSize = None,
    axes: Axes = None,
    minutes: Annotated[
        float, Flag(min=0.1, max=100_000, help="Training time of each model.")
    ] = 1.25,
) -> Result:
    """Run the whole line once, on a stack that is installed already."""
    from hitl.cli.demo import free_folder, run_demo
    from hitl.cli.printing.evaluation import demonstrated

    return demonstrated(run_demo(folder or free_folder(), stacks, spacing_um, axes, minutes, out))


@verb(PANEL)
def models(
    options: Annotated[
        str | None,
        Flag(
            metavar="NAME",
            help="List the options of one model.",
            complete=completion.every_model,
        ),
    ] = None,
) -> Result:
    """Tell what can be run here, and what is missing for the rest."""
    from hitl.cli.printing.project import catalogue, model_options
    from hitl.project.models import list_models, list_options

    if options is None:
        return catalogue(list_models())
    return model_options(list_options(options))


@verb(PANEL)
def synth(request: SynthRequest, out: Console) -> Result:
    """Draw synthetic fields with their exact truth, of many looks or like your own."""
    from hitl.cli.printing.project import model_options
    from hitl.cli.printing.simulate import synthesised
    from hitl.simulate.stacks import generator_options, synthesise

    if request.options:
        return model_options(generator_options())
    return synthesised(synthesise(request, out))

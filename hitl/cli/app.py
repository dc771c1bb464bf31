"""The commands and their arguments; nothing heavy is imported until a command runs."""

from __future__ import annotations

from pathlib import Path
from typing import Annotated

import typer

app = typer.Typer(
    name="hitl",
    help="Segment nuclei in 3D fluorescence stacks with a human in the loop.",
    epilog="A first look, without data of your own: hitl demo",
    no_args_is_help=True,
    add_completion=True,
    pretty_exceptions_enable=False,
    rich_markup_mode="rich",
    context_settings={"help_option_names": ["-h", "--help"]},
)

ProjectArgument = Annotated[Path, typer.Argument(metavar="PROJECT", help="Project folder.")]
JsonOption = Annotated[bool, typer.Option("--json", help="Print one JSON object.")]
StackOption = Annotated[
    list[str] | None, typer.Option("--stack", metavar="NAME", help="Only this stack (repeatable).")
]
SpacingOption = Annotated[
    tuple[float, float, float] | None,
    typer.Option(
        "--spacing-um", metavar="Z Y X", help="Voxel size in µm, where the file has none."
    ),
]
AxesOption = Annotated[
    str | None,
    typer.Option("--axes", help="Axes of the file, such as ZYX or CZYX, where it does not say."),
]


def version(value: bool) -> None:
    """Print the version and leave."""
    if value:
        from hitl import __version__

        print(f"hitl {__version__}")
        raise typer.Exit


@app.callback()
def options(
    show_version: Annotated[
        bool, typer.Option("--version", callback=version, is_eager=True, help="Show the version.")
    ] = False,
) -> None:
    """Segment nuclei in 3D fluorescence stacks with a human in the loop."""


# The verbs join the app when their modules are imported; the order is that of the work.
from hitl.cli import project_verbs, round_verbs, model_verbs, sweep_verb, file_verbs, synth_verb  # noqa: E402, F401, I001
from hitl.cli import measure_verb  # noqa: E402, F401
from hitl.cli import agreement_verbs  # noqa: E402, F401
from hitl.cli import report_verb  # noqa: E402, F401

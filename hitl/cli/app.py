"""The commands and their arguments; nothing heavy is imported until a command runs."""

from __future__ import annotations

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


def version(value: bool) -> None:
    """Print the version and leave."""
    if value:
        from hitl import __version__

        print(f"hitl {__version__}")
        raise typer.Exit


@app.callback()
def options(
    show_version: Annotated[
        bool,
        typer.Option(
            "--version", metavar="", callback=version, is_eager=True, help="Show the version."
        ),
    ] = False,
) -> None:
    """Segment nuclei in 3D fluorescence stacks with a human in the loop."""

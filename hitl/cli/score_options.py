"""Options of every command that scores; `evaluation.metrics.options` checks them."""

from __future__ import annotations

from typing import Annotated

import typer

_PANEL = "What counts"

BorderOption = Annotated[
    str,
    typer.Option(
        "--border",
        metavar="keep|drop",
        help="Whether objects that touch the border count; a prediction of one that does not is "
        "neither right nor wrong.",
        rich_help_panel=_PANEL,
    ),
]
MinVoxelsOption = Annotated[
    int,
    typer.Option(
        "--min-voxels", metavar="N", help="Smaller objects do not count.", rich_help_panel=_PANEL
    ),
]
MinVolumeOption = Annotated[
    float,
    typer.Option(
        "--min-volume-um3",
        metavar="V",
        help="Smaller objects do not count, in µm³.",
        rich_help_panel=_PANEL,
    ),
]
ToleranceOption = Annotated[
    float | None,
    typer.Option(
        "--tolerance-um",
        metavar="D",
        help="Of the boundary F-score, in µm; two voxels along x if not given.",
        rich_help_panel=_PANEL,
    ),
]
CentroidPxOption = Annotated[
    float,
    typer.Option(
        "--centroid-px",
        metavar="D",
        help="Greatest distance of centroids that match, in voxels along x.",
        rich_help_panel=_PANEL,
    ),
]
CentroidUmOption = Annotated[
    float | None,
    typer.Option(
        "--centroid-um", metavar="D", help="The same in µm, instead.", rich_help_panel=_PANEL
    ),
]
AllOption = Annotated[
    bool, typer.Option("--all", help="Print every table, not just the main ones.")
]

"""What `hitl report` is asked for; the command line's options follow from it."""

from __future__ import annotations

from dataclasses import dataclass
from pathlib import Path
from typing import Annotated

from hitl.project.options import Flag


@dataclass(frozen=True, kw_only=True)
class ReportRequest:
    """What `hitl report` is asked for.

    Parameters
    ----------
    output : Path, optional
        HTML file; PROJECT/report.html if not given.
    overwrite : bool
        Replace a file that is no earlier report.
    places : int
        Show the N worst places at most.
    """

    output: Annotated[Path | None, Flag(metavar="FILE")] = None
    overwrite: bool = False
    places: Annotated[int, Flag(metavar="N", min=0, max=10_000)] = 24

"""What `hitl measure` is asked for; the command line's options follow from it."""

from __future__ import annotations

import math
from dataclasses import dataclass, field
from pathlib import Path
from typing import Annotated, Literal

from hitl.project import completion
from hitl.project.errors import MeasureError, UsageError
from hitl.project.options import Axes, Classes, Fields, Flag, RoundNumber, VoxelSize
from labels.spacing import LEAST_UM

FORMATS = ("parquet", "csv", "xlsx")
FILES = "Plain files, without a project"

Gating = Literal["mixture", "otsu"]


@dataclass(frozen=True, kw_only=True)
class MeasureOptions:
    """What to measure.

    Parameters
    ----------
    neighbour_um : float
        Count the centroids within this distance.
    solidity : bool
        Also the share of its convex hull (slow).

    Raises
    ------
    MeasureError
        A distance that is not above 0.
    """

    neighbour_um: Annotated[float, Flag(min=LEAST_UM, max=1e6)] = 20.0
    solidity: bool = False

    def __post_init__(self) -> None:
        if not (math.isfinite(self.neighbour_um) and self.neighbour_um > 0):
            raise MeasureError(
                f"--neighbour-um: expected a distance in µm above 0, got {self.neighbour_um}"
            )


@dataclass(frozen=True, kw_only=True)
class FucciOptions:
    """How phases are told.

    Parameters
    ----------
    channels : (str, str)
        Names or numbers of the G1 marker's and the S/G2/M marker's channel.
    method : {'mixture', 'otsu'}
    thresholds : (float, float), optional
        Mean intensities to use in place of found ones.
    """

    channels: tuple[str, str]
    method: Gating = "mixture"
    thresholds: tuple[float, float] | None = None

    def __post_init__(self) -> None:
        if self.channels[0] == self.channels[1]:
            raise MeasureError(
                f"--fucci: expected two channels, got {self.channels[0]!r} twice; name the G1 "
                "marker's, then the S/G2/M marker's"
            )
        if self.thresholds is not None and not all(t > 0 for t in self.thresholds):
            raise MeasureError(
                f"--thresholds: expected two intensities above 0, got {self.thresholds}"
            )


@dataclass(frozen=True, kw_only=True)
class MeasureRequest:
    """What `hitl measure` is asked for.

    Parameters
    ----------
    project : Path, optional
        Project folder; or give --labels and --image.
    fields, classes : tuple of str
        Only these; all that have labels when empty.
    round : int, optional
        Labels as of this round; else the last.
    model : str, optional
        Measure what this run or segmenter predicts.
    output : Path, optional
        Where to; PROJECT/measurements/0001, … if not given.
    formats : str
        Of parquet, csv, xlsx.
    fucci : (str, str), optional
        Phase of each nucleus, from the G1 marker's and the S/G2/M marker's channel.
    gate : {'mixture', 'otsu'}
        How FUCCI thresholds are found, for each field.
    thresholds : (float, float), optional
        FUCCI thresholds to use: mean intensities.
    options : MeasureOptions
    overwrite : bool
        Replace an earlier measurement in DIR.
    labels, image : Path, optional
        In place of a project.
    spacing_um : (float, float, float), optional
        Voxel size (z, y, x) in µm where the image has none.
    axes : str, optional
        Axes of the image, where it does not say.

    Raises
    ------
    UsageError
        Options that do not go together.
    MeasureError
        An unknown format.
    """

    project: Annotated[Path | None, Flag(argument=True, metavar="[PROJECT]")] = None
    fields: Fields = ()
    classes: Classes = ()
    round: RoundNumber = None
    model: Annotated[str | None, Flag(metavar="RUN", complete=completion.model_names)] = None
    output: Annotated[Path | None, Flag(metavar="DIR")] = None
    formats: Annotated[str, Flag("--format", metavar="LIST")] = ",".join(FORMATS)
    fucci: Annotated[tuple[str, str] | None, Flag(metavar="G1 SG2M")] = None
    gate: Gating = "mixture"
    thresholds: Annotated[
        tuple[float, float] | None, Flag(metavar="G1 SG2M", min=1e-9, max=1e15)
    ] = None
    options: MeasureOptions = field(default_factory=MeasureOptions)
    overwrite: bool = False
    labels: Annotated[Path | None, Flag(help="Label image.", panel=FILES)] = None
    image: Annotated[Path | None, Flag(help="Image of these labels.", panel=FILES)] = None
    spacing_um: VoxelSize = None
    axes: Axes = None

    def __post_init__(self) -> None:
        if self.project is not None:
            if self.labels is not None or self.image is not None:
                raise UsageError("give a PROJECT, or --labels and --image, not both")
            if self.spacing_um is not None or self.axes is not None:
                raise UsageError("--spacing-um and --axes are for --labels and --image")
        elif self.labels is None or self.image is None:
            raise UsageError("give a PROJECT, or both --labels and --image")
        elif self.output is None:
            raise UsageError("say where to write with --output DIR")
        elif self.fields or self.classes or self.round is not None or self.model is not None:
            raise UsageError("--field, --class, --round and --model are for a PROJECT")
        if self.fucci is None and self.thresholds is not None:
            raise UsageError("--thresholds: say which channels they are for with --fucci")
        parse_formats(self.formats)

    @property
    def phases(self) -> FucciOptions | None:
        """How phases are told, if they are asked for."""
        if self.fucci is None:
            return None
        return FucciOptions(channels=self.fucci, method=self.gate, thresholds=self.thresholds)


def parse_formats(text: str) -> tuple[str, ...]:
    """Return the formats of a list such as ``parquet,csv``.

    Raises
    ------
    MeasureError
        None, or an unknown one.
    """
    kinds = tuple(dict.fromkeys(kind.strip().lower() for kind in text.split(",") if kind.strip()))
    unknown = [kind for kind in kinds if kind not in FORMATS]
    if unknown or not kinds:
        raise MeasureError(
            f"--format {text!r}: expected one or more of {', '.join(FORMATS)}, separated by commas"
        )
    return kinds

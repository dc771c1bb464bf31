"""What the verbs of evaluation are asked for; the command line's options follow from it."""

from __future__ import annotations

from collections.abc import Iterable, Mapping
from dataclasses import dataclass
from dataclasses import field as default
from pathlib import Path
from typing import Annotated, Any, get_args

from annotations.splits import Split
from hitl.evaluation.options import ScoreOptions
from hitl.project import completion
from hitl.project.errors import ProjectError, UsageError
from hitl.project.options import Axes, Classes, Flag, RoundNumber, VoxelSize

COUNTS = "What counts"

LabelImage = Annotated[Path, Flag(help="Label image.")]


def split_names(given: Mapping[str, Any]) -> Iterable[str]:
    """Return the splits."""
    return get_args(Split)


@dataclass(frozen=True, kw_only=True)
class EvaluateRequest:
    """What `hitl evaluate` is asked for.

    Parameters
    ----------
    models : tuple of str
        Runs and segmenters; the bootstrap and every finished run when empty.
    round : int, optional
        Truth as of this round.
    split : {'train', 'val', 'test'}
        train, val or test.
    classes : tuple of str
    options : ScoreOptions

    Raises
    ------
    ProjectError
        Unknown split.
    """

    models: Annotated[
        tuple[str, ...],
        Flag(
            "--model",
            metavar="RUN",
            help="A run's id or a segmenter's name (repeatable).",
            complete=completion.model_names,
        ),
    ] = ()
    round: RoundNumber = None
    split: Annotated[str, Flag(complete=split_names)] = "test"
    classes: Classes = ()
    options: Annotated[ScoreOptions, Flag(panel=COUNTS)] = default(default_factory=ScoreOptions)

    def __post_init__(self) -> None:
        known = get_args(Split)
        if self.split not in known:
            raise ProjectError(f"--split {self.split}: expected one of {', '.join(known)}")


@dataclass(frozen=True, kw_only=True)
class ScoreRequest:
    """What `hitl score` is asked for.

    Parameters
    ----------
    truth, predicted : Path
    axes : str, optional
        Of both files, where they do not say.
    spacing_um : (float, float, float), optional
        Voxel size (z, y, x) in µm; what the files say when not given.
    options : ScoreOptions
    """

    truth: LabelImage
    predicted: LabelImage
    axes: Axes = None
    spacing_um: VoxelSize = None
    options: Annotated[ScoreOptions, Flag(panel=COUNTS)] = default(default_factory=ScoreOptions)


@dataclass(frozen=True, kw_only=True)
class AgreementRequest:
    """What `hitl agreement` is asked for.

    Parameters
    ----------
    first, second : str
        Label files, or two rounds of a project's field.
    project : Path, optional
        Keep the result here, for the report.
    field : str, optional
        The field that both label.
    same_person : bool
        Both files are one person's, at two times.
    names : (str, str), optional
        Who made them; the file names if not given.
    axes : str, optional
    spacing_um : (float, float, float), optional
        Voxel size (z, y, x) in µm; of the field or the files when not given.
    options : ScoreOptions

    Raises
    ------
    UsageError
        Two rounds without a project and a field, or with an option for files.
    """

    first: Annotated[str, Flag(metavar="A", help="Label image, or a round's number.")]
    second: Annotated[str, Flag(metavar="B", help="Label image, or a round's number.")]
    project: Annotated[Path | None, Flag(metavar="PROJECT")] = None
    field: Annotated[
        str | None,
        Flag("--field", also=("--stack",), metavar="FIELD", complete=completion.label_names),
    ] = None
    same_person: Annotated[bool, Flag("--self")] = False
    names: Annotated[tuple[str, str] | None, Flag(metavar="A B")] = None
    axes: Axes = None
    spacing_um: VoxelSize = None
    options: Annotated[
        ScoreOptions, Flag(panel=COUNTS, only=("border", "min_voxels", "tolerance_um"))
    ] = default(default_factory=ScoreOptions)

    def __post_init__(self) -> None:
        if self.rounds is None:
            return
        if self.project is None or self.field is None:
            raise UsageError("two rounds need --project PROJECT and --field NAME")
        if self.same_person or self.names or self.axes or self.spacing_um:
            raise UsageError("--self, --names, --axes and --spacing-um are for label files")

    @property
    def rounds(self) -> tuple[int, int] | None:
        """The two rounds; None for two files."""
        if self.first.isdecimal() and self.second.isdecimal():
            return int(self.first), int(self.second)
        return None

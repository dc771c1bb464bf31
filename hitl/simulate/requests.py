"""What the verbs of simulation are asked for; the command line's options follow from it."""

from __future__ import annotations

from collections.abc import Iterable, Mapping
from dataclasses import dataclass, fields
from dataclasses import field as default
from pathlib import Path
from typing import Annotated, Any

from hitl.project import completion
from hitl.project.errors import UsageError
from hitl.project.options import Axes, Flag, Settings, VoxelSize


def generator_keys(given: Mapping[str, Any]) -> Iterable[str]:
    """Return the options of the generator, each to be followed by a value."""
    from models.synthetic import NucleiOptions

    # Those that have an option of their own are not set by --set.
    own = {item.name for item in fields(SynthRequest)}
    return (f"{item.name}=" for item in fields(NucleiOptions) if item.name not in own)


@dataclass(frozen=True, kw_only=True)
class SynthRequest:
    """What `hitl synth` is asked for.

    Parameters
    ----------
    folder : Path
        Where the files go; made if it is not there.
    count : int
        Stacks to draw.
    like : Path, optional
        Draw stacks that look like this one.
    labels : Path, optional
        Labels of that image; else it is segmented.
    project : Path, optional
        Like a stack of this project.
    field : str, optional
        Which field of that project; of a series, its first time point.
    shape : (int, int, int), optional
        Voxels; 32 128 128 if not given.
    spacing_um : (float, float, float), optional
        Voxel size (z, y, x) in µm; drawn, or that of the stack to be like.
    diameter_um : float, optional
        Of a typical nucleus; drawn or measured.
    seed : int
        Of the first stack; the next has the next.
    settings : mapping
        Options of `models.synthetic.NucleiOptions` that are to hold whatever was drawn.
    into : Path, optional
        Add them as verified training stacks.
    axes, channel : str, optional
        Of the image to be like, where it does not say.
    overwrite : bool
        Replace files of the same names.
    options : bool
        List what --set takes, and draw nothing.

    Raises
    ------
    UsageError
        No folder, or options that do not go together.
    """

    folder: Annotated[
        Path | None, Flag(argument=True, metavar="DEST", help="Folder for the files.")
    ] = None
    count: Annotated[int, Flag(min=1, max=100_000)] = 1
    like: Annotated[Path | None, Flag(metavar="IMAGE")] = None
    labels: Annotated[Path | None, Flag(metavar="FILE")] = None
    project: Annotated[Path | None, Flag("--like-project", metavar="PROJECT")] = None
    field: Annotated[
        str | None,
        Flag("--field", also=("--stack",), metavar="FIELD", complete=completion.label_names),
    ] = None
    shape: Annotated[tuple[int, int, int] | None, Flag(metavar="Z Y X", min=1, max=65_536)] = None
    spacing_um: Annotated[
        VoxelSize,
        Flag("--spacing-um", metavar="Z Y X", help="Voxel size in µm; drawn if not given."),
    ] = None
    diameter_um: Annotated[float | None, Flag(min=0.01, max=100_000)] = None
    seed: Annotated[int, Flag(min=0, max=2**32 - 1)] = 0
    settings: Annotated[
        Settings,
        Flag(help="Hold one of the options (repeatable).", complete=generator_keys),
    ] = default(default_factory=dict)
    into: Annotated[Path | None, Flag(metavar="PROJECT")] = None
    axes: Axes = None
    channel: Annotated[
        str | None, Flag(metavar="C", help="Channel of that image: name, or number.")
    ] = None
    overwrite: bool = False
    options: bool = False

    def __post_init__(self) -> None:
        if self.options:
            return
        of_image = self.labels or self.axes or self.channel
        for wrong, why in (
            (self.folder is None, "say DEST, the folder for the files"),
            (self.like and self.project, "give --like or --like-project, not both"),
            (
                self.field is not None and self.project is None,
                "--field is of the project that --like-project names",
            ),
            (
                self.like is None and of_image,
                "--labels, --axes and --channel are of the image of --like",
            ),
            (
                self.project and self.spacing_um,
                "the field of --like-project has its own voxel size",
            ),
        ):
            if wrong:
                raise UsageError(why)

"""What the verbs of prediction are asked for; the command line's options follow from it."""

from __future__ import annotations

from dataclasses import dataclass, field
from pathlib import Path
from typing import Annotated

from hitl.project.errors import UsageError
from hitl.project.options import Axes, Flag, ImageFile, Settings, VoxelSize
from models.registry import models_with


def segmenter_names() -> dict[str, str]:
    """Return what a segmenter may be called, and what each is."""
    return {
        "auto": "Cellpose where its weights are on this machine, else the starter",
        **models_with("segmenter"),
    }


SegmenterName = Annotated[str | None, Flag("--segmenter", choices=segmenter_names)]


@dataclass(frozen=True, kw_only=True)
class SegmentRequest:
    """What `hitl segment` is asked for.

    Parameters
    ----------
    image : Path
    output : Path
        Label TIFF to write.
    segmenter : str, optional
        As `--segmenter` lists them.
    run_folder : Path, optional
        Folder of a trained run.
    spacing_um : (float, float, float), optional
        Voxel size (z, y, x) in µm where the file has none.
    axes : str, optional
    channels : tuple of str
        Names, or numbers from 0, in the order that the model learned; none for the only one.
    class_name : str, optional
        Of those that a run was trained on: the one whose preprocessing is used.
    settings : mapping
        One of the segmenter's options.
    overwrite : bool
        Replace OUTPUT where it exists.

    Raises
    ------
    UsageError
        A segmenter and a run, or a class without a run.
    """

    image: ImageFile
    output: Path
    segmenter: SegmenterName = None
    run_folder: Annotated[Path | None, Flag("--model", metavar="RUN_FOLDER")] = None
    spacing_um: VoxelSize = None
    axes: Axes = None
    channels: Annotated[
        tuple[str, ...],
        Flag(
            "--channel",
            metavar="C",
            help="Channel to segment: name, or number from 0 (repeatable, for a model of several).",
        ),
    ] = ()
    class_name: Annotated[
        str | None,
        Flag("--class", metavar="NAME", help="The class to find, of those a run was trained on."),
    ] = None
    settings: Settings = field(default_factory=dict)
    overwrite: bool = False

    def __post_init__(self) -> None:
        if self.segmenter is not None and self.run_folder is not None:
            raise UsageError("give --segmenter or --model, not both")
        if self.class_name is not None and self.run_folder is None:
            raise UsageError("--class says which class of a run to find: give the run with --model")

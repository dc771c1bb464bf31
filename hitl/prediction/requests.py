"""What the verbs of prediction are asked for; the command line's options follow from it."""

from __future__ import annotations

from dataclasses import dataclass, field
from pathlib import Path
from typing import Annotated

from hitl.project.errors import UsageError
from hitl.project.options import Axes, Channel, Flag, ImageFile, Settings, VoxelSize


@dataclass(frozen=True, kw_only=True)
class SegmentRequest:
    """What `hitl segment` is asked for.

    Parameters
    ----------
    image : Path
    output : Path
        Label TIFF to write.
    segmenter : str, optional
        `hitl models` lists the names.
    run_folder : Path, optional
        Folder of a trained run.
    spacing_um : (float, float, float), optional
        Voxel size (z, y, x) in µm where the file has none.
    axes, channel : str, optional
    settings : mapping
        One of the segmenter's options.
    overwrite : bool
        Replace OUTPUT where it exists.

    Raises
    ------
    UsageError
        A segmenter and a run.
    """

    image: ImageFile
    output: Path
    segmenter: Annotated[str | None, Flag(metavar="NAME")] = None
    run_folder: Annotated[Path | None, Flag("--model", metavar="RUN_FOLDER")] = None
    spacing_um: VoxelSize = None
    axes: Axes = None
    channel: Channel = None
    settings: Settings = field(default_factory=dict)
    overwrite: bool = False

    def __post_init__(self) -> None:
        if self.segmenter is not None and self.run_folder is not None:
            raise UsageError("give --segmenter or --model, not both")

"""Run the line by hand on one labelled stack: learn from one half in y, test on the other.

The half to learn from is added without its labels: the models see bootstrapped labels only. With
`--with-labels` it is added with them, as a person's.
"""

from __future__ import annotations

import argparse
import sys
from pathlib import Path

from annotations.formats import open_image, read_labels, write_image_tiff, write_labels_tiff
from hitl.cli import run


def write_halves(
    image: Path, labels: Path, spacing_um: tuple[float, float, float] | None, folder: Path
) -> None:
    """Write ``learn``, ``test`` and their labels as TIFF."""
    with open_image(image, spacing_um=spacing_um) as source:
        voxels = source.read(0, source.info.shape[1])[0]
        spacing = source.info.spacing_um
    ids = read_labels(labels)
    half = voxels.shape[1] // 2
    for name, rows in (("learn", slice(0, half)), ("test", slice(half, None))):
        write_image_tiff(folder / f"{name}.tif", voxels[:, rows], spacing)
        write_labels_tiff(folder / f"{name}_labels.tif", ids[:, rows], spacing)


def command(*arguments: object) -> None:
    """Show a command and run it; leave with its code when it fails."""
    words = [str(argument) for argument in arguments]
    print(f"$ hitl {' '.join(words)}", flush=True)
    code = run(words)
    if code != 0:
        sys.exit(code)


def main() -> None:
    """Parse the arguments and run the commands."""
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("image", type=Path)
    parser.add_argument("labels", type=Path)
    parser.add_argument("folder", type=Path, help="new folder for the halves and the project")
    parser.add_argument("--spacing-um", type=float, nargs=3, default=None)
    parser.add_argument("--minutes", type=float, default=2.0, help="training time of each model")
    parser.add_argument("--with-labels", action="store_true")
    parser.add_argument("--config", default="quick")
    arguments = parser.parse_args()
    folder = arguments.folder
    folder.mkdir(parents=True)
    write_halves(arguments.image, arguments.labels, arguments.spacing_um, folder)
    project = folder / "project"
    labelled = ["--labels", folder / "learn_labels.tif"] if arguments.with_labels else []
    command("init", project, "--config", arguments.config)
    command("add", project, folder / "learn.tif", *labelled)
    command("add", project, folder / "test.tif", "--split", "test", "--labels",
            folder / "test_labels.tif")  # fmt: skip
    if not arguments.with_labels:
        command("bootstrap", project)
    for model in ("stardist3d", "unet3d"):
        command("train", project, model, "--set", f"max_minutes={arguments.minutes}")
    command("evaluate", project)


if __name__ == "__main__":
    main()

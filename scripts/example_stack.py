"""Write the labelled stack of the `stardist` package as the tutorial's files.

One half in y to learn from, the other to test on, as TIFF that Fiji and napari open.
"""

from __future__ import annotations

import argparse
from pathlib import Path

from annotations.formats import write_image_tiff, write_labels_tiff
from hitl.cli.demo import embedded_stack


def main() -> None:
    """Parse the arguments and write the three files."""
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("folder", type=Path)
    folder = parser.parse_args().folder
    folder.mkdir(parents=True, exist_ok=True)
    for stack in embedded_stack():
        half = stack.image.shape[1] // 2
        write_image_tiff(folder / "learn.tif", stack.image[:, :half], stack.spacing_um)
        write_image_tiff(folder / "test.tif", stack.image[:, half:], stack.spacing_um)
        if stack.labels is not None:
            write_labels_tiff(folder / "test_labels.tif", stack.labels[:, half:], stack.spacing_um)
    print("\n".join(str(path) for path in sorted(folder.iterdir())))


if __name__ == "__main__":
    main()

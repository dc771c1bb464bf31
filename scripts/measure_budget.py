"""How long `hitl train` takes when it is given little time: a table of asked against taken.

Each stack, with its labels, is the one training field of a project with the `quick` configuration;
each row is one command, timed from its start to its end.

Run it from the repository's root:
``python -m scripts.measure_budget FOLDER --stack STACK_FOLDER … --minutes 0.2 0.5 1 2``.
"""

from __future__ import annotations

import argparse
import json
import os
import subprocess
import sys
import time
from dataclasses import dataclass
from pathlib import Path

from scripts.compare_halves import RATIO_ONLY_SPACING_UM

MODELS = ("unet3d", "stardist3d", "cellpose")


@dataclass(frozen=True)
class Row:
    """One training; times in seconds, of the whole command and of the trainer alone."""

    stack: str
    model: str
    asked: float
    took: float
    trained: float
    epochs: int
    load: float
    told: str

    def __str__(self) -> str:
        times = f"{self.asked:6.0f} {self.took:7.1f} {self.trained:9.1f} {self.epochs:7d}"
        return f"{self.stack:16s} {self.model:10s} {times} {self.load:6.1f}  {self.told}"


def hitl(*words: object) -> str:
    """Run a command and return what it printed."""
    script = "from hitl.cli import main; main()"
    command = [sys.executable, "-c", script, *map(str, words)]
    return subprocess.run(command, check=True, stdout=subprocess.PIPE, text=True).stdout


def make_project(folder: Path, stack: Path) -> None:
    """Make a project with one labelled training field."""
    given = json.loads((stack / "meta.json").read_text()).get("voxel_size_um_zyx")
    spacing = given or RATIO_ONLY_SPACING_UM[stack.name]
    hitl("init", folder, "--config", "quick")
    image, labels = stack / "image.tif", stack / "labels.tif"
    hitl("add", folder, image, "--labels", labels, "--axes", "ZYX", "--spacing-um", *spacing)


def measure(project: Path, stack: str, model: str, minutes: float, settings: list[str]) -> Row:
    """Train once."""
    began = time.monotonic()
    given = [word for setting in settings for word in ("--set", setting)]
    said = hitl("train", project, model, "--set", f"max_minutes={minutes}", *given, "--json")
    took = time.monotonic() - began
    done = json.loads(said)
    told = "; ".join(note for note in done["notes"] if "max_minutes" in note)
    load = os.getloadavg()[0]
    return Row(stack, model, 60 * minutes, took, done["seconds"], done["epochs"], load, told)


def main() -> None:
    """Parse the arguments and print the table, row by row."""
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("folder", type=Path, help="new folder to work in")
    parser.add_argument("--stack", type=Path, nargs="+", required=True)
    parser.add_argument("--minutes", type=float, nargs="+", default=(0.2, 0.5, 1.0, 2.0))
    parser.add_argument("--model", nargs="+", default=MODELS)
    parser.add_argument("--cellpose", help="file of Cellpose's weights, when not the usual ones")
    given = parser.parse_args()
    print(f"{'stack':16s} {'model':10s}  asked    took   trainer  epochs   load  told", flush=True)
    for stack in given.stack:
        project = given.folder / stack.name
        make_project(project, stack)
        for model in given.model:
            own = model == "cellpose" and given.cellpose
            settings = [f"model={given.cellpose}"] if own else []
            for minutes in given.minutes:
                print(measure(project, stack.name, model, minutes, settings), flush=True)


if __name__ == "__main__":
    main()

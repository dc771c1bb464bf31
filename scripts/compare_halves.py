"""Compare trainers on labelled stacks: learn from one half in y, test on the other, both ways.

Each row of the CSV is one training; rows that are there already are not trained again, so an
interrupted comparison goes on where it was. The table of means is printed at the end.

Run it from the repository's root:
``python -m scripts.compare_halves FOLDER --stack STACK_FOLDER … --minutes 10 --seeds 3``.
"""

from __future__ import annotations

import argparse
import csv
import json
import shutil
import sys
import time
from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import numpy as np

from annotations.formats import read_labels
from hitl.evaluation.metrics.all_metrics import score
from hitl.project.config import ProjectConfig, load_config, trainer_options
from hitl.project.options import parse_settings
from hitl.project.plain import plain
from hitl.project.presets import find_preset
from hitl.training.held_out import split_sample
from labels.spacing import Spacing
from models.base import TrainingSample
from models.registry import load_run, trainer_class
from models.starter import StarterSegmenter

# The repository of this stack states only the ratio z : xy of its voxel size.
RATIO_ONLY_SPACING_UM = {"qcanet_16cell": (2.18, 1.0, 1.0)}
STARTER_ROW = "starter"
KEY = ("stack", "learned", "model", "settings", "minutes", "seed")
FIELDS = (*KEY, "epochs", "best_epoch", "seconds", "truth", "found", "f1", "f1_iou_0.7", "score")


@dataclass(frozen=True)
class Halves:
    """One labelled stack, cut in y; the half that is learned from comes first."""

    name: str
    learned: str
    learn: TrainingSample
    test: TrainingSample

    @staticmethod
    def read(folder: Path) -> tuple[Halves, Halves]:
        """Read `image.tif`, `labels.tif` and `meta.json` and cut them, both ways."""
        import tifffile

        given = json.loads((folder / "meta.json").read_text()).get("voxel_size_um_zyx")
        spacing: Spacing = tuple(given or RATIO_ONLY_SPACING_UM[folder.name])
        image = tifffile.imread(folder / "image.tif")
        labels = read_labels(folder / "labels.tif")
        middle = image.shape[1] // 2
        low, high = (
            TrainingSample(
                folder.name,
                np.ascontiguousarray(image[None, :, rows]),
                np.ascontiguousarray(labels[:, rows]),
                np.ones(labels[:, rows].shape, bool),
                spacing,
            )
            for rows in (slice(0, middle), slice(middle, None))
        )
        return Halves(folder.name, "low y", low, high), Halves(folder.name, "high y", high, low)


def scored(test: TrainingSample, found: np.ndarray) -> dict[str, Any]:
    """Return the figures of one prediction."""
    result = plain(score(test.labels, found, spacing_um=test.spacing_um))
    return {
        "truth": len(np.unique(test.labels)) - 1,
        "found": len(np.unique(found)) - 1,
        "f1": round(result["f1"], 4),
        "f1_iou_0.7": round(result["thresholds"]["0.7"]["f1"], 4),
        "score": round(result["evaluation_score"], 4),
    }


def train_once(
    halves: Sequence[Halves], model: str, options: dict[str, Any], folder: Path, share: float
) -> list[dict[str, Any]]:
    """Train on one half of each stack, test on the other, and return the figures of each."""
    parts = [split_sample(each.learn, share) for each in halves]
    shutil.rmtree(folder, ignore_errors=True)
    started = time.monotonic()
    trained = trainer_class(model)(**options).train(
        [train for train, _ in parts], [val for _, val in parts], folder
    )
    about = {
        "epochs": trained.epochs,
        "best_epoch": trained.best_epoch,
        "seconds": round(time.monotonic() - started),
    }
    run = load_run(model, folder)
    tests = [each.test for each in halves]
    return [{**about, **scored(t, run.segment(t.image, t.spacing_um).labels)} for t in tests]


def read_rows(file: Path) -> list[dict[str, str]]:
    """Return the rows that earlier calls left."""
    if not file.exists():
        return []
    with file.open(newline="") as stream:
        return list(csv.DictReader(stream))


def add_row(file: Path, row: dict[str, Any]) -> None:
    """Append one row, with the header where the file is new."""
    new = not file.exists()
    with file.open("a", newline="") as stream:
        writer = csv.DictWriter(stream, FIELDS)
        if new:
            writer.writeheader()
        writer.writerow(row)
    print(", ".join(f"{key} {value}" for key, value in row.items() if value != ""), flush=True)


def table(rows: list[dict[str, str]]) -> str:
    """Return the means over seeds and halves as Markdown, with the spread over seeds."""
    groups: dict[tuple[str, str, str, str], list[dict[str, str]]] = {}
    for row in rows:
        key = (row["stack"], row["model"], row["settings"], row["minutes"])
        groups.setdefault(key, []).append(row)
    lines = ["| stack | model | minutes | F1 at IoU 0.5 | evaluation score | trainings |",
             "|---|---|---|---|---|---|"]  # fmt: skip
    for (stack, model, settings, minutes), members in groups.items():
        f1, value = (means(members, key) for key in ("f1", "score"))
        name = f"{model} ({settings})" if settings else model
        lines.append(f"| {stack} | {name} | {minutes} | {f1} | {value} | {len(members)} |")
    return "\n".join(lines)


def means(rows: list[dict[str, str]], key: str) -> str:
    """Return the mean over halves, and its standard deviation over seeds where there are some."""
    seeds = sorted({row["seed"] for row in rows})
    each = [np.mean([float(r[key]) for r in rows if r["seed"] == seed]) for seed in seeds]
    spread = f" ± {np.std(each, ddof=1):.3f}" if len(each) > 1 else ""
    return f"{np.mean(each):.3f}{spread}"


@dataclass
class Comparison:
    """What is trained on each stack's halves, and the file that the figures go to."""

    folder: Path
    config: ProjectConfig
    settings: tuple[str, ...]
    minutes: float
    models: tuple[str, ...]

    @property
    def file(self) -> Path:
        """The CSV of all trainings."""
        return self.folder / "trainings.csv"

    def starter(self, halves: Halves) -> None:
        """Score the starter model alone, unless that was done."""
        key = (halves.name, halves.learned, STARTER_ROW, "", "0", "0")
        if not self._done(key):
            found = StarterSegmenter().segment(halves.test.image, halves.test.spacing_um)
            self._add(key, scored(halves.test, found.labels))

    def train(self, halves: Sequence[Halves], seed: int) -> None:
        """Train every model with one seed on one or several stacks, unless that was done."""
        minutes = self.minutes * len(halves)
        several = f", {len(halves)} stacks" if len(halves) > 1 else ""
        for model in self.models:
            settings = " ".join(self.settings) + several
            keys = [
                (each.name, each.learned, model, settings, f"{minutes:g}", str(seed))
                for each in halves
            ]
            if all(map(self._done, keys)):
                continue
            given = {"max_minutes": minutes, "seed": seed, "logger": "csv"}
            options = trainer_options(
                self.config, model, {**parse_settings(list(self.settings)), **given}
            )
            names = "+".join(each.name for each in halves)
            run = self.folder / "runs" / f"{names}-{halves[0].learned[0]}-{model}"
            share = self.config.training.validation_share
            for key, row in zip(keys, train_once(halves, model, options, run, share), strict=True):
                self._add(key, row)

    def _done(self, key: tuple[str, ...]) -> bool:
        return any(tuple(row[k] for k in KEY) == key for row in read_rows(self.file))

    def _add(self, key: tuple[str, ...], figures: dict[str, Any]) -> None:
        add_row(self.file, {**dict(zip(KEY, key, strict=True)), **figures})


def main() -> int:
    """Parse the arguments, train whatever has no row yet, and print the table."""
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("folder", type=Path, help="where the figures and the runs go")
    parser.add_argument("--stack", type=Path, nargs="+", required=True)
    parser.add_argument("--models", nargs="+", default=["unet3d", "stardist3d"])
    parser.add_argument("--config", default="quick", help="preset or file")
    parser.add_argument("--set", nargs="*", default=[], metavar="KEY=VALUE")
    parser.add_argument("--minutes", type=float, default=10.0)
    parser.add_argument("--seeds", type=int, default=3)
    parser.add_argument(
        "--together", action="store_true", help="train on all stacks at once too, as long for each"
    )
    arguments = parser.parse_args()
    arguments.folder.mkdir(parents=True, exist_ok=True)
    config = load_config(find_preset(arguments.config))
    work = Comparison(
        arguments.folder, config, tuple(arguments.set), arguments.minutes, tuple(arguments.models)
    )
    # Seeds outermost: a comparison that ends early has seen every stack both ways.
    for seed in range(arguments.seeds):
        both_ways = [Halves.read(folder) for folder in arguments.stack]
        for halves in (each for ways in both_ways for each in ways):
            work.starter(halves)
            work.train([halves], seed)
        for several in zip(*both_ways, strict=True) if arguments.together else ():
            work.train(several, seed)
    print(table(read_rows(work.file)))
    return 0


if __name__ == "__main__":
    sys.exit(main())

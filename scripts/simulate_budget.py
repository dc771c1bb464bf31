"""Measure what corrections buy on synthetic spheroids and on real stacks; write table and plot.

Run it from the repository's root:
``python -m scripts.simulate_budget --data FOLDER --table simulation.md --plot simulation.png``.
The same arguments give the same table.
"""

from __future__ import annotations

import argparse
import json
import os
from pathlib import Path

import numpy as np

from annotations.formats import read_labels
from hitl.queue.alternatives import classical_segmentations
from hitl.simulate.oracle import Case
from hitl.simulate.plots import markdown_table, save_plot
from hitl.simulate.rounds import SimulationResult, simulate
from hitl.simulate.strategies import STRATEGIES
from models.synthetic import NucleiGenerator

SPHEROID = NucleiGenerator(
    shape=(28, 112, 112),
    spacing_um=(2.5, 1.0, 1.0),
    nuclei=80,
    irregularity=0.0,
    bend=0.0,
    mitotic=0.0,
    arrangement="ball",
    clearance=0.9,
    brightness_spread=0.35,
    nucleoli=0.0,
    cytoplasm=0.0,
    haze=0.0,
    background=0.1,
    unevenness=0.0,
    debris=0.0,
    illumination=0.0,
    attenuation_um=60.0,
    blur_um=(2.2, 0.8, 0.8),
    blur_growth=1.0,
    read_noise=0.75,
)
"""Nuclei pressed into a ball, imaged with loss of light in depth."""

SYNTHETIC_SEEDS = (7, 31, 34)
"""Of the first forty, those whose ball is least cut by the stack's border."""

REAL_STACKS = ("gonuclear_1136", "qcanet_16cell")
# The repository of this stack states only the ratio z : xy of its voxel size.
RATIO_ONLY_SPACING_UM = {"qcanet_16cell": (1.744, 0.8, 0.8)}

EXPLANATION = """\
Objects to correct until F1 at IoU 0.5 has come half, three quarters and 90 % of the way from
the bootstrap's to 1: mean ± standard deviation over {repeats} repeats (share of random choice).

The bootstrap is the classical segmenter. A correction replaces what is shown, and what lies in
the same nuclei, by the true nuclei; it costs as many objects as it draws, at least one. When a
strategy has nothing left to show, the person looks through the stack for what is still missed.

- queue: as `hitl queue` lists, its random tenth included.
- random: any of what the queue knows of, objects and places where others find one.
- informed: any object, and any missed nucleus, also those that nothing points at: random choice
  that is told what nobody knows.
- confidence, size, disagreement: the least confident, the most unusual size, the object that
  other segmentations agree on least.
- oracle: the object that is truly worst; no queue can do better.

"""


def load_real(folder: Path) -> Case:
    """Read a stack and segment it in every way."""
    import tifffile

    spacing = json.loads((folder / "meta.json").read_text()).get("voxel_size_um_zyx")
    z, y, x = spacing or RATIO_ONLY_SPACING_UM[folder.name]
    image = tifffile.imread(folder / "image.tif")
    return bootstrapped(folder.name, image, read_labels(folder / "labels.tif"), (z, y, x))


def bootstrapped(
    name: str, image: np.ndarray, truth: np.ndarray, spacing_um: tuple[float, float, float]
) -> Case:
    """Segment an image in every way that needs no training."""
    first, others = classical_segmentations(image, spacing_um)
    return Case(
        name=name,
        image=image,
        spacing_um=spacing_um,
        truth=truth,
        labels=first.labels,
        confidence=first.confidence,
        others=others,
    )


def data_sets(data: Path) -> dict[str, list[Case]]:
    """Return the stacks that are simulated together, by the name of their set."""
    drawn = {seed: SPHEROID.make(seed) for seed in SYNTHETIC_SEEDS}
    found = {
        "synthetic spheroids": [
            bootstrapped(f"spheroid {seed}", s.image, s.labels, s.spacing_um)
            for seed, s in drawn.items()
        ]
    }
    for name in REAL_STACKS:
        if (data / name).is_dir():
            found[name] = [load_real(data / name)]
        else:
            print(f"{data / name} is not there: {name} is left out")
    return found


def main() -> None:
    """Simulate, and write what was asked for."""
    parser = argparse.ArgumentParser(description=__doc__)
    default = os.environ.get("HITL_TEST_DATA", "../shared/data")
    parser.add_argument("--data", type=Path, default=Path(default), help="folder of real stacks")
    parser.add_argument("--repeats", type=int, default=10)
    parser.add_argument("--objects-per-round", type=int, default=10)
    parser.add_argument("--seed", type=int, default=0)
    parser.add_argument("--table", type=Path, help="markdown file to write")
    parser.add_argument("--plot", type=Path, help="PNG file to write")
    parser.add_argument("--csv", type=Path, help="folder for one CSV file per data set")
    given = parser.parse_args()
    results: dict[str, SimulationResult] = {}
    for name, cases in data_sets(given.data).items():
        results[name] = simulate(
            cases,
            objects_per_round=given.objects_per_round,
            strategies=tuple(STRATEGIES),
            repeats=given.repeats,
            seed=given.seed,
        )
        if given.csv:
            given.csv.mkdir(parents=True, exist_ok=True)
            (given.csv / f"{name.replace(' ', '_')}.csv").write_text(results[name].to_csv())
    text = EXPLANATION.format(repeats=given.repeats) + markdown_table(results)
    print(text)
    if given.table:
        given.table.write_text(text)
    if given.plot:
        save_plot(given.plot, results)


if __name__ == "__main__":
    main()

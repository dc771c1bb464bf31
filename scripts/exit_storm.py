"""Run many commands at once, most of which end in an error, and count how the processes end.

A command ends with 0, 1, 2 or 130; anything else is a native library that aborted or crashed, which
happens rarely, while the interpreter goes down, and more often the busier the machine is.

Run it from the repository's root: ``python -m scripts.exit_storm FOLDER --count 500 --together 6``.
"""

from __future__ import annotations

import argparse
import collections
import os
import random
import shutil
import signal
import subprocess
import sys
import time
from collections.abc import Iterator
from concurrent.futures import ThreadPoolExecutor
from contextlib import contextmanager
from dataclasses import dataclass
from pathlib import Path

import numpy as np

from annotations.formats import write_image_tiff, write_labels_tiff

SPACING_UM = (2.0, 1.0, 1.0)
USUAL = (0, 1, 2, 130)
PATIENCE_S, LONGEST = 30.0, 20
"""How long a command is waited for at a time, and how often."""


@dataclass(frozen=True)
class Case:
    """A command, and within how many seconds it is interrupted; None lets it end by itself."""

    name: str
    words: str
    interrupted_within_s: float | None = None


CASES = (
    Case("add what is no image", "add p bad.tif"),
    Case("add what is there", "add p image.tif"),
    Case("add without a voxel size", "add p plain.npy"),
    Case("import the image as labels", "import p image image.tif"),
    Case("import another shape", "import p image other_labels.tif"),
    Case("predict with an unknown run", "predict p --model unet3d-0009"),
    Case("evaluate without test fields", "evaluate p"),
    Case("status of nothing", "status nothing"),
    Case("wrong usage", "train p --colour blue"),
    Case("train from damaged weights, TensorFlow", "train p stardist3d --set base_run=stardist3d"),
    Case("train from damaged weights, torch", "train p unet3d --set base_run=unet3d"),
    Case("read what is damaged", "bootstrap damaged --segmenter classical"),
    Case("read what is damaged, torch", "bootstrap damaged --segmenter starter"),
    Case("status", "status p"),
    Case("verify", "verify p --deep"),
    Case("score", "score labels.tif labels.tif"),
    Case("segment, interrupted", "segment image.tif found.tif --segmenter starter", 8.0),
    Case("train, interrupted", "train p unet3d --set epochs=9", 12.0),
    Case("add, interrupted", "add p image.tif --name second", 3.0),
)


@dataclass(frozen=True)
class Outcome:
    """How one command ended."""

    case: Case
    code: int
    said: str

    @property
    def usual(self) -> bool:
        """Whether the exit code is one of those that the commands have."""
        return self.code in USUAL


def hitl(words: str, folder: Path) -> subprocess.Popen[str]:
    """Start a command."""
    script = "from hitl.cli import main; main()"
    return subprocess.Popen(
        [sys.executable, "-X", "faulthandler", "-c", script, *words.split()],
        cwd=folder, stdout=subprocess.DEVNULL, stderr=subprocess.PIPE, text=True,
    )  # fmt: skip


def run(case: Case, folder: Path, rng: random.Random) -> Outcome:
    """Run one command in a folder that `make_folder` filled."""
    process = hitl(case.words, folder)
    if case.interrupted_within_s is not None:
        time.sleep(rng.uniform(0.2, case.interrupted_within_s))
        process.send_signal(signal.SIGINT)
    said = _end_of(process, case.interrupted_within_s is not None)
    # What a shell calls the end by a signal; Python ends itself so when it is interrupted early.
    code = process.returncode if process.returncode >= 0 else 128 - process.returncode
    return Outcome(case, code, said)


def _end_of(process: subprocess.Popen[str], interrupted: bool) -> str:
    """Wait until a command ends, and return what it said on standard error."""
    for _ in range(LONGEST):
        try:
            return process.communicate(timeout=PATIENCE_S)[1]
        except subprocess.TimeoutExpired:
            # Where a library's import swallows an interrupt, a person presses the keys again.
            if interrupted:
                process.send_signal(signal.SIGINT)
    process.kill()
    return f"not over after {LONGEST * PATIENCE_S:.0f} s\n{process.communicate()[1]}"


def make_folder(folder: Path) -> None:
    """Write images, a project with a labelled field, a damaged one, and two damaged runs."""
    from models.runfolder import starter_folder

    folder.mkdir(parents=True)
    rng = np.random.default_rng(0)
    labels = np.zeros((12, 48, 48), np.uint16)
    for number, (y, x) in enumerate(np.ndindex(3, 3)):
        labels[3:9, 16 * y + 3 : 16 * y + 13, 16 * x + 3 : 16 * x + 13] = number + 1
    image = rng.poisson(20 + 200 * (labels > 0)).astype(np.uint16)
    write_image_tiff(folder / "image.tif", image, SPACING_UM)
    write_labels_tiff(folder / "labels.tif", labels, SPACING_UM)
    write_labels_tiff(folder / "other_labels.tif", labels[:, :40], SPACING_UM)
    (folder / "bad.tif").write_bytes(b"II*\0" + bytes(40))
    np.save(folder / "plain.npy", image)
    for model in ("stardist3d", "unet3d"):
        shutil.copytree(starter_folder(model), folder / model)
        weights = folder / model / "weights.safetensors"
        weights.write_bytes(weights.read_bytes()[:-9])
    # Several chunks, so that reads are under way when the first one fails.
    noise = rng.integers(0, 60000, (40, 256, 256), np.uint16)
    write_image_tiff(folder / "noise.tif", noise, SPACING_UM)
    prepare = "init p --config quick", "add p image.tif --labels labels.tif"
    for words in (*prepare, "init damaged", "add damaged noise.tif"):
        if hitl(words, folder).wait() != 0:
            raise SystemExit(f"hitl {words} did not work")
    for chunk in (folder / "damaged" / "store" / "chunks").iterdir():
        chunk.write_bytes(chunk.read_bytes()[::-1])


@contextmanager
def busy(count: int) -> Iterator[None]:
    """Keep the machine busy with so many processes that give way to all others."""
    loop = "import os; os.nice(19)\nwhile True: pass"
    loops = [subprocess.Popen([sys.executable, "-c", loop]) for _ in range(count)]
    try:
        yield
    finally:
        for process in loops:
            process.kill()
            process.wait()


def storm(folder: Path, count: int, together: int, loops: int, seed: int = 0) -> list[Outcome]:
    """Run `count` commands, `together` at a time, each in one of as many folders."""
    folders = [folder / str(number) for number in range(together)]
    make_folder(folders[0])
    for other in folders[1:]:
        shutil.copytree(folders[0], other)

    def some(number: int) -> list[Outcome]:
        rng = random.Random(seed + number)
        return [
            run(CASES[index % len(CASES)], folders[number], rng)
            for index in range(number, count, together)
        ]

    with busy(loops), ThreadPoolExecutor(together) as pool:
        return [each for found in pool.map(some, range(together)) for each in found]


def main() -> None:
    """Parse the arguments and print how the commands ended."""
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("folder", type=Path, help="new folder to work in")
    parser.add_argument("--count", type=int, default=500)
    parser.add_argument("--together", type=int, default=6)
    parser.add_argument("--loops", type=int, default=2, help="endless loops beside them")
    parser.add_argument("--seed", type=int, default=0)
    given = parser.parse_args()
    # What a shell starts in the background ignores Ctrl-C, and so would all that it starts.
    signal.signal(signal.SIGINT, signal.default_int_handler)
    started = time.monotonic()
    outcomes = storm(given.folder, given.count, given.together, given.loops, given.seed)
    codes: dict[str, collections.Counter[int]] = {}
    for each in outcomes:
        codes.setdefault(each.case.name, collections.Counter())[each.code] += 1
    for name, counts in codes.items():
        print(f"{name:40s}", ", ".join(f"{n} × {code}" for code, n in sorted(counts.items())))
    wrong = [each for each in outcomes if not each.usual]
    for each in wrong:
        print(f"--- {each.case.words}: {each.code}\n{each.said[-3000:]}")
    minutes, load = (time.monotonic() - started) / 60, os.getloadavg()[1]
    print(f"{len(wrong)} of {len(outcomes)} ended otherwise; {minutes:.0f} min, load {load:.1f}")
    sys.exit(bool(wrong))


if __name__ == "__main__":
    main()

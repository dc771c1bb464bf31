"""One process that damages files and reads them, under limits, until its time is over."""

from __future__ import annotations

import json
import logging
import random
import shutil
import time
import traceback
import warnings
from collections import Counter
from contextlib import AbstractContextManager
from pathlib import Path

from tests.fuzz.mutations import mutate
from tests.fuzz.targets import TARGETS, Target
from tests.hostile.limits import TooSlow, limits

SECONDS = 10.0
MEMORY = 1 << 30

ACCEPTED, REFUSED, TRACEBACK, HANG, MEMORY_ERROR, CRASH = OUTCOMES = (
    "accepted", "refused", "traceback", "hang", "memory", "crash",
)  # fmt: skip


class Fuzzer:
    """Damages files and counts what their readers say.

    Parameters
    ----------
    names : list of str
        Of targets.
    seed : int
        Of all that is drawn.
    folder : Path
        Where this process works.
    failures : Path
        Where inputs are kept that a reader did not take or refuse cleanly.
    """

    def __init__(self, names: list[str], seed: int, folder: Path, failures: Path) -> None:
        self._rng, self._seed = random.Random(seed), seed
        self._folder, self._failures = folder, failures
        self._seeds = {name: self._made(TARGETS[name]) for name in names}
        self.counts: dict[str, Counter[str]] = {name: Counter() for name in names}
        self._known: set[str] = set()

    def _made(self, target: Target) -> list[Path]:
        place = self._folder / "seeds" / target.name
        place.mkdir(parents=True)
        made = target.seeds(place)
        # Some may be refused as they are, but what is damaged must come from what is read, too.
        if not any(outcome_of(target, path)[0] == ACCEPTED for path in made):
            raise ValueError(f"{target.name}: none of its seeds is read")
        return made

    def run(self, *, until: float | None = None, inputs: int | None = None) -> None:
        """Read damaged files of all targets in turn, for some time or of some number each."""
        done, told = 0, 0.0
        while (until is None or time.monotonic() < until) and (inputs is None or done < inputs):
            for name in self._seeds:
                self.one(name)
            done += 1
            if time.monotonic() - told > 1:
                told = time.monotonic()
                self.tell()
        self.tell()

    def tell(self) -> None:
        """Write the counts to where the parent reads them."""
        (self._folder / "counts.json").write_text(json.dumps(self.counts))

    def one(self, name: str) -> str:
        """Damage a file of a target and read it; return what came of it."""
        target = TARGETS[name]
        place = self._folder / "now"
        shutil.rmtree(place, ignore_errors=True)
        seed = self._rng.choice(self._seeds[name])
        path = damaged(self._rng, seed, place, target.tokens)
        (self._folder / "now.txt").write_text(name)
        outcome, why = outcome_of(target, path)
        self.counts[name][outcome] += 1
        if outcome not in (ACCEPTED, REFUSED):
            self._keep(name, outcome, why, place)
        return outcome

    def _keep(self, name: str, outcome: str, why: str, place: Path) -> None:
        """Keep an input of each cause, with the trace."""
        cause = "\n".join(line for line in why.splitlines() if "File " in line)[-300:] + outcome
        if cause in self._known:
            return
        self._known.add(cause)
        kept = self._failures / f"{name}-{outcome}-{self._seed}-{len(self._known)}"
        shutil.copytree(place, kept, symlinks=True)
        (kept / "why.txt").write_text(why)


def damaged(rng: random.Random, seed: Path, place: Path, tokens: tuple[bytes, ...]) -> Path:
    """Copy a file, with what stands beside it, or a folder; damage a part of it."""
    place.mkdir(parents=True)
    for path in (seed, *seed.parent.glob(f"{seed.name}.*")):
        copy = shutil.copytree if path.is_dir() else shutil.copy
        copy(path, place / path.name)
    files = sorted(p for p in place.rglob("*") if p.is_file())
    for _ in range(1 if rng.random() < 0.8 else 2):
        file = rng.choice(files)
        if len(files) > 1 and rng.random() < 0.05:
            file.unlink()
            rng.choice((lambda _: None, Path.mkdir, lambda p: p.symlink_to("gone")))(file)
            break
        file.write_bytes(mutate(rng, file.read_bytes(), tokens))
    return place / seed.name


def outcome_of(target: Target, path: Path) -> tuple[str, str]:
    """Read a file under limits; return what came of it, and the trace."""
    from annotations.errors import AnnotationError
    from hitl.project.errors import HitlError
    from labels.errors import LabelImageError
    from models.errors import ModelError

    try:
        with limits(SECONDS, MEMORY), quiet():
            target.call(path)
    except (AnnotationError, HitlError, ModelError, LabelImageError) as exc:
        if "\n" in str(exc):
            return TRACEBACK, f"several lines: {exc}"
        return REFUSED, str(exc)
    except TooSlow:
        return HANG, traceback.format_exc()
    except MemoryError:
        return MEMORY_ERROR, traceback.format_exc()
    except Exception:
        return TRACEBACK, traceback.format_exc()
    return ACCEPTED, ""


def quiet() -> AbstractContextManager[object]:
    """Let libraries warn and log into nothing, as the command line does."""
    from hitl.cli import READING

    for name in READING:
        logging.getLogger(name).setLevel(logging.CRITICAL)
    return warnings.catch_warnings(action="ignore")


def work(names: list[str], seed: int, folder: str, failures: str, seconds: float) -> None:
    """Fuzz for some time; what a process of its own runs."""
    fuzzer = Fuzzer(names, seed, Path(folder), Path(failures))
    fuzzer.run(until=time.monotonic() + seconds)

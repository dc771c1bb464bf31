"""Whether a project is still what was written: its store, and its other files."""

from __future__ import annotations

import zipfile
from collections.abc import Callable
from dataclasses import dataclass
from pathlib import Path

from annotations.repair import repair as repair_store
from annotations.verify import Verification, verify
from hitl.project.errors import HitlError, ProjectError
from hitl.project.folder import Project, store_location
from hitl.project.layout import CARD
from hitl.project.reporter import Reporter
from hitl.project.runs import read_card, read_in_use
from hitl.project.scores import read_scores
from labels.files import open_zip
from labels.hashing import file_sha256
from labels.numbers import spans


@dataclass(frozen=True, kw_only=True)
class ProjectVerification:
    """What was compared in a project, and what is damaged.

    Parameters
    ----------
    project : Path
    whole : bool
        Whether nothing is damaged.
    deep : bool
        Whether every chunk and all weights were read.
    damaged : tuple of str
        One line for each damaged file: which, what is wrong, what it holds, what needs it.
    repaired : tuple of str
        What was done about it, one line each.
    commits, chunks : int
        Compared in the store.
    whole_rounds : str
        Such as "0-3, 5".
    """

    project: Path
    whole: bool
    deep: bool
    damaged: tuple[str, ...]
    repaired: tuple[str, ...]
    commits: int
    chunks: int
    whole_rounds: str


def verify_project(
    project: Project, reporter: Reporter, *, deep: bool = False, repair: bool = False
) -> ProjectVerification:
    """Compare a project's store with its checksums, and see whether its other files can be read.

    Parameters
    ----------
    project : Project
    reporter : Reporter
    deep : bool
        Read every chunk of every commit once, and compare the weights of the runs.
    repair : bool
        First set the store back to its newest commit that is whole.

    Raises
    ------
    StoreError
        There is no store, or it cannot be read or repaired at all.
    """
    location = store_location(project.folder, project.config)
    repaired = tuple(repair_store(location)) if repair else ()
    store = verify(location, deep=deep, progress=reporter.progress)
    damaged = (*map(str, store.findings), *_damaged_files(project, deep))
    return _verification(project, store, damaged, repaired)


def _verification(
    project: Project, store: Verification, damaged: tuple[str, ...], repaired: tuple[str, ...]
) -> ProjectVerification:
    return ProjectVerification(
        project=project.folder,
        whole=not damaged,
        deep=store.deep,
        damaged=damaged,
        repaired=repaired,
        commits=store.commits,
        chunks=store.chunks,
        whole_rounds=spans(store.whole_rounds),
    )


def _damaged_files(project: Project, deep: bool) -> list[str]:
    """Return a line for each file beside the store that cannot be read."""
    cards = sorted(project.runs_folder.glob(f"*/{CARD}"))
    drafts = sorted(project.folder.glob("drafts/**/*.zip"))
    problems = [_problem(read_in_use, project)]
    problems += [_problem(_check_run, card.parent, deep) for card in cards]
    problems += [_problem(read_scores, file) for file in project.evaluation_files()]
    problems += [_problem(_check_draft, file) for file in drafts]
    return [problem for problem in problems if problem is not None]


def _problem(check: Callable[..., object], *about: object) -> str | None:
    try:
        check(*about)
    except HitlError as error:
        return str(error)
    return None


def _check_run(folder: Path, deep: bool) -> None:
    """Refuse a run whose card cannot be read, or whose weights are not the card's."""
    card = read_card(folder)
    name, known = card.get("weights"), card.get("weights_sha256")
    if not isinstance(name, str) or not isinstance(known, str):
        return
    weights = (folder / name).resolve()
    if not weights.is_relative_to(folder.resolve()):
        raise ProjectError(f"{folder / CARD}: its weights lie outside the run ({name})")
    if not weights.is_file():
        raise ProjectError(f"{weights}: the weights of run {folder.name} are gone")
    if deep and file_sha256(weights) != known:
        raise ProjectError(
            f"{weights}: the weights of run {folder.name} are not those that its card names"
        )


def _check_draft(file: Path) -> None:
    try:
        with open_zip(file) as archive:
            damaged = archive.testzip()
    except (OSError, EOFError, RuntimeError, ValueError, zipfile.BadZipFile) as error:
        raise ProjectError(f"{file}: the draft cannot be read ({error})") from error
    if damaged is not None:
        raise ProjectError(f"{file}: the draft is damaged ({damaged})")

"""A project: one folder with its configuration, annotation store, runs and results."""

from __future__ import annotations

import getpass
import json
import re
from collections.abc import Iterable
from dataclasses import dataclass
from datetime import UTC, datetime
from pathlib import Path
from typing import Any

from annotations.errors import StoreError
from annotations.store import AnnotationStore
from hitl.project.config import CONFIG_NAME, ProjectConfig, load_config
from hitl.project.config_text import commented
from hitl.project.errors import ProjectError
from hitl.project.layout import CARD, RUN_NAME, evaluation_files, run_folders
from labels.files import sync_folder, write_atomically
from labels.names import did_you_mean

_URL = re.compile(r"^([A-Za-z][A-Za-z0-9+.-]+):/+")

LONGEST_NAME = 100
"""Characters in an annotator's name."""

OF_MODELS = "model:"
"""What the names of models begin with where people's stand too."""


@dataclass(frozen=True)
class Project:
    """A project folder that exists, with its validated configuration.

    Parameters
    ----------
    folder : Path
    config : ProjectConfig
    """

    folder: Path
    config: ProjectConfig

    @classmethod
    def create(cls, folder: Path, config: ProjectConfig) -> Project:
        """Make a new project; nothing that exists is touched.

        What an `init` that was killed left, an empty store, is taken up.

        Raises
        ------
        ProjectError
            When the folder is a project already, holds other files, or cannot be written.
        """
        check_folder(folder)
        if (folder / CONFIG_NAME).exists():
            raise ProjectError(
                f"{folder} is a project already; use it as it is or name another folder"
            )
        location = store_location(folder, config)
        if folder.exists() and (not folder.is_dir() or _foreign(folder, location)):
            raise ProjectError(f"{folder} holds other files; name a new or empty folder")
        try:
            folder.mkdir(parents=True, exist_ok=True)
            sync_folder(folder.absolute().parent)
            if not _is_unfinished(location):
                AnnotationStore.create(location)
            # The config comes last: a folder without it is not a project yet.
            write_text(folder / CONFIG_NAME, commented(config))
        except OSError as exc:
            raise ProjectError(f"{folder}: cannot be written ({exc.strerror})") from exc
        return cls(folder, config)

    @classmethod
    def open(cls, folder: Path) -> Project:
        """Open an existing project.

        Raises
        ------
        ProjectError
            When the folder is not a project.
        ConfigError
            When its configuration is not valid.
        """
        check_folder(folder)
        if not (folder / CONFIG_NAME).is_file():
            state = "is not a project" if folder.is_dir() else "does not exist"
            raise ProjectError(f"{folder} {state}; make one with `hitl init {folder}`")
        return cls(folder, load_config(folder / CONFIG_NAME))

    def store(self, *, read_only: bool = True) -> AnnotationStore:
        """Open the project's annotation store."""
        return AnnotationStore.open(store_location(self.folder, self.config), read_only=read_only)

    def check_output(self, path: Path) -> None:
        """Refuse to write files for people into the store or among the runs.

        Raises
        ------
        ProjectError
        """
        store = store_location(self.folder, self.config)
        kept = (self.runs_folder.resolve(), *([store] if isinstance(store, Path) else ()))
        if any(path.resolve().is_relative_to(folder) for folder in kept):
            raise ProjectError(
                f"{path}: expected a folder for files of your own, got one in which the project "
                "keeps its own; name another one"
            )

    def annotator(self, name: str | None) -> str:
        """Return the name that was given, else the config's, else the account's.

        Raises
        ------
        ProjectError
            A name that is none of a person.
        """
        found = name or self.config.annotator or account()
        where = "with --annotator" if name else f"under annotator in {CONFIG_NAME}"
        printable = found.isprintable() and found == found.strip()
        if not printable or len(found) > LONGEST_NAME or found.startswith(OF_MODELS):
            raise ProjectError(
                f"annotator: expected the name of a person, at most {LONGEST_NAME} letters and not "
                f"beginning with {OF_MODELS!r}, got {found[: 2 * LONGEST_NAME]!r}; name yourself "
                f"{where}"
            )
        return found

    @property
    def runs_folder(self) -> Path:
        """Folder that holds one folder per run."""
        return self.folder / "runs"

    def new_run(self, model: str) -> Path:
        """Make and return the folder of a new run, named ``<model>-<number>``."""
        self.runs_folder.mkdir(exist_ok=True)
        numbers = [p.name.rpartition("-")[2] for p in self.runs_folder.glob(f"{model}-*")]
        number = 1 + max((int(n) for n in numbers if n.isdecimal()), default=0)
        while True:
            folder = self.runs_folder / f"{model}-{number:04d}"
            try:
                folder.mkdir()
            except FileExistsError:
                number += 1
            else:
                return folder

    def run(self, run_id: str, others: Iterable[str] = ()) -> Path:
        """Return the folder of a finished run.

        Parameters
        ----------
        run_id : str
        others : iterable of str
            What else could have been meant by a name that is none.

        Raises
        ------
        ProjectError
            When there is no such run, or it did not finish.
        """
        known = [folder.name for folder in self.finished_runs()]
        folder = self.runs_folder / run_id
        if RUN_NAME.fullmatch(run_id) is None or not folder.is_dir():
            listed = f"there are: {', '.join(known)}" if known else "train one with `hitl train`"
            hint = did_you_mean(run_id, [*known, *others])
            raise ProjectError(f"unknown run {run_id!r}; {listed}{hint}")
        if run_id not in known:
            raise ProjectError(f"run {run_id} did not finish; train again with `hitl train`")
        return folder

    def run_folders(self) -> list[Path]:
        """Folders of all runs, by name; what else lies there is none of the project's."""
        return run_folders(self.folder)

    def finished_runs(self) -> list[Path]:
        """Folders of the runs that have a model card, oldest first."""
        done = [folder for folder in self.run_folders() if (folder / CARD).is_file()]
        return sorted(done, key=lambda folder: folder.stat().st_mtime_ns)

    def evaluation_files(self) -> list[Path]:
        """Files with the scores of the project's evaluations, oldest first."""
        return evaluation_files(self.folder)


def account() -> str:
    """Return the name of the account that runs this.

    Raises
    ------
    ProjectError
        It has none, as in some containers.
    """
    try:
        return getpass.getuser()
    except (KeyError, OSError) as error:
        raise ProjectError(
            "who works here cannot be told, since the account has no name; say it with "
            f"--annotator, as annotator in {CONFIG_NAME}, or in the environment variable USER"
        ) from error


def check_folder(folder: Path) -> None:
    """Refuse a URL in the place of a project's folder.

    Raises
    ------
    ProjectError
    """
    if found := _URL.match(str(folder)):
        # A path has lost one of the URL's slashes.
        url = f"{found[1]}://{str(folder)[found.end() :]}"
        raise ProjectError(
            f"{url}: expected a local folder, got a URL; make the project in a folder with "
            f"`hitl init PROJECT --config FILE`, where FILE says `store: {url}`"
        )


def _foreign(folder: Path, location: str | Path) -> bool:
    """Tell whether a folder holds what no `init` of a project leaves in it."""
    own: set[str] = set()
    if isinstance(location, Path):
        own = {location.relative_to(folder.resolve()).parts[0], f"{location.name}.lock"}
    held = {path.name for path in folder.iterdir()}
    begun = {name for name in held if re.fullmatch(r"\..*\.[0-9a-f]{8}\.new", name)}
    drafts = {name for name in held if name.startswith(f".{CONFIG_NAME}.")}
    if not held - own - begun - drafts:
        return isinstance(location, Path) and location.exists() and not _is_unfinished(location)
    return True


def _is_unfinished(location: str | Path) -> bool:
    """Tell whether there is a store that nothing was added to."""
    if isinstance(location, Path) and not (location.is_dir() and any(location.iterdir())):
        return False
    try:
        return len(AnnotationStore.open(location, read_only=True).log()) == 1
    except StoreError:
        return False


def store_location(folder: Path, config: ProjectConfig) -> str | Path:
    """Return where a project's store is: a folder inside it, or a URL.

    Raises
    ------
    ProjectError
        A folder outside the project.
    """
    if "://" in config.store:
        return config.store
    location = (folder / config.store).resolve()
    if not location.is_relative_to(folder.resolve()) or location == folder.resolve():
        raise ProjectError(
            f"{CONFIG_NAME}: store is {config.store!r}; "
            "expected a folder inside the project or a URL such as s3://bucket/prefix"
        )
    return location


def now() -> str:
    """Return the time, UTC, to the second, as ISO 8601."""
    return datetime.now(UTC).isoformat(timespec="seconds")


def write_text(path: Path, text: str) -> None:
    """Write a file whole or not at all."""
    write_atomically(path, text.encode())


def write_json(path: Path, data: Any) -> None:
    """Write JSON whole or not at all; NaN is refused since JSON has none."""
    write_text(path, json.dumps(data, indent=2, allow_nan=False) + "\n")


def next_numbered(parent: Path, suffix: str = "") -> Path:
    """Return the next of ``0001``, ``0002``, … (with a suffix) of `parent`, which exists then."""
    parent.mkdir(exist_ok=True)
    taken = [int(p.stem) for p in parent.glob(f"[0-9]*{suffix}") if p.stem.isdecimal()]
    return parent / f"{1 + max(taken, default=0):04d}{suffix}"

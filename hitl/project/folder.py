"""A project: one folder with its configuration, annotation store, runs and results."""

from __future__ import annotations

import getpass
import json
import re
from dataclasses import dataclass
from datetime import UTC, datetime
from pathlib import Path
from typing import Any

from annotations.store import AnnotationStore
from hitl.project.config import CONFIG_NAME, ProjectConfig, dump_config, load_config
from hitl.project.errors import ProjectError
from labels.files import write_atomically

RUN_NAME = re.compile(r"[a-z0-9]+-[0-9]{4,}")


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

        Raises
        ------
        ProjectError
            When the folder is a project already, holds other files, or cannot be written.
        """
        if (folder / CONFIG_NAME).exists():
            raise ProjectError(
                f"{folder} is a project already; use it as it is or name another folder"
            )
        if folder.exists() and (not folder.is_dir() or any(folder.iterdir())):
            raise ProjectError(f"{folder} holds other files; name a new or empty folder")
        try:
            folder.mkdir(parents=True, exist_ok=True)
            AnnotationStore.create(_store_location(folder, config))
            # The config comes last: a folder without it is not a project yet.
            write_text(folder / CONFIG_NAME, dump_config(config))
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
        if not (folder / CONFIG_NAME).is_file():
            state = "is not a project" if folder.is_dir() else "does not exist"
            raise ProjectError(f"{folder} {state}; make one with `hitl init {folder}`")
        return cls(folder, load_config(folder / CONFIG_NAME))

    def store(self, *, read_only: bool = True) -> AnnotationStore:
        """Open the project's annotation store."""
        return AnnotationStore.open(_store_location(self.folder, self.config), read_only=read_only)

    def annotator(self, name: str | None) -> str:
        """Return the name that was given, else the config's, else the account's."""
        return name or self.config.annotator or getpass.getuser()

    @property
    def runs_folder(self) -> Path:
        """Folder that holds one folder per run."""
        return self.folder / "runs"

    def new_run(self, model: str) -> Path:
        """Make and return the folder of a new run, named ``<model>-<number>``."""
        self.runs_folder.mkdir(exist_ok=True)
        taken = [int(p.name.rpartition("-")[2]) for p in self.runs_folder.glob(f"{model}-*")]
        number = max(taken, default=0) + 1
        while True:
            folder = self.runs_folder / f"{model}-{number:04d}"
            try:
                folder.mkdir()
            except FileExistsError:
                number += 1
            else:
                return folder

    def run(self, run_id: str) -> Path:
        """Return the folder of a finished run.

        Raises
        ------
        ProjectError
            When there is no such run, or it did not finish.
        """
        known = [folder.name for folder in self.finished_runs()]
        folder = self.runs_folder / run_id
        if RUN_NAME.fullmatch(run_id) is None or not folder.is_dir():
            listed = f"there are: {', '.join(known)}" if known else "train one with `hitl train`"
            raise ProjectError(f"unknown run {run_id!r}; {listed}")
        if run_id not in known:
            raise ProjectError(f"run {run_id} did not finish; train again with `hitl train`")
        return folder

    def finished_runs(self) -> list[Path]:
        """Folders of the runs that have a model card, oldest first."""
        if not self.runs_folder.is_dir():
            return []
        cards = self.runs_folder.glob("*/card.json")
        return sorted((card.parent for card in cards), key=lambda f: f.stat().st_mtime_ns)

    def evaluation_files(self) -> list[Path]:
        """Files with the scores of the project's evaluations, oldest first."""
        return sorted(self.folder.glob("evaluations/[0-9]*/scores.json"))


def _store_location(folder: Path, config: ProjectConfig) -> str | Path:
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

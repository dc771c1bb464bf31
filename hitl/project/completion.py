"""The names in a project that a shell completes; each function gets what was typed before.

A person waits for them at every press of a key: what the folder shows is read from it, and what
only the store knows is kept beside it for as long as the store's newest commit is the same.
"""

from __future__ import annotations

import contextlib
import dataclasses
import json
from collections.abc import Iterable, Mapping
from itertools import islice
from pathlib import Path
from typing import Any

from hitl.project.layout import CARD, STORE, evaluation_files, run_folders

Given = Mapping[str, Any]

KEPT = ".names.json"
"""In the project's folder: what its store knew at which commit."""

MOST_ROUNDS = 100
"""The newest are offered."""

MOST_COMMITS = 500
"""So many of the newest are looked through for people."""


def field_names(given: Given) -> Iterable[str]:
    """Return the fields, and the labels of each class where a field has several."""
    for field, classes in _kept(given)["fields"].items():
        yield field
        yield from (f"{field}:{name}" for name in classes if len(classes) > 1)


def label_names(given: Given) -> Iterable[str]:
    """Return the fields of one class, and the labels of each class of the others."""
    for field, classes in _kept(given)["fields"].items():
        yield from [field] if len(classes) == 1 else (f"{field}:{name}" for name in classes)


def class_names(given: Given) -> Iterable[str]:
    """Return the classes of all fields."""
    return dict.fromkeys(name for names in _kept(given)["fields"].values() for name in names)


def annotators(given: Given) -> Iterable[str]:
    """Return the people who have made a round."""
    return list(_kept(given)["annotators"])


def round_numbers(given: Given) -> Iterable[str]:
    """Return the numbers of the newest rounds."""
    from annotations.durability.refs import tag_names
    from annotations.rounds import round_of_tag

    found = map(round_of_tag, tag_names(_folder(given) / STORE))
    numbers = sorted(number for number in found if number is not None)
    return map(str, numbers[-MOST_ROUNDS:])


def run_names(given: Given) -> Iterable[str]:
    """Return the finished runs."""
    return [run.name for run in run_folders(_folder(given)) if (run / CARD).is_file()]


def model_names(given: Given) -> Iterable[str]:
    """Return the finished runs, and the segmenters that need none."""
    from models.registry import models_with

    return [*run_names(given), *models_with("segmenter")]


def evaluation_numbers(given: Given) -> Iterable[str]:
    """Return the numbers of the evaluations."""
    return [file.parent.name for file in evaluation_files(_folder(given))]


def removable_names(given: Given) -> Iterable[str]:
    """Return what `hitl remove` takes."""
    runs = (run.name for run in run_folders(_folder(given)))
    return [*_kept(given)["fields"], *runs, *evaluation_numbers(given)]


def config_names(given: Given) -> Iterable[str]:
    """Return the shipped configurations."""
    from hitl.project.presets import preset_names

    return preset_names()


def trainer_names(given: Given) -> Iterable[str]:
    """Return the trainable models."""
    from models.registry import models_with

    return models_with("trainer")


def every_model(given: Given) -> Iterable[str]:
    """Return all models."""
    from models.registry import MODELS

    return MODELS


def setting_keys(given: Given) -> Iterable[str]:
    """Return the options of the model that was named, each to be followed by a value."""
    from models.registry import segmenter_class, trainer_class

    cls: Any
    if given.get("model"):
        cls = trainer_class(given["model"])
    else:
        cls = segmenter_class(given.get("segmenter") or _first_segmenter(given))
    return (f"{item.name}=" for item in dataclasses.fields(cls))


def _first_segmenter(given: Given) -> str:
    """Return what makes the first labels; the starter where the machine decides."""
    from hitl.project.config import CONFIG_NAME, load_config

    if not given.get("project"):
        return "starter"
    name = load_config(_folder(given) / CONFIG_NAME).bootstrap.segmenter
    return "starter" if name == "auto" else name


def _folder(given: Given) -> Path:
    """Return the project's folder as it was typed; no shell has replaced the ~ yet."""
    return Path(given["project"]).expanduser()


def _kept(given: Given) -> dict[str, Any]:
    """Return what the store knows, without reading it where its newest commit is a known one."""
    from annotations.durability.refs import branch_file, read_ref
    from labels.json_files import read_json

    folder = _folder(given)
    head = branch_file(folder / STORE)
    newest = read_ref(head) if head.is_file() else None
    with contextlib.suppress(OSError, ValueError, KeyError, TypeError):
        known: dict[str, Any] = read_json(folder / KEPT)
        if known["newest"] == newest is not None:
            return known
    known = {"newest": newest, **_read(folder)}
    if newest is not None:
        # Where the project cannot be written, the store is read each time.
        with contextlib.suppress(OSError):
            _write(folder / KEPT, known)
    return known


def _read(folder: Path) -> dict[str, Any]:
    """Return what the store of a local project knows; a distant one is not asked at every key."""
    from hitl.project.folder import OF_MODELS, Project, store_location

    project = Project.open(folder)
    if not isinstance(store_location(folder, project.config), Path):
        return {"fields": {}, "annotators": []}
    store = project.store()
    rounds = [each for each in islice(store.entries(), MOST_COMMITS) if each.round is not None]
    authors = {each.author for each in rounds if each.author is not None}
    return {
        "fields": {info.name: [each.name for each in info.classes] for info in store.fields()},
        "annotators": sorted(name for name in authors if not name.startswith(OF_MODELS)),
    }


def _write(file: Path, known: Mapping[str, Any]) -> None:
    from labels.files import write_atomically

    write_atomically(file, json.dumps(known).encode())

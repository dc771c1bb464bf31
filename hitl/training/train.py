"""One training run: samples in, a run folder with weights, curves, config and model card out."""

from __future__ import annotations

import importlib.metadata
import platform
import shutil
import time
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from hitl import __version__
from hitl.project.config import trainer_options
from hitl.project.folder import Project, now, write_text
from hitl.project.records import write_record
from hitl.project.reporter import Reporter
from hitl.project.yaml_text import dump_yaml
from hitl.training.held_out import WHOLE_OBJECTS
from hitl.training.preflight import told_first
from hitl.training.samples import TrainingSet, collect_samples
from labels.hashing import file_sha256
from labels.numbers import number_of, spans
from models.base import TrainingResult
from models.registry import one_channel, spec_of, trainer_class
from models.runfolder import STARTER

CONFIG_FILE = "config.yaml"
"""All that a run was asked for."""

PACKAGES = ("numpy", "scikit-image", "zarr", "icechunk")
"""What a card names the versions of, besides the packages that models need."""


@dataclass(frozen=True)
class Trained:
    """A finished run.

    Parameters
    ----------
    run : str
        The run's id.
    folder : Path
    epochs, best_epoch, steps : int
    validation : mapping of str to float
    seconds : float
    """

    run: str
    folder: Path
    epochs: int
    best_epoch: int
    steps: int
    validation: dict[str, float]
    seconds: float


def train(
    project: Project,
    model: str,
    settings: dict[str, Any],
    fields: tuple[str, ...],
    reporter: Reporter,
    classes: tuple[str, ...] = (),
) -> Trained:
    """Train `model` on the project's labels.

    Raises
    ------
    UnknownModelError, ConfigError
        No such model or option.
    LeakageError, NothingToDoError
        See `collect_samples`.
    TrainingDataError, TrainingDivergedError
        See `models.base.Trainer`.
    """
    options = trainer_options(project.config, model, resolve_base(project, settings))
    # Options that do not go together are refused before a folder is made.
    trainer_class(model)(**options)
    data = collect_samples(
        project.store(), project.config, fields, reporter, classes, one_channel=one_channel(model)
    )
    reporter.note(told_first(data))
    folder = project.new_run(model)
    try:
        return train_into(folder, project, model, options, data, reporter)
    except BaseException:
        # Refused or stopped before anything was learned: no run that people would read of.
        if {path.name for path in folder.iterdir()} <= {CONFIG_FILE}:
            shutil.rmtree(folder)
        raise


def train_into(
    folder: Path,
    project: Project,
    model: str,
    options: dict[str, Any],
    data: TrainingSet,
    reporter: Reporter,
) -> Trained:
    """Train in a run's folder, which is empty or holds an interrupted training of the same.

    Parameters
    ----------
    folder : Path
    project : Project
    model : str
    options : mapping
        All options of the trainer, as `hitl.project.config.trainer_options` gives them.
    data : TrainingSet
    reporter : Reporter

    Raises
    ------
    TrainingDataError, TrainingDivergedError
        See `models.base.Trainer`.
    """
    config = {
        "model": model,
        "options": options,
        "preprocess": {
            name: [step.model_dump(mode="json") for step in project.config.steps_of(name)]
            for name in data.classes
        },
        "validation_share": project.config.training.validation_share,
        "held_out": WHOLE_OBJECTS,
    }
    trainer = trainer_class(model)(**options)
    write_text(folder / CONFIG_FILE, dump_yaml(config))
    started = time.monotonic()
    result = trainer.train(data.train, data.val, folder, progress=reporter.progress)
    seconds = time.monotonic() - started
    for note in result.notes:
        reporter.note(note)
    card = _card(folder, config, data, result, seconds)
    write_text(folder / "MODEL_CARD.md", _card_text(card))
    # Last of all: a folder without this file is a run that did not finish.
    write_record(folder / "card.json", card)
    return Trained(
        folder.name,
        folder,
        result.epochs,
        result.best_epoch,
        result.steps,
        dict(result.validation),
        round(seconds, 1),
    )


def resolve_base(project: Project, settings: dict[str, Any]) -> dict[str, Any]:
    """Let `base_run` be a run's id as well as a folder, or the shipped starter."""
    base = settings.get("base_run")
    if isinstance(base, str) and base != STARTER and not Path(base).is_dir():
        return {**settings, "base_run": str(project.run(base))}
    return settings


def _card(
    folder: Path,
    config: dict[str, Any],
    data: TrainingSet,
    result: TrainingResult,
    seconds: float,
) -> dict[str, Any]:
    return {
        "run": folder.name,
        "model": config["model"],
        "made": now(),
        "weights": result.weights.relative_to(folder).as_posix(),
        "weights_sha256": file_sha256(result.weights),
        "base": result.base,
        "licence": result.licence,
        "classes": list(data.classes),
        "channels": data.train[0].image.shape[0],
        "trained_on": list(data.sources),
        "round": data.round,
        "verified_voxels_only": data.verified_only,
        "seed": config["options"].get("seed"),
        "epochs": result.epochs,
        "steps": result.steps,
        "best_epoch": result.best_epoch,
        "validation": dict(result.validation),
        "seconds": round(seconds, 1),
        "config": config,
        "notes": list(result.notes),
        "versions": {
            "hitl": __version__,
            "python": platform.python_version(),
            **{name: _installed(name) for name in (*PACKAGES, *spec_of(config["model"]).needs)},
        },
    }


def _installed(package: str) -> str | None:
    """Return a package's version, None where it is not installed: no model needs all of them."""
    try:
        return importlib.metadata.version(package)
    except importlib.metadata.PackageNotFoundError:
        return None


def _card_text(card: dict[str, Any]) -> str:
    sources = "\n".join(
        f"| {s['field']} | {s['class']} | {spans(s['times'])} | {s['split']} | {s['objects']} "
        f"| {s['verified_share']:.0%} | `{(s['source_sha256'] or '')[:12]}` |"
        for s in card["trained_on"]
    )
    values = "\n".join(f"- {key}: {value:.4f}" for key, value in card["validation"].items())
    epochs, steps = number_of(card["epochs"], "epoch"), number_of(card["steps"], "step")
    counted = (
        "verified voxels only"
        if card["verified_voxels_only"]
        else "proposals that no person has verified"
    )
    versions = ", ".join(
        f"{name} {version}" for name, version in card["versions"].items() if version
    )
    return f"""# {card["run"]}

A {card["model"]} model that segments {", ".join(card["classes"])}.

- Made: {card["made"]}, {epochs} (best: {card["best_epoch"]}) of {steps} in {card["seconds"]} s
- Weights: `{card["weights"]}`, sha256 `{card["weights_sha256"]}`
- Started from: {card["base"]}
- Licence: {card["licence"]}
- Seed: {card["seed"]}
- Labels: round {card["round"]}, {counted}

## Trained on

| field | class | times | split | objects | verified | sha256 of the file |
|---|---|---|---|---|---|---|
{sources}

## Validation

{values or "None: there was no time to judge an epoch."}

## Made with

{versions}
"""

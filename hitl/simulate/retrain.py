"""A model trained on what the oracle has corrected so far, whose proposals fill the rest."""

from __future__ import annotations

import math
import tempfile
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import numpy as np
from numpy.typing import NDArray

from annotations.fields import LabelsInfo
from annotations.objects import ObjectTable, Status
from hitl.labelling.merge import merge_proposal
from hitl.preprocess.pipeline import preprocess, steps_for
from hitl.project.config import CONFIG_NAME, trainer_options
from hitl.project.folder import Project
from hitl.project.processing import PreprocessStep
from hitl.project.reporter import Reporter
from hitl.simulate.oracle import Bench
from models.base import TrainingSample
from models.registry import load_run, trainer_class

SHELL_UM_SHARE = 0.15
"""Background within this share of a usual diameter around a drawn object counts as seen."""


@dataclass(frozen=True)
class ModelRetraining:
    """Trains from scratch after each round on all that is corrected, and proposes anew.

    Parameters
    ----------
    model : str
        Name in the registry.
    options : mapping
        All of its options.
    steps : tuple of preprocessing steps
    reporter : Reporter
    """

    model: str
    options: Mapping[str, Any]
    steps: tuple[PreprocessStep, ...]
    reporter: Reporter

    @classmethod
    def of_project(
        cls,
        project: Project,
        model: str,
        settings: Mapping[str, Any],
        reporter: Reporter,
        info: LabelsInfo,
    ) -> ModelRetraining:
        """Take options, and the preprocessing of labels, from a project's config.

        Raises
        ------
        ConfigError, UnknownModelError
            No such option or model.
        PreprocessError
            A projection that the labels do not have.
        """
        options = trainer_options(project.config, model, settings)
        steps = steps_for(project.config.steps_of(info.class_name), info, CONFIG_NAME)
        return cls(model, options, steps, reporter)

    def __call__(self, benches: Sequence[Bench], seed: int) -> None:
        """Train on the benches' corrections and replace what is not settled on each.

        Raises
        ------
        TrainingDataError, TrainingDivergedError
            As the trainer.
        """
        samples = [self._sample(bench) for bench in benches if bench.drawn]
        if not samples:
            self.reporter.note("nothing is drawn yet: keeps the labels that there are")
            return
        trainer = trainer_class(self.model)(**{**self.options, "seed": seed})
        with tempfile.TemporaryDirectory() as name:
            folder = Path(name)
            trainer.train(samples, samples, folder, progress=self.reporter.progress)
            segmenter = load_run(self.model, folder)
            for bench in benches:
                image = preprocess(self.steps, bench.case.image[None])
                found = segmenter.segment(image, bench.case.spacing_um)
                self._propose(bench, found.labels, found.confidence)

    def _sample(self, bench: Bench) -> TrainingSample:
        case = bench.case
        return TrainingSample(
            case.name,
            preprocess(self.steps, case.image[None]),
            np.where(bench.checked, bench.labels, 0).astype(np.uint32),
            bench.checked | _shell(bench),
            case.spacing_um,
        )

    def _propose(
        self, bench: Bench, labels: NDArray[np.uint32], confidence: Mapping[int, float]
    ) -> None:
        rows = ObjectTable.make(
            [*sorted(bench.settled), *bench.open_objects()],
            status=[Status.CORRECTED] * len(bench.settled)
            + [Status.PROPOSED] * len(bench.open_objects()),
            origin="person:oracle",
        )
        merged, table = merge_proposal(
            bench.labels,
            bench.checked.astype(np.uint8),
            rows,
            labels,
            confidence,
            f"model:{self.model}",
            0,
        )
        rated = dict(zip(table.id.tolist(), table.confidence.tolist(), strict=True))
        bench.replace_labels(merged, rated)


def _shell(bench: Bench) -> NDArray[np.bool_]:
    """Return the true background right around what the oracle has drawn."""
    import edt

    case = bench.case
    drawn = np.isin(bench.labels, list(bench.settled))
    volume = np.count_nonzero(drawn) / max(len(bench.settled), 1) * math.prod(case.spacing_um)
    reach = max(SHELL_UM_SHARE * (6 / math.pi * volume) ** (1 / 3), min(case.spacing_um))
    away = edt.edt(~drawn, anisotropy=case.spacing_um, black_border=False)
    return np.asarray((away <= reach) & (case.truth == 0) & (bench.labels == 0))

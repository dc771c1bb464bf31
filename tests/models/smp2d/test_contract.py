"""What every model keeps, 2D networks too."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import pytest
from numpy.typing import NDArray

from models.smp2d import SMP2DTrainer
from models.tensors import WEIGHTS_FILE, read_tensors
from tests.models.contract import TrainerContract
from tests.models.smp2d.cells import QUICK


class TestContract(TrainerContract):
    model = "smp2d"
    learner = "models.smp2d.learner:SMPLearner"
    steps_per_epoch = 2

    @pytest.fixture(scope="class")
    @classmethod
    def trainer(cls) -> SMP2DTrainer:
        return SMP2DTrainer(**QUICK)

    def weights(self, folder: Path) -> list[NDArray[Any]]:
        found = read_tensors(folder / WEIGHTS_FILE)
        return [found[name].float().numpy() for name in sorted(found)]

"""The toy keeps what every model keeps."""

from __future__ import annotations

from collections.abc import Iterator
from pathlib import Path
from typing import Any

import numpy as np
import pytest
from numpy.typing import NDArray

from models.registry import MODELS
from tests.models.contract import TrainerContract
from tests.models.toy import SPEC, ToyTrainer, threshold_of


@pytest.fixture(scope="module")
def trainer() -> Iterator[ToyTrainer]:
    with pytest.MonkeyPatch.context() as patch:
        patch.setitem(MODELS, "toy", SPEC)
        yield ToyTrainer()


class TestToy(TrainerContract):
    model = "toy"
    learner = "tests.models.toy:ToyLearner"

    def weights(self, folder: Path) -> list[NDArray[Any]]:
        return [np.array(threshold_of(folder))]

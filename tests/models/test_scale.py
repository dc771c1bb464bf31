"""Fields with objects of unlike sizes are learned at one size, each brought there by its labels."""

from __future__ import annotations

import json
from dataclasses import replace
from pathlib import Path

import numpy as np
import pytest

from models.base import TrainingSample
from models.objects import median_diameter
from models.registry import part_of, trainer_class
from models.scale import of_one_size
from tests.models.unet3d.volumes import sample

SMALL = (0.5, 0.25, 0.25)
"""The same voxels as in stacks of (2, 1, 1) µm hold nuclei of a quarter of the size."""


def masked(one: TrainingSample, objects: int) -> TrainingSample:
    """Leave so many objects verified."""
    ids = np.unique(one.labels)[1 : objects + 1]
    return replace(one, mask=np.isin(one.labels, ids))


def seen(samples: list[TrainingSample]) -> list[float]:
    return [median_diameter(s.labels, s.spacing_um, s.mask) or 0.0 for s in samples]


def test_each_field_is_brought_to_the_size_of_all_by_its_own_labels() -> None:
    notes: list[str] = []
    fields = [sample("a", 0), sample("b", 1, spacing_um=SMALL)]
    small = sample("b (held out)", 1, spacing_um=SMALL)
    alike = of_one_size(fields, [replace(masked(small, 5), field="b")], notes)
    assert alike.diameter_um == pytest.approx(np.mean(seen(fields)))
    assert seen(alike.train) == pytest.approx([alike.diameter_um] * 2)
    # What is held out of a field has its scale, whatever its own labels say.
    assert alike.val[0].spacing_um == pytest.approx(alike.train[1].spacing_um)
    assert [round(z / y, 6) for z, y, _ in (s.spacing_um for s in alike.train)] == [2.0, 2.0]
    assert "in a" in notes[0] and "in b" in notes[0] and "by their labels" in notes[0]


def test_a_field_of_nearly_that_size_stays_as_it_is() -> None:
    notes: list[str] = []
    fields = [sample("a", 0), sample("b", 1, spacing_um=(2.2, 1.1, 1.1))]
    assert of_one_size(fields, [], notes).train == fields and not notes


def test_too_few_objects_take_the_size_of_the_others() -> None:
    notes: list[str] = []
    fields = [sample("a", 0), sample("b", 1, spacing_um=SMALL), masked(sample("few", 2), 2)]
    alike = of_one_size(fields, [], notes)
    assert alike.diameter_um == pytest.approx(np.mean(seen(fields[:2])))
    assert alike.train[2].spacing_um == fields[2].spacing_um
    assert "few" in notes[1] and "too few" in notes[1]
    only = of_one_size([masked(f, 2) for f in fields], [], notes)
    assert [s.spacing_um for s in only.train] == [f.spacing_um for f in fields] and len(notes) == 2


OPTIONS = {
    "unet3d": {"features": (2, 4), "steps_per_epoch": 1, "threads": 1, "precision": "fp32"},
    "stardist3d": {
        "unet_n_depth": 1, "unet_n_filter_base": 2, "net_conv_after": 2, "n_rays": 8,
        "steps_per_epoch": 1,
    },
}  # fmt: skip


@pytest.mark.parametrize("model", ["unet3d", pytest.param("stardist3d", marks=pytest.mark.slow)])
def test_a_run_says_at_which_size_it_learned_all_fields(model: str, tmp_path: Path) -> None:
    pytest.importorskip({"unet3d": "torch", "stardist3d": "stardist"}[model])
    fields = [sample("a", 0), sample("b", 1, spacing_um=SMALL)]
    trainer = trainer_class(model)(**OPTIONS[model], epochs=1, batch_size=1, logger="csv")
    result = trainer.train(fields, [sample("c", 2)], tmp_path / "run")
    assert any("learned as objects of" in note for note in result.notes)
    file = json.loads((tmp_path / "run" / "model.json").read_text())
    assert file["diameter_um"] == pytest.approx(np.mean(seen(fields)), rel=0.1)
    # The nuclei of both have as many voxels, so that neither is resampled.
    assert file["diameter_um"] / file["spacing_um"][1] == pytest.approx(seen(fields)[0], rel=0.1)
    part_of(model, "run")(tmp_path / "run")

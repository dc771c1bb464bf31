"""A run sees each field at the size of objects that it learned: told, as in training, or shown."""

from __future__ import annotations

from dataclasses import replace
from pathlib import Path
from typing import Any

import numpy as np
import pytest

from models.errors import ImageError
from models.field_size import FieldSize, KnownSizes, choose_size, shown_share
from models.registry import load_run, trainer_class
from models.scarce_memory import work_of_resampling
from tests.models.unet3d.volumes import SPACING, nuclei

FINE = (0.4, 0.2, 0.2)
NOISE = np.random.default_rng(0).normal(100, 10, (1, 12, 48, 48))
DIAMETER = 10.0
SHAPE = (16, 96, 96)
IMAGE = nuclei(0, SHAPE, count=60)[0][None]
SHARE = shown_share([(IMAGE, SPACING, DIAMETER)])
LEARNED = KnownSizes((FieldSize(SPACING, DIAMETER), FieldSize(FINE, 3.0)), SHARE)


def chosen(
    image: Any, spacing: Any, given: float | None = None, sizes: KnownSizes = LEARNED
) -> Any:
    return choose_size(DIAMETER, sizes, image, spacing, given)


def test_a_given_size_goes_before_all_others() -> None:
    found = chosen(IMAGE, SPACING, 20.0)
    assert found.spacing_um == (1.0, 0.5, 0.5) and found.by_objects
    assert chosen(IMAGE, SPACING, 11.0).spacing_um == SPACING
    with pytest.raises(ImageError, match=r"diameter_um=0\.01"):
        chosen(IMAGE, SPACING, 0.01)


def test_the_voxel_size_of_a_training_field_brings_its_scale_where_the_image_tells_nothing() -> (
    None
):
    assert chosen(NOISE, SPACING).spacing_um == SPACING
    found = chosen(NOISE, FINE)
    assert found.spacing_um == pytest.approx([step * 10 / 3 for step in FINE])
    assert found.by_objects and not found.notes


def test_another_voxel_size_of_the_same_nuclei_is_seen_in_the_image_and_told() -> None:
    spacing = (12.0, 6.0, 6.0)
    found = chosen(IMAGE, spacing)
    assert found.spacing_um == pytest.approx(SPACING, rel=0.01) and found.by_objects
    assert "objects are taken to be 60 µm across (from the image)" in found.notes[0]
    assert "give diameter_um" in found.notes[0]
    # What an image shows otherwise than labels say is made up for.
    double = replace(LEARNED, shown=2 * (SHARE or 0))
    assert chosen(IMAGE, spacing, sizes=double).spacing_um == pytest.approx((4, 2, 2), rel=0.01)
    unsure = chosen(NOISE, spacing)
    assert unsure.spacing_um == spacing and not unsure.by_objects


def test_images_that_show_other_sizes_than_labels_do_not_tell() -> None:
    told = [(IMAGE, SPACING, DIAMETER), (IMAGE, SPACING, DIAMETER / 2)]
    assert 0.9 < (SHARE or 0) < 1.1 and shown_share(told) is None
    untold = replace(LEARNED, shown=None)
    # Fields like those of the training keep their scale; of others only the image tells.
    assert chosen(IMAGE, FINE, sizes=untold).spacing_um == chosen(NOISE, FINE).spacing_um
    assert chosen(IMAGE, (12.0, 6.0, 6.0), sizes=untold).by_objects


def test_a_voxel_size_alone_never_asks_for_hundreds_of_times_the_voxels() -> None:
    shape, large = (51, 120, 122), (306, 720, 732)
    with pytest.raises(ImageError) as refusal:
        work_of_resampling(shape, large, by_objects=False)
    told = str(refusal.value)
    for part in ("216 times", "minutes", "GiB", "prediction.diameter_um", "--set diameter_um="):
        assert part in told
    assert "216 times" in work_of_resampling(shape, large, by_objects=True)[0]
    assert work_of_resampling(shape, (51, 150, 150), by_objects=False) == ()
    assert "8 times" in work_of_resampling((10, 10, 10), (20, 20, 20), by_objects=False)[0]


SLOW = [pytest.param(name, marks=pytest.mark.slow) for name in ("stardist3d", "stardist2d")]


@pytest.mark.parametrize("model", ["unet3d", *SLOW])
def test_a_run_finds_the_same_nuclei_whatever_their_size(model: str, tmp_path: Path) -> None:
    pytest.importorskip("torch" if model == "unet3d" else "stardist")
    from tests.models.test_scale import OPTIONS
    from tests.models.unet3d.volumes import sample

    one = sample("a", 0, shape=SHAPE, count=60)
    trainer = trainer_class(model)(
        **OPTIONS[model.replace("2d", "3d")], epochs=1, batch_size=1, logger="csv"
    )
    trainer.train([one], [one], tmp_path)
    run: Any = load_run(model, tmp_path)
    usual = run.segment(one.image, SPACING)
    large = (3 * SPACING[0], 3 * SPACING[1], 3 * SPACING[2])
    known = run.describe()["learned_diameter_um"]
    for other in (replace(run, diameter_um=3 * known), run):
        found = other.segment(one.image, large)
        np.testing.assert_array_equal(found.labels, usual.labels)
    assert any("from the image" in note for note in found.notes)
    with pytest.raises(ImageError, match="only because the voxel size"):
        run.segment(np.random.default_rng(0).normal(9, 1, (1, 51, 120, 122)), (12.0, 6.0, 6.0))

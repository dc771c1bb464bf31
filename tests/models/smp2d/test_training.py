"""Classes apart, pooled and overlapping; scenes, patches, stacks, resuming, and what is refused."""

from __future__ import annotations

from dataclasses import replace
from pathlib import Path
from typing import Any

import numpy as np
import pytest

from models.errors import ImageError, ModelError, TrainingDataError
from models.smp2d import load_run
from models.smp2d.architecture import Output
from models.smp2d.patches import PatchSampler, prepare
from models.smp2d.scenes import join, plan_outputs
from models.unet3d.augment import Augmentation
from tests.models.smp2d.cells import SPACING, cells, samples, train

PLAIN = Augmentation(flip=False, rotate="none", elastic_px=0, intensity=False)


def test_both_classes_are_learned_by_one_network(tmp_path: Path) -> None:
    result = train(
        tmp_path, [*samples(0), *samples(1)], epochs=6, steps_per_epoch=8, learning_rate=0.01
    )
    assert "learns nucleus, cytoplasm as one class for each pixel (softmax)" in result.notes
    assert min(result.validation[f"dice_{name}"] for name in ("nucleus", "cytoplasm")) > 0.7
    run, (image, nuclei, cytoplasm) = load_run(tmp_path), cells(5)
    found = run.of_class("nucleus").segment(image, SPACING)
    assert found.labels.max() == 4 and set(found.confidence) == {1, 2, 3, 4}
    for name, truth in (("nucleus", nuclei), ("cytoplasm", cytoplasm)):
        inside = run.of_class(name).segment(image, SPACING).labels > 0
        assert 2 * (inside & (truth > 0)).sum() / (inside.sum() + (truth > 0).sum()) > 0.7
    with pytest.raises(ModelError, match=r"tells apart, nucleus, cytoplasm, got golgi.*--class"):
        run.of_class("golgi")
    with pytest.raises(ModelError, match="got none; name one with --class"):
        run.segment(image, SPACING)
    with pytest.raises(ImageError, match="takes 3 channels, got 4"):
        run.of_class("nucleus").segment(np.concatenate([image, image[:1]]), SPACING)


def planned(given: list[Any], classes: Any = "auto") -> tuple[list[str], str, list[str]]:
    notes: list[str] = []
    outputs, activation = plan_outputs(given, classes, notes)
    return [output.name for output in outputs], activation, notes


def test_how_classes_are_learned_follows_from_the_labels() -> None:
    nucleus, cytoplasm = samples()
    assert planned([nucleus]) == ([""], "sigmoid", [])
    assert planned([nucleus, cytoplasm])[1] == "softmax"
    whole = replace(cytoplasm, labels=np.maximum(cytoplasm.labels, nucleus.labels > 0))
    names, activation, (told,) = planned([nucleus, whole])
    assert (names, activation) == (["nucleus", "cytoplasm"], "sigmoid")
    assert told.endswith("(sigmoid) because classes overlap in 'cells0'")
    with pytest.raises(
        TrainingDataError, match="classes overlap in 'cells0'; take classes=sigmoid"
    ):
        planned([nucleus, whole], "softmax")
    partly = replace(cytoplasm, mask=cytoplasm.labels > 0)
    assert planned([nucleus, partly])[1] == "sigmoid"
    # The field of one class alone leaves the other unknown there.
    assert planned([nucleus, cytoplasm, samples(1)[0]])[1] == "sigmoid"
    with pytest.raises(TrainingDataError, match=r"one kind of labels.*cytoplasm \(area\)"):
        planned([nucleus, cytoplasm], "pooled")
    elsewhere = replace(nucleus, class_name="gfp", image=255 - nucleus.image)
    assert planned([nucleus, elsewhere]) == ([""], "sigmoid", [])
    with pytest.raises(TrainingDataError, match="expected classes of the same images"):
        planned([nucleus, elsewhere], "sigmoid")


@pytest.mark.parametrize("loss", ["wce", "tversky", "binary_focal"])
def test_overlapping_classes_and_other_losses(tmp_path: Path, loss: str) -> None:
    result = train(tmp_path, samples(), classes="sigmoid", loss=loss, epochs=1)
    assert np.isfinite(list(result.validation.values())).all()


def test_what_nobody_knows_is_not_learned() -> None:
    nucleus, cytoplasm = samples()
    known = np.zeros(nucleus.mask.shape, bool)
    known[:, :, :32] = True
    outputs = [Output("nucleus", "instances"), Output("cytoplasm", "area")]
    scenes = join([replace(nucleus, mask=known), cytoplasm, samples(1)[0]], outputs)
    first, second = (prepare(scene, outputs, SPACING, (0, 100)) for scene in scenes)
    assert first.targets.known[0].sum() == 64 * 32 and first.targets.known[1].all()
    assert not first.labels[0, :, :, 32:].any() and not second.targets.known[1].any()
    sampler = PatchSampler(
        [first, second], (32, 96), batch_size=8, object_share=0.5, augmentation=PLAIN, seed=3
    )
    batch = sampler.batch(7)
    assert batch.image.shape == (8, 3, 32, 96) and batch.targets.distance.shape == (8, 1, 32, 96)
    # A patch that is wider than the image is reflected there, and nothing is learned from that.
    assert not batch.targets.known[:, :, :, :16].any() and batch.image[:, :, :, :16].std() > 0
    again = sampler.batch(7)
    assert np.array_equal(batch.image, again.image) and len(batch.part(2, 3)) == 3
    assert np.array_equal(batch.part(2, 3).targets.inside, batch.targets.inside[2:5])


def test_a_stack_is_learned_and_segmented_slice_by_slice(tmp_path: Path) -> None:
    nucleus, _ = samples(depth=3, channels=1)
    train(tmp_path, [nucleus], epochs=5, steps_per_epoch=6, learning_rate=0.01, patch_size=(64, 64))
    image, *_ = cells(4, depth=4, channels=1)
    found = load_run(tmp_path).segment(image, SPACING).labels
    assert np.array_equal(np.unique(found), range(5)), "an object has one id in all slices"
    assert all(len(np.unique(plane)) == 5 for plane in found)
    # A voxel size twice as fine: the slices are brought to the network's pixels and back.
    fine = np.repeat(np.repeat(image, 2, 2), 2, 3)
    finer = load_run(tmp_path).segment(fine, (2.0, 0.25, 0.25))
    assert finer.labels.shape == (4, 128, 128) and finer.labels.max() == 4
    assert any("resampled from" in note for note in finer.notes)


def test_a_base_of_other_classes_is_refused(tmp_path: Path) -> None:
    given = samples()
    train(tmp_path / "base", given, epochs=1)
    with pytest.raises(
        ModelError, match=r"nucleus \(instances\), cytoplasm \(area\) in 3 channels"
    ):
        train(tmp_path / "other", given[:1], base_run=str(tmp_path / "base"))


def test_what_cannot_be_learned_from_is_refused_in_a_line(tmp_path: Path) -> None:
    nucleus, cytoplasm = samples()
    none = replace(cytoplasm, labels=np.zeros_like(cytoplasm.labels))
    cases = [
        ([nucleus, none], "at least one label of class cytoplasm"),
        ([replace(nucleus, mask=~nucleus.mask)], "voxels that may be learned from"),
        ([replace(nucleus, image=np.full_like(nucleus.image, 7))], "every voxel has the value 7"),
        ([nucleus, samples(1, channels=4)[0]], "as many channels in every training stack"),
        ([], "at least one training image"),
    ]
    for given, told in cases:
        with pytest.raises((TrainingDataError, ImageError), match=told) as caught:
            train(tmp_path, given)
        assert "\n" not in str(caught.value)
    assert not list(tmp_path.iterdir())


def test_a_patch_at_a_time_and_a_patch_of_one_pixel_at_the_bottom(tmp_path: Path) -> None:
    result = train(tmp_path, samples(), arch="deeplabv3plus", batch_size=1, epochs=1)
    assert result.epochs == 1

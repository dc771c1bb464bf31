"""StarDist 3D for real, on volumes of a few thousand voxels."""

from __future__ import annotations

import dataclasses
import json
import shutil
import subprocess
import sys
import typing

import numpy as np
import pytest
from safetensors.numpy import load_file

from models import runfolder
from models.base import Segmenter, Trainer, TrainingSample
from models.curves import read_curves
from models.errors import (
    CheckpointError,
)
from models.objects import NOMINAL_DIAMETER, NOMINAL_SPACING, spacing_for
from models.registry import load_run, trainer_class
from models.stardist3d import StarDist3DTrainer, objects, plan, segmenter, training
from models.stardist3d.fitting import StarDistLearner
from models.stardist3d.runfolder import (
    SLIM_WEIGHTS,
    RunSettings,
    export_run,
    read_settings,
    write_settings,
)
from models.stardist3d.runtime import import_stardist
from models.stardist3d.samples import Normalisation, prepare
from tests.models.contract import TrainerContract
from tests.models.stardist3d.test_samples import SPACING, balls, sample
from tests.models.stardist3d.tiny_stardist import tiny_network

TINY = {
    "n_rays": 8,
    "unet_n_depth": 1,
    "unet_n_filter_base": 4,
    "net_conv_after": 8,
    "epochs": 2,
    "steps_per_epoch": 3,
    "batch_size": 2,
    "patch_size": (8, 24, 24),
    "precision": "fp32",
    "logger": "csv",
}
ONE_STEP = TINY | {"epochs": 1, "steps_per_epoch": 1}


@pytest.fixture(scope="module")
def run(tmp_path_factory):
    """A finished tiny run: its folder, its result and the progress it reported."""
    folder = tmp_path_factory.mktemp("runs") / "first"
    calls = []
    result = StarDist3DTrainer(**TINY).train(
        [sample()], [sample(name="b", seed=1)], folder, progress=lambda *call: calls.append(call)
    )
    return folder, result, calls


class TestContract(TrainerContract):
    model = "stardist3d"
    learner = "models.stardist3d.fitting:StarDistLearner"
    same_within = 1e-5
    repeats = False

    @pytest.fixture(scope="class")
    @classmethod
    def finished(cls, run):
        return run[:2]

    @pytest.fixture(scope="class")
    @classmethod
    def trainer(cls):
        return StarDist3DTrainer(**TINY)

    @classmethod
    def data(cls):
        return [sample()], [sample(name="b", seed=1)]

    def weights(self, folder):
        return load_run("stardist3d", folder).network.keras_model.get_weights()


def test_import_is_cheap():
    heavy = ("tensorflow", "numba", "scipy.ndimage")
    code = f"import models.stardist3d, sys; print([m for m in {heavy} if m in sys.modules])"
    out = subprocess.run([sys.executable, "-c", code], capture_output=True, text=True, check=True)
    assert out.stdout.strip() == "[]"


def test_options_can_be_read_by_a_config_schema():
    hints = typing.get_type_hints(trainer_class("stardist3d"), include_extras=True)
    assert set(hints) == set(StarDist3DTrainer.__dataclass_fields__)
    assert isinstance(StarDist3DTrainer(), Trainer)


def test_run_folder_has_csbdeeps_layout_and_curves(run):
    folder, result, calls = run
    for name in ("config.json", "thresholds.json", "weights_best.h5", "last.safetensors"):
        assert (folder / name).is_file()
    rows = read_curves(folder)
    assert [row["epoch"] for row in rows] == [1, 2] and np.isfinite([*rows[1].values()]).all()
    assert list(rows[1]) == [
        "epoch", "train_loss", "train_prob_loss", "train_dist_loss",
        "val_loss", "val_prob_loss", "val_dist_loss", "lr", "seconds",
    ]  # fmt: skip
    assert result.weights == folder / "weights_best.h5" and result.epochs == 2
    best = min(row["val_loss"] for row in rows)
    assert result.validation["loss"] == pytest.approx(best, rel=1e-5)
    assert (5, 6) in {call[:2] for call in calls}


def test_loaded_run_predicts_as_the_same_weights_in_stock_stardist(run):
    folder, _, _ = run
    loaded = segmenter.load_run(folder, precision="fp32")
    assert isinstance(loaded, Segmenter)
    stock = import_stardist().models.StarDist3D(None, name=folder.name, basedir=str(folder.parent))
    image = loaded.settings.normalisation.apply(sample().image[0])
    for mine, theirs in zip(loaded.network.predict(image), stock.predict(image), strict=True):
        np.testing.assert_array_equal(mine, theirs)
    assert loaded.network.thresholds == stock.thresholds
    described = json.loads(json.dumps(loaded.describe()))
    assert len(described["weights_sha256"]) == 64 and described["n_rays"] == 8


def test_fine_tuning_a_plain_stardist_folder_keeps_its_architecture_and_is_silent(
    run, tmp_path, capfd
):
    shutil.copytree(run[0], tmp_path / "plain")
    for extra in ("model.json", "curves.csv", "last.safetensors"):
        (tmp_path / "plain" / extra).unlink()
    options = ONE_STEP | {"n_rays": 32, "backbone": "resnet", "learning_rate": 1e-9}
    result = StarDist3DTrainer(**options, base_run=str(tmp_path / "plain")).train(
        [sample()], [], tmp_path / "tuned"
    )
    assert result.base.startswith("plain sha256:")
    assert not any("resampled" in note for note in result.notes)
    assert any("n_rays is the base run's 8" in note for note in result.notes)
    assert any("backbone is the base run's unet" in note for note in result.notes)
    assert any("best epoch was chosen on the training stacks" in note for note in result.notes)
    base, tuned = (load_run("stardist3d", path).network for path in (run[0], tmp_path / "tuned"))
    for a, b in zip(base.keras_model.get_weights(), tuned.keras_model.get_weights(), strict=True):
        np.testing.assert_allclose(a, b, atol=1e-6)
    assert capfd.readouterr().out == ""


@pytest.mark.parametrize(
    "options",
    [
        {"grid": (1, 2, 2), "unet_n_filter_base": 2, "net_conv_after_unet": 2},
        {
            "grid": (1, 2, 2),
            "backbone": "resnet",
            "resnet_n_filter_base": 2,
            "resnet_n_blocks": 1,
            "net_conv_after_resnet": 2,
        },
    ],
)
def test_tiles_change_nothing(tmp_path, monkeypatch, options):
    network = tiny_network(tmp_path, **options)
    image = np.random.default_rng(0).random((8, 400, 24)).astype(np.float32)
    whole = objects.find_candidates(network, image, prob_threshold=0.0)
    monkeypatch.setattr(objects, "TILE_VOXELS", 8 * 24 * 300)
    seen = []
    tiled = objects.find_candidates(
        network, image, lambda *call: seen.append(call), prob_threshold=0.0
    )
    assert seen[-1][0] == seen[-1][1] > 1
    order = [np.lexsort(found.points.T) for found in (whole, tiled)]
    np.testing.assert_array_equal(whole.points[order[0]], tiled.points[order[1]])
    np.testing.assert_allclose(whole.dist[order[0]], tiled.dist[order[1]], atol=1e-4)


def test_few_validation_objects_call_for_the_training_stacks(run):
    _, result, _ = run
    note = "the validation stacks have 4 verified objects, fewer than 20"
    assert [one.startswith(note) for one in result.notes].count(True) == 1
    assert 0 <= result.validation["f1_instances_tuned"] <= 1


def test_other_voxel_size_is_resampled_and_told(run):
    folder, _, _ = run
    loaded = load_run("stardist3d", folder)
    same = loaded.segment(sample().image, SPACING)
    finer = loaded.segment(np.repeat(sample().image, 2, axis=2), (2.0, 0.25, 0.5))
    assert same.notes == () and same.labels.dtype == np.uint32
    assert finer.labels.shape == (12, 80, 40) and "resampled" in finer.notes[0]
    assert set(same.confidence) == set(np.unique(same.labels)) - {0}


def test_a_base_that_finds_more_objects_is_kept_in_the_end(run, tmp_path, monkeypatch):
    plain, calls = StarDistLearner.judge, []

    def better(self, progress):
        calls.append(1)
        return dataclasses.replace(plain(self, progress), score=len(calls))

    monkeypatch.setattr(StarDistLearner, "judge", better)
    monkeypatch.setattr(training, "mean_f1", lambda *_: 1.1)
    options = ONE_STEP | {"base_run": str(run[0]), "learning_rate": 1e-3}
    val = [sample(name="b", seed=1)]
    result = StarDist3DTrainer(**options).train([sample()], val, tmp_path)
    assert (result.best_epoch, result.epochs, len(calls)) == (0, 1, 2)
    base, kept = (load_run("stardist3d", path).network for path in (run[0], tmp_path))
    assert base.thresholds == kept.thresholds
    for a, b in zip(base.keras_model.get_weights(), kept.keras_model.get_weights(), strict=True):
        np.testing.assert_array_equal(a, b)
    # What goes on is the network that learned.
    state = load_file(tmp_path / "last.safetensors")
    assert not np.array_equal(state["model.0000"], base.keras_model.get_weights()[0])


def test_one_slice_and_a_patch_larger_than_the_stack(tmp_path):
    whole = sample()
    cut = [whole.image[:, 5:6], whole.labels[5:6], whole.mask[5:6]]
    options = ONE_STEP | {"patch_size": (64, 64, 64)}
    result = StarDist3DTrainer(**options).train(
        [TrainingSample("slice", *cut, SPACING)], [], tmp_path / "slice"
    )
    assert any(note.startswith("patch_size (64, 64, 64) became (1, ") for note in result.notes)
    labels = load_run("stardist3d", tmp_path / "slice").segment(cut[0], SPACING).labels
    assert labels.shape == (1, 40, 40)


def test_resnet_in_bfloat16(tmp_path):
    options = ONE_STEP | {
        "backbone": "resnet", "resnet_n_blocks": 1, "grid": (1, 2, 2), "schedule": "plateau",
        "anisotropy": (2.0, 1.0, 1.0), "precision": "bf16", "object_voxels": None,
        "logger": "tensorboard",
    }  # fmt: skip
    first = StarDist3DTrainer(**options).train([sample()], [], tmp_path / "first")
    assert "computed in bfloat16" in first.notes
    assert list((tmp_path / "first" / "tensorboard").iterdir())
    exact = segmenter.load_run(tmp_path / "first", precision="fp32")
    config = exact.network.config
    assert config.backbone == "resnet" and tuple(config.grid) == (1, 2, 2)
    rough = segmenter.load_run(tmp_path / "first", precision="bf16")
    image = exact.settings.normalisation.apply(sample().image[0])
    for a, b in zip(exact.network.predict(image), rough.network.predict(image), strict=True):
        assert b.dtype == np.float32 and not (a == b).all()
        assert np.corrcoef(a.ravel(), b.ravel())[0, 1] > 0.99


def test_exported_run_is_small_and_predicts_and_fine_tunes_as_the_run(run, tmp_path):
    export_run(run[0], tmp_path / "slim")
    assert {path.name for path in (tmp_path / "slim").iterdir()} == {
        "config.json", "model.json", "thresholds.json", SLIM_WEIGHTS
    }  # fmt: skip
    assert (tmp_path / "slim" / SLIM_WEIGHTS).stat().st_size < 40_000
    full, slim = (
        segmenter.load_run(folder, precision="fp32") for folder in (run[0], tmp_path / "slim")
    )
    image = full.settings.normalisation.apply(sample().image[0])
    for a, b in zip(full.network.predict(image), slim.network.predict(image), strict=True):
        np.testing.assert_allclose(a, b, rtol=0.02, atol=0.02)
    export_run(run[0], tmp_path / "exact", half=False)
    exact = load_run("stardist3d", tmp_path / "exact").network.keras_model.get_weights()
    for a, b in zip(full.network.keras_model.get_weights(), exact, strict=True):
        np.testing.assert_array_equal(a, b)


@pytest.fixture
def starter(run, tmp_path, monkeypatch):
    """A tiny network in the place of the starter's twin, at the starter's nominal size."""
    folder = tmp_path / "stardist3d"
    export_run(run[0], folder)
    nominal = (NOMINAL_SPACING, "random", NOMINAL_SPACING, NOMINAL_DIAMETER)
    write_settings(folder, RunSettings(Normalisation(), *nominal))
    monkeypatch.setattr(runfolder, "SHIPPED", tmp_path)
    return folder


def flat_nuclei():
    """Balls of 6 µm in voxels of 1 x 0.25 x 0.25 µm: 5 slices high and 25 voxels wide."""
    image, labels = balls((12, 64, 64), (2.9, 12, 12), centres=[(5, 20, 20), (6, 44, 44)])
    return TrainingSample(
        "flat", image[None], labels, np.ones(labels.shape, bool), (1.0, 0.25, 0.25)
    )


def test_starter_is_a_base_run_and_sees_nuclei_at_its_own_size(starter, tmp_path):
    one = flat_nuclei()
    options = ONE_STEP | {"base_run": "starter", "learning_rate": 1e-9}
    trainer = StarDist3DTrainer(**options, diameter_um=6.0)
    result = trainer.train([one], [], tmp_path / "tuned")
    assert result.base.startswith("starter sha256:")
    assert any("diameter of 6 µm" in note for note in result.notes)
    tuned = read_settings(tmp_path / "tuned")
    assert tuned.spacing_um == pytest.approx(spacing_for(6.0)) and tuned.diameter_um == 6.0
    seen = prepare(one, tuned.normalisation, tuned.spacing_um)
    z, y, x = plan.object_sizes([seen.labels]).median
    assert z == pytest.approx(7, abs=1.5) and y == pytest.approx(14, abs=1) and x == y
    direct = segmenter.load_run(starter, diameter_um=6.0)
    again = load_run("stardist3d", tmp_path / "tuned")
    assert (direct.diameter_um, direct.settings.diameter_um) == (6.0, NOMINAL_DIAMETER)
    for loaded in (direct, again):
        assert loaded.segment(one.image, one.spacing_um).notes == ()
    assert plan.object_sizes([one.labels]).median[1:] != (y, x)


def test_diameter_of_a_fine_tuning_is_measured_where_it_is_not_given(starter):
    settings = StarDist3DTrainer(base_run="starter").run_settings([flat_nuclei()], [])
    assert settings.diameter_um == pytest.approx(6, rel=0.1)
    assert settings.spacing_um == pytest.approx(spacing_for(settings.diameter_um))


def test_a_twin_of_the_starter_keeps_the_nominal_size():
    one = sample()
    drawn = TrainingSample("drawn", one.image, one.labels, one.mask, NOMINAL_SPACING)
    trainer = StarDist3DTrainer(diameter_um=NOMINAL_DIAMETER, object_voxels=None)
    settings = trainer.run_settings([drawn], [])
    assert settings.spacing_um == NOMINAL_SPACING and settings.diameter_um == NOMINAL_DIAMETER


def test_lacking_starter_is_told(tmp_path, monkeypatch):
    monkeypatch.setattr(runfolder, "SHIPPED", tmp_path)
    with pytest.raises(CheckpointError, match="starter weights of stardist3d"):
        StarDist3DTrainer(**ONE_STEP, base_run="starter").train([sample()], [], tmp_path / "run")


def damaged(run_folder, tmp_path, change):
    folder = tmp_path / "copy"
    shutil.copytree(run_folder, folder)
    change(folder)
    return folder


def edit(name, **values):
    def change(folder):
        content = json.loads((folder / name).read_text())
        (folder / name).write_text(json.dumps(content | values))

    return change


@pytest.mark.parametrize(
    ("change", "message"),
    [
        (lambda f: (f / "weights_best.h5").unlink(), "weights_best.h5 is missing"),
        (lambda f: (f / "weights_best.h5").write_bytes(b"\x89HDF"), "a damaged file"),
        (lambda f: (f / "config.json").write_text("{"), "expected JSON"),
        (lambda f: (f / "model.json").write_text("[]"), "list in place of an object"),
        (edit("model.json", model="unet3d"), r"another kind of run \('unet3d'\)"),
        (edit("config.json", unet_n_filter_base=8), "fit each other"),
        (edit("config.json", rays_json={"name": "print", "kwargs": {}}), r"rays_json\.name"),
    ],
)
def test_damaged_run_folders_are_refused(run, tmp_path, change, message):
    with pytest.raises(CheckpointError, match=message):
        load_run("stardist3d", damaged(run[0], tmp_path, change))


def test_missing_run_folder_is_refused(tmp_path):
    with pytest.raises(CheckpointError, match="finished run"):
        load_run("stardist3d", tmp_path / "nowhere")

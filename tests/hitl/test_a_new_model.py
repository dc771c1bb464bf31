"""A model is a folder and an entry of the registry; with these every verb knows it."""

from __future__ import annotations

import json
import subprocess
import sys
from pathlib import Path

import numpy as np
import pytest
import tifffile

from annotations.formats import write_image_tiff, write_labels_tiff
from hitl.cli import run
from models.registry import MODELS
from tests.hitl.fake_model import scene
from tests.models.toy import SPEC

SPACING = (2.0, 1.0, 1.0)


@pytest.fixture
def project(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    """A project with a field to learn from and one to test on, whose config knows the model."""
    monkeypatch.setitem(MODELS, "toy", SPEC)
    config = tmp_path / "config.yaml"
    config.write_text("preprocess: []\ntraining: {models: {toy: {between: 0.4}}}\n")
    folder = tmp_path / "project"
    assert run(["init", str(folder), "--config", str(config)]) == 0
    for seed, split in enumerate(("train", "test")):
        image, labels = scene(seed)
        write_image_tiff(tmp_path / f"{split}.tif", image, SPACING)
        write_labels_tiff(tmp_path / f"{split}_labels.tif", labels, SPACING)
        files = [str(tmp_path / f"{split}.tif"), "--labels", str(tmp_path / f"{split}_labels.tif")]
        assert run(["add", str(folder), *files, "--split", split]) == 0
    return folder


def test_all_verbs_take_it(
    project: Path, tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    def told(*arguments: str) -> dict:
        capsys.readouterr()
        assert run([*arguments, "--json"]) == 0
        return json.loads(capsys.readouterr().out)

    where = str(project)
    trained = told("train", where, "toy", "--set", "seed=3")["run"]
    card = json.loads((project / "runs" / trained / "card.json").read_text())
    options = card["config"]["options"]
    assert (card["model"], options["between"], options["seed"]) == ("toy", 0.4, 3)
    told("predict", where, "--model", trained, "--field", "test", "--output", str(tmp_path / "out"))
    (file,) = (tmp_path / "out").glob("*.tif")
    assert np.unique(tifffile.imread(file)).size > 10
    swept = told("sweep", where, "toy", "--grid", "between=0.3,0.5")
    assert {cell["options"]["between"] for cell in swept["cells"]} == {0.3, 0.5}
    scores = told("evaluate", where, "--model", trained)["models"]
    assert trained in json.dumps(scores)
    told("promote", where, trained)
    assert run(["queue", where]) in (0, 1)
    assert run(["train", where, "toy", "--set", "betwen=0.5"]) == 1
    assert "did you mean 'between'" in capsys.readouterr().err


def test_all_texts_name_it() -> None:
    script = (
        "from models.registry import MODELS; from tests.models.toy import SPEC;"
        "MODELS['toy'] = SPEC; from hitl.cli import run;"
        "run(['train', '--help']); run(['sweep', '--help']); run(['models']);"
        "run(['models', '--options', 'toy']); run(['train', 'P', 'toi'])"
    )
    done = subprocess.run(
        [sys.executable, "-c", script], capture_output=True, text=True, timeout=60, check=False
    )
    shown = " ".join(done.stdout.replace("│", " ").split())
    assert shown.count("toy: a threshold that is learned") == 2
    assert "toy a threshold that is learned train and predict" in shown
    assert "Where it lies between the mean of the background" in shown
    assert "got 'toi'; did you mean 'toy'?" in done.stderr

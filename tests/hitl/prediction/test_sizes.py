"""How large the objects of a field are can be said: in the config, or of a file on the line."""

from __future__ import annotations

from dataclasses import dataclass, replace
from pathlib import Path
from typing import Any

import pytest
import yaml

from annotations.formats import write_image_tiff
from hitl.cli import run
from models.base import Segmentation
from models.registry import MODELS, ModelSpec
from tests.hitl.fake_model import Bench, BrightSegmenter, make_bench, scene


@dataclass(frozen=True, kw_only=True)
class SizedSegmenter(BrightSegmenter):
    """Tells how large objects were said to be."""

    diameter_um: float | None = None

    def segment(self, *image: Any, **options: Any) -> Segmentation:
        found = super().segment(*image, **options)
        return replace(found, notes=(f"objects of {self.diameter_um}; give diameter_um",))


def load_sized(folder: Path) -> SizedSegmenter:
    return SizedSegmenter()


@pytest.fixture
def bench(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Bench:
    made = make_bench(tmp_path, monkeypatch)
    sized = ModelSpec(about="sized", run=f"{__name__}:load_sized")
    monkeypatch.setitem(MODELS, "fake", sized)
    made.run("fake-0001")
    for name in ("f1", "f2"):
        made.add(name, "train", labelled=False)
    return made


def say(bench: Bench, **diameters: float) -> None:
    file = bench.project.folder / "hitl.yaml"
    config = yaml.safe_load(file.read_text())
    config["prediction"] = {"diameter_um": diameters}
    file.write_text(yaml.safe_dump(config))


def test_each_field_has_its_own_and_another_is_predicted_anew(
    bench: Bench, capsys: pytest.CaptureFixture[str]
) -> None:
    def told(code: int = 0) -> str:
        capsys.readouterr()
        arguments = ["predict", str(bench.project.folder), "--model", "fake-0001"]
        assert run(arguments) == code
        return " ".join(capsys.readouterr().err.split())

    say(bench, f1=9.5)
    first = told()
    assert "f1: objects of 9.5; give prediction.diameter_um in hitl.yaml" in first
    assert "f2: objects of None" in first
    assert "objects of" not in told()
    say(bench, f1=4.0)
    assert "f1: objects of 4.0" in (again := told()) and "f2: objects" not in again
    say(bench, f3=4.0)
    assert "prediction.diameter_um" in (refused := told(code=1)) and "f3" in refused
    say(bench, f1=-1)
    assert "prediction.diameter_um.f1" in told(code=1)


def test_of_a_file_it_is_said_on_the_line(
    bench: Bench,
    tmp_path: Path,
    capsys: pytest.CaptureFixture[str],
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    write_image_tiff(tmp_path / "image.tif", scene()[0], (2.0, 1.0, 1.0))
    folder = bench.project.runs_folder / "fake-0001"
    files = [str(tmp_path / "image.tif"), str(tmp_path / "out.tif"), "--model", str(folder)]
    assert run(["segment", *files, "--set", "diameter_um=7"]) == 0
    assert "objects of 7; give --set diameter_um=…" in capsys.readouterr().err
    again = ["segment", *files, "--overwrite", "--set"]
    assert run([*again, "diameter=7"]) == 1
    assert "did you mean 'diameter_um'" in capsys.readouterr().err
    monkeypatch.setattr(f"{__name__}.load_sized", lambda folder: BrightSegmenter())
    assert run([*again, "diameter_um=7"]) == 1
    assert "has one scale, that of its training" in capsys.readouterr().err

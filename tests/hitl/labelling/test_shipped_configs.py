"""Images of the kinds that the shipped configurations are for go in, with all their classes."""

from __future__ import annotations

from collections.abc import Callable
from pathlib import Path
from typing import Any

import numpy as np
import pytest
import tifffile
import yaml
from PIL import Image

from annotations.store import AnnotationStore
from hitl.cli import run
from hitl.project.folder import Project
from labels.arrays import ArrayLike

Command = Callable[..., dict[str, Any]]


def stack(file: Path, channels: list[str], depth: int = 3) -> Path:
    """Write an OME-TIFF of named channels, each with bright balls at other places."""
    rng = np.random.default_rng(0)
    image = rng.integers(0, 40, (depth, len(channels), 40, 44)).astype(np.uint16)
    for number in range(len(channels)):
        for y, x in ((10, 10), (28, 30)):
            image[:, number, y : y + 7, x - number : x + 7 - number] += 500
    sizes = {f"PhysicalSize{axis}": size for axis, size in zip("XYZ", (1, 1, 2), strict=True)}
    about = {"axes": "ZCYX", "Channel": {"Name": channels}, **sizes}
    tifffile.imwrite(file, image, ome=True, metadata=about)
    return file


def project(folder: Path, config: str) -> Path:
    assert run(["init", str(folder), "--config", config]) == 0
    return folder


def store_of(folder: Path) -> AnnotationStore:
    return Project.open(folder).store()


def read(array: ArrayLike) -> np.ndarray:
    return np.asarray(array[...])


@pytest.mark.parametrize(
    ("config", "channels", "seen"),
    [
        (
            "fucci_spheroids",
            ["Cy3", "GFP", "Hoechst"],
            {"Cy3": (0,), "GFP": (1,), "Hoechst": (2,)},
        ),
        ("golgi", ["mCherry", "GFP"], {"golgi": (0,), "nuclei": (1,)}),
    ],
)
def test_fields_have_a_class_for_each_channel(
    tmp_path: Path,
    command: Command,
    config: str,
    channels: list[str],
    seen: dict[str, tuple[int, ...]],
) -> None:
    folder = project(tmp_path / "p", config)
    command("add", folder, stack(tmp_path / "a.ome.tif", channels))
    infos = store_of(folder).all_labels()
    assert {info.class_name: info.seen for info in infos} == seen
    assert {info.zyx for info in infos} == {(3, 40, 44)}
    command("bootstrap", folder, "--segmenter", "classical")
    found = {info.class_name: read(store_of(folder).labels(info.key).labels) for info in infos}
    assert {name: len(np.unique(labels)) > 1 for name, labels in found.items()} == dict.fromkeys(
        seen, True
    )


BONE = ["DAPI", "OB", "OC", "vessels"]


def test_bone_is_where_its_cells_are_not(tmp_path: Path, command: Command) -> None:
    folder = project(tmp_path / "p", "bone")
    labels = {"osteoblasts": np.zeros((1, 40, 44), np.uint8)}
    labels["nuclei"] = labels["osteoblasts"].copy()
    labels["osteoblasts"][0, :10] = 1
    labels["nuclei"][0, 5:20, 7:9] = 3
    given: list[object] = []
    for name, values in labels.items():
        tifffile.imwrite(tmp_path / f"{name}.tif", values, metadata={"axes": "ZYX"})
        given += ["--labels", f"{name}={tmp_path / f'{name}.tif'}"]
    command("add", folder, stack(tmp_path / "a.ome.tif", BONE), *given)
    store = store_of(folder)
    bone = store.labels("a:bone")
    free = (labels["osteoblasts"] == 0) & (labels["nuclei"] == 0)
    np.testing.assert_array_equal(read(bone.labels), free)
    assert (bone.info.label_class.kind, bone.info.seen) == ("area", (1, 0))
    shapes = {info.class_name: info.zyx for info in store.all_labels()}
    assert shapes == dict.fromkeys(
        ("osteoblasts", "osteoclasts", "vessels", "nuclei", "bone"), (1, 40, 44)
    )


def test_blood_cells_have_parts_of_one_mask(tmp_path: Path, command: Command) -> None:
    folder = project(tmp_path / "p", "blood_cells")
    mask = np.full((30, 32), 85, np.uint8)
    mask[5:20, 5:20] = 128
    mask[18:20, 5:20] = 170
    mask[9:14, 9:14] = 255
    Image.fromarray(np.stack([mask, mask // 2, 255 - mask], -1)).save(tmp_path / "cell.png")
    Image.fromarray(mask).save(tmp_path / "mask.png")
    parts = ("nucleus", "cytoplasm")
    given = [word for part in parts for word in ("--labels", f"{part}={tmp_path / 'mask.png'}")]
    command("add", folder, tmp_path / "cell.png", "--spacing-um", 1, 1, 1, *given)
    store = store_of(folder)
    np.testing.assert_array_equal(read(store.labels("cell:nucleus").labels)[0], mask == 255)
    cytoplasm = (mask == 128) | (mask == 170)
    np.testing.assert_array_equal(read(store.labels("cell:cytoplasm").labels)[0], cytoplasm)
    assert store.labels("cell:nucleus").info.seen == (0, 1, 2)


def test_a_class_that_the_config_lacks_is_told(tmp_path: Path, command: Command) -> None:
    folder = project(tmp_path / "p", "golgi")
    image = stack(tmp_path / "a.ome.tif", ["mCherry", "GFP"])
    done = command("add", folder, image, "--class", "nucleus=GFP")
    (told,) = (note for note in done["notes"] if "nucleus" in note)
    assert "not among those of hitl.yaml (nuclei, golgi)" in told
    assert "did you mean 'nuclei'?" in told
    again = command("add", folder, image, "--field", "b", "--class", "nuclei=GFP")
    assert not any("not among" in note for note in again["notes"])


def test_a_projection_that_comes_later_is_told_in_one_line(
    tmp_path: Path, command: Command, capsys: pytest.CaptureFixture[str]
) -> None:
    folder = tmp_path / "p"
    assert run(["init", str(folder)]) == 0
    command("add", folder, stack(tmp_path / "a.ome.tif", ["GFP"]))
    config = folder / "hitl.yaml"
    data = yaml.safe_load(config.read_text())
    config.write_text(yaml.safe_dump({**data, "preprocess": [{"step": "project"}]}))
    capsys.readouterr()
    assert run(["bootstrap", str(folder), "--segmenter", "classical"]) == 1
    error = " ".join(capsys.readouterr().err.split())
    assert "a: hitl.yaml makes one slice of all (max), but these labels were added with" in error
    assert "Traceback" not in error
    assert store_of(folder).rounds() == []

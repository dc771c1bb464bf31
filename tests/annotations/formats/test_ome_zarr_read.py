"""OME-Zarr 0.4 and 0.5 in: written by the ome-zarr package, and by hand to be refused."""

from __future__ import annotations

import json
from collections.abc import Callable
from pathlib import Path
from typing import Any

import numpy as np
import ome_zarr.format
import ome_zarr.writer
import pytest
import zarr
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st

from annotations.errors import AxesError, FormatError, LabelError, SpacingError
from annotations.formats import open_image, open_labels, read_labels

FORMATS = {"0.4": ome_zarr.format.FormatV04, "0.5": ome_zarr.format.FormatV05}
FULL = "s0"
"""Folder of the full resolution, as ome-zarr names it."""
SPACING = (2.0, 0.5, 0.25)
STEPS = {"t": 1.5, **dict(zip("zyx", SPACING, strict=True))}
STACK = np.random.default_rng(0).integers(0, 60_000, (6, 9, 8)).astype(np.uint16)
UNITS = {"t": "minute", "z": "micrometer", "y": "micrometer", "x": "micrometer"}
Edit = Callable[[dict[str, Any]], object]


def write(
    path: Path,
    array: np.ndarray = STACK,
    version: str = "0.5",
    axes: str = "zyx",
    units: dict[str, str] = UNITS,
    levels: tuple[int, ...] = (),
) -> Path:
    fmt = FORMATS[version]()
    group = zarr.open_group(path, mode="w", zarr_format=fmt.zarr_format)
    ome_zarr.writer.write_image(
        array,
        group,
        scale_factors=levels,
        axes=list(axes),
        scale={a: step for a, step in STEPS.items() if a in axes},
        axes_units={a: units[a] for a in axes if a in units},
        fmt=fmt,
        storage_options={"chunks": (1,) * (array.ndim - 2) + (4, 4)},
    )
    return path


def edit(path: Path, change: Edit) -> Path:
    """Change the first multiscale of a group in place."""
    file = path / ("zarr.json" if (path / "zarr.json").exists() else ".zattrs")
    document = json.loads(file.read_text())
    ome = document["attributes"]["ome"] if file.name == "zarr.json" else document
    change(ome["multiscales"][0])
    file.write_text(json.dumps(document))
    return path


@pytest.fixture(params=["0.4", "0.5"])
def version(request: pytest.FixtureRequest) -> str:
    return str(request.param)


@settings(
    max_examples=15, deadline=None, suppress_health_check=[HealthCheck.function_scoped_fixture]
)
@given(
    version=st.sampled_from(["0.4", "0.5"]),
    dtype=st.sampled_from(["u1", "u2", "u4", "i2", "f4", "f8"]),
    axes=st.sampled_from(["yx", "cyx", "zyx", "czyx", "tczyx", "tzyx", "tyx"]),
    times=st.integers(1, 3),
    depth=st.integers(1, 5),
    channels=st.integers(1, 3),
    start=st.integers(0, 4),
)
def test_round_trip(
    tmp_path: Path,
    version: str,
    dtype: str,
    axes: str,
    times: int,
    depth: int,
    channels: int,
    start: int,
) -> None:
    sizes = {"t": times, "c": channels, "z": depth, "y": 5, "x": 7}
    shape = [sizes[a] for a in axes]
    array = np.random.default_rng(depth).integers(0, 100, shape).astype(dtype)
    path = write(tmp_path / "a.zarr", array, version, axes)
    whole = array.reshape([sizes[a] if a in axes else 1 for a in "tczyx"])
    times, _, depth, *_ = whole.shape
    start = min(start, depth - 1)
    with open_image(path) as source:
        assert source.info.shape == whole.shape
        assert source.info.dtype == array.dtype
        assert source.info.spacing_um == (SPACING if "z" in axes else (1.0, *SPACING[1:]))
        assert source.info.time_step_s == (90 if times > 1 else None)
        assert source.info.format == "ome-zarr"
        got = np.stack([source.read(time, start, depth) for time in range(times)])
    np.testing.assert_array_equal(got, whole[:, :, start:])


def test_scale_of_the_whole_pyramid_and_units(tmp_path: Path, version: str) -> None:
    units = {"z": "nanometer", "y": "micrometer", "x": "millimeter"}
    path = write(tmp_path / "a.zarr", version=version, units=units, levels=(2,))
    whole = [{"type": "scale", "scale": [100.0, 2.0, 0.002]}]
    edit(path, lambda m: m.update(coordinateTransformations=whole))
    with open_image(path) as source:
        assert source.info.spacing_um == pytest.approx((0.2, 1.0, 0.5))


def test_a_time_step_without_unit_is_not_known(tmp_path: Path, version: str) -> None:
    path = write(tmp_path / "a.zarr", np.stack([STACK] * 3), version, "tzyx")
    edit(path, lambda m: m["axes"][0].pop("unit"))
    with open_image(path) as source:
        assert source.info.shape == (3, 1, *STACK.shape)
        assert source.info.time_step_s is None


def test_channel_names(tmp_path: Path) -> None:
    omero = {"channels": [{"label": "Cy3"}, {"label": "GFP"}]}
    path = write(tmp_path / "a.zarr", np.stack([STACK, STACK]), "0.4", "czyx")
    attributes = json.loads((path / ".zattrs").read_text())
    (path / ".zattrs").write_text(json.dumps(attributes | {"omero": omero}))
    with open_image(path) as source:
        assert source.info.channels == ("Cy3", "GFP")


def test_labels_inside_an_image(tmp_path: Path, version: str) -> None:
    path = write(tmp_path / "a.zarr", version=version)
    labels = (STACK % 9).astype(np.uint32)
    fmt = FORMATS[version]()
    group = zarr.open_group(path, mode="a", zarr_format=fmt.zarr_format)
    ome_zarr.writer.write_labels(labels, group, "nuclei", scale_factors=(), axes="zyx", fmt=fmt)
    np.testing.assert_array_equal(read_labels(path / "labels" / "nuclei"), labels)
    with open_labels(path / "labels" / "nuclei") as source:
        assert source.shape == labels.shape
        assert source.spacing_um is None
    with pytest.raises(LabelError, match=r"is an image.*labels/nuclei"):
        open_labels(path)


@pytest.mark.parametrize(
    ("change", "error", "advice"),
    [
        (
            lambda m: m["datasets"][0].update(path="../../etc"),
            FormatError,
            "outside its own folder",
        ),
        (lambda m: m["datasets"][0].update(path="/etc"), FormatError, "outside its own folder"),
        (lambda m: m["datasets"][0].update(path="..\\b"), FormatError, "outside its own folder"),
        (lambda m: m["datasets"][0].update(path="file:///etc"), FormatError, "outside its own"),
        (lambda m: m["datasets"][0].update(path="absent"), FormatError, "export it again"),
        (lambda m: m.update(datasets=[]), FormatError, "export it again"),
        (lambda m: m.pop("axes"), FormatError, "export it again"),
        (lambda m: m["axes"][0].update(name="q"), AxesError, "--axes ZYX"),
        (lambda m: m["axes"].pop(), AxesError, "--axes ZYX"),
        (lambda m: m["axes"][0].pop("unit"), SpacingError, "along Z.*--spacing-um Z Y X"),
        (lambda m: m["datasets"][0].pop("coordinateTransformations"), SpacingError, "--spacing-um"),
    ],
)
def test_metadata_that_are_refused(
    tmp_path: Path, version: str, change: Edit, error: type[Exception], advice: str
) -> None:
    with pytest.raises(error, match=advice):
        open_image(edit(write(tmp_path / "a.zarr", version=version), change))


def test_other_versions(tmp_path: Path) -> None:
    path = edit(write(tmp_path / "a.zarr", version="0.4"), lambda m: m.update(version="0.2"))
    with pytest.raises(FormatError, match=r"got version 0.2; export it again as OME-Zarr 0.4 or"):
        open_image(path)


def test_a_bare_array_and_a_collection(tmp_path: Path, version: str) -> None:
    path = write(tmp_path / "c.zarr" / "0", version=version)
    dataset = path / FULL
    with pytest.raises(FormatError, match=r"single zarr array.*folder above it"):
        open_image(dataset)
    zarr.open_group(path.parent, mode="a", zarr_format=FORMATS[version]().zarr_format)
    with pytest.raises(FormatError, match=r"give one of the images inside: 0$"):
        open_image(path.parent)


def test_corrupt_metadata_and_chunks(tmp_path: Path, version: str) -> None:
    path = write(tmp_path / "a.zarr", version=version)
    chunks = [f for f in path.rglob("*") if f.is_file() and f.name[0].isdigit()]
    for chunk in chunks:
        chunk.write_bytes(chunk.read_bytes()[:7])
    with (
        open_image(path) as source,
        pytest.raises(FormatError, match=r"cannot be read.*export it again"),
    ):
        source.read(0, 0, 6)
    (path / ("zarr.json" if version == "0.5" else ".zattrs")).write_text("{ broken")
    with pytest.raises(FormatError, match=r"cannot be read.*export it again"):
        open_image(path)


class Code:
    """Touches a file when unpickled."""

    def __init__(self, path: Path) -> None:
        self.path = path

    def __reduce__(self) -> tuple[object, ...]:
        return Path.touch, (self.path,)


def test_pickled_chunks_are_refused_not_run(tmp_path: Path) -> None:
    import pickle

    path = write(tmp_path / "a.zarr", version="0.4")
    dataset = path / FULL
    metadata = json.loads((dataset / ".zarray").read_text())
    metadata |= {"filters": [{"id": "pickle", "protocol": 4}], "compressor": None}
    (dataset / ".zarray").write_text(json.dumps(metadata))
    for chunk in dataset.rglob("*"):
        if chunk.is_file() and chunk.name[0].isdigit():
            chunk.write_bytes(pickle.dumps(Code(tmp_path / "ran")))
    with pytest.raises(FormatError, match="pickles, which may run code"):
        open_image(path)
    assert not (tmp_path / "ran").exists()


def test_float_labels(tmp_path: Path) -> None:
    path = write(tmp_path / "a.zarr", STACK.astype(np.float32))
    with pytest.raises(LabelError, match="save them as 16 or 32-bit integers"):
        open_labels(path)


def test_a_zip_or_other_file_is_no_folder(tmp_path: Path) -> None:
    (tmp_path / "a.zarr").write_bytes(b"PK")
    with pytest.raises(FormatError, match="expected a folder of OME-Zarr, got a file; unpack"):
        open_image(tmp_path / "a.zarr")

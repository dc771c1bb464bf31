"""A plain copy of a field opens in others' tools: an image with coarser levels, and its labels."""

from __future__ import annotations

import asyncio
from dataclasses import replace
from pathlib import Path
from typing import Any

import numpy as np
import pytest
import zarr
from hypothesis import given, settings
from hypothesis import strategies as st
from hypothesis.extra import numpy as hnp
from numpy.typing import NDArray
from zarr.storage import LocalStore

from annotations import ngff
from annotations._pyramid import block_means, factors
from annotations.fields import ClassInfo
from annotations.store import AnnotationStore
from tests.annotations.store_sources import SPACING_UM, ArraySource, by_person, noise, proposed

WIDE = (3, 521, 600)
"""(Z, Y, X) of an image that has a coarser level."""

CLASSES = (
    ClassInfo(name="nuclei"),
    ClassInfo(name="golgi", seen=(1,)),
    ClassInfo(name="flat", projection="max"),
)


def copy_out(group: zarr.Group, folder: Path) -> None:
    """Copy a group to a plain folder, key by key, and nothing else."""

    async def copy() -> None:
        source, target = group.store, await LocalStore.open(folder)
        prefix = group.path + "/"
        async for key in source.list_prefix(prefix):
            buffer = await source.get(key, zarr.core.buffer.default_buffer_prototype())
            assert buffer is not None
            await target.set(key.removeprefix(prefix), buffer)

    asyncio.run(copy())


def blocks(depth: int = 3) -> NDArray[np.uint32]:
    """Labels of which some reach across the borders of chunks."""
    labels = np.zeros((depth, *WIDE[1:]), np.uint32)
    labels[:, 250:265, 10:40], labels[:, 500:521, 500:600] = 3, 9
    return labels


@pytest.fixture(scope="module")
def copied(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """A series of two time points, two channels and three classes; a round wrote to one."""
    folder = tmp_path_factory.mktemp("copied")
    source = ArraySource(noise((2, 2, *WIDE), "uint8"))
    source.info = replace(source.info, time_step_s=90.0)
    store = AnnotationStore.create(folder / "store")
    given = {"nuclei": np.tile(blocks(), (2, 1, 1)), "flat": np.tile(blocks(1), (2, 1, 1))}
    store.add_field("a", source, classes=CLASSES, labels=given)
    with store.begin_round(by_person()) as txn:
        txn.set_objects("a:golgi", proposed([4]))
        txn.write_labels("a:golgi", np.s_[0:2, 100:300, 5:9], np.full((2, 200, 4), 4), time=1)
    copy_out(store.field("a").group, folder / "a.zarr")
    return folder / "a.zarr"


def scales(multiscale: Any) -> list[list[float]]:
    return [level.coordinateTransformations[0].scale for level in multiscale.datasets]


def test_a_plain_copy_is_a_valid_image_with_valid_labels(copied: Path) -> None:
    models = pytest.importorskip("ome_zarr_models.v05")
    group = zarr.open_group(copied, mode="r")
    image = models.Image.from_zarr(group)
    multiscale = image.ome_attributes.multiscales[0]
    assert [axis.name for axis in multiscale.axes] == ["t", "c", "z", "y", "x"]
    assert scales(multiscale) == [[90.0, 1.0, 2.0, 0.5, 0.4], [90.0, 1.0, 2.0, 1.0, 0.8]]
    assert image.labels.label_paths == ["flat", "golgi", "nuclei"]
    depths = {"flat": 3 * 2.0, "golgi": 2.0, "nuclei": 2.0}
    for name, depth in depths.items():
        label = models.ImageLabel.from_zarr(group[f"labels/{name}"])
        (multiscale,) = label.ome_attributes.multiscales
        assert [axis.name for axis in multiscale.axes] == ["t", "z", "y", "x"]
        assert scales(multiscale) == [[90.0, depth, 0.5, 0.4], [90.0, depth, 1.0, 0.8]]
        assert label.ome_attributes.image_label.source.image == "../../"


def test_the_ome_zarr_reader_finds_image_and_labels(copied: Path) -> None:
    reader = pytest.importorskip("ome_zarr.reader")
    from ome_zarr.io import parse_url

    nodes = list(reader.Reader(parse_url(copied))())
    image, _, *labels = nodes
    assert np.array_equal(np.asarray(image.data[0]), noise((2, 2, *WIDE), "uint8"))
    assert image.data[1].shape == (2, 2, 3, 261, 300)
    assert image.metadata["channel_names"] == ["channel-0", "channel-1"]
    by_name = {node.metadata["name"]: node for node in labels}
    # Beside the labels of a class lie its verified voxels, objects and edits: no images.
    assert set(by_name) == {"flat", "golgi", "nuclei"}
    nuclei, golgi = by_name["nuclei"], by_name["golgi"]
    assert nuclei.metadata["coordinateTransformations"][0][0]["scale"] == [90.0, *SPACING_UM]
    assert np.array_equal(np.asarray(nuclei.data[0]), np.stack([blocks(), blocks()]))
    assert np.array_equal(np.asarray(nuclei.data[1])[1], blocks()[:, ::2, ::2])
    assert np.array_equal(np.asarray(by_name["flat"].data[1])[0], blocks(1)[:, ::2, ::2])
    written = np.asarray(golgi.data[0])
    assert np.count_nonzero(written[1] == 4) == np.count_nonzero(written) == 1600
    assert np.array_equal(np.asarray(golgi.data[1]), written[:, :, ::2, ::2])


@settings(max_examples=5, deadline=None)
@given(st.data(), st.sampled_from([1, 2]), st.sampled_from([0.4, 2.0]))
def test_coarser_labels_follow_every_round(
    tmp_path_factory: pytest.TempPathFactory, data: st.DataObject, times: int, z_um: float
) -> None:
    shape = (9, 520, 514)
    source = ArraySource(noise((times, 1, *shape), "uint8"))
    source.info = replace(source.info, spacing_um=(z_um, 0.4, 0.4))
    store = AnnotationStore.create(tmp_path_factory.mktemp("store") / "s")
    store.add_field("a", source)
    for _ in range(2):
        z, y, x = (data.draw(st.integers(0, n - 1)) for n in shape)
        size = tuple(min(n - at, 40) for n, at in zip(shape, (z, y, x), strict=True))
        place = tuple(slice(at, at + n) for at, n in zip((z, y, x), size, strict=True))
        with store.begin_round(by_person()) as txn:
            txn.set_objects("a", proposed([1, 2]))
            value = data.draw(st.integers(0, 2))
            txn.write_labels(
                "a", place, np.full(size, value), time=data.draw(st.integers(0, times - 1))
            )
    group = store.labels("a").group
    every = 2 if z_um < 1 else 1
    assert np.array_equal(group["1"][...], group["0"][:, ::every, ::2, ::2])


@settings(max_examples=60, deadline=None)
@given(st.data(), st.sampled_from(["uint8", "int16", "uint16", "int32", "float32", "float64"]))
def test_coarser_images_are_means_of_blocks(data: st.DataObject, dtype: str) -> None:
    shape = tuple(data.draw(st.integers(1, 7)) for _ in range(3))
    by = (data.draw(st.sampled_from([1, 2])), 2, 2)
    numbers = (
        {
            "elements": {
                "allow_nan": False,
                "allow_infinity": False,
                "min_value": -1e6,
                "max_value": 1e6,
            }
        }
        if dtype[0] == "f"
        else {}
    )
    block = data.draw(hnp.arrays(dtype, shape, **numbers))
    found = block_means(block, by)
    expected = np.empty(tuple(-(-n // k) for n, k in zip(shape, by, strict=True)))
    for index in np.ndindex(expected.shape):
        part = tuple(slice(i * k, (i + 1) * k) for i, k in zip(index, by, strict=True))
        expected[index] = block[part].astype(np.float64).mean()
    if dtype[0] == "f":
        np.testing.assert_allclose(found, expected, rtol=1e-6, atol=1e-9)
    else:
        assert np.array_equal(found, np.rint(expected))


@pytest.mark.parametrize("dtype", ["uint8", "int16", "float32"])
def test_levels_are_written_until_one_is_small(tmp_path: Path, dtype: str) -> None:
    image = noise((1, 2, 5, 3, 1100), dtype)
    source = ArraySource(image)
    source.info = replace(source.info, spacing_um=(0.6, 0.5, 0.4))
    store = AnnotationStore.create(tmp_path / "store")
    store.add_field("a", source)
    group = store.field("a").group
    assert [group[n].shape[2:] for n in "012"] == [(5, 3, 1100), (3, 2, 550), (2, 1, 275)]
    assert "3" not in group
    for channel in (0, 1):
        one = block_means(image[0, channel], (2, 2, 2)).astype(dtype)
        two = block_means(one, (2, 2, 2)).astype(dtype)
        assert np.array_equal(group["1"][0, channel], one)
        assert np.array_equal(group["2"][0, channel], two)
    levels = group.attrs["ome"]["multiscales"][0]["datasets"]
    steps = [level["coordinateTransformations"][0]["scale"][2:] for level in levels]
    assert steps == [[0.6, 0.5, 0.4], [1.2, 1.0, 0.8], [2.4, 2.0, 1.6]]


def test_z_is_made_coarser_once_it_is_as_fine_as_x() -> None:
    assert factors((2.0, 0.5, 0.4), (9, 600, 600)) == (1, 2, 2)
    assert factors((0.5, 0.5, 0.4), (9, 600, 600)) == (2, 2, 2)
    assert factors((0.5, 0.5, 0.4), (1, 600, 600)) == (1, 2, 2)


def test_a_series_without_a_known_step_has_no_unit_of_time() -> None:
    levels = {"0": ngff.steps_of(SPACING_UM)}
    (multiscale,) = ngff.multiscales("a", "tczyx", levels, timed=False)
    assert multiscale["axes"][0] == {"name": "t", "type": "time"}
    (multiscale,) = ngff.multiscales("a", "tzyx", {"0": ngff.steps_of(SPACING_UM, 30.0)})
    assert multiscale["axes"][0]["unit"] == "second"
    scale = multiscale["datasets"][0]["coordinateTransformations"][0]["scale"]
    assert scale == [30.0, *SPACING_UM]


def test_colours_are_those_of_the_file_where_it_has_them() -> None:
    shown = ngff.image_attributes([], ["R", "G", "B"], [(0, 255)] * 3)["omero"]["channels"]
    assert [channel["color"] for channel in shown] == ["FF0000", "00FF00", "0000FF"]
    assert shown[0]["window"] == {"min": 0, "max": 255, "start": 0, "end": 255}
    (grey,) = ngff.image_attributes([], ["DAPI"], [(0, 9)])["omero"]["channels"]
    assert (grey["color"], grey["label"]) == ("FFFFFF", "DAPI")
    many = ngff.image_attributes([], list("abcdefgh"), [(0, 1)] * 8)["omero"]["channels"]
    assert many[7]["color"] == many[0]["color"] != many[1]["color"]

"""OME-Zarr folders from elsewhere: links that lead out, metadata that lie, chunks that explode."""

from __future__ import annotations

import bz2
import gzip
import json
import lzma
import os
import struct
import zlib
from collections.abc import Callable
from pathlib import Path
from typing import Any

import pytest

from annotations.formats.ome_zarr_write import write_ome_zarr
from hitl.cli import run
from tests.annotations.store_sources import SPACING_UM, boxes, noise

Edit = Callable[[dict[str, Any]], object]

ARRAY = "0/zarr.json"
GROUP = "zarr.json"


@pytest.fixture(scope="module")
def whole(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """An OME-Zarr that is only copied."""
    path = tmp_path_factory.mktemp("zarr") / "a.ome.zarr"
    write_ome_zarr(path, noise()[None], boxes(), SPACING_UM, channels=("nuclei",))
    return path


@pytest.fixture
def image(whole: Path, tmp_path: Path) -> Path:
    return copied(whole, tmp_path / "a.ome.zarr")


def copied(source: Path, target: Path) -> Path:
    for path in sorted(source.rglob("*")):
        place = target / path.relative_to(source)
        if path.is_file():
            place.parent.mkdir(parents=True, exist_ok=True)
            place.write_bytes(path.read_bytes())
    return target


def edited(folder: Path, name: str, change: Edit) -> None:
    document = json.loads((folder / name).read_text())
    change(document)
    (folder / name).write_text(json.dumps(document))


def multiscale(change: Edit) -> tuple[str, Edit]:
    return GROUP, lambda document: change(document["attributes"]["ome"]["multiscales"][0])


def scale(*values: object) -> tuple[str, Edit]:
    def change(one: dict[str, Any]) -> None:
        one["datasets"][0]["coordinateTransformations"] = [{"type": "scale", "scale": [*values]}]

    return multiscale(change)


def path(inner: object) -> tuple[str, Edit]:
    return multiscale(lambda one: one["datasets"][0].update(path=inner))


def array(**values: object) -> tuple[str, Edit]:
    return ARRAY, lambda document: document.update(values)


def chunked(*sizes: object, shape: object = None) -> tuple[str, Edit]:
    def change(document: dict[str, Any]) -> None:
        document["chunk_grid"]["configuration"]["chunk_shape"] = [*sizes]
        if shape is not None:
            document["shape"] = shape

    return ARRAY, change


def packed(*codecs: object) -> tuple[str, Edit]:
    return array(codecs=[{"name": "bytes", "configuration": {"endian": "little"}}, *codecs])


METADATA: dict[str, tuple[str, Edit]] = {
    "a path upwards": path("../../etc"),
    "a path upwards within": path("0/../../a.ome.zarr/0"),
    "an absolute path": path("/etc"),
    "an address": path("file:///etc/passwd"),
    "an address of the net": path("http://127.0.0.1:9/0"),
    "a path of Windows": path("C:\\a"),
    "a path that is a number": path(7),
    "a path that is a list": path(["0"]),
    "an empty path": path(""),
    "a path with NUL": path("0\0"),
    "a path to nothing": path("gone"),
    "no datasets": multiscale(lambda one: one.update(datasets=[])),
    "datasets that are a text": multiscale(lambda one: one.update(datasets="0")),
    "datasets of texts": multiscale(lambda one: one.update(datasets=["0"])),
    "no axes": multiscale(lambda one: one.update(axes=[])),
    "axes of texts": multiscale(lambda one: one.update(axes=list("czyx"))),
    "axes that are a number": multiscale(lambda one: one.update(axes=5)),
    "axes of one name": multiscale(lambda one: one.update(axes=[{"name": "z"}] * 4)),
    "axes of no name": multiscale(lambda one: one.update(axes=[{}] * 4)),
    "too few axes": multiscale(lambda one: one["axes"].pop()),
    "100,000 axes": multiscale(lambda one: one.update(axes=[{"name": "z"}] * 100_000)),
    "no multiscales": (GROUP, lambda d: d["attributes"]["ome"].update(multiscales=[])),
    "multiscales that are a text": (
        GROUP,
        lambda d: d["attributes"]["ome"].update(multiscales="a"),
    ),
    "another version": (GROUP, lambda d: d["attributes"]["ome"].update(version="0.1")),
    "a version that is a list": (GROUP, lambda d: d["attributes"]["ome"].update(version=[1])),
    "attributes that are a list": (GROUP, lambda d: d.update(attributes=[])),
    "no attributes": (GROUP, lambda d: d.pop("attributes")),
    "a scale of NaN": scale(1, float("nan"), 1, 1),
    "a scale of infinity": scale(1, float("inf"), 1, 1),
    "a negative scale": scale(1, -1, 1, 1),
    "a scale of 0": scale(1, 0, 1, 1),
    "a scale of 1e300": scale(1, 1e300, 1, 1),
    "a scale of texts": scale(*"1234"),
    "a scale of lists": scale([], [], [], []),
    "a scale of 5,000 digits": scale(1, 10**4000, 1, 1),
    "a scale too short": scale(1),
    "transformations that are a text": multiscale(
        lambda one: one["datasets"][0].update(coordinateTransformations="scale")
    ),
    "transformations of texts": multiscale(
        lambda one: one["datasets"][0].update(coordinateTransformations=["scale"])
    ),
    "a shape of 10**12 with chunks of 1": chunked(1, 1, 1, 1, shape=[1, 10**4, 10**4, 10**4]),
    "a shape of 10**30": chunked(1, 16, 40, 30, shape=[1, 10**30, 40, 30]),
    "a shape of 2**62": chunked(1, 16, 40, 30, shape=[1, 2**62, 40, 30]),
    "slices of 10**10": chunked(1, 1, 10**4, 10**4, shape=[1, 20, 10**5, 10**5]),
    "a chunk of 10**15": chunked(1, 10**5, 10**5, 10**5, shape=[1, 20, 40, 30]),
    "10**9 channels": chunked(1, 16, 40, 30, shape=[10**9, 20, 40, 30]),
    "rows of 10**9": chunked(1, 16, 40, 30, shape=[1, 20, 40, 10**9]),
    "no voxels": chunked(1, 16, 40, 30, shape=[1, 0, 40, 30]),
    "a negative shape": array(shape=[1, -20, 40, 30]),
    "a shape of fractions": array(shape=[1, 20.5, 40, 30]),
    "a shape of texts": array(shape=["1", "1", "20", "40", "30"]),
    "a shape that is a number": array(shape=7),
    "a chunk of 0": chunked(1, 0, 40, 30),
    "a negative chunk": chunked(1, -16, 40, 30),
    "chunks of three axes": chunked(16, 40, 30),
    "chunks of other bytes": chunked(1, 7, 40, 30),
    "an unknown grid": array(chunk_grid={"name": "spiral", "configuration": {}}),
    "an unknown codec": packed({"name": "evil"}),
    "a pickle as codec": packed({"name": "numcodecs.pickle", "configuration": {}}),
    "a codec that is a number": packed(7),
    "packed twice": packed({"name": "gzip", "configuration": {"level": 1}}, {"name": "gzip"}),
    "codecs that are a text": array(codecs="bytes"),
    "no codecs": array(codecs=[]),
    "a fill value that is a text": array(fill_value="all of it"),
    "a fill value of 2**80": array(fill_value=2**80),
    "an unknown type": array(data_type="uint7"),
    "complex numbers": array(data_type="complex64", fill_value=[0, 0]),
    "texts": array(data_type="string", fill_value=""),
    "a group in the array's place": array(node_type="group"),
    "zarr 9": array(zarr_format=9),
    "an extension": array(storage_transformers=[{"name": "evil"}]),
}


@pytest.mark.parametrize("bad", METADATA.values(), ids=METADATA)
def test_metadata_that_lie(
    refused: Callable[..., str], project: Path, image: Path, bad: tuple[str, Edit]
) -> None:
    edited(image, *bad)
    assert str(image) in refused("add", project, image)


TEXTS: dict[str, bytes] = {
    "nothing": b"",
    "cut": b'{"attributes": {',
    "a list": b"[]",
    "null": b"null",
    "no text": bytes(range(128, 256)),
    "lists in lists": b"[" * 100_000,
    "mappings in mappings": b'{"a":' * 100_000,
    "a number of 5,000 digits": b'{"zarr_format": ' + b"9" * 5000 + b"}",
    "NaN": b'{"zarr_format": NaN}',
    "a key twice": b'{"zarr_format": 3, "zarr_format": 2}',
    "5,000,000 values": b'{"a": [' + b"1," * 5_000_000 + b"1]}",
}


@pytest.mark.parametrize("text", TEXTS.values(), ids=TEXTS)
@pytest.mark.parametrize("name", [GROUP, ARRAY])
def test_json_that_is_none(
    refused: Callable[..., str], project: Path, image: Path, name: str, text: bytes
) -> None:
    (image / name).write_bytes(text)
    assert str(image) in refused("add", project, image)


def a_chunk(folder: Path) -> Path:
    return next(p for p in sorted(folder.rglob("c/**/*")) if p.is_file())


def link_out(place: Path, elsewhere: Path) -> None:
    place.rename(elsewhere)
    place.symlink_to(elsewhere)


def instead_of_a_chunk(put: Callable[[Path], object]) -> Callable[[Path, Path], None]:
    def change(image: Path, _: Path) -> None:
        place = a_chunk(image / "0")
        place.unlink()
        put(place)

    return change


LINKS: dict[str, Callable[[Path, Path], object]] = {
    "the array": lambda image, out: link_out(image / "0", out),
    "a chunk": lambda image, out: link_out(a_chunk(image / "0"), out),
    "a folder of chunks": lambda image, out: link_out(image / "0" / "c", out),
    "the metadata": lambda image, out: link_out(image / GROUP, out),
    "the array's metadata": lambda image, out: link_out(image / ARRAY, out),
    "a chunk to nothing": instead_of_a_chunk(lambda place: place.symlink_to("gone")),
    "a chunk of zeros without end": instead_of_a_chunk(lambda p: p.symlink_to("/dev/zero")),
    "a pipe as chunk": instead_of_a_chunk(os.mkfifo),
    "a folder as chunk": instead_of_a_chunk(Path.mkdir),
    "a pipe as metadata": lambda image, out: (
        (image / GROUP).unlink(),
        os.mkfifo(image / GROUP),
    ),
}


@pytest.mark.parametrize("put", LINKS.values(), ids=LINKS)
def test_what_leads_out_of_the_folder(
    refused: Callable[..., str],
    project: Path,
    image: Path,
    tmp_path: Path,
    put: Callable[[Path, Path], object],
) -> None:
    put(image, tmp_path / "elsewhere")
    assert str(image) in refused("add", project, image)


@pytest.mark.parametrize(
    "inner", ["labels/objects", "labels/objects/0", "labels/objects/zarr.json"]
)
def test_labels_that_lead_out_of_the_folder(
    refused: Callable[..., str], project: Path, image: Path, tmp_path: Path, inner: str
) -> None:
    link_out(image / inner, tmp_path / "elsewhere")
    assert "link" in refused("import", project, "s", image, "--annotator=anna")


def test_links_within_the_folder_and_to_it_are_followed(
    project: Path, image: Path, tmp_path: Path
) -> None:
    link_out(image / "0", image / "full")
    (tmp_path / "link.zarr").symlink_to(image)
    assert run(["add", str(project), str(tmp_path / "link.zarr"), "--field=linked"]) == 0


def with_codec(folder: Path, name: str, chunk: bytes, **configuration: object) -> None:
    codec = {"name": name, "configuration": configuration}
    edited(folder, *packed(codec))
    a_chunk(folder / "0").write_bytes(chunk)


def blosc(size: int) -> bytes:
    return struct.pack("<BBBBIII", 2, 1, 1, 2, size, size, 64) + bytes(48)


def zstd(size: int) -> bytes:
    """A frame of zeros that says how large it is, or, for 0, leaves it open."""
    blocks = (300 << 20) // (1 << 17)
    runs = b"".join(
        struct.pack("<I", (1 << 17) << 3 | 1 << 1 | (i == blocks - 1))[:3] + b"\0"
        for i in range(blocks)
    )
    head = b"\xe0" + struct.pack("<Q", size) if size else b"\0\x50"
    return b"\x28\xb5\x2f\xfd" + head + runs


ZEROS = 200 << 20
BLOSC = {"cname": "lz4", "clevel": 5, "shuffle": "noshuffle", "typesize": 2, "blocksize": 0}

CHUNKS: dict[str, Callable[[Path], object]] = {
    "gzip of 200 MB": lambda f: with_codec(f, "gzip", gzip.compress(bytes(ZEROS), 1), level=1),
    "zlib of 200 MB": lambda f: with_codec(
        f, "numcodecs.zlib", zlib.compress(bytes(ZEROS), 1), level=1
    ),
    "bz2 of 200 MB": lambda f: with_codec(
        f, "numcodecs.bz2", bz2.compress(bytes(ZEROS // 20), 1) * 20, level=1
    ),
    "lzma of 200 MB": lambda f: with_codec(
        f, "numcodecs.lzma", lzma.compress(bytes(ZEROS // 4), preset=0) * 4, preset=0
    ),
    "zstd of 300 MB": lambda f: with_codec(f, "zstd", zstd(0), level=0, checksum=False),
    "zstd that claims 2**60": lambda f: with_codec(f, "zstd", zstd(2**60), level=0, checksum=False),
    "blosc that claims 2 GB": lambda f: with_codec(f, "blosc", blosc(2**31 - 17), **BLOSC),
    "lz4 that claims 2 GB": lambda f: with_codec(
        f, "numcodecs.lz4", struct.pack("<I", 2**31 - 1) + bytes(100)
    ),
    "a chunk of 100 MB": lambda f: a_chunk(f / "0").write_bytes(bytes(100 << 20)),
    "a cut chunk": lambda f: a_chunk(f / "0").write_bytes(a_chunk(f / "0").read_bytes()[:9]),
    "an empty chunk": lambda f: a_chunk(f / "0").write_bytes(b""),
    "a chunk of noise": lambda f: a_chunk(f / "0").write_bytes(bytes(range(256)) * 10),
}


@pytest.mark.parametrize("put", CHUNKS.values(), ids=CHUNKS)
def test_chunks_that_explode_or_are_none(
    refused: Callable[..., str], project: Path, image: Path, put: Callable[[Path], object]
) -> None:
    put(image)
    assert str(image) in refused("add", project, image)


def as_version_2(folder: Path, **values: object) -> None:
    """Write what zarr 2 has in place of the metadata."""
    group = json.loads((folder / GROUP).read_text())["attributes"]["ome"]
    group["multiscales"][0]["version"] = group.pop("version") and "0.4"
    for name in (GROUP, ARRAY):
        (folder / name).unlink()
    (folder / ".zattrs").write_text(json.dumps(group))
    (folder / ".zgroup").write_text('{"zarr_format": 2}')
    shape = [1, 20, 40, 30]
    document = {"zarr_format": 2, "shape": shape, "chunks": shape, "dtype": "<u2", "order": "C"}
    document |= {"fill_value": 0, "filters": None, "compressor": None, "dimension_separator": "."}
    (folder / "0" / ".zarray").write_text(json.dumps({**document, **values}))
    (folder / "0" / "0.0.0.0").write_bytes(noise().astype("<u2").tobytes())


ARRAYS_2: dict[str, dict[str, object]] = {
    "a pickle as filter": {"filters": [{"id": "pickle"}]},
    "a pickle as compressor": {"compressor": {"id": "pickle"}},
    "an unknown compressor": {"compressor": {"id": "evil"}},
    "a compressor that is a text": {"compressor": "gzip"},
    "two compressors": {"compressor": {"id": "zlib"}, "filters": [{"id": "zlib"}]},
    "objects": {"dtype": "|O", "filters": [{"id": "vlen-utf8"}]},
    "objects without a filter": {"dtype": "|O"},
    "texts of 10**9": {"dtype": "|S1000000000", "fill_value": ""},
    "fields": {"dtype": [["a", "<u2"]], "fill_value": None},
    "dates": {"dtype": "<M8[s]"},
    "an unknown order": {"order": "Z"},
    "a separator upwards": {"dimension_separator": "/../"},
    "a fill value of text": {"fill_value": "x"},
    "a shape of 10**12 with chunks of 1": {"shape": [1, 10**4, 10**4, 10**4], "chunks": [1] * 4},
    "a negative chunk": {"chunks": [1, -1, 40, 30]},
    "zarr 3": {"zarr_format": 3},
}


@pytest.mark.parametrize("values", ARRAYS_2.values(), ids=ARRAYS_2)
def test_arrays_of_zarr_2_that_lie(
    refused: Callable[..., str], project: Path, image: Path, values: dict[str, object]
) -> None:
    as_version_2(image, **values)
    assert str(image) in refused("add", project, image)


def test_an_array_of_zarr_2_is_read(project: Path, image: Path) -> None:
    as_version_2(image)
    assert run(["add", str(project), str(image)]) == 0

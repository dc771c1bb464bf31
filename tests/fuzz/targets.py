"""What is fuzzed: one entry for each reader, with files to begin from and what reads them."""

from __future__ import annotations

import json
import shutil
from collections.abc import Callable
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import numpy as np

from tests.fuzz import project_targets as files

SHAPE = (5, 12, 10)
SPACING_UM = (2.0, 0.5, 0.4)


@dataclass(frozen=True)
class Target:
    """One reader.

    Parameters
    ----------
    name : str
    seeds : callable
        Writes good files into a folder; returns what is given to `call`: a file, or a folder. What
        stands beside it belongs to it.
    call : callable
        Reads a file or folder as people's commands do.
    tokens : tuple of bytes
        What means something in such a file.
    refusals : tuple of str
        More errors that are one line at the command line; those of the packages are so anyway.
    """

    name: str
    seeds: Callable[[Path], list[Path]]
    call: Callable[[Path], Any]
    tokens: tuple[bytes, ...] = ()


def image() -> np.ndarray:
    return np.random.default_rng(0).integers(0, 900, SHAPE).astype(np.uint16)


def labels() -> np.ndarray:
    made = np.zeros(SHAPE, np.uint32)
    made[1:3, 2:6, 2:5], made[2:4, 7:11, 5:9] = 3, 70_000
    return made


def read_image(path: Path) -> None:
    from annotations.formats import open_image

    with open_image(path, spacing_um=SPACING_UM) as source:
        for time in range(source.info.shape[0]):
            source.read(time, 0, source.info.shape[2])


def read_array(path: Path) -> None:
    from annotations.formats import open_image

    with open_image(path, axes="ZYX", spacing_um=SPACING_UM) as source:
        source.read(0, 0, source.info.shape[2])


def read_labels(path: Path) -> None:
    from annotations.formats.field_labels import read_field_labels
    from annotations.formats.format import Expected, recognise
    from annotations.formats.registry import FORMATS

    fmt = recognise(path, FORMATS)
    read_field_labels(fmt, path, Expected(shape=SHAPE, exported=True))


def tiffs(folder: Path) -> list[Path]:
    import tifffile

    from annotations.formats import write_image_tiff

    write_image_tiff(folder / "imagej.tif", image(), SPACING_UM)
    plain = {"photometric": "minisblack", "metadata": None}
    tifffile.imwrite(folder / "plain.tif", image()[0], **plain)
    for name in ("zlib", "lzw", "packbits", "zstd"):
        tifffile.imwrite(folder / f"{name}.tif", image()[0], compression=name, **plain)
    tifffile.imwrite(folder / "tiles.tif", image()[0], tile=(16, 16), compression="zlib", **plain)
    tifffile.imwrite(folder / "shaped.tif", image()[:2], photometric="minisblack")
    tifffile.imwrite(folder / "big.tif", image()[0], bigtiff=True, **plain)
    tifffile.imwrite(folder / "rgb.tif", np.zeros((12, 10, 3), np.uint8), photometric="rgb")
    pages = np.zeros((3, 4, 4), np.uint8)
    with tifffile.TiffWriter(folder / "below.tif") as writer:
        writer.write(pages, subifds=1, photometric="minisblack")
        writer.write(pages[:, ::2, ::2], subfiletype=1)
    return sorted(folder.iterdir())


def ome_tiffs(folder: Path) -> list[Path]:
    import tifffile

    sizes = {f"PhysicalSize{axis}": um for axis, um in zip("ZYX", SPACING_UM, strict=True)}
    for axes, array in {
        "ZYX": image(),
        "CZYX": image()[None].repeat(2, 0),
        "YX": image()[0],
    }.items():
        metadata = {"axes": axes, **sizes}
        tifffile.imwrite(folder / f"{axes}.ome.tif", array, ome=True, metadata=metadata)
    return sorted(folder.iterdir())


def label_tiffs(folder: Path) -> list[Path]:
    from annotations.formats import write_labels_tiff

    write_labels_tiff(folder / "s.tif", labels(), SPACING_UM)
    return [folder / "s.tif"]


def labkits(folder: Path) -> list[Path]:
    (path,) = label_tiffs(folder)
    small = np.minimum(labels(), 4).astype(np.uint32)
    path.unlink()
    from annotations.formats import write_labels_tiff

    write_labels_tiff(path, small, SPACING_UM)
    listed = {"labelSets": [[], ["a"], ["2"], ["3", "b"], ["70000"]], "labels": {}}
    (folder / "s.tif.labels").write_text(json.dumps(listed))
    return [path]


def arrays(folder: Path) -> list[Path]:
    np.save(folder / "a.npy", image())
    np.save(folder / "b.npy", image().astype(">f4"))
    return sorted(folder.iterdir())


def label_arrays(folder: Path) -> list[Path]:
    np.save(folder / "a.npy", labels())
    np.save(folder / "b.npy", np.asfortranarray(labels().astype(np.int64)))
    return sorted(folder.iterdir())


def cellpose(folder: Path) -> list[Path]:
    import pickle

    from annotations.formats.cellpose_seg import write_cellpose_seg

    write_cellpose_seg(folder / "a_seg.npy", labels(), "a.tif")
    header = (folder / "a_seg.npy").read_bytes()[:128]
    state = {"masks": labels(), "zdraw": [None, np.int16(3)], "x": {1, 2}, "p": Path("a")}
    for protocol in (3, 5):
        pickled = pickle.dumps(np.array(state, object), protocol=protocol)
        (folder / f"{protocol}_seg.npy").write_bytes(header + pickled)
    return sorted(folder.iterdir())


def rois(folder: Path) -> list[Path]:
    from roifile import ROI_TYPE, ImagejRoi

    from annotations.formats.roi_sets import write_rois

    write_rois(folder / "a.zip", labels())
    sizes = {"left": 2, "top": 2, "right": 8, "bottom": 9, "position": 2}
    for kind in (ROI_TYPE.OVAL, ROI_TYPE.RECT):
        roi = ImagejRoi(name="a", roitype=kind, **sizes)
        (folder / f"{kind.name}.roi").write_bytes(roi.tobytes())
    fine = ImagejRoi.frompoints([[0.4, 0.4], [5.6, 0.4], [5.6, 4.6], [0.4, 4.6]], name="b")
    fine.position = 1
    (folder / "fine.roi").write_bytes(fine.tobytes())
    return sorted(folder.iterdir())


def ome_zarrs(folder: Path) -> list[Path]:
    import zarr

    from annotations.formats.ome_zarr_write import write_ome_zarr

    write_ome_zarr(folder / "a.zarr", image()[None, None], labels(), SPACING_UM, channels=("n",))
    old = zarr.open_group(folder / "b.zarr", mode="w", zarr_format=2)
    old.create_array("0", data=image(), chunks=(2, 12, 10))
    axes = [{"name": a, "type": "space", "unit": "micrometer"} for a in "zyx"]
    scale = [{"type": "scale", "scale": [*SPACING_UM]}]
    datasets = [{"path": "0", "coordinateTransformations": scale}]
    old.attrs["multiscales"] = [{"version": "0.4", "axes": axes, "datasets": datasets}]
    sharded = folder / "c.zarr"
    shutil.copytree(folder / "a.zarr", sharded)
    shutil.rmtree(sharded / "0")
    whole = (1, *SHAPE)
    zarr.create_array(sharded, name="0", data=image()[None], chunks=(1, 1, 12, 10), shards=whole)
    return sorted(folder.iterdir())


def nd2s(folder: Path) -> list[Path]:
    from tests.annotations.formats.nd2_file import write_nd2

    frames = image()[..., None].repeat(2, -1)
    write_nd2(folder / "a.nd2", frames, z_step_um=2.0, pixel_um=0.5, channels=("a", "b"))
    write_nd2(
        folder / "b.nd2", frames[:4], z_step_um=1.0, pixel_um=0.5, times=2, channels=("a", "b")
    )
    return sorted(folder.iterdir())


def pictures(folder: Path) -> list[Path]:
    from PIL import Image

    grey = image()[0].astype(np.uint8)
    Image.fromarray(grey).save(folder / "grey.png")
    Image.fromarray(image()[0]).save(folder / "deep.png")
    Image.fromarray(np.stack([grey] * 3, -1)).save(folder / "rgb.png")
    Image.fromarray(np.stack([grey] * 3, -1)).quantize(8).save(folder / "palette.png")
    Image.fromarray(grey).save(folder / "grey.bmp")
    Image.fromarray(grey).save(folder / "grey.jpg")
    return sorted(folder.iterdir())


def sidecars(folder: Path) -> list[Path]:
    stated = {
        "hitl_export": 2, "project": "p", "field": "s", "class_name": "objects", "format": "tiff",
        "round": 0, "snapshot": "A1", "times": 1, "shape_zyx": [*SHAPE], "ids": [3, 70_000],
        "spacing_um": [*SPACING_UM], "image_sha256": "00", "slices": "11", "exported": "now",
        "imported": [["A1", "B2"]],
    }  # fmt: skip
    (folder / "s.tif.hitl.json").write_text(json.dumps(stated))
    return [folder / "s.tif.hitl.json"]


def read_sidecar(path: Path) -> None:
    from hitl.labelling.exchange.sidecar import Sidecar

    Sidecar.read(path)


def configs(folder: Path) -> list[Path]:
    found = []
    for path in sorted((Path(__file__).parents[2] / "configs").glob("*.yaml")):
        shutil.copy(path, folder / path.name)
        found.append(folder / path.name)
    return found


def read_config(path: Path) -> None:
    from hitl.project.config import load_config

    load_config(path)


YAML = (b": ", b"- ", b"\n", b"&a ", b"*a", b"!!", b"? ", b"[", b"0x", b"1:1", b".nan", b"=")

CODES = b"()0123FGIJKLMNRSTUVXQ]abcdeghijlopqrstu}\x80\x85\x86\x87"
PICKLED = tuple(bytes([code]) for code in CODES)
PICKLED += (b"\x8c\x05masks", b"\x8a\x04\xff\xff\xff\x7f", b"\x94", b"\x93", b"2\x86" * 30)

TARGETS: dict[str, Target] = {
    target.name: target
    for target in (
        Target("tiff", tiffs, read_image),
        Target("ome-tiff", ome_tiffs, read_image, (b"<a>", b"</a>", b"<!DOCTYPE a>")),
        Target("tiff-labels", label_tiffs, read_labels),
        Target("labkit", labkits, read_labels),
        Target("npy", arrays, read_array),
        Target("npy-labels", label_arrays, read_labels, (b"-1", b"None", b"(", b"'|O'")),
        Target("cellpose", cellpose, read_labels, PICKLED),
        Target("rois", rois, read_labels),
        Target("ome-zarr", ome_zarrs, read_image),
        Target("ome-zarr-labels", ome_zarrs, read_labels),
        Target("nd2", nd2s, read_image, (b"!", b"ImageDataSeq|1!")),
        Target("pictures", pictures, read_image),
        Target("sidecar", sidecars, read_sidecar),
        Target("config", configs, read_config, YAML),
        Target("project", files.projects, files.read_project),
        Target("unet-run", files.unet_runs, files.read_unet_run),
        Target("stardist-run", files.stardist_runs, files.read_stardist_run),
        Target("weights", files.weights, files.read_weights),
        Target("draft", files.drafts, files.read_draft),
        Target("setting", files.settings, files.read_setting, YAML),
    )
}

"""Files of weights that are damaged, lie about their size, or lead to other files."""

from __future__ import annotations

import hashlib
import json
import zipfile
from collections.abc import Callable
from pathlib import Path
from typing import Any

import numpy as np
import pytest

from tests.hostile.damages import DAMAGES, edited
from tests.hostile.run_folders import place, segmented, whole

__all__ = ["place", "segmented", "whole"]


@pytest.fixture
def tensorflow() -> None:
    """Import it outside of the limits, for what is told after it only."""
    from models.stardist3d.runtime import import_stardist

    import_stardist()


def with_sha(folder: Path) -> None:
    """Write down the sha256 of what the weights are now, as who means harm would."""
    sha = hashlib.sha256((folder / "weights.safetensors").read_bytes()).hexdigest()
    edited(folder / "model.json", weights_sha256=sha)


def headed(head: bytes) -> bytes:
    return len(head).to_bytes(8, "little") + head


def safetensors(head: object, size: int = 0) -> bytes:
    return headed(json.dumps(head).encode()) + bytes(size)


def other_network(path: Path) -> None:
    from models.tensors import write_tensors
    from models.unet3d.architecture import Architecture
    from models.unet3d.network import UNet3D

    write_tensors(path, UNet3D(Architecture((2,), ((1, 2, 2),))).state_dict())


def no_numbers(path: Path) -> None:
    from safetensors.torch import load_file

    from models.tensors import write_tensors

    tensors = load_file(path)
    write_tensors(path, {**tensors, "out.bias": tensors["out.bias"] * float("nan")})


def other_names(path: Path) -> None:
    from safetensors.torch import load_file

    from models.tensors import write_tensors

    write_tensors(path, {f"x{k}": v for k, v in load_file(path).items()})


def a_pickle(path: Path) -> None:
    import torch

    torch.save({"a": torch.zeros(3)}, path)


def a_bomb(path: Path) -> None:
    with zipfile.ZipFile(path, "w", zipfile.ZIP_DEFLATED) as archive:
        archive.writestr("a.npy", bytes(10**7))


HUGE = {"a": {"dtype": "F32", "shape": [10**6, 10**6], "data_offsets": [0, 4 * 10**12]}}
LYING = {"a": {"dtype": "F32", "shape": [10**6, 10**6], "data_offsets": [0, 8]}}
WEIGHTS: dict[str, Callable[[Path], Any]] = {
    "empty": lambda path: path.write_bytes(b""),
    "text": lambda path: path.write_bytes(b"no weights"),
    "cut": lambda path: path.write_bytes(path.read_bytes()[:-9]),
    "zeros": lambda path: path.write_bytes(bytes(1000)),
    "a head without end": lambda path: path.write_bytes((2**62).to_bytes(8, "little") + b"{}"),
    "no tensor": lambda path: path.write_bytes(safetensors({})),
    "a shape that is a lie": lambda path: path.write_bytes(safetensors(LYING, 8)),
    "a huge shape": lambda path: path.write_bytes(safetensors(HUGE)),
    "a head that is a list": lambda path: path.write_bytes(safetensors([1])),
    "lists without end": lambda path: path.write_bytes(headed(b"[" * 10**5)),
    "no numbers": no_numbers,
    "other names": other_names,
    "a pickle": a_pickle,
    "a zip": a_bomb,
    "gone": lambda path: path.unlink(),
    "a folder": DAMAGES["a folder"],
    "a pipe": DAMAGES["a pipe"],
    "a link to itself": DAMAGES["a link to itself"],
    "an endless file": DAMAGES["a link to an endless file"],
}


@pytest.mark.parametrize("change", WEIGHTS.values(), ids=WEIGHTS)
def test_weights_that_are_none(
    place: Path, segmented: Callable[[str], str], change: Callable[[Path], Any]
) -> None:
    path = place / "unet3d" / "weights.safetensors"
    change(path)
    if path.is_file() and not path.is_symlink():
        with_sha(place / "unet3d")
    segmented("unet3d")


@pytest.mark.parametrize("model", ["unet3d", "stardist3d"])
@pytest.mark.usefixtures("tensorflow")
def test_weights_of_another_network(
    place: Path, segmented: Callable[[str], str], model: str
) -> None:
    other_network(place / model / "weights.safetensors")
    with_sha(place / model)
    assert "they do not fit each other" in segmented(model)


@pytest.mark.parametrize(
    "change",
    [
        WEIGHTS[name]
        for name in WEIGHTS
        if name not in ("no numbers", "other names", "a folder", "a pipe", "a link to itself")
    ],
)
def test_weights_of_stardist_that_are_none(
    place: Path, segmented: Callable[[str], str], change: Callable[[Path], Any]
) -> None:
    change(place / "stardist3d" / "weights.safetensors")
    segmented("stardist3d")


def _hdf5(make: Callable[[Any, Path], Any]) -> Callable[[Path], None]:
    def write(path: Path) -> None:
        import h5py

        with h5py.File(path, "w") as file:
            make(file, path)

    return write


def _other_file(path: Path) -> Path:
    import h5py

    other = path.parent.parent / "private.h5"
    with h5py.File(other, "w") as file:
        file["secret"] = np.arange(100.0)
    return other


def _external_link(file: Any, path: Path) -> None:
    import h5py

    file["a"] = h5py.ExternalLink(str(_other_file(path)), "/secret")


def _soft_link(file: Any, path: Path) -> None:
    import h5py

    file["b"] = np.zeros(3)
    file["a"] = h5py.SoftLink("/b")


def _virtual(file: Any, path: Path) -> None:
    import h5py

    layout = h5py.VirtualLayout(shape=(100,), dtype="f8")
    layout[:] = h5py.VirtualSource(str(_other_file(path)), "secret", shape=(100,))
    file.create_virtual_dataset("a", layout)


def _external_storage(file: Any, path: Path) -> None:
    file.create_dataset("a", (100,), "f4", external=[(str(_other_file(path)), 0, 400)])


def _loop(file: Any, path: Path) -> None:
    file["a/b"] = np.zeros(3)
    file["a/c"] = file["/"]


def _lying(file: Any, path: Path) -> None:
    file.create_dataset("a", (10**6, 10**6), "f4", chunks=(64, 64))


def _deep(file: Any, path: Path) -> None:
    file["/".join("a" * 3000) + "/b"] = np.zeros(3)


HDF5: dict[str, Callable[[Path], Any]] = {
    "empty": lambda path: path.write_bytes(b""),
    "text": lambda path: path.write_bytes(b"no weights"),
    "only a signature": lambda path: path.write_bytes(b"\x89HDF\r\n\x1a\n" + bytes(100)),
    "an external link": _hdf5(_external_link),
    "a soft link": _hdf5(_soft_link),
    "a virtual array": _hdf5(_virtual),
    "an array in another file": _hdf5(_external_storage),
    "a loop": _hdf5(_loop),
    "groups in groups": _hdf5(_deep),
    "a shape that is a lie": _hdf5(_lying),
    "packed": _hdf5(lambda f, _: f.create_dataset("a", data=np.zeros(10**7), compression="gzip")),
    "texts": _hdf5(lambda f, _: f.create_dataset("a", data=[b"a"])),
    "nothing": _hdf5(lambda f, _: None),
    "a zip": a_bomb,
}


@pytest.mark.parametrize("change", HDF5.values(), ids=HDF5)
def test_hdf5_weights_that_are_none(
    place: Path, segmented: Callable[[str], str], change: Callable[[Path], Any]
) -> None:
    change(place / "stardist3d" / "weights_best.h5")
    line = segmented("stardist3d")
    assert "weights_best.h5" in line

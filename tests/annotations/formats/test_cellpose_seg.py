"""Masks of the Cellpose GUI: what it wrote comes back, what is hostile is refused."""

from __future__ import annotations

import os
import pickle
from collections.abc import Callable
from pathlib import Path
from types import SimpleNamespace
from typing import Any

import numpy as np
import pytest

from annotations.errors import FormatError, LabelError
from annotations.formats.cellpose import CELLPOSE
from annotations.formats.cellpose_seg import read_cellpose_seg, write_cellpose_seg
from annotations.formats.inert_pickle import UnsafePickleError
from tests.annotations.formats.contract import FormatContract, Labels
from tests.annotations.formats.exchange_labels import blobs, compact


def save_object(path: Path, content: object) -> Path:
    np.save(path, np.array(content, object), allow_pickle=True)
    return path


def save_pickle(path: Path, pickled: bytes) -> Path:
    """A .npy whose header is that of one object, and whose rest is any pickle."""
    with path.open("wb") as file:
        np.lib.format.write_array_header_1_0(
            file, {"descr": "|O", "fortran_order": False, "shape": ()}
        )
        file.write(pickled)
    return path


def test_masks_of_the_cellpose_gui_come_back_numbered_from_one(tmp_path: Path) -> None:
    labels = blobs()
    ids = write_cellpose_seg(tmp_path / "a_seg.npy", labels, "a.tif")
    assert ids.tolist() == [3, 7, 70_000]
    masks = read_cellpose_seg(tmp_path / "a_seg.npy")
    assert np.array_equal(np.append(0, ids)[masks], labels)


class GuiStub(SimpleNamespace):
    """What the GUI's file functions touch of its window."""

    def __getattr__(self, name: str) -> Any:
        return lambda *args, **kwargs: None


@pytest.mark.slow
@pytest.mark.parametrize("flat", [False, True])
def test_the_cellpose_gui_loads_and_saves_the_file(tmp_path: Path, flat: bool) -> None:
    from cellpose import io as cellpose_io
    from cellpose.gui import io as gui_io

    from annotations.formats import write_image_tiff

    labels = blobs()
    if flat:
        labels = labels.max(axis=0, keepdims=True)
    image = np.arange(labels.size, dtype=np.uint16).reshape(labels.shape)
    write_image_tiff(tmp_path / "a.tif", image, (2, 1, 1))
    write_cellpose_seg(tmp_path / "a_seg.npy", labels, tmp_path / "a.tif")
    if flat:
        assert cellpose_io.imread_2D(str(tmp_path / "a.tif")).shape[:2] == labels.shape[1:]
    else:
        assert cellpose_io.imread_3D(str(tmp_path / "a.tif")).shape[:3] == labels.shape

    counter = SimpleNamespace(value=0)
    counter.set = lambda value: setattr(counter, "value", int(value))
    counter.get = lambda: counter.value

    class Cells:
        set, get = staticmethod(counter.set), staticmethod(counter.get)

        def __gt__(self, other: int) -> bool:
            return bool(counter.value > other)

        def __eq__(self, other: object) -> bool:
            return bool(counter.value == other)

        __hash__ = None  # type: ignore[assignment]

    parent = GuiStub(
        ncells=Cells(),
        load_3D=not flat,
        logger=SimpleNamespace(info=lambda text: None),
        colormap=np.zeros((100, 4), np.uint8),
        restore=None,
        resize=False,
        flows=[[], [], [], [], [[]]],
        color="gray",
        ViewDropDown=SimpleNamespace(
            setCurrentIndex=lambda i: None, count=lambda: 1, currentText=lambda: "image"
        ),
        scroll=SimpleNamespace(setMaximum=lambda n: None, setValue=lambda n: None),
        zpos=SimpleNamespace(setText=lambda text: None),
        RGBDropDown=SimpleNamespace(name_map={"rgb": 0, "gray": 4}),
        segmentation_settings=SimpleNamespace(
            flow_threshold=0.4, cellprob_threshold=0.0, diameter=None
        ),
        current_model_path=str(tmp_path),
        stack_filtered=None,
        track_changes=[],
    )
    gui_io._load_seg(parent, str(tmp_path / "a_seg.npy"), load_3D=not flat)
    assert parent.loaded
    assert parent.filename == str(tmp_path / "a.tif")
    assert counter.value == 3
    assert len(labels) == parent.NZ
    assert np.array_equal(parent.cellpix, compact(labels))
    assert np.array_equal(
        parent.outpix > 0, (parent.outpix == parent.cellpix) & (parent.outpix > 0)
    )
    assert len(parent.zdraw) == 3
    assert len(parent.ismanual) == 3
    # The GUI takes away mask 1 and saves.
    parent.color = "gray"
    parent.cellpix[parent.cellpix == 1] = 0
    parent.cellpix[parent.cellpix > 1] -= 1
    gui_io._save_sets(parent)
    masks = read_cellpose_seg(tmp_path / "a_seg.npy")
    assert np.array_equal(masks, compact(np.where(labels == 3, 0, labels)))


@pytest.mark.parametrize("dtype", ["u1", "<i2", ">i4", "<u8"])
@pytest.mark.parametrize("protocol", [3, 4, 5])
def test_masks_of_any_whole_numbers_and_pickle_protocol(
    tmp_path: Path, dtype: str, protocol: int
) -> None:
    masks = np.asfortranarray(compact(blobs())).astype(dtype)
    state = {"masks": masks, "flows": [np.ones((2, 3), np.float32)], "zdraw": [None, np.int16(3)]}
    path = save_pickle(
        tmp_path / "a_seg.npy", pickle.dumps(np.array(state, object), protocol=protocol)
    )
    assert np.array_equal(read_cellpose_seg(path), compact(blobs()))


def test_masks_counted_from_minus_one(tmp_path: Path) -> None:
    old = compact(blobs()).astype(np.int32) - 1
    path = save_object(tmp_path / "a_seg.npy", {"masks": old})
    assert np.array_equal(read_cellpose_seg(path), compact(blobs()))


class Evil:
    """Calls a function when it is unpickled."""

    def __init__(self, function: Callable[..., Any], *arguments: object) -> None:
        self._call = function, arguments

    def __reduce__(self) -> tuple[Callable[..., Any], tuple[object, ...]]:
        return self._call


def evil_contents(marker: Path) -> dict[str, object]:
    masks = compact(blobs())
    call = Evil(os.mkdir, str(marker))
    return {
        "system": Evil(os.system, f"touch {marker}"),
        "function": {"masks": masks, "flows": [call]},
        "eval": {"masks": Evil(eval, f"__import__('os').mkdir({str(marker)!r})")},
        "getattr": {"masks": masks, "x": Evil(getattr, "text", "format")},
        "key": {"masks": masks, Evil(os.mkdir, str(marker)): 1},
        "numpy load": {"masks": Evil(np.load, str(marker), None, True)},
        "nested array": {"masks": masks, "a": np.array([[1, call], [None, {}]], object)},
        "class": {"masks": masks, "p": SimpleNamespace()},
        "numpy function": {"masks": masks, "x": Evil(np.lib.format.open_memmap, str(marker), "w+")},
    }


@pytest.mark.parametrize("name", sorted(evil_contents(Path("x"))))
def test_a_pickle_with_code_is_refused_and_not_run(tmp_path: Path, name: str) -> None:
    marker = tmp_path / "ran"
    path = save_object(tmp_path / "a_seg.npy", evil_contents(marker)[name])
    with pytest.raises(UnsafePickleError, match="nothing of it was run"):
        read_cellpose_seg(path)
    assert not marker.exists()


def forged(shape: object, dtype: object, data: object) -> bytes:
    """Pickle of {"masks": array} with any state of the array."""

    class State:
        def __reduce__(self) -> Any:
            build = np.zeros(1, np.uint8).__reduce__()
            return build[0], build[1], (1, shape, dtype, False, data)

    class Wrapper:
        def __reduce__(self) -> Any:
            build = np.zeros(1, np.uint8).__reduce__()
            return build[0], build[1], (1, (), np.dtype(object), False, [{"masks": State()}])

    return pickle.dumps(Wrapper(), protocol=4)


@pytest.mark.parametrize(
    ("shape", "dtype", "data"),
    [
        ((1 << 40,), np.dtype("u4"), b"abcd"),
        ((-1, 2, 2), np.dtype("u4"), b"abcd" * 4),
        ((1, 1, 1), np.dtype(object), b"12345678"),
        ((1, 1, 1), np.dtype([("a", "u4")]), b"abcd"),
        ((1, 1, 1), np.dtype("V8"), b"12345678"),
        ((2, 2, 2), np.dtype("u4"), [1, 2]),
        ("many", np.dtype("u4"), b"abcd"),
        ((1, 1, 1), "u4", b"abcd"),
    ],
)
def test_a_forged_array_is_refused_without_numpy_seeing_it(
    tmp_path: Path, shape: object, dtype: object, data: object
) -> None:
    path = save_pickle(tmp_path / "a_seg.npy", forged(shape, dtype, data))
    with pytest.raises((LabelError, UnsafePickleError), match=r"a_seg\.npy"):
        read_cellpose_seg(path)


@pytest.mark.parametrize(
    "pickled",
    [
        b"\x80\x04r\xff\xff\xff\xff.",
        b"\x80\x04Nr\xff\xff\xff\x7f.",
        b"\x80\x04P1\n.",
        b"\x80\x04\x82\x01.",
        b"cos\nsystem\n(S'true'\ntR.",
        b"",
        b"\x80\x04",
        b"\x80\x04\x8e\xff\xff\xff\xff\xff\xff\xff\x7fab.",
        pickle.dumps([1, 2]),
    ],
)
def test_damaged_and_hostile_pickles_end_in_an_error_of_ours(
    tmp_path: Path, pickled: bytes
) -> None:
    with pytest.raises(FormatError, match=r"a_seg\.npy"):
        read_cellpose_seg(save_pickle(tmp_path / "a_seg.npy", pickled))


def test_a_cut_file_and_a_plain_array_are_refused(tmp_path: Path) -> None:
    write_cellpose_seg(tmp_path / "a_seg.npy", blobs(), "a.tif")
    whole = (tmp_path / "a_seg.npy").read_bytes()
    for length in (0, 5, 60, 200, len(whole) // 2, len(whole) - 1):
        (tmp_path / "cut_seg.npy").write_bytes(whole[:length])
        with pytest.raises(FormatError, match=r"cut_seg\.npy"):
            read_cellpose_seg(tmp_path / "cut_seg.npy")
    np.save(tmp_path / "plain_seg.npy", blobs())
    with pytest.raises(FormatError, match="expected one pickled object"):
        read_cellpose_seg(tmp_path / "plain_seg.npy")


@pytest.mark.parametrize(
    ("masks", "message"),
    [
        (np.zeros((3, 4, 5), np.float32), "expected integer labels"),
        (np.zeros((3, 4, 5), bool), "true and false"),
        (np.zeros((2, 3, 4, 5), np.uint16), r"shape \(Z, Y, X\) or \(Y, X\)"),
        (np.full((3, 4, 5), -7, np.int16), "negative"),
        ([1, 2, 3], "'masks'"),
    ],
)
def test_masks_that_are_no_labels(tmp_path: Path, masks: object, message: str) -> None:
    path = save_object(tmp_path / "a_seg.npy", {"masks": masks})
    with pytest.raises(LabelError, match=message):
        read_cellpose_seg(path)


class TestContract(FormatContract):
    format = CELLPOSE
    spacing_um = None

    def kept(self, labels: Labels) -> Labels:
        """The GUI numbers its masks without gaps."""
        return compact(labels)

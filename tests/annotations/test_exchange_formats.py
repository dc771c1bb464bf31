"""Files that other tools open, and what they write: Cellpose GUI, ROI sets, OME-Zarr, Labkit."""

from __future__ import annotations

import json
import os
import pickle
import zipfile
from collections.abc import Callable
from pathlib import Path
from types import SimpleNamespace
from typing import Any

import numpy as np
import pytest
import zarr
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st
from hypothesis.extra import numpy as hnp
from numpy.typing import NDArray
from roifile import ROI_OPTIONS, ROI_TYPE, ImagejRoi

from annotations.errors import FormatError, LabelError
from annotations.formats import open_image, read_labels
from annotations.formats.cellpose_seg import read_cellpose_seg, write_cellpose_seg
from annotations.formats.inert_pickle import UnsafePickleError
from annotations.formats.labkit import names_file, resolve_names
from annotations.formats.ome_zarr_write import write_ome_zarr
from annotations.formats.outlines import fill, trace
from annotations.formats.rois import read_rois, write_rois

SPACING_UM = (2.0, 0.5, 0.25)
FAST = settings(
    max_examples=60,
    deadline=None,
    derandomize=True,
    suppress_health_check=[HealthCheck.function_scoped_fixture],
)


def blobs() -> NDArray[np.uint32]:
    """Three objects, one with a hole, one of two pieces that touch at a corner."""
    labels = np.zeros((4, 12, 15), np.uint32)
    labels[1:3, 2:7, 2:8] = 7
    labels[1, 4, 4:6] = 0
    labels[0:2, 8:10, 10:12] = 70_000
    labels[0:2, 10:12, 12:15] = 70_000
    labels[3, 0:2, 0:3] = 3
    return labels


def compact(labels: NDArray[np.uint32]) -> NDArray[np.uint32]:
    return np.unique(labels, return_inverse=True)[1].reshape(labels.shape).astype(np.uint32)


small_labels = hnp.arrays(np.uint32, (3, 6, 7), elements=st.integers(0, 4))


# Cellpose GUI


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
def test_the_cellpose_gui_loads_and_saves_the_file(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    from cellpose import io as cellpose_io
    from cellpose.gui import io as gui_io

    from annotations.formats import write_image_tiff

    labels = blobs()
    write_image_tiff(
        tmp_path / "a.tif", np.arange(720, dtype=np.uint16).reshape(4, 12, 15), (2, 1, 1)
    )
    write_cellpose_seg(tmp_path / "a_seg.npy", labels, tmp_path / "a.tif")
    image = cellpose_io.imread_3D(str(tmp_path / "a.tif"))
    assert image.shape[:3] == labels.shape

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
        load_3D=True,
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
    gui_io._load_seg(parent, str(tmp_path / "a_seg.npy"), load_3D=True)
    assert parent.loaded
    assert parent.filename == str(tmp_path / "a.tif")
    assert counter.value == 3
    assert parent.NZ == 4
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
        (np.zeros((4, 5), np.uint16), "--Zstack"),
        (np.full((3, 4, 5), -7, np.int16), "negative"),
        ([1, 2, 3], "'masks'"),
    ],
)
def test_masks_that_are_no_labels(tmp_path: Path, masks: object, message: str) -> None:
    path = save_object(tmp_path / "a_seg.npy", {"masks": masks})
    with pytest.raises(LabelError, match=message):
        read_cellpose_seg(path)


# ROI sets


@FAST
@given(labels=small_labels)
def test_roi_sets_lose_nothing(tmp_path: Path, labels: NDArray[np.uint32]) -> None:
    path = tmp_path / "a.zip"
    path.unlink(missing_ok=True)
    count = write_rois(path, labels)
    assert count == sum(np.unique(plane[plane > 0]).size for plane in labels)
    found = read_rois(path, labels.shape)
    assert np.array_equal(found.labels, labels)
    assert (found.contested, found.unnamed) == (0, 0)


def test_outlines_of_holes_and_corners() -> None:
    plane = np.array([[1, 1, 1, 0], [1, 0, 1, 0], [1, 1, 1, 0], [0, 0, 0, 1]])
    loops = trace(plane)[1]
    assert sorted(len(loop) for loop in loops) == [4, 4, 4]
    assert np.array_equal(fill(loops, plane.shape), plane == 1)


def inside(polygon: NDArray[np.float64], x: float, y: float) -> bool:
    """Even-odd rule, one side after the other."""
    odd = False
    for (x0, y0), (x1, y1) in zip(polygon, np.roll(polygon, -1, axis=0), strict=True):
        if (y0 <= y < y1 or y1 <= y < y0) and x0 + (y - y0) * (x1 - x0) / (y1 - y0) <= x:
            odd = not odd
    return odd


@FAST
@given(
    polygon=hnp.arrays(np.float64, (5, 2), elements=st.integers(0, 80).map(lambda n: n / 10 + 0.03))
)
def test_any_polygon_holds_the_pixels_whose_centres_are_inside(
    polygon: NDArray[np.float64],
) -> None:
    filled = fill([polygon], (9, 10))
    expected = [[inside(polygon, x + 0.5, y + 0.5) for x in range(10)] for y in range(9)]
    assert np.array_equal(filled, expected)


def test_a_set_is_what_imagej_expects(tmp_path: Path) -> None:
    write_rois(tmp_path / "a.zip", blobs())
    rois = {roi.name: roi for roi in ImagejRoi.fromfile(tmp_path / "a.zip")}
    assert sorted(rois) == [
        "object-3_z-4",
        "object-70000_z-1",
        "object-70000_z-2",
        "object-7_z-2",
        "object-7_z-3",
    ]
    plain = rois["object-7_z-3"]
    assert plain.roitype == ROI_TYPE.TRACED
    assert plain.position == 3
    assert sorted(map(tuple, plain.coordinates())) == [(2, 2), (2, 7), (8, 2), (8, 7)]
    holed = rois["object-7_z-2"]
    assert holed.roitype == ROI_TYPE.RECT
    assert len(holed.coordinates(multi=True)) == 2


def roi_set(path: Path, *rois: ImagejRoi) -> Path:
    with zipfile.ZipFile(path, "w") as archive:
        for roi in rois:
            archive.writestr(f"{roi.name}.roi", roi.tobytes())
    return path


def square(name: str, z: int, x: int = 2, y: int = 3, size: int = 4) -> ImagejRoi:
    corners = np.array([[x, y], [x + size, y], [x + size, y + size], [x, y + size]])
    roi = ImagejRoi.frompoints(corners, name=name)
    roi.position = z
    return roi


def without_outline() -> ImagejRoi:
    roi = ImagejRoi.frompoints([[1.0, 2.0], [3.0, 4.0], [5.0, 2.0]], name="a", position=0)
    roi.subpixel_coordinates[1] = np.nan
    return roi


def test_rois_drawn_by_a_person_make_objects_where_they_overlap(tmp_path: Path) -> None:
    path = roi_set(
        tmp_path / "a.zip",
        square("object-5_z-1", 1),
        square("0002-0001", 2, x=8),
        square("0003-0001", 3, x=9),
        square("far", 3, x=2),
        square("object-5_z-1-1", 2),
    )
    found = read_rois(path, (4, 12, 15))
    assert found.unnamed == 2
    assert found.labels[0, 3, 2] == found.labels[1, 3, 2] == 5
    assert found.labels[1, 4, 9] == found.labels[2, 4, 9]
    assert len(set(found.labels[2, 4, [2, 9]].tolist())) == 2
    assert (found.labels > 0).sum() == 5 * 16


def test_of_two_rois_on_a_voxel_the_last_wins(tmp_path: Path) -> None:
    path = roi_set(tmp_path / "a.zip", square("object-1", 1), square("object-2", 1, x=4))
    found = read_rois(path, (2, 12, 15))
    assert found.contested == 2 * 4
    assert (found.labels == 2).sum() == 16


def test_rectangles_ovals_and_subpixel_polygons(tmp_path: Path) -> None:
    box = ImagejRoi(
        name="object-1", roitype=ROI_TYPE.RECT, position=1, left=1, top=2, right=4, bottom=8
    )
    oval = ImagejRoi(
        name="object-2", roitype=ROI_TYPE.OVAL, position=1, left=6, top=2, right=14, bottom=10
    )
    fine = ImagejRoi.frompoints([[0.4, 0.4], [5.6, 0.4], [5.6, 1.6], [0.4, 1.6]], name="object-3")
    fine.position = 2
    found = read_rois(roi_set(tmp_path / "a.zip", box, oval, fine), (2, 12, 15)).labels
    assert np.argwhere(found[0] == 1).min(axis=0).tolist() == [2, 1]
    assert (found[0] == 1).sum() == 18
    y, x = np.mgrid[:12, :15] + 0.5
    assert np.array_equal(found[0] == 2, (x - 10) ** 2 + (y - 6) ** 2 <= 16)
    assert np.argwhere(found[1] == 3).tolist() == [[y, x] for y in (0, 1) for x in range(6)]


@pytest.mark.parametrize(
    ("roi", "message"),
    [
        (square("a", 0), "belongs to no slice"),
        (square("a", 5), "slice 5, outside the stack of 4"),
        (square("a", 1, x=12), "outside the image of 15 x 12"),
        (square("a", 1, y=9), "outside the image"),
        (square("a", 1, x=-1), "outside the image"),
        (square("object-0", 1), "expected an id"),
        (square("object-4294967296", 1), "expected an id"),
        (ImagejRoi(name="a", roitype=ROI_TYPE.LINE, position=1, x2=3.0, y2=4.0), "no area"),
        (without_outline(), "no outline"),
    ],
)
def test_rois_that_cannot_be_labels(tmp_path: Path, roi: ImagejRoi, message: str) -> None:
    path = roi_set(tmp_path / "a.zip", square("object-1", 1), roi)
    with pytest.raises(LabelError, match=message):
        read_rois(path, (4, 12, 15))


def test_archives_that_are_no_roi_sets(tmp_path: Path) -> None:
    path = tmp_path / "a.zip"
    good = square("object-1", 1).tobytes()
    for name in ("../out.roi", "/out.roi", "a/../../out.roi", "..\\out.roi"):
        with zipfile.ZipFile(path, "w") as archive:
            archive.writestr(name, good)
        with pytest.raises(FormatError, match="leads out"):
            read_rois(path, (4, 12, 15))
    with zipfile.ZipFile(path, "w") as archive:
        archive.writestr("readme.txt", "hello")
    with pytest.raises(FormatError, match="no ROI"):
        read_rois(path, (4, 12, 15))
    with zipfile.ZipFile(path, "w", zipfile.ZIP_DEFLATED) as archive:
        archive.writestr("bomb.roi", bytes(20 * 2**20))
    assert path.stat().st_size < 100_000
    with pytest.raises(FormatError, match="claims to hold"):
        read_rois(path, (4, 12, 15))
    path.write_bytes(b"PK\x03\x04 not really")
    with pytest.raises(FormatError, match=r"a\.zip"):
        read_rois(path, (4, 12, 15))


@pytest.mark.parametrize("length", [0, 10, 63, 70])
def test_a_cut_roi(tmp_path: Path, length: int) -> None:
    path = tmp_path / "a.zip"
    with zipfile.ZipFile(path, "w") as archive:
        archive.writestr("a.roi", square("a", 1).tobytes()[:length])
    with pytest.raises(FormatError, match=r"a\.zip"):
        read_rois(path, (4, 12, 15))


def test_the_finders_own_folder_is_passed_over_and_one_roi_is_a_set(tmp_path: Path) -> None:
    path = roi_set(tmp_path / "a.zip", square("object-1", 1))
    with zipfile.ZipFile(path, "a") as archive:
        archive.writestr("__MACOSX/._object-1.roi", b"Mac OS X")
    assert (read_rois(path, (2, 12, 15)).labels == 1).sum() == 16
    (tmp_path / "object-4.roi").write_bytes(square("object-4", 2).tobytes())
    assert (read_rois(tmp_path / "object-4.roi", (2, 12, 15)).labels[1] == 4).sum() == 16


def test_options_of_imagej_do_not_matter(tmp_path: Path) -> None:
    roi = square("object-1", 1)
    roi.options |= ROI_OPTIONS.SHOW_LABELS | ROI_OPTIONS.OVERLAY_NAMES
    assert (read_rois(roi_set(tmp_path / "a.zip", roi), (2, 12, 15)).labels == 1).sum() == 16


# OME-Zarr


def test_ome_zarr_with_labels_opens_elsewhere_and_comes_back(tmp_path: Path) -> None:
    from ome_zarr.io import parse_url
    from ome_zarr.reader import Reader

    labels = blobs()
    image = np.random.default_rng(0).integers(0, 900, (2, *labels.shape)).astype(">u2")
    path = tmp_path / "a.ome.zarr"
    write_ome_zarr(path, image, labels, SPACING_UM, channels=("nuclei", "membrane"))
    assert np.array_equal(read_labels(path / "labels" / "objects"), labels)
    with open_image(path) as source:
        assert source.info.spacing_um == SPACING_UM
        assert source.info.channels == ("nuclei", "membrane")
        assert np.array_equal(source.read(0, 4), image)
    nodes = list(Reader(parse_url(str(path)))())
    arrays = [node.data[0] for node in nodes if node.data]
    assert [a.shape for a in arrays] == [image.shape, labels.shape]
    assert np.array_equal(np.asarray(arrays[1]), labels)
    zarr.open_group(path / "labels" / "objects", mode="r+")["0"][1, 4, 4:6] = 7
    assert (read_labels(path / "labels" / "objects") == 7).sum() == 60


def test_ome_zarr_is_never_half_there(tmp_path: Path) -> None:
    image, labels = np.zeros((1, 4, 12, 15), np.uint8), blobs()
    path = tmp_path / "a.ome.zarr"
    with pytest.raises(LabelError):
        write_ome_zarr(path, image, labels[:, :5], SPACING_UM, channels=("a",))
    with pytest.raises(LabelError, match="negative"):
        write_ome_zarr(path, image, -labels.astype(np.int64), SPACING_UM, channels=("a",))
    assert list(tmp_path.iterdir()) == []
    write_ome_zarr(path, image, labels, SPACING_UM, channels=("a",))
    with pytest.raises(FormatError, match="exists already"):
        write_ome_zarr(path, image, labels, SPACING_UM, channels=("a",))


def test_files_are_not_overwritten(tmp_path: Path) -> None:
    (tmp_path / "a_seg.npy").write_text("mine")
    (tmp_path / "a.zip").write_text("mine")
    with pytest.raises(FormatError, match="exists already"):
        write_cellpose_seg(tmp_path / "a_seg.npy", blobs(), "a.tif")
    with pytest.raises(FormatError, match="exists already"):
        write_rois(tmp_path / "a.zip", blobs())
    assert {p.read_text() for p in tmp_path.iterdir()} == {"mine"}


# Labkit


def labkit_names(path: Path, sets: object) -> Path:
    names_file(path).write_text(json.dumps({"labelSets": sets}))
    return path


def test_labkits_names_are_the_ids(tmp_path: Path) -> None:
    indices = np.array([[[0, 1, 2], [3, 4, 4]]], np.uint32)
    path = labkit_names(tmp_path / "a.tif", [[], ["12"], ["3"], ["new cell"], ["12", "Label 2"]])
    found = resolve_names(path, indices)
    # Label 2 has the shorter name, so it is the first of the new ones.
    assert found.labels.tolist() == [[[0, 12, 3], [14, 13, 13]]]
    assert found.contested == 2
    assert found.unnamed == ("Label 2", "new cell")


@pytest.mark.parametrize(
    ("content", "message"),
    [
        ({"labelSets": [[], ["1"]]}, "expected indices below 2"),
        ({"labelSets": [[], ["1"], ["0"], ["4"]]}, "expected an id"),
        ({"labelSets": [[], ["9" * 5000], ["2"], ["4"]]}, "expected an id"),
        ({"labelSets": [[], 4]}, "labelSets"),
        ([1, 2], "labelSets"),
    ],
)
def test_lists_that_are_not_labkits(tmp_path: Path, content: object, message: str) -> None:
    names_file(tmp_path / "a.tif").write_text(json.dumps(content))
    with pytest.raises(FormatError, match=message):
        resolve_names(tmp_path / "a.tif", np.full((2, 2, 2), 3, np.uint32))

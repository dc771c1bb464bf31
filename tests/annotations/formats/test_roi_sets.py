"""ROI sets of ImageJ: nothing is lost, what a person drew is understood, damage is refused."""

from __future__ import annotations

import zipfile
from pathlib import Path

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st
from hypothesis.extra import numpy as hnp
from numpy.typing import NDArray
from roifile import ROI_OPTIONS, ROI_TYPE, ImagejRoi

from annotations.errors import FormatError, LabelError
from annotations.formats.outlines import fill, trace
from annotations.formats.roi_sets import read_rois, write_rois
from annotations.formats.rois import ROIS
from tests.annotations.formats.contract import FormatContract
from tests.annotations.formats.exchange_labels import FAST, blobs, small_labels


@FAST
@given(labels=small_labels)
def test_roi_sets_lose_nothing(tmp_path: Path, labels: NDArray[np.uint32]) -> None:
    path = tmp_path / "a.zip"
    path.unlink(missing_ok=True)
    count = write_rois(path, labels)
    assert count == sum(np.unique(plane[plane > 0]).size for plane in labels)
    found = read_rois(path, labels.shape)
    assert np.array_equal(found.labels, labels)
    assert found.notes == ()


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
    assert len(found.notes) == 1
    assert "make 2 new objects" in found.notes[0]
    assert found.labels[0, 3, 2] == found.labels[1, 3, 2] == 5
    assert found.labels[1, 4, 9] == found.labels[2, 4, 9]
    assert len(set(found.labels[2, 4, [2, 9]].tolist())) == 2
    assert (found.labels > 0).sum() == 5 * 16


def test_of_two_rois_on_a_voxel_the_last_wins(tmp_path: Path) -> None:
    path = roi_set(tmp_path / "a.zip", square("object-1", 1), square("object-2", 1, x=4))
    found = read_rois(path, (2, 12, 15))
    assert len(found.notes) == 1
    assert f"{2 * 4} voxels lie in ROIs of several objects" in found.notes[0]
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


def test_rois_of_a_flat_image_need_no_slice(tmp_path: Path) -> None:
    """ImageJ gives them none."""
    path = roi_set(tmp_path / "a.zip", square("object-7", 0), square("object-8", 1))
    assert set(np.unique(read_rois(path, (1, 12, 15)).labels)) <= {0, 7, 8}
    path = roi_set(tmp_path / "b.zip", square("object-7", 0))
    assert (read_rois(path, (1, 12, 15)).labels == 7).any()


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


class TestContract(FormatContract):
    format = ROIS
    spacing_um = None

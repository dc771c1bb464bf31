import subprocess
import sys

import cc3d
import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from hypothesis.extra import numpy as hnp
from numpy.typing import NDArray
from pydantic import ValidationError
from scipy import ndimage

from annotations.formats.coded import decode, encode
from hitl.postprocess.masks import clean_masks, edge_class
from hitl.postprocess.objects import clean_objects
from hitl.project.processing import PostprocessConfig
from labels.errors import LabelImageError
from scripts.bench_postprocess import synthetic_nuclei
from tests.hitl.postprocess.reference_postprocess import clean_masks_reference, edge_class_reference

Labels = NDArray[np.uint32]

SPARSE_IDS = np.array([1, 2, 3, 7, 255, 256, 65_535, 70_000, 2**24 + 1, 2**32 - 1], np.uint32)
SPACING = (5.0, 1.243, 1.243)


@st.composite
def touching_blobs(draw: st.DrawFn) -> Labels:
    """Discs and rings that touch and overlap the border, with specks, pinholes and fragments."""
    shape = draw(st.tuples(st.integers(1, 3), st.integers(3, 40), st.integers(3, 40)))
    rng = np.random.default_rng(draw(st.integers(0, 2**32 - 1)))
    labels = np.zeros(shape, np.uint32)
    y, x = np.ogrid[: shape[1], : shape[2]]
    for _ in range(draw(st.integers(0, 12))):
        label = rng.choice(SPARSE_IDS)
        centre, radius = rng.uniform((0, 0), shape[1:]), rng.uniform(1, 11)
        distance = np.hypot(y - centre[0], (x - centre[1]) * rng.uniform(0.5, 2))
        ring = (distance < radius) & (distance > radius * rng.choice([-1, -1, 0.6]))
        labels[rng.integers(shape[0])][ring] = label
    noise = rng.random(shape)
    level = draw(st.sampled_from([0.0, 0.05, 0.3]))
    labels[noise < level / 2] = 0
    specks = noise > 1 - level / 2
    labels[specks] = rng.choice(SPARSE_IDS, specks.sum())
    return labels


clean_options = st.fixed_dictionaries(
    {
        "min_area_px": st.integers(0, 25),
        "smooth_kernel_px": st.sampled_from([1, 3, 5, 7]),
        "close_radius_px": st.integers(0, 3),
        "fill_holes": st.booleans(),
        "open_radius_px": st.integers(0, 3),
    }
)


def disc(shape: tuple[int, int] = (40, 40), centre: tuple[int, int] = (20, 20), radius: int = 9):
    """A disc without single pixels at its poles."""
    y, x = np.ogrid[: shape[0], : shape[1]]
    return (y - centre[0]) ** 2 + (x - centre[1]) ** 2 <= (radius + 0.5) ** 2


def one_slice(mask: NDArray[np.bool_], label: int = 1) -> Labels:
    return np.where(mask, label, 0).astype(np.uint32)[None]


def iou_per_object(truth: Labels, other: Labels, over_voxels: int = 200) -> list[float]:
    scores = []
    for label in np.unique(truth[truth > 0]):
        own, got = truth == label, other == label
        if own.sum() > over_voxels:
            scores.append(float((own & got).sum() / (own | got).sum()))
    return scores


@settings(max_examples=150, deadline=None)
@given(labels=touching_blobs(), options=clean_options)
def test_cleaning_equals_the_loop_over_objects(labels, options):
    np.testing.assert_array_equal(
        clean_masks(labels, **options), clean_masks_reference(labels, **options)
    )


@settings(max_examples=100, deadline=None)
@given(
    labels=hnp.arrays(
        np.uint32, hnp.array_shapes(min_dims=3, max_dims=3, max_side=9), elements=st.integers(0, 3)
    ),
    options=clean_options,
)
def test_cleaning_equals_the_loop_on_any_small_array(labels, options):
    options = {**options, "min_area_px": options["min_area_px"] % 5}
    np.testing.assert_array_equal(
        clean_masks(labels, **options), clean_masks_reference(labels, **options)
    )


@settings(max_examples=100, deadline=None)
@given(
    labels=touching_blobs(),
    width=st.integers(1, 4),
    contact=st.sampled_from(["edge", "nucleus"]),
)
def test_edges_equal_the_loop_over_objects(labels, width, contact):
    np.testing.assert_array_equal(
        edge_class(labels, width_px=width, contact=contact),
        edge_class_reference(labels, width_px=width, contact=contact),
    )


def test_both_equal_the_loop_on_crowded_nuclei():
    labels = synthetic_nuclei(60, (9, 96, 128), seed=3)
    cleaned = clean_masks(labels)
    np.testing.assert_array_equal(cleaned, clean_masks_reference(labels))
    np.testing.assert_array_equal(edge_class(cleaned), edge_class_reference(cleaned))
    assert 0 < (cleaned != labels).mean() < 0.2


def test_a_disc_is_left_as_it_is():
    labels = one_slice(disc(), 70_000)
    np.testing.assert_array_equal(clean_masks(labels), labels)


def test_each_defect_is_mended():
    truth = disc()
    flawed = truth.copy()
    flawed[18:22, 19:22] = False  # a hole
    flawed[20, 29:36] = True  # a spur, one pixel wide
    flawed[2:5, 2:5] = True  # a loose bit
    cleaned = clean_masks(one_slice(flawed, 5))[0] == 5
    cleaned[19:22, 30] = False  # the spur's foot is rounded
    np.testing.assert_array_equal(cleaned, truth)


def test_a_crack_closes_and_its_fragments_are_one():
    cracked = disc()
    cracked[:, 20:22] = False
    assert ndimage.label(cracked)[1] == 2
    options = {"smooth_kernel_px": 1, "open_radius_px": 0}
    closed = clean_masks(one_slice(cracked), **options, close_radius_px=1)[0] > 0
    assert ndimage.label(closed)[1] == 1
    kept = clean_masks(one_slice(cracked), **options, close_radius_px=0)[0] > 0
    np.testing.assert_array_equal(kept, cracked)


def test_the_area_is_that_of_each_slice():
    labels = np.zeros((3, 20, 20), np.uint32)
    labels[0, 3:7, 3:8] = labels[2, 3:9, 3:9] = 4  # 20 and 36 pixels
    labels[1, 3:7, 3:8] = 4
    labels[1, 3, 3] = 0  # 19 pixels
    plain = {"smooth_kernel_px": 1, "close_radius_px": 0, "open_radius_px": 0}
    cleaned = clean_masks(labels, min_area_px=20, **plain)
    assert [(plane == 4).sum() for plane in cleaned] == [20, 0, 36]


def test_at_the_border_nothing_is_eroded():
    labels = np.zeros((1, 24, 24), np.uint32)
    labels[0, :10, :] = 1
    labels[0, 10:, :] = 2
    np.testing.assert_array_equal(clean_masks(labels), labels)


def test_a_pixel_that_two_objects_claim_stays_with_its_owner_else_the_lower_id():
    labels = one_slice(disc((40, 60), (20, 20), 12), 9)
    labels[0, 16:25, 16:25] = 3  # lies in what is a hole of 9
    cleaned = clean_masks(labels, open_radius_px=0, smooth_kernel_px=1)
    assert (cleaned[0, 16:25, 16:25] == 3).all()
    np.testing.assert_array_equal(cleaned > 0, labels > 0)

    rings = np.zeros((1, 40, 40), np.uint32)
    rings[0][disc(radius=15) & ~disc(radius=12)] = 8
    rings[0][disc(radius=9) & ~disc(radius=6)] = 6
    rings[0][disc(radius=2)] = 7  # dropped, since it has 21 pixels
    cleaned = clean_masks(rings, min_area_px=22)
    np.testing.assert_array_equal(cleaned[0] == 6, disc(radius=9))
    np.testing.assert_array_equal(cleaned[0] == 8, disc(radius=15) & ~disc(radius=9))


def test_the_input_is_only_read_and_any_integer_type_gives_the_same():
    labels = synthetic_nuclei(12, (9, 60, 60), seed=1)
    expected = clean_masks(labels, workers=1)
    assert expected.dtype == np.uint32
    before = labels.copy()
    labels.flags.writeable = False
    np.testing.assert_array_equal(clean_masks(labels, workers=3), expected)
    np.testing.assert_array_equal(labels, before)
    for dtype in (np.uint8, np.uint16, np.int32, np.int64, np.uint64):
        np.testing.assert_array_equal(clean_masks(labels.astype(dtype)), expected)
    strided = np.asfortranarray(labels)
    np.testing.assert_array_equal(clean_masks(strided), expected)
    np.testing.assert_array_equal(edge_class(strided), edge_class(before))


def test_no_object_and_no_slice():
    empty = np.zeros((2, 5, 6), np.uint32)
    for function in (clean_masks, edge_class):
        np.testing.assert_array_equal(function(empty), empty)
        assert function(empty[:0]).shape == (0, 5, 6)

    full = np.full((2, 3, 4), 9, np.uint32)
    for labels in (empty, empty[:0], full):
        for pieces in ("keep", "largest", "split"):
            cleaned = clean_objects(
                labels, SPACING, pieces=pieces, fill_holes=True, min_volume_um3=1.0
            )
            np.testing.assert_array_equal(cleaned, labels)


@pytest.mark.parametrize(
    ("labels", "message"),
    [
        (np.zeros((5, 5), np.uint32), r"3D label image .* got shape \(5, 5\)"),
        (np.zeros((1, 5, 5), np.float32), "integer ids, got float32"),
        (np.zeros((1, 5, 5), bool), "integer ids, got bool"),
        (np.full((1, 5, 5), -3), "0 and up, got -3"),
        (np.full((1, 5, 5), 2**32), "up to 4294967295, got 4294967296"),
    ],
)
def test_what_is_no_label_image_is_refused(labels, message):
    for function in (clean_masks, edge_class):
        with pytest.raises(LabelImageError, match=message):
            function(labels)
    with pytest.raises(LabelImageError, match=message):
        clean_objects(labels, SPACING)


@pytest.mark.parametrize(
    "options",
    [
        {"smooth_kernel_px": 4},
        {"smooth_kernel_px": 0},
        {"min_area_px": -1},
        {"close_radius_px": -1},
        {"open_radius_px": -1},
    ],
)
def test_options_without_meaning_are_refused(options):
    with pytest.raises(ValueError, match="expected"):
        clean_masks(np.zeros((1, 4, 4), np.uint32), **options)
    with pytest.raises(ValidationError):
        PostprocessConfig(**options)


def test_the_edge_of_one_object_by_hand():
    labels = np.zeros((2, 5, 6), np.uint32)
    labels[0, 1:3, 2:4] = 300
    expected = np.zeros((2, 5, 6), np.uint8)
    expected[0] = [
        [0, 0, 1, 1, 0, 0],
        [0, 1, 2, 2, 1, 0],
        [0, 1, 2, 2, 1, 0],
        [0, 0, 1, 1, 0, 0],
        [0, 0, 0, 0, 0, 0],
    ]
    np.testing.assert_array_equal(edge_class(labels), expected)
    with pytest.raises(ValueError, match="width_px"):
        edge_class(labels, width_px=0)
    with pytest.raises(ValueError, match="contact"):
        edge_class(labels, contact="both")


@settings(max_examples=40, deadline=None)
@given(labels=touching_blobs(), width=st.integers(1, 3))
def test_edges_at_contacts_part_the_nuclei_of_a_slice(labels, width):
    classes = edge_class(labels, width_px=width)
    for plane, nuclei in zip(labels, classes == 2, strict=True):
        parts = cc3d.connected_components(nuclei.astype(np.uint8), connectivity=4)
        pairs = np.unique(np.stack([parts[nuclei], plane[nuclei]]), axis=1)
        assert len(np.unique(pairs[0])) == pairs.shape[1]  # no part spans two objects


@settings(max_examples=40, deadline=None)
@given(labels=touching_blobs())
def test_the_classes_of_a_coded_export_are_these(labels):
    labels[labels == SPARSE_IDS[-1]] = 11
    coded = encode(labels)
    np.testing.assert_array_equal(decode(coded), labels)
    np.testing.assert_array_equal(np.minimum(coded, 2), edge_class(labels, contact="nucleus"))


def speckled(labels: Labels, seed: int) -> Labels:
    """Fray the outline, make pinholes, and scatter fragments of other objects."""
    rng = np.random.default_rng(seed)
    out = labels.copy()
    for z, plane in enumerate(labels):
        grown = ndimage.grey_dilation(plane, 3)
        inside = ndimage.grey_erosion(plane, 3) == plane
        frayed = (plane == 0) & (rng.random(plane.shape) < 0.3)
        out[z][frayed] = grown[frayed]
        out[z][(plane > 0) & ~inside & (rng.random(plane.shape) < 0.3)] = 0
        out[z][rng.random(plane.shape) < 0.03] = 0
        ids = np.unique(plane[plane > 0])
        for _ in range(4 if ids.size else 0):
            y, x = rng.integers(0, plane.shape)
            bit = out[z, y : y + 3, x : x + 2]
            bit[bit == 0] = rng.choice(ids)
    return out


@pytest.mark.real
@pytest.mark.parametrize("name", ["gonuclear_1136", "qcanet_16cell"])
def test_the_defaults_keep_good_masks_and_mend_bad_ones(real_stack, name):
    _, truth, _ = real_stack(name)
    untouched = np.mean(iou_per_object(truth, clean_masks(truth)))
    assert untouched > 0.97
    noisy = speckled(truth, seed=0)
    before = np.mean(iou_per_object(truth, noisy))
    after = np.mean(iou_per_object(truth, clean_masks(noisy)))
    assert before < 0.85
    assert after > before + 0.06


def test_importing_is_cheap():
    code = (
        "import sys, hitl.preprocess, hitl.postprocess; "
        "print([m for m in ('cv2', 'numba', 'scipy', 'skimage', 'cc3d') if m in sys.modules])"
    )
    done = subprocess.run([sys.executable, "-c", code], capture_output=True, text=True, check=True)
    assert done.stdout.strip() == "[]"

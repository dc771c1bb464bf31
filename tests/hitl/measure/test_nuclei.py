"""What is measured of nuclei, against scikit-image, SciPy and plain loops."""

from __future__ import annotations

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from hypothesis.extra import numpy as hnp
from scipy import stats
from scipy.spatial.distance import cdist
from skimage.measure import marching_cubes, mesh_surface_area, regionprops, shannon_entropy

from hitl.measure import intensity as intensity_module
from hitl.measure import sources as sources_module
from hitl.measure.neighbours import other_columns
from hitl.measure.nuclei import measure_nuclei
from hitl.measure.requests import MeasureOptions
from hitl.measure.shapes import area_weights, measure_shapes
from hitl.measure.sources import ArraySource
from hitl.project.errors import MeasureError

SPACING = (2.0, 0.75, 0.5)
SHAPES = hnp.array_shapes(min_dims=3, max_dims=3, min_side=1, max_side=8)


@st.composite
def fields(draw):
    """Random labels with sparse ids, and an image of 8, 16 or 32 bits."""
    shape = draw(SHAPES)
    ids = np.array([0, 3, 7, 2**31 + 5, 4_000_000_000], np.uint32)
    labels = ids[draw(hnp.arrays(np.uint8, shape, elements=st.integers(0, 4)))]
    kind = draw(st.sampled_from([np.uint8, np.uint16, np.float32]))
    high = 255 if kind is np.uint8 else 60000
    image = draw(hnp.arrays(np.uint16, shape, elements=st.integers(0, high))).astype(kind)
    return np.repeat(labels, draw(st.integers(1, 2)), axis=2), image


def matching(labels, image):
    """Make the image as wide as the labels."""
    return np.repeat(image, labels.shape[2] // image.shape[2], axis=2)


def mesh_area(mask, spacing):
    vertices, faces, _, _ = marching_cubes(np.pad(mask, 1).astype(np.float32), spacing=spacing)
    return mesh_surface_area(vertices, faces)


def ball(radius, spacing=(1.0, 1.0, 1.0), centre=(0.0, 0.0, 0.0)):
    """A ball of `radius` µm with a margin."""
    sides = [int(radius / s) + 3 for s in spacing]
    grid = np.meshgrid(*(np.arange(-n, n + 1) * s for n, s in zip(sides, spacing, strict=True)),
                       indexing="ij")  # fmt: skip
    return sum((g - c) ** 2 for g, c in zip(grid, centre, strict=True)) <= radius**2


def columns_of(labels, image=None, **options):
    source = ArraySource(labels, image, spacing_um=SPACING)
    return measure_nuclei(source, MeasureOptions(**options)).columns


@settings(max_examples=40, deadline=None)
@given(fields(), st.integers(1, 3))
def test_shapes_equal_scikit_image(pair, slab_depth):
    labels, _ = pair
    with pytest.MonkeyPatch.context() as patch:
        patch.setattr(sources_module, "SLAB_VOXELS", slab_depth * labels[0].size)
        found = columns_of(labels)
    _, dense = np.unique(np.concatenate([[0], labels.ravel()]), return_inverse=True)
    regions = regionprops(dense[1:].reshape(labels.shape).astype(np.int32), spacing=SPACING)
    assert found["id"].tolist() == [i for i in np.unique(labels) if i]
    for n, region in enumerate(regions):
        assert found["voxels"][n] == region.num_pixels
        assert found["volume_um3"][n] == pytest.approx(region.area, rel=1e-12)
        box = [found[f"bbox_{a}_{e}_px"][n] for e in ("start", "stop") for a in "zyx"]
        assert tuple(box) == region.bbox
        centre = [found[f"centroid_{a}_um"][n] for a in "zyx"]
        assert centre == pytest.approx(region.centroid)
        assert found["equivalent_diameter_um"][n] == pytest.approx(region.equivalent_diameter_area)
        # Of flat objects scikit-image takes the root of a difference that rounding leaves.
        assert found["axis_major_um"][n] == pytest.approx(region.axis_major_length, abs=1e-5)
        assert found["axis_minor_um"][n] == pytest.approx(region.axis_minor_length, abs=1e-5)
        assert found["surface_mesh_um2"][n] == pytest.approx(mesh_area(region.image, SPACING), 1e-5)
        cut = any(b == 0 for b in region.bbox[:3]) or any(
            b == s for b, s in zip(region.bbox[3:], labels.shape, strict=True)
        )
        assert found["touches_border"][n] == cut


@settings(max_examples=40, deadline=None)
@given(fields(), st.sampled_from([1, 20, 1 << 20]))
def test_intensities_equal_numpy_and_scipy(pair, group_voxels):
    labels, image = pair[0], matching(*pair)
    with pytest.MonkeyPatch.context() as patch:
        patch.setattr(intensity_module, "GROUP_VOXELS", group_voxels)
        patch.setattr(sources_module, "SLAB_VOXELS", labels[0].size)
        found = columns_of(labels, image)
    free = image[labels == 0]
    for n, label in enumerate(found["id"]):
        values = image[labels == label].astype(np.float64)
        for name, expected in {
            "mean": values.mean(), "median": np.median(values), "std": values.std(),
            "min": values.min(), "max": values.max(), "sum": values.sum(),
            "entropy_bits": shannon_entropy(values),
            **{f"p{p}": np.percentile(values, p) for p in (5, 25, 75, 95)},
        }.items():  # fmt: skip
            assert found[f"ch0_{name}"][n] == pytest.approx(expected, rel=1e-12, abs=1e-9), name
        alike = values.min() == values.max()
        skew, kurtosis = (0, 0) if alike else (stats.skew(values), stats.kurtosis(values))
        assert found["ch0_skewness"][n] == pytest.approx(skew, abs=1e-7)
        assert found["ch0_kurtosis"][n] == pytest.approx(kurtosis, abs=1e-7)
        less = found["ch0_sum_minus_background"][n]
        assert np.isnan(less) if not free.size else less == pytest.approx(
            values.sum() - float(np.median(free)) * values.size, abs=1e-6
        )  # fmt: skip


def test_percentiles_of_whole_numbers_are_numpys_to_the_last_bit():
    rng = np.random.default_rng(3)
    labels = rng.integers(0, 40, (6, 40, 40)).astype(np.uint32)
    image = rng.integers(0, 65536, labels.shape).astype(np.uint16)
    found = columns_of(labels, image)
    for n, label in enumerate(found["id"]):
        values = image[labels == label]
        for p in (5, 25, 75, 95):
            assert found[f"ch0_p{p}"][n] == np.percentile(values, p)
        assert found["ch0_median"][n] == np.median(values)
        assert found["ch0_mean"][n] == values.mean()


@settings(max_examples=60, deadline=None)
@given(fields())
def test_the_nearest_object_equals_the_loop_over_all_voxels(pair):
    labels, _ = pair
    found = columns_of(labels, neighbour_um=2.0)
    points = {i: np.argwhere(labels == i) * SPACING for i in found["id"]}
    centres = np.array([p.mean(axis=0) for p in points.values()])
    for n, (label, own) in enumerate(points.items()):
        gaps = {other: cdist(own, p).min() for other, p in points.items() if other != label}
        if not gaps:
            assert np.isnan(found["nearest_surface_um"][n])
            assert np.isnan(found["nearest_centroid_um"][n])
            continue
        nearest = min(gaps.values())
        assert found["nearest_surface_um"][n] == pytest.approx(nearest, rel=1e-12)
        assert gaps[found["nearest_surface_id"][n]] == pytest.approx(nearest, rel=1e-12)
        between = np.delete(np.linalg.norm(centres - centres[n], axis=1), n)
        assert found["nearest_centroid_um"][n] == pytest.approx(between.min(), abs=1e-12)
        assert found["neighbours_within_2um"][n] == (between <= 2.0).sum()
        grid = [np.rint(p / SPACING) for p in points.values()]
        touching = [cdist(grid[n], g, "chebyshev").min() <= 1 for g in grid]
        assert found["neighbours_touching"][n] == sum(touching) - 1


def test_distances_of_interlocked_objects_are_exact():
    z, y, x = np.indices((9, 40, 40))
    labels = np.zeros(z.shape, np.uint32)
    rng = np.random.default_rng(0)
    for label, radius in enumerate((4, 8, 13, 17), start=1):
        # Rings one inside the other: every centroid is nearly the same.
        inside = np.abs(np.hypot(y - 20, x - 20) - radius) < 1.2
        labels[inside & (np.abs(z - 4) < rng.integers(2, 5))] = label
    found = columns_of(labels)
    points = {i: np.argwhere(labels == i) * SPACING for i in found["id"]}
    for n, (label, own) in enumerate(points.items()):
        nearest = min(cdist(own, p).min() for other, p in points.items() if other != label)
        assert found["nearest_surface_um"][n] == pytest.approx(nearest, rel=1e-12)


def test_distance_to_another_class_is_zero_where_objects_overlap():
    mine, theirs = np.zeros((5, 20, 20), np.uint32), np.zeros((5, 20, 20), np.uint32)
    mine[1:3, 2:6, 2:6], mine[1:3, 12:16, 2:6] = 1, 2
    theirs[1:3, 3:5, 3:5], theirs[1:3, 12:16, 10:12] = 9, 8
    shapes = [measure_shapes(ArraySource(a, spacing_um=SPACING), lambda *_: None)
              for a in (mine, theirs)]  # fmt: skip
    found = other_columns(shapes[0], {"gfp": (shapes[1], np.array([[0, 1]]))}, lambda *_: None)
    assert found["other_distance_um"].tolist() == [0, 5 * SPACING[2]]
    assert found["other_id"].tolist() == [9, 8]
    assert found["other_class"].tolist() == ["gfp", "gfp"]


@pytest.mark.parametrize("radius", [6.0, 12.0])
def test_surfaces_of_balls(radius):
    labels = ball(radius).astype(np.uint32)
    found = measure_nuclei(ArraySource(labels, spacing_um=(1, 1, 1))).columns
    true = 4 * np.pi * radius**2
    assert found["surface_crofton_um2"][0] == pytest.approx(true, rel=0.03)
    assert true < found["surface_mesh_um2"][0] < 1.12 * true
    assert found["sphericity_crofton"][0] == pytest.approx(1, abs=0.03)
    assert found["depth_hull_um"][0] == pytest.approx(radius, rel=0.06)
    assert np.isnan(found["azimuth_deg"][0])


def test_weights_of_a_plane_are_exact():
    """A face of the grid: four voxels above, four below."""
    weights = area_weights(SPACING)
    assert weights[0b00001111, 0] == pytest.approx(SPACING[1] * SPACING[2])
    assert weights[[0, 255]].tolist() == [[0, 0], [0, 0]]


@pytest.mark.parametrize(
    ("direction", "azimuth", "elevation"),
    [((0, 0, 1), 0, 0), ((0, 1, 0), 90, 0), ((1, 0, 0), None, 90), ((0, 1, 1), 45, 0),
     ((0, 1, -1), 135, 0), ((1, 0, 1), 0, 45), ((1, 0, -1), 180, 45), ((1, -1, 0), 270, 45)],
)  # fmt: skip
def test_orientation_of_rods(direction, azimuth, elevation):
    labels = np.zeros((21, 21, 21), np.uint32)
    for t in range(-8, 9):
        labels[tuple(10 + t * np.array(direction))] = 1
    found = measure_nuclei(ArraySource(labels, spacing_um=(1, 1, 1))).columns
    assert found["elevation_deg"][0] == pytest.approx(elevation, abs=1e-4)
    if azimuth is not None:
        assert found["azimuth_deg"][0] == pytest.approx(azimuth, abs=1e-4)


def test_solidity_of_a_box_and_of_two_boxes():
    labels = np.zeros((6, 12, 12), np.uint32)
    labels[1:4, 1:5, 1:5] = 1
    labels[1:4, 7:9, 1:3], labels[1:4, 7:9, 5:7] = 2, 2
    found = columns_of(labels, solidity=True)["solidity"]
    assert found.tolist() == pytest.approx([1, 2 / 3])


def test_depth_is_measured_from_the_hull_of_the_sample():
    labels = np.zeros((9, 21, 21), np.uint32)
    labels[0:1, 0:1, 0:1], labels[8:9, 20:21, 20:21] = 1, 2
    labels[8:9, 0:1, 0:1], labels[0:1, 20:21, 20:21] = 3, 4
    labels[0:1, 0:1, 20:21], labels[8:9, 20:21, 0:1] = 5, 6
    labels[8:9, 0:1, 20:21], labels[0:1, 20:21, 0:1] = 7, 8
    labels[4, 10, 10] = 9
    found = measure_nuclei(ArraySource(labels, spacing_um=(1, 1, 1))).columns
    assert found["depth_hull_um"][8] == pytest.approx(4.5)
    assert found["depth_hull_um"][:8].tolist() == pytest.approx([0.5] * 8)
    assert found["depth_z_um"].tolist() == [0, 8, 8, 0, 0, 8, 8, 0, 4]


def test_slabs_and_zarr_give_the_same_numbers(tmp_path):
    import zarr

    rng = np.random.default_rng(5)
    labels = np.repeat(np.repeat(rng.integers(0, 9, (40, 6, 6)), 4, 1), 4, 2).astype(np.uint32)
    image = rng.normal(size=(2, *labels.shape)).astype(np.float32)
    whole = measure_nuclei(ArraySource(labels, image, spacing_um=SPACING)).columns
    stored = [zarr.create_array(tmp_path / str(n), data=a) for n, a in enumerate((labels, image))]
    with pytest.MonkeyPatch.context() as patch:
        patch.setattr(sources_module, "SLAB_VOXELS", 16 * labels[0].size)
        parts = measure_nuclei(ArraySource(*stored, spacing_um=SPACING)).columns
    assert list(parts) == list(whole)
    for name, values in whole.items():
        np.testing.assert_allclose(parts[name], values, rtol=1e-12, err_msg=name)


def test_no_object_gives_columns_without_rows_and_says_so():
    labels = np.zeros((3, 4, 5), np.uint32)
    found = measure_nuclei(ArraySource(labels, labels.astype(np.uint8), spacing_um=SPACING))
    one = measure_nuclei(ArraySource(labels + 1, labels.astype(np.uint8), spacing_um=SPACING))
    assert list(found.columns) == list(one.columns)
    assert all(len(values) == 0 for values in found.columns.values())
    assert any("no object" in note for note in found.notes)


def test_one_object_that_is_constant_and_fills_the_field():
    labels = np.ones((2, 3, 4), np.uint8)
    found = measure_nuclei(ArraySource(labels, np.full((2, 3, 4), 7.5), spacing_um=SPACING))
    row = {name: values[0] for name, values in found.columns.items()}
    assert row["ch0_entropy_bits"] == row["ch0_skewness"] == row["ch0_kurtosis"] == 0
    assert row["ch0_mean"] == row["ch0_p95"] == 7.5
    assert row["neighbours_touching"] == 0
    assert any("same value everywhere" in note for note in found.notes)
    assert any("no background" in note for note in found.notes)


@pytest.mark.parametrize(
    ("make", "words"),
    [
        (lambda a: ArraySource(a.astype(float), spacing_um=SPACING), "expected integers"),
        (lambda a: ArraySource(a[0], spacing_um=SPACING), r"\(Z, Y, X\)"),
        (lambda a: ArraySource(a, a[:, :-1], spacing_um=SPACING), "of one shape"),
        (lambda a: ArraySource(a, spacing_um=None), "--spacing-um"),
        (lambda a: ArraySource(a, spacing_um=(1, 0, 1)), "above 0"),
        (lambda a: ArraySource(a, a, spacing_um=SPACING, channels=["a", "b"]), "1 channel names"),
        (lambda a: measure_nuclei(ArraySource(a.astype(int) - 2, spacing_um=SPACING)), "of 0 or"),
        (lambda a: measure_nuclei(ArraySource(a, a / 0.0, spacing_um=SPACING)), "finite"),
        (lambda a: MeasureOptions(neighbour_um=0), "above 0"),
    ],
)
@pytest.mark.filterwarnings("ignore:divide by zero")
def test_bad_input_is_refused_with_advice(make, words):
    with pytest.raises(MeasureError, match=words):
        make(np.ones((3, 4, 5), np.uint32))


def test_real_nuclei(real_stack):
    image, labels, spacing = real_stack("gonuclear_1136")
    found = measure_nuclei(ArraySource(labels, image, spacing_um=spacing)).columns
    regions = regionprops(labels.astype(np.int32), image, spacing=spacing)
    assert len(found["id"]) == len(regions) == 32
    for n, region in enumerate(regions):
        assert found["axis_major_um"][n] == pytest.approx(region.axis_major_length)
        assert found["surface_mesh_um2"][n] == pytest.approx(mesh_area(region.image, spacing), 1e-5)
        assert found["ch0_mean"][n] == pytest.approx(region.intensity_mean)
    assert (found["depth_hull_um"] >= 0).all()

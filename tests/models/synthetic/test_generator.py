"""Synthetic nuclei: the same seed gives the same voxels, the truth is exact, options are kept."""

from __future__ import annotations

import dataclasses
import hashlib
import typing

import cc3d
import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from models.errors import ImageError, ModelError
from models.synthetic import (
    NucleiGenerator,
    NucleiOptions,
    Ranges,
    SyntheticError,
    SyntheticStack,
    like,
    random_generator,
)
from models.synthetic.fields import blur, smooth_noise, wide_blur
from models.synthetic.placing import place
from models.synthetic.preview import preview_png
from models.synthetic.shapes import keep_whole

SHAPE = (16, 64, 60)
SPACING = (2.0, 1.0, 1.0)


def generator(**options: object) -> NucleiGenerator:
    """Few nuclei in a small anisotropic stack."""
    given = {"shape": SHAPE, "spacing_um": SPACING, "nuclei": 14, "diameter_um": 12.0}
    return NucleiGenerator(**{**given, **options})


def plain(**options: object) -> NucleiGenerator:
    """Balls of even light, without what is not a nucleus, blur or camera's noise."""
    off = dict.fromkeys(
        ("size_spread", "elongation", "irregularity", "bend", "mitotic", "brightness_spread",
         "granularity", "nucleoli", "rim", "cytoplasm", "haze", "background", "sheets", "debris",
         "illumination", "read_noise", "unevenness"), 0.0
    )  # fmt: skip
    clean = {
        "blur_um": (0.0, 0.0, 0.0),
        "blur_growth": 1.0,
        "attenuation_um": 1e9,
        "photons": 10_000.0,
        "gain": 1.0,
        "offset": 0.0,
    }
    return generator(**{**off, **clean, **options})


def assert_exact(stack: SyntheticStack) -> None:
    """Ids are 1 … n and each is one 6-connected piece."""
    ids = np.unique(stack.labels)
    count = int(ids[-1])
    assert np.array_equal(ids[ids > 0], np.arange(1, count + 1))
    pieces = cc3d.connected_components(stack.labels, connectivity=6)
    assert int(pieces.max()) == count


@pytest.mark.parametrize("seed", [0, 7])
def test_the_same_seed_gives_the_same_voxels(seed: int) -> None:
    first, second = (generator().make(seed) for _ in range(2))
    assert np.array_equal(first.image, second.image)
    assert np.array_equal(first.labels, second.labels)
    assert not np.array_equal(first.image, generator().make(seed + 1).image)


def test_a_seed_keeps_its_nuclei_from_version_to_version() -> None:
    labels = NucleiGenerator(shape=(12, 48, 48), nuclei=12, irregularity=0).make(3).labels
    assert hashlib.sha256(labels.tobytes()).hexdigest().startswith("1bb801cf1f978219")


def test_without_noise_the_light_is_the_truth() -> None:
    stack = plain().make(1)
    assert_exact(stack)
    assert np.array_equal(stack.image > 0, stack.labels > 0)
    assert np.median(stack.image[stack.labels > 0]) == pytest.approx(10_000, rel=0.02)


def test_nuclei_have_the_diameter_in_micrometres_whatever_the_voxels() -> None:
    for spacing in ((2.0, 1.0, 1.0), (1.0, 1.0, 1.0), (3.0, 0.8, 1.2)):
        shape = tuple(round(48 / step) for step in spacing)
        stack = plain(shape=shape, spacing_um=spacing, clearance=1.3, nuclei=30).make(2)
        faces = np.concatenate(
            [np.moveaxis(stack.labels, axis, 0)[[0, -1]].ravel() for axis in range(3)]
        )
        sizes = np.bincount(stack.labels.ravel()).astype(float)[1:]
        whole = ~np.isin(np.arange(1, len(sizes) + 1), faces)
        assert whole.sum() >= 1
        diameter = np.cbrt(np.median(sizes[whole]) * np.prod(spacing) * 6 / np.pi)
        assert diameter == pytest.approx(12, rel=0.06)


def test_nuclei_stay_apart_or_press_each_other() -> None:
    rng = np.random.default_rng(0)
    extent, radii = np.array([30.0, 60.0, 60.0]), rng.uniform(3, 6, 200)
    for clearance in (0.8, 1.2):
        for arrangement in ("scattered", "ball", "clusters"):
            centres, which = place(rng, extent, radii, arrangement, clearance)
            apart = np.linalg.norm(centres[:, None] - centres[None], axis=2)
            least = clearance * (radii[which][:, None] + radii[which][None])
            np.fill_diagonal(apart, np.inf)
            assert len(centres) > 5
            assert len(set(which.tolist())) == len(which)
            assert np.all(apart >= least)


def test_sheets_lie_flat() -> None:
    radii = np.full(2000, 2.5)
    for seed in range(3):
        spots = [
            place(np.random.default_rng(seed), np.array([80.0] * 3), radii, kind, 0.9)[0]
            for kind in ("sheet", "scattered")
        ]
        # Layers leave room between them: the nearest neighbours are closer than elsewhere.
        holes = []
        for centres in spots:
            probes = np.random.default_rng(1).uniform(10, 70, (400, 3))
            gap = np.linalg.norm(probes[:, None] - centres[None], axis=2).min(axis=1)
            holes.append(np.percentile(gap, 90))
        assert holes[0] > 1.2 * holes[1]


def test_light_is_lost_along_the_axis_that_was_said() -> None:
    for axis, name in enumerate("zyx"):
        stack = plain(attenuation_um=20.0, light_from=name, nuclei=40).make(3)
        where = np.nonzero(stack.labels)
        depth = where[axis] * SPACING[axis]
        slope = np.polyfit(depth, np.log(stack.image[where].astype(float)), 1)[0]
        assert slope == pytest.approx(-1 / 20, rel=0.02)


def test_noise_is_that_of_photons_and_camera() -> None:
    flat = plain(background=3.0, photons=20.0, read_noise=2.0, gain=5.0, offset=300.0, nuclei=1)
    stack = flat.make(0)
    dark = stack.image[stack.labels == 0].astype(float)
    assert dark.mean() == pytest.approx(300 + 5 * 60, rel=0.01)
    assert dark.var() == pytest.approx(25 * (60 + 4), rel=0.05)


def test_eight_bits_saturate() -> None:
    stack = plain(bits=8, gain=0.1).make(0)
    assert stack.image.dtype == np.uint8
    assert np.all(stack.image[stack.labels > 0] == 255)


def test_blur_spreads_light_over_the_outline_and_not_the_truth() -> None:
    sharp, blurred = (plain(blur_um=width).make(4) for width in ((0, 0, 0), (2.0, 1.0, 1.0)))
    assert np.array_equal(sharp.labels, blurred.labels)
    outside = blurred.labels == 0
    assert np.count_nonzero(blurred.image[outside]) > 500
    total = sharp.image.sum(dtype=float)
    assert blurred.image.sum(dtype=float) == pytest.approx(total, rel=0.1)


def test_what_is_no_nucleus_has_light_and_no_label() -> None:
    clean = plain(nuclei=6).make(5)
    for option in ({"debris": 8.0, "debris_light": 2.0}, {"sheets": 2.0}, {"cytoplasm": 0.3}):
        dirty = plain(nuclei=6, **option).make(5)
        assert np.array_equal(dirty.labels, clean.labels)
        assert np.count_nonzero(dirty.image[dirty.labels == 0] > 300) > 20


def test_nucleoli_are_dark_and_rims_bright() -> None:
    even = plain(nuclei=8, diameter_um=20.0).make(6)
    spotted = plain(nuclei=8, diameter_um=20.0, nucleoli=4.0, nucleolus_light=0.1).make(6)
    rimmed = plain(nuclei=8, diameter_um=20.0, rim=1.0).make(6)
    inside = even.labels > 0
    assert np.percentile(spotted.image[inside], 2) < 0.4 * np.percentile(even.image[inside], 2)
    core = _eroded(even.labels)
    assert rimmed.image[inside & ~core].mean() > 1.2 * rimmed.image[core].mean()


def _eroded(labels: np.ndarray) -> np.ndarray:
    from scipy import ndimage as ndi

    return ndi.distance_transform_edt(labels > 0, SPACING) > 6


def test_dim_nuclei_are_told_from_bright_ones() -> None:
    stack = generator(brightness_spread=1.2, nuclei=30, photons=30.0).make(8)
    ratio = stack.contrast_to_noise
    assert ratio is not None
    assert ratio.shape == (stack.labels.max() + 1,)
    assert ratio[0] == 0
    means = np.bincount(stack.labels.ravel(), stack.image.ravel())[1:]
    means /= np.bincount(stack.labels.ravel())[1:]
    assert np.corrcoef(np.argsort(np.argsort(means)), np.argsort(np.argsort(ratio[1:])))[0, 1] > 0.9


@settings(max_examples=40, deadline=None)
@given(
    seed=st.integers(0, 2**32),
    shape=st.tuples(st.integers(1, 14), st.integers(14, 40), st.integers(14, 40)),
)
def test_any_draw_of_the_ranges_gives_an_exact_stack(
    seed: int, shape: tuple[int, int, int]
) -> None:
    options = random_generator(np.random.default_rng(seed), shape)
    try:
        stack = options.make(seed)
    except SyntheticError as error:
        # The smallest stacks have no room for the largest gaps between nuclei.
        assert "not one nucleus fell into the stack" in str(error)
        return
    assert stack.image.shape == stack.labels.shape == shape
    assert stack.spacing_um == options.spacing_um
    assert stack.image.dtype == (np.uint8 if options.bits == 8 else np.uint16)
    assert_exact(stack)


@settings(max_examples=40, deadline=None)
@given(seed=st.integers(0, 2**32), diameter=st.floats(4, 20))
def test_what_was_said_is_not_drawn(seed: int, diameter: float) -> None:
    rng = np.random.default_rng(seed)
    ranges = Ranges(photons=(50, 60), background=(0.0, 0.1), absent=1.0)
    options = random_generator(rng, (16, 48, 48), SPACING, diameter, ranges)
    assert options.spacing_um == SPACING
    assert options.diameter_um == diameter
    assert 50 <= options.photons <= 60
    assert options.debris == options.haze == options.sheets == options.cytoplasm == 0


def test_a_stack_without_a_nucleus_is_drawn_again() -> None:
    for seed in range(20):
        stack = generator(nuclei=1, arrangement="clusters").make(seed)
        assert stack.labels.max() == 1
    between_slices = generator(shape=(2, 64, 60), spacing_um=(90.0, 1.0, 1.0), nuclei=1)
    with pytest.raises(SyntheticError, match="not one nucleus"):
        for seed in range(20):
            between_slices.make(seed)


def test_ranges_hold_what_the_generator_has() -> None:
    names = {field.name for field in dataclasses.fields(NucleiGenerator)}
    others = {"diameter_px", "anisotropy", "crowding", "absent", "attenuation", "blur_px",
              "blur_ratio"}  # fmt: skip
    assert {field.name for field in dataclasses.fields(Ranges)} - others <= names
    documented = NucleiOptions.__doc__ or ""
    assert all(f"    {name} : " in documented for name in names)
    assert set(typing.get_type_hints(NucleiGenerator, include_extras=True)) >= names


@pytest.mark.parametrize(
    ("options", "words"),
    [
        ({"shape": (16, 8, 60)}, "no room for a nucleus of 12"),
        ({"shape": (0, 64, 60)}, "at least 1"),
        ({"shape": (40_000, 9_000, 9_000)}, "make several smaller ones"),
        ({"spacing_um": (1.0, float("nan"), 1.0)}, "finite"),
        ({"spacing_um": (2.0, 8.0, 8.0)}, "two voxels"),
        ({"mitotic": 1.5}, "mitotic: expected at most 1"),
        ({"blur_um": (1.0, -1.0, 1.0)}, "blur_um: expected at least 0"),
        ({"bits": 12}, "bits"),
        ({"arrangement": "heap"}, "arrangement"),
        ({"photons": float("inf")}, "photons"),
    ],
)
def test_what_cannot_be_drawn_is_refused(options: dict[str, object], words: str) -> None:
    with pytest.raises(SyntheticError, match=words):
        generator(**options)


def test_like_finds_what_a_stack_was_drawn_with() -> None:
    truth = generator(
        shape=(24, 96, 96), nuclei=40, diameter_um=14.0, brightness_spread=0.3, debris=0.0,
        attenuation_um=40.0, photons=80.0, gain=6.0, offset=250.0, background=0.3, haze=0.0,
        size_spread=0.1, cytoplasm=0.0, clearance=1.0, read_noise=1.0,
    )  # fmt: skip
    stack = truth.make(1)
    for labels in (stack.labels, None):
        found = like(stack.image, SPACING, labels)
        assert found.shape == truth.shape
        assert found.spacing_um == SPACING
        assert found.diameter_um == pytest.approx(14, rel=0.15)
        assert found.nuclei == pytest.approx(int(stack.labels.max()), rel=0.35)
        assert found.gain == pytest.approx(6, rel=0.35)
        assert found.attenuation_um == pytest.approx(40, rel=0.5)
        assert found.brightness_spread == pytest.approx(0.3, abs=0.2)
        again = found.make(2)
        for share in (10, 50, 99):
            own, drawn = np.percentile(stack.image, share), np.percentile(again.image, share)
            assert drawn == pytest.approx(own, rel=0.35)


def test_like_keeps_density_in_another_shape_and_the_diameter_that_was_said() -> None:
    stack = generator(nuclei=20, clearance=1.0).make(1)
    found = like(stack.image, SPACING, stack.labels)
    wide = like(stack.image, SPACING, stack.labels, shape=(16, 128, 120), diameter_um=11.0)
    assert wide.nuclei == pytest.approx(4 * found.nuclei, abs=2)
    assert wide.diameter_um == 11.0
    assert wide.shape == (16, 128, 120)


def test_like_refuses_what_it_cannot_measure() -> None:
    stack = generator().make(1)
    with pytest.raises(ImageError, match="finite"):
        like(np.full(SHAPE, np.nan), SPACING)
    with pytest.raises(SyntheticError, match="labels of the image's shape"):
        like(stack.image, SPACING, stack.labels[1:])
    with pytest.raises(SyntheticError, match="at least 2 nuclei"):
        like(stack.image, SPACING, np.zeros_like(stack.labels))
    with pytest.raises(SyntheticError, match="no background"):
        halves = np.ones_like(stack.labels)
        halves[8:] = 2
        like(stack.image, SPACING, halves)
    with pytest.raises(ModelError):
        like(stack.image, (1.0, 0.0, 1.0), stack.labels)


def test_like_takes_one_slice() -> None:
    stack = generator(shape=(1, 96, 96), nuclei=40).make(1)
    found = like(stack.image, SPACING, stack.labels)
    assert found.make(0).image.shape == (1, 96, 96)


@pytest.mark.real
@pytest.mark.parametrize("name", ["gonuclear_1136", "qcanet_16cell"])
def test_like_gives_a_real_stack_its_noise_and_levels(name: str, real_stack) -> None:
    image, labels, spacing = real_stack(name)
    drawn = like(image, spacing, labels).make(0).image
    for share in (10, 50):
        own = np.percentile(image, share)
        assert np.percentile(drawn, share) == pytest.approx(own, rel=0.25, abs=4)

    def noise(stack: np.ndarray) -> float:
        steps = np.diff(stack.astype(float), axis=2)
        return float(np.std(np.clip(steps, *np.percentile(steps, [2, 98]))))

    assert noise(drawn) == pytest.approx(noise(image), rel=0.35)


def test_smooth_noise_has_its_length_and_unit_spread() -> None:
    field = smooth_noise(np.random.default_rng(0), (40, 80, 80), (2.0, 1.0, 1.0), 8.0)
    assert field.std() == pytest.approx(1, abs=0.15)
    assert abs(field.mean()) < 0.2
    steps = [np.diff(field, axis=axis).std() for axis in range(3)]
    assert steps[0] == pytest.approx(2 * steps[1], rel=0.25)
    assert steps[1] == pytest.approx(steps[2], rel=0.2)
    assert np.abs(np.diff(field, axis=2)).max() < 0.8


def test_wide_blur_is_close_to_the_exact_one() -> None:
    volume = np.random.default_rng(0).random((20, 60, 50), np.float32)
    volume[8:12, 20:40, 20:30] += 3
    width = (8.0, 6.0, 6.0)
    exact, fast = blur(volume, width, SPACING), wide_blur(volume, width, SPACING)
    assert np.abs(exact - fast).max() < 0.1 * np.ptp(exact)


def test_only_the_largest_piece_of_a_nucleus_is_kept() -> None:
    labels = np.zeros((3, 6, 12), np.uint32)
    labels[:, 1:4, 0:4] = 5
    labels[0, 5, 8:10] = 5
    labels[:, :, 10:] = 2
    labels[1, 1, 6] = 9
    old = keep_whole(labels, 4)
    assert old.tolist() == [0, 2, 5]
    assert np.unique(labels).tolist() == [0, 1, 2]
    assert labels[0, 5, 8] == labels[1, 1, 6] == 0


def test_the_preview_is_a_picture() -> None:
    data = preview_png(generator().make(0))
    assert data.startswith(b"\x89PNG")
    assert len(data) > 2_000

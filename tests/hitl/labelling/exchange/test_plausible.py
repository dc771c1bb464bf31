"""Accidents are told of before they are imported, and corrections are not asked about."""

from __future__ import annotations

import os
import shutil
import zipfile
from collections import Counter
from collections.abc import Callable
from pathlib import Path
from types import SimpleNamespace
from typing import Any

import numpy as np
import pytest
from hypothesis import Phase, given, settings
from hypothesis import strategies as st

from annotations.formats import write_labels_tiff
from annotations.merging import merge_edits
from annotations.objects import ObjectTable
from hitl.cli import run
from hitl.labelling.exchange.errors import ExchangeError
from hitl.labelling.exchange.plausible import check_plausible
from hitl.project.config import ProjectConfig
from hitl.project.folder import Project
from tests.annotations.store_sources import SPACING_UM, ArraySource, by_model, proposed
from tests.conftest import RealStack
from tests.hitl.labelling.exchange.drawn_imports import (
    ACCIDENTS,
    SESSIONS,
    Field,
    Labels,
    ellipsoids,
    fitted,
    ids_in,
    image_of,
    renumbered,
)

SAID = {
    "image": "these are the intensities of the image and no labels",
    "zeros": "nothing is labelled in it, so all 14 objects would be deleted",
    "mask": "it is one object where there are 14, as a mask of foreground is",
    "classes": "it joins 14 of 14 objects to",
    "shifted": "its objects are those of the field moved by",
    "off by one slice": "its objects are those of the field moved by",
    "flipped": "14 of its 14 objects are those of the field with",
    "transposed": "axes z, x, y in place of z, y, x",
    "grown": "objects are grown on all sides, by",
    "shrunk": "objects are shrunk on all sides, by",
    "other field": "others are, as in labels of another image",
    "image of 8 bit": "others are, as in labels of another image",
}
"""What is said of an accident that befalls the field below."""

DRAWS = int(os.environ.get("HITL_TEST_DRAWS", "3"))
"""Of each kind of accident and of session, on each field."""


def drawn_field(seed: int, shape: tuple[int, int, int], count: int) -> Field:
    random = np.random.default_rng(seed)
    labels = ellipsoids(shape, count, random)
    others = (ellipsoids(shape, count + 3, random),)
    return Field(labels, image_of(labels, random), others)


FIELD = drawn_field(4, (20, 56, 56), 14)


@pytest.fixture(scope="module")
def template(tmp_path_factory: pytest.TempPathFactory) -> Path:
    project = Project.create(tmp_path_factory.mktemp("template") / "project", ProjectConfig())
    store = project.store(read_only=False)
    store.add_field("s", ArraySource(FIELD.image[None]))
    with store.begin_round(by_model()) as round_:
        round_.set_labels("s", FIELD.labels, proposed(ids_in(FIELD.labels).tolist()))
    return project.folder


@pytest.mark.parametrize("accident", ACCIDENTS)
def test_an_accident_is_told_of_in_one_line(
    accident: str, template: Path, tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    shutil.copytree(template, tmp_path / "project")
    project, file = Project.open(tmp_path / "project"), tmp_path / "saved.tif"
    random, junk = np.random.default_rng(2), None
    while junk is None or (accident == "classes" and len(ids_in(junk)) < 2):
        junk = ACCIDENTS[accident](FIELD, random)
    write_labels_tiff(file, junk, SPACING_UM)
    head = project.store().head()
    for more in ((), ("--dry-run",), ("--verified", "all")):
        capsys.readouterr()
        assert run(["import", str(project.folder), "s", str(file), *more]) == 1
        error = capsys.readouterr().err.strip().splitlines()[-1]
        assert error.startswith(f"error: {file}: expected corrections of s, got labels that no")
        assert SAID[accident] in error
        assert error.endswith("nothing was written; look at it, or say --yes if you mean it")
        assert project.store().head() == head
    assert run(["import", str(project.folder), "s", str(file), "--yes"]) == 0
    assert project.store().last_round() == 1


def test_an_empty_roi_set_is_told_of(
    template: Path, tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    project, file = Project.open(template), tmp_path / "RoiSet.zip"
    zipfile.ZipFile(file, "w").close()
    assert run(["import", str(project.folder), "s", str(file)]) == 1
    assert SAID["zeros"] in capsys.readouterr().err
    assert project.store().last_round() == 0


@settings(max_examples=25, deadline=None, phases=[Phase.explicit, Phase.generate])
@given(kind=st.sampled_from(sorted(SESSIONS)), seed=st.integers(0, 2**16))
def test_no_drawn_session_is_asked_about(
    kind: str, seed: int, tmp_path_factory: pytest.TempPathFactory
) -> None:
    random = np.random.default_rng(seed)
    field = drawn_field(seed, (8, 32, 36), 10)
    before, after = SESSIONS[kind](field, random)
    if np.array_equal(before, after):
        return
    folder = tmp_path_factory.mktemp("session")
    project = Project.create(folder / "project", ProjectConfig())
    store = project.store(read_only=False)
    store.add_field("s", ArraySource(field.image[None]))
    with store.begin_round(by_model()) as round_:
        round_.set_labels("s", before, proposed(ids_in(before).tolist()))
    saved = renumbered(after, random) if seed % 2 else after
    write_labels_tiff(folder / "saved.tif", saved, SPACING_UM)
    assert run(["import", str(project.folder), "s", str(folder / "saved.tif")]) == 0
    stored = store.labels("s").labels[...]
    np.testing.assert_array_equal(stored > 0, after > 0)


def asked_about(field: Field, before: Labels, after: Labels, times: int = 1) -> bool:
    """Whether an import would be refused without ``--yes``."""
    table = ObjectTable.make(ids_in(before), status=0, origin="model:m")
    depth, *plane = before.shape
    info = SimpleNamespace(zyx=(depth // times, *plane), address="s")
    view = SimpleNamespace(info=info, image=field.image[None])
    now: Any = SimpleNamespace(counts=table.counts(), info=info, time_points=lambda: iter([view]))
    edits = merge_edits(before, after, before, objects=table).edits
    try:
        check_plausible(after, len(ids_in(after)), edits, now, "saved.tif")
    except ExchangeError:
        return True
    return False


@pytest.mark.parametrize("flat", [False, True])
def test_of_a_series_each_time_point_is_looked_at(flat: bool) -> None:
    shape = (1, 60, 60) if flat else (12, 40, 40)
    first, second = (drawn_field(seed, shape, 12) for seed in (1, 2))
    later = np.where(second.labels > 0, second.labels + 100, 0)
    labels = np.concatenate([first.labels, later]).astype(np.uint32)
    field = Field(labels, np.concatenate([first.image, second.image]))
    random = np.random.default_rng(0)

    def at_each(done: Callable[[Field], Labels]) -> Labels:
        return np.concatenate([done(Field(one, field.image)) for one in np.split(labels, 2)])

    axis = 2 if flat else 0
    turned = at_each(lambda one: np.flip(one.labels, axis))
    for junk in (turned, at_each(lambda one: ACCIDENTS["grown"](one, random))):
        assert asked_about(field, labels, renumbered(junk, random), times=2)
    assert not asked_about(field, labels, labels, times=2)
    retouched = SESSIONS["all by a few voxels"](Field(labels, field.image), random)[1]
    assert not asked_about(field, labels, retouched, times=2)


@pytest.mark.real
@pytest.mark.slow
def test_on_real_stacks_accidents_are_found_and_sessions_pass(
    real_stack: Callable[[str], RealStack],
) -> None:
    names = ("gonuclear_1136", "plantseg_ovule_cells", "qcanet_16cell")
    fields = {name: real_field(real_stack, name) for name in names}
    flat = drawn_field(0, (1, 90, 90), 25)
    fields["flat"] = flat.labels, flat.image
    found: Counter[tuple[str, bool]] = Counter()
    random = np.random.default_rng(0)
    for name, (labels, image) in fields.items():
        others = tuple(fitted(one, labels.shape) for n, (one, _) in fields.items() if n != name)
        field = Field(labels, image, tuple(o for o in others if len(ids_in(o)) > 3))
        for _ in range(DRAWS):
            for kind, draw in ACCIDENTS.items():
                junk = draw(field, random)
                # There may be no way to turn it, and no room to grow.
                if junk is None or np.mean(junk != labels) < 0.02 * np.mean(labels > 0):
                    continue
                found[kind, asked_about(field, labels, junk)] += 1
            for kind, session in SESSIONS.items():
                before, after = session(field, random)
                found[kind, asked_about(field, before, renumbered(after, random))] += 1
    print(dict(found))
    assert not {kind for (kind, asked) in found if kind in ACCIDENTS and not asked}
    assert not {kind for (kind, asked) in found if kind in SESSIONS and asked}


def real_field(real_stack: Callable[[str], RealStack], name: str) -> tuple[Labels, Any]:
    image, labels, _ = real_stack(name)
    return np.unique(labels, return_inverse=True)[1].reshape(labels.shape).astype(np.uint32), image

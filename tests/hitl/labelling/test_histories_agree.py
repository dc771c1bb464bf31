"""`diff`, `blame`, `log`, `status` and exports tell of any history what plain sets of voxels do."""

from __future__ import annotations

import io
import json
from contextlib import redirect_stderr, redirect_stdout
from dataclasses import asdict
from itertools import combinations_with_replacement, pairwise
from pathlib import Path
from tempfile import TemporaryDirectory
from typing import Any

import numpy as np
import pytest
from hypothesis import Phase, given, settings
from hypothesis import strategies as st

from annotations.differences import diff_rounds
from annotations.formats import read_labels
from annotations.history import blame
from annotations.rounds import EditCounts
from annotations.store import AnnotationStore
from hitl.cli import run
from hitl.cli.console import plain
from hitl.cli.printing.labelling import blamed, difference
from tests.hitl.labelling.history_oracle import (
    NOTHING,
    State,
    changes,
    counts,
    mirrored,
    state_of,
    words,
)
from tests.hitl.labelling.history_steps import (
    CLASSES,
    MAKERS,
    TIMES,
    ZYX,
    Step,
    World,
    new_world,
    steps,
)

NAMES = tuple(f"s:{name}" for name in CLASSES)
History = dict[str, list[State]]


@pytest.fixture(scope="module")
def template(tmp_path_factory: pytest.TempPathFactory) -> Path:
    return tmp_path_factory.mktemp("template") / "project"


def told_of(template: Path, made: list[Step], number: int) -> None:
    with TemporaryDirectory() as folder:
        world = new_world(Path(folder), template)
        for kind, about in made:
            MAKERS[kind](world, about)
        check(world, number)


# A failing history is told as it is: making a shorter one of it takes minutes.
HISTORIES = settings(max_examples=6, deadline=None, phases=[Phase.explicit, Phase.generate])


@HISTORIES
@given(made=st.lists(steps(), min_size=3, max_size=5), number=st.integers(0, 99))
def test_all_tell_the_same_of_any_history(template: Path, made: list[Step], number: int) -> None:
    told_of(template, made, number)


@pytest.mark.slow
@settings(HISTORIES, max_examples=25)
@given(made=st.lists(steps(), min_size=4, max_size=8), number=st.integers(0, 99))
def test_all_tell_the_same_of_long_histories(template: Path, made: list[Step], number: int) -> None:
    told_of(template, made, number)


def check(world: World, number: int) -> None:
    store = world.project.store()
    history = {
        name: [state_of(store.labels(name, n)) for n in range(world.rounds)] for name in NAMES
    }
    last = world.rounds - 1
    for a, b in [*combinations_with_replacement(range(world.rounds), 2), (last, 0)]:
        check_diff(store, history, a, b)
    check_log(world, history)
    for name in NAMES:
        check_blame(world, store, history[name], name)
    check_command_line(world, history, number)


def check_diff(store: AnnotationStore, history: History, a: int, b: int) -> None:
    found = difference(diff_rounds(store, a, b))[0]
    told = {each["field"]: each for each in plain(found)["fields"]}
    for name, states in history.items():
        one, other = states[a], states[b]
        expected = changes(one, other)
        verified = other.verified - one.verified
        if not expected and not verified:
            assert name not in told
            continue
        said = told[name]
        assert [without_place(each) for each in said["changes"]] == [
            each.as_told() for each in expected
        ]
        assert said["counts"] == counts(expected)
        assert said["verified_voxels"] == verified
        assert said["voxels"] == len(
            {v for i in one.voxels for v in one.voxels[i] - other.voxels.get(i, frozenset())}
            | {v for i in other.voxels for v in other.voxels[i] - one.voxels.get(i, frozenset())}
        )
        assert [mirrored(each) for each in expected] == changes(other, one)


def without_place(change: dict[str, Any]) -> dict[str, Any]:
    return {key: value for key, value in change.items() if key not in ("box", "links")}


def check_log(world: World, history: History) -> None:
    entries = world.project.store().rounds()
    assert [e.round for e in entries] == list(range(world.rounds))
    for number, entry in enumerate(entries):
        assert (entry.kind, entry.author, entry.model and entry.model.name) == world.made[number]
        for name, states in history.items():
            expected = counts(changes(states[number - 1] if number else NOTHING, states[number]))
            found = entry.counts.get(name)
            assert (asdict(found) if found else dict.fromkeys(expected, 0)) == expected
        for name, said in world.told.get(number, {}).items():
            found = entry.counts.get(name, EditCounts())
            assert {k: vars(said).get(k, 0) for k in vars(found)} == vars(found)
        if entry.kind == "correct":
            listed = [f"{n} {what}" for what, n in asdict(entry.total).items() if n]
            assert ", ".join(listed) in entry.message


def check_blame(world: World, store: AnnotationStore, states: list[State], name: str) -> None:
    expected: dict[int, list[dict[str, Any]]] = {}
    for number, (old, new) in enumerate(pairwise([NOTHING, *states])):
        for change in changes(old, new):
            for one in change.ids:
                row = new.rows.get(one)
                kind, by, model = world.made[number]
                gained, lost = change.voxels.get(one, (0, 0))
                entry = {
                    "round": number, "kind": kind, "by": by, "model": model,
                    "what": words(change, one, old, new), "gained": gained, "lost": lost,
                    "status": row[0] if row else None, "confidence": row[2] if row else None,
                }  # fmt: skip
                expected.setdefault(one, []).append(entry)
    for one, entries in expected.items():
        data, _ = blamed(name, one, blame(store, name, one))
        found = plain(data)["changes"]
        assert [{key: each[key] for key in entries[0]} for each in found] == entries


# At the command line ---------------------------------------------------------------------------


def said(world: World, *arguments: object, code: int = 0) -> str:
    out, err = io.StringIO(), io.StringIO()
    with redirect_stdout(out), redirect_stderr(err):
        found = run([str(arguments[0]), str(world.project.folder), *map(str, arguments[1:])])
    assert found == code, err.getvalue()
    return err.getvalue() if code else out.getvalue()


def told(world: World, *arguments: object) -> dict[str, Any]:
    found: dict[str, Any] = json.loads(said(world, *arguments, "--json"))
    return found


def check_command_line(world: World, history: History, number: int) -> None:
    a, b = number % world.rounds, world.rounds - 1
    diff = told(world, "diff", a, b)
    text = said(world, "diff", a, b)
    every = {name: changes(states[a], states[b]) for name, states in history.items()}
    total = sum(map(len, every.values()))
    assert f"round {a} to {b}: {total} change{'s' * (total != 1)} in" in " ".join(text.split())
    assert sum(len(each["changes"]) for each in diff["fields"]) == total
    log = {each["round"]: each for each in told(world, "log")["log"]}
    for name, states in history.items():
        assert log[b]["counts"].get(name, counts([])) == counts(
            changes(states[b - 1] if b else NOTHING, states[b])
        )
    name = NAMES[number % len(NAMES)]
    ids = sorted({one for state in history[name] for one in state.voxels})
    check_blame_text(world, history[name], name, ids[number % len(ids)])
    states_now = {each["name"]: each for each in told(world, "status")["fields"]}
    voxels = TIMES * int(np.prod(ZYX))
    for name, states in history.items():
        assert states_now[name]["objects"] == states[-1].statuses
        assert states_now[name]["verified_share"] == states[-1].verified / voxels
    if history[name][a].voxels:
        sent = told(world, "export", name, world.file("-out"), "--round", a)
        np.testing.assert_array_equal(
            read_labels(Path(sent["labels"])).ravel(), world.planes(name, a).ravel()
        )
        assert sent["objects"] == len(history[name][a].voxels)


def check_blame_text(world: World, states: list[State], name: str, one: int) -> None:
    found = told(world, "blame", name, one)["changes"]
    text = " ".join(said(world, "blame", name, one).split())
    assert all(each["by"] in text for each in found)
    never = max(i for state in states for i in (*state.voxels, *state.rows)) + 1000
    assert f"got {never}" in said(world, "blame", name, never, code=1)

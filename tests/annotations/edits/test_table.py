"""What edits and verdicts mean for the table of objects."""

from __future__ import annotations

import numpy as np
import pytest
from hypothesis import given, settings

from annotations.edits.compare import compare_labels
from annotations.edits.table import updated_objects
from annotations.errors import LabelError
from annotations.objects import ObjectTable, Status
from annotations.rounds import EditCounts
from tests.annotations.edits.edit_scripts import Script, scripts


def line(*ids: int) -> np.ndarray:
    return np.array(ids, np.uint32).reshape(1, 1, -1)


BEFORE = line(1, 1, 2, 2, 3, 3, 0, 4, 4, 0, 5, 5, 6, 6)
AFTER = line(8, 8, 8, 8, 3, 9, 0, 0, 0, 7, 1, 1, 6, 6)
ROWS = {
    "id": [1, 2, 3, 4, 5, 6, 20],
    "status": [0, 1, 2, 0, 0, 2, 3],
    "origin": ["model:u"] * 5 + ["person:ben", "person:ben"],
    "confidence": [0.1, 0.2, 0.3, 0.4, 0.5, np.nan, 0.25],
    "round": [0, 1, 2, 0, 0, 3, 3],
}


def test_every_row_says_what_became_of_its_object() -> None:
    table = ObjectTable.from_arrays(ROWS)
    edits = compare_labels(BEFORE, AFTER, objects=table)
    new, counts = updated_objects(table, edits, annotator="anna", round=4, accepted=[1, 6, 9])
    assert counts == EditCounts(merged=1, split=1, deleted=1, added=1, accepted=1)
    ours = ("person:anna", 4)
    expected = {
        1: (Status.CORRECTED, *ours, np.nan),
        2: (Status.REJECTED, *ours, 0.2),
        3: (Status.CORRECTED, *ours, np.nan),
        4: (Status.REJECTED, *ours, 0.4),
        5: (Status.ACCEPTED, *ours, 0.5),
        # Somebody has corrected it before: accepting that changes nothing.
        6: (Status.CORRECTED, "person:ben", 3, np.nan),
        20: (Status.REJECTED, "person:ben", 3, 0.25),
        21: (Status.CORRECTED, *ours, np.nan),
        22: (Status.CORRECTED, *ours, np.nan),
    }
    status, origin, number, confidence = zip(*expected.values(), strict=True)
    rows = ObjectTable.make(
        list(expected), status=status, origin=origin, confidence=confidence, round=number
    )
    assert new.equals(rows)
    assert np.unique(edits.apply_stable_ids(AFTER)).tolist() == [0, *new.live_ids.tolist()]


@settings(max_examples=40, deadline=None)
@given(scripts())
def test_every_label_has_a_live_row_and_every_live_row_a_label(script: Script) -> None:
    ids = np.unique(script.before[script.before > 0])
    table = ObjectTable.make(ids, status=0, origin="model:u", confidence=np.full(ids.size, 0.5))
    edits = compare_labels(script.before, script.after, objects=table)
    everything = edits.after.ids.tolist()
    new, counts = updated_objects(table, edits, annotator="a", round=1, accepted=everything)
    stable = edits.apply_stable_ids(script.after)
    assert new.live_ids.tolist() == sorted(set(np.unique(stable).tolist()) - {0})
    assert counts.accepted == len(script.unchanged) == new.counts()["accepted"]
    assert new.counts()["proposed"] == 0
    kinds = [t[0] for t in script.truth]
    assert counts.added == kinds.count("added")
    if "regrouped" not in kinds:
        # Of what is cut off and joined to a neighbour both ids may live on: then both are reshaped.
        assert (counts.split, counts.merged) == (kinds.count("split"), kinds.count("merged"))


def test_without_a_verdict_an_unchanged_object_stays_proposed() -> None:
    table = ObjectTable.from_arrays(ROWS)
    edits = compare_labels(BEFORE, BEFORE, objects=table)
    new, counts = updated_objects(table, edits, annotator="anna", round=4)
    assert new.equals(table)
    assert counts == EditCounts()


def test_a_table_of_other_labels_is_refused() -> None:
    edits = compare_labels(BEFORE, AFTER)
    table = ObjectTable.make([1, 2, 3, 5, 6], status=0, origin="x")
    with pytest.raises(LabelError, match=r"every label before, got none for ids \[4\]"):
        updated_objects(table, edits, annotator="a", round=1)
    whole = ObjectTable.from_arrays(ROWS)
    with pytest.raises(LabelError, match=r"\[99\]"):
        updated_objects(whole, edits, annotator="a", round=1, accepted=[99])

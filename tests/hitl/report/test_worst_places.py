"""The places where a model is most wrong."""

from __future__ import annotations

import numpy as np

from hitl.project.folder import Project
from hitl.project.reporter import Silent
from hitl.report.inputs import read_inputs
from hitl.report.worst_places import find_places


def test_each_kind_of_error_takes_its_turn(project: Project) -> None:
    inputs = read_inputs(project)
    found = find_places(inputs, 3, Silent())
    assert len(found.shown) == 3
    everything = find_places(inputs, 1000, Silent())
    kinds = [place.case.kind for place in everything.shown]
    assert sum(kind != "matched" for kind in kinds) == everything.total
    for place in everything.shown:
        assert place.true_voxels.any() == bool(place.case.truth_ids)
        assert place.predicted_voxels.any() == bool(place.case.pred_ids)


def test_pictures_of_another_prediction_are_not_shown(project: Project) -> None:
    from annotations.formats import read_labels, write_labels_tiff

    inputs = read_inputs(project)
    file = project.folder / "predictions" / str(inputs.shown_model) / "tested.tif"
    kept = file.read_bytes()
    labels = read_labels(file)
    write_labels_tiff(file, np.roll(labels, 3, axis=2), (1.0, 1.0, 1.0), overwrite=True)
    reporter = Silent()
    found = find_places(inputs, 5, reporter)
    file.write_bytes(kept)
    assert (found.shown, found.stale) == ([], ["tested"])
    assert "run `hitl evaluate` again" in reporter.notes[0]

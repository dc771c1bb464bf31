"""The first labels: a segmenter that needs no training, its masks cleaned, committed as a round."""

from __future__ import annotations

from dataclasses import replace

from annotations.fields import LabelsInfo
from annotations.store import AnnotationStore
from hitl.labelling.proposals import Proposed, choose_fields, commit_proposals, segment_fields
from hitl.labelling.requests import BootstrapRequest
from hitl.prediction.predictor import Predictor
from hitl.prediction.segmenters import with_settings
from hitl.project.errors import NothingToDoError
from hitl.project.folder import Project
from hitl.project.reporter import Reporter


def bootstrap(project: Project, request: BootstrapRequest, reporter: Reporter) -> Proposed:
    """Segment the fields that have no labels yet, and commit the result as one round.

    Parameters
    ----------
    project : Project
    request : BootstrapRequest
        Of fields that have labels, those that a person verified are kept.
    reporter : Reporter

    Raises
    ------
    NothingToDoError
        No field to bootstrap.
    ModelError
        The segmenter's weights or the image are not to be had.
    StoreError
        The store cannot be written; told before the segmenter runs.
    """
    store = project.store(read_only=False)
    store.check_writable()
    chosen = choose_fields(store, request.fields, request.classes)
    if not request.replace:
        chosen = _unlabelled(store, chosen, reporter)
    derived = [info for info in chosen if project.config.class_of(info.class_name).neither]
    drawn = [info for info in chosen if info not in derived]
    wanted = request.segmenter or project.config.bootstrap.segmenter
    config, name = with_settings(project.config, wanted, request.settings, reporter)
    # The round keeps the settings that it was made with.
    project = replace(project, config=config)
    predictor = Predictor(project, name, reporter)
    found = segment_fields(store, drawn, predictor)
    listed = ", ".join(info.address for info in chosen)
    message = f"bootstrap of {listed} with {predictor.name}"
    return commit_proposals(project, "bootstrap", message, predictor, found, derived)


def _unlabelled(
    store: AnnotationStore, fields: list[LabelsInfo], reporter: Reporter
) -> list[LabelsInfo]:
    left = []
    for info in fields:
        if any(store.labels(info.key).counts.values()):
            reporter.note(f"{info.address} has labels already and is left as it is (see --replace)")
        else:
            left.append(info)
    if not left:
        raise NothingToDoError(
            "every field has labels already; --replace makes the unverified ones anew"
        )
    return left

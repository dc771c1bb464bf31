"""The next round's labels: a model fills what nobody has verified."""

from __future__ import annotations

from hitl.labelling.proposals import (
    Proposed,
    choose_fields,
    commit_proposals,
    plan_proposals,
    segment_fields,
)
from hitl.prediction.predict import labels_of_model
from hitl.prediction.predictor import Predictor
from hitl.project.errors import NothingToDoError
from hitl.project.folder import Project
from hitl.project.reporter import Reporter
from hitl.project.runs import named_or_in_use


def propose(
    project: Project,
    model: str | None,
    fields: tuple[str, ...],
    reporter: Reporter,
    classes: tuple[str, ...] = (),
    *,
    dry_run: bool = False,
) -> Proposed:
    """Run a model on fields and fill what nobody has verified; one round, all fields or none.

    The model runs before the store is opened for writing: people can go on correcting, and what
    they committed meanwhile stays too.

    Parameters
    ----------
    project : Project
    model : str, optional
        A run's id, a segmenter's name or ``"bootstrap"``; the promoted run when not given.
    fields : tuple of str
        Only these; all of split train and val when empty.
    reporter : Reporter
    classes : tuple of str
        Only these; those that the model was trained on when empty.
    dry_run : bool
        Only tell what would be done.

    Raises
    ------
    NothingToDoError
        No field, a test field, no model in use, or a model that finds no object anywhere.
    ProjectError
        Unknown run.
    StoreError
        The store cannot be written; told before the model runs.
    """
    store = project.store(read_only=dry_run)
    if not dry_run:
        store.check_writable()
    predictor = Predictor(project, named_or_in_use(project, model), reporter)
    chosen = labels_of_model(predictor, choose_fields(store, fields, classes), classes)
    found = segment_fields(store, chosen, predictor)
    empty = [field for field, timed in found.items() if timed.is_empty]
    if len(empty) == len(found):
        raise NothingToDoError(
            f"{predictor.name} found no object in {', '.join(empty)}: nothing was proposed and "
            "nothing changed; look at its training, or propose with another model (--model)"
        )
    going = "would go" if dry_run else "are gone"
    for field in empty:
        reporter.note(
            f"{predictor.name} found no object in {field}: its unverified proposals {going}"
        )
    if dry_run:
        return plan_proposals(store, predictor, found)
    message = f"proposals of {predictor.name} for {', '.join(found)}"
    return commit_proposals(project, "propose", message, predictor, found)

"""From a project's files to the figures of the report: everything but how it looks."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import asdict, dataclass
from typing import Any

from annotations.rounds import LogEntry
from hitl import __version__
from hitl.project.config import dump_config
from hitl.project.folder import now
from hitl.project.ranking import Scored
from hitl.project.reporter import Reporter
from hitl.report import figures, sentences
from hitl.report.hand_work import Gain, Point, Work, gains, points, settled, work_by_round
from hitl.report.inputs import Inputs
from hitl.report.nuclei import Sizes, Table, label_table, scored_tables, sizes
from hitl.report.worst_places import Place, Places, find_places

FORMAT = "hitl-report-1"

METRICS = (
    ("evaluation_score", "evaluation score"),
    ("f1", "F1"),
    ("precision", "precision"),
    ("recall", "recall"),
    ("pq", "PQ"),
    ("mean_ap_50_95", "mean AP 0.5–0.95"),
    ("seg", "SEG"),
    ("aji", "AJI"),
    ("boundary.f1", "boundary F1"),
    ("n_truth", "true"),
    ("n_pred", "predicted"),
)


@dataclass(frozen=True)
class Report:
    """Everything that a report says.

    Parameters
    ----------
    inputs : Inputs
    made : str
        When, in UTC.
    points, gains : list
    work : Work
        All hand work so far.
    errors : dict
        Objects by model, field and outcome.
    truth_sizes, label_sizes : dict of str to Sizes
        By class: of the scored fields; of the project's labels by status.
    tables : list of Table
    without_table : list of str
        Models for which the page has no room.
    places : Places
    """

    inputs: Inputs
    made: str
    points: list[Point]
    gains: list[Gain]
    work: Work
    errors: dict[str, dict[str, dict[str, int]]]
    truth_sizes: dict[str, Sizes]
    label_sizes: dict[str, Sizes]
    tables: list[Table]
    without_table: list[str]
    places: Places

    def to_dict(self) -> dict[str, Any]:
        """Return plain types for the JSON beside the page."""
        inputs = self.inputs
        return {
            "format": FORMAT,
            "made": self.made,
            "hitl": __version__,
            "project": asdict(inputs.overview),
            "sentences": self.sentences(),
            "models": [model_dict(one) for one in inputs.scored],
            "evaluation": inputs.evaluation and _about(inputs.evaluation),
            "comparisons": (inputs.evaluation or {}).get("comparisons", []),
            "ceiling": inputs.ceiling,
            "agreements": [
                {k: v for k, v in found.items() if k != "cases"} for found in inputs.agreements
            ],
            "progress": [asdict(point) for point in self.points],
            "gains": [asdict(gain) for gain in self.gains],
            "work": asdict(self.work),
            "errors": self.errors,
            "sizes": {
                "scored": {name: asdict(found) for name, found in self.truth_sizes.items()},
                "labels": {name: asdict(found) for name, found in self.label_sizes.items()},
            },
            "curves": {run: _finite(rows) for run, rows in inputs.curves.items()},
            "places": [_place_dict(place) for place in self.places.shown],
            "places_in_all": self.places.total,
            "tables": [asdict(table) for table in self.tables],
            "rounds": [round_dict(entry) for entry in inputs.rounds],
            "runs": list(inputs.cards),
            "promotions": list(inputs.promotions),
            "settings": dump_config(inputs.project.config),
        }

    def sentences(self) -> dict[str, str]:
        """Return what each section means, in sentences; empty where there is nothing to say."""
        inputs, model = self.inputs, self.inputs.shown_model
        evaluation = inputs.evaluation
        mean = evaluation["models"][model]["mean"] if evaluation and model else {}
        only = len(self.truth_sizes) < 2
        counts = {name: figures.added_up(fields) for name, fields in self.errors.items()}
        return {
            "scores": sentences.scores(inputs),
            "progress": sentences.progress(self.points, self.gains, self.work),
            "overlap": sentences.overlap(mean, model, inputs.things) if model else "",
            "errors": sentences.errors(counts, model, inputs.things) if model else "",
            "sizes": " ".join(
                sentences.volumes(found.medians_um3, inputs.things if only else f"{name} objects")
                for name, found in self.truth_sizes.items()
            ),
            "training": sentences.training(inputs.cards),
            "agreement": sentences.agreement(inputs),
        }


def build(inputs: Inputs, limit: int, reporter: Reporter) -> Report:
    """Compute what a report says.

    Parameters
    ----------
    inputs : Inputs
    limit : int
        Places to show.
    reporter : Reporter
    """
    evaluation = inputs.evaluation
    found = points(inputs.scored, inputs.cards, inputs.rounds)
    tables, without = scored_tables(inputs)
    reporter.progress(0, 2, "measuring labels")
    labels = label_table(inputs)
    places = find_places(inputs, limit, reporter)
    return Report(
        inputs=inputs,
        made=now(),
        points=found,
        gains=gains(found),
        work=list(work_by_round(inputs.rounds).values())[-1],
        errors=figures.error_counts(evaluation) if evaluation else {},
        truth_sizes=_scored_sizes(inputs, places),
        label_sizes=_label_sizes(labels),
        tables=[*tables, *([labels] if len(labels) else [])],
        without_table=without,
        places=places,
    )


def model_dict(one: Scored) -> dict[str, Any]:
    """Return a model's figures without its objects."""
    fields = {
        name: {key: scores.get(key) for key in ("evaluation_score", "f1", "n_truth", "n_pred")}
        for name, scores in one.found["fields"].items()
    }
    return {
        "model": one.model,
        "evaluation": one.evaluation,
        "made": one.made,
        "comparable": one.comparable,
        "mean": one.found["mean"],
        "intervals": one.found.get("intervals", {}),
        "classes": one.found.get("classes", {}),
        "fields": fields,
    }


def round_dict(entry: LogEntry) -> dict[str, Any]:
    """Return what a round says of itself."""
    return {
        "round": entry.round,
        "when": entry.when.isoformat(timespec="seconds"),
        "kind": entry.kind,
        "message": entry.message,
        "author": entry.author,
        "model": entry.model.name if entry.model else None,
        "weights_sha256": entry.model.weights_sha256 if entry.model else None,
        "counts": asdict(entry.total),
        "settled": settled(entry),
        "minutes": entry.minutes,
        "fields": list(entry.labels),
    }


def _about(evaluation: dict[str, Any]) -> dict[str, Any]:
    keys = ("number", "made", "split", "round", "options")
    fields = list(next(iter(evaluation["models"].values()))["fields"])
    return {**{key: evaluation.get(key) for key in keys}, "fields": fields}


def _place_dict(place: Place) -> dict[str, Any]:
    keys = ("field", "kind", "truth_ids", "pred_ids", "score", "iou")
    found = {key: getattr(place.case, key) for key in keys}
    return {**found, "volume_um3": place.volume_um3, "centroid_um": place.centroid_um}


def _finite(rows: Sequence[dict[str, float]]) -> list[dict[str, float | None]]:
    """JSON has no infinity: what diverged is null there."""
    return [
        {key: value if abs(value) < float("inf") else None for key, value in row.items()}
        for row in rows
    ]


def _scored_sizes(inputs: Inputs, places: Places) -> dict[str, Sizes]:
    if inputs.evaluation is None or places.model is None:
        return {}
    true: dict[str, list[float]] = {}
    for name, scores in inputs.evaluation["models"][places.model]["fields"].items():
        rows = scores.get("objects", ())
        known = [row["volume_um3"] for row in rows if row["volume_um3"]]
        true.setdefault(inputs.place_of(name)[1], []).extend(known)
    return _of_each(
        {
            name: {"truth": volumes, "prediction": places.pred_volumes_um3.get(name, [])}
            for name, volumes in true.items()
        }
    )


def _label_sizes(labels: Table) -> dict[str, Sizes]:
    found: dict[str, dict[str, list[float]]] = {}
    columns = (labels.values[key] for key in ("class", "status", "volume"))
    for name, status, volume in zip(*columns, strict=True):
        found.setdefault(name, {}).setdefault(status, []).append(volume)
    return _of_each(found)


def _of_each(volumes: Mapping[str, dict[str, list[float]]]) -> dict[str, Sizes]:
    """Return the histograms of each class that has any volumes."""
    made = {name: sizes(dict(found)) for name, found in sorted(volumes.items())}
    return {name: found for name, found in made.items() if found is not None}

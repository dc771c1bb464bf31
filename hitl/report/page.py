"""The page: everything escaped, everything inside one file."""

from __future__ import annotations

import json
from collections.abc import Iterable
from dataclasses import asdict
from importlib import resources
from typing import Any

import jinja2
from markupsafe import Markup

from hitl import __version__
from hitl.project.config import dump_config
from hitl.project.yaml_text import dump_yaml
from hitl.report import figures, meshes, pictures
from hitl.report.build import METRICS, Report, model_dict, round_dict
from hitl.report.inputs import Inputs
from hitl.report.worst_places import Place

GENERATOR = '<meta name="generator" content="hitl report">'
_IN_SCRIPT = {ord(c): f"\\u{ord(c):04x}" for c in "<>&\u2028\u2029"}
_MOST_FIELDS = 12
"""Fields in a chart; beyond them, the table has the rest."""


def page(report: Report, json_name: str) -> str:
    """Return the HTML of a report.

    Parameters
    ----------
    report : Report
    json_name : str
        File name of the figures beside it.
    """
    environment = jinja2.Environment(
        loader=jinja2.PackageLoader("hitl.report", "templates"),
        autoescape=True,
        undefined=jinja2.StrictUndefined,
        trim_blocks=True,
        lstrip_blocks=True,
    )
    environment.filters.update(
        number=_number, percent=_percent, sha=_sha, count=_count, numeric=_numeric
    )
    return environment.get_template("report.html.j2").render(
        **_context(report),
        generator=Markup(GENERATOR),  # noqa: S704
        json_name=json_name,
        css=_asset("report.css"),
        scripts=[_asset(name) for name in ("page.js", "table.js", "viewer.js")],
    )


def embedded(data: Any) -> Markup:
    """Return JSON that may stand in a script element, whatever text is in it."""
    text = json.dumps(data, allow_nan=False, ensure_ascii=False, separators=(",", ":"))
    return Markup(text.translate(_IN_SCRIPT))  # noqa: S704


def _asset(name: str) -> Markup:
    text = resources.files("hitl.report").joinpath("static", name).read_text(encoding="utf-8")
    return Markup(text)  # noqa: S704


def _context(report: Report) -> dict[str, Any]:
    inputs, things = report.inputs, report.inputs.things
    places = enumerate(report.places.shown, start=1)
    shown = [_place_context(inputs, place, number) for number, place in places]
    return {
        "report": report,
        "inputs": inputs,
        "overview": inputs.overview,
        "name": inputs.project.folder.resolve().name,
        "folder": inputs.overview.project,
        "version": __version__,
        "says": report.sentences(),
        "models": [model_dict(one) for one in inputs.scored],
        "metrics": METRICS,
        "evaluation": inputs.evaluation,
        "comparisons": _comparisons(inputs.evaluation),
        "charts": _charts(report),
        "size_charts": figures.size_charts(
            report.truth_sizes, f"volumes of true and predicted {things}", things
        ),
        "label_size_charts": figures.size_charts(
            report.label_sizes, "volumes of labels by status", things
        ),
        "things": things,
        "series": any(field.times > 1 for field in inputs.fields),
        "training": _training(report),
        "rounds": [round_dict(entry) for entry in reversed(inputs.rounds)],
        "cards": [_card(card) for card in reversed(inputs.cards)],
        "places": shown,
        "error_kinds": figures.ERROR_KINDS,
        "errors": report.errors,
        "error_totals": {m: figures.added_up(found) for m, found in report.errors.items()},
        "colours": {
            "both": _css(pictures.BOTH),
            "prediction": _css(pictures.PREDICTION_ONLY),
            "truth": _css(pictures.TRUTH_ONLY),
        },
        "settings": dump_config(inputs.project.config),
        "tables_json": embedded([asdict(table.shown()) for table in report.tables]),
        "meshes_json": embedded([place["mesh"] for place in shown]),
    }


def _charts(report: Report) -> dict[str, Markup | None]:
    inputs = report.inputs
    states = inputs.overview.fields[:_MOST_FIELDS]
    timed = report.work.minutes > 0
    return {
        "score": figures.score_chart(inputs, "evaluation_score", "evaluation score"),
        "f1": figures.score_chart(inputs, "f1", "F1 at IoU 0.5"),
        "round": figures.progress_chart(report.points, inputs, "round"),
        "objects": figures.progress_chart(report.points, inputs, "objects"),
        "minutes": figures.progress_chart(report.points, inputs, "minutes") if timed else None,
        "overlap": figures.overlap_chart(inputs.scored),
        "errors": figures.error_chart(report.errors) if report.errors else None,
        "status": figures.status_chart({state.name: state.objects for state in states}),
    }


def _training(report: Report) -> list[dict[str, Any]]:
    by_run = {card["run"]: card for card in report.inputs.cards}
    return [
        {"run": run, "card": by_run[run], "charts": figures.training_charts(rows)}
        for run, rows in reversed(report.inputs.curves.items())
    ]


def _comparisons(evaluation: dict[str, Any] | None) -> list[dict[str, Any]]:
    rows = []
    for pair in (evaluation or {}).get("comparisons", ()):
        for key, name in (("evaluation_score", "evaluation score"), ("f1", "F1")):
            found = pair["metrics"].get(key)
            if found is not None and found.get("difference") is not None:
                rows.append({**found, "pair": pair, "metric": name})
    return rows


def _card(card: dict[str, Any]) -> dict[str, Any]:
    config = card.get("config", {})
    return {**card, "options": dump_yaml(config)}


def _place_context(inputs: Inputs, place: Place, number: int) -> dict[str, Any]:
    who = ", ".join(map(str, place.case.truth_ids)) or "none"
    name = f"{number}: {place.case.kind}, {place.case.field}, true {who}"
    mesh = {"name": name, **meshes.place_meshes(place)}
    return {
        "number": number,
        "place": place,
        "views": pictures.draw(place),
        "true": who,
        "predicted": ", ".join(map(str, place.case.pred_ids)) or "none",
        "mesh": mesh,
        "where": inputs.place_of(place.case.field),
    }


def _css(rgb: tuple[int, int, int]) -> str:
    return "#{:02x}{:02x}{:02x}".format(*rgb)


def _number(value: Any, digits: int = 3) -> str:
    """Return a score, or a dash where it is not defined."""
    return "–" if value is None else f"{value:.{digits}f}"


def _numeric(names: Iterable[str]) -> list[str]:
    """Mark columns of numbers for the macro that writes tables."""
    return [f"#{name}" for name in names]


def _count(value: Any) -> str:
    """Return a count, which is a mean where there are several fields."""
    return "–" if value is None else f"{value:,.6g}".replace(",", "\u202f")


def _percent(value: Any) -> str:
    return "–" if value is None else f"{value:.0%}"


def _sha(value: Any) -> str:
    return "–" if not value else str(value)[:12]

"""What the figures mean, in plain sentences that are computed from them."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from typing import Any

from hitl.report.hand_work import Gain, Point, Work
from hitl.report.inputs import Inputs
from labels.numbers import number_of


def scores(inputs: Inputs) -> str:
    """Say which model is best, whether beyond noise, and how far from people."""
    best = inputs.best
    if best is None:
        return ""
    mean = best.found["mean"]
    recall, precision = mean.get("recall"), mean.get("precision")
    text = f"{best.model} has the highest evaluation score ({_value(best.score)})"
    compared = [one for one in inputs.scored if one.comparable]
    exact = max(compared, key=lambda one: one.f1 or 0.0)
    if (exact.f1 or 0.0) > (best.f1 or 0.0):
        text += f", {exact.model} the highest F1 ({_value(exact.f1)}, against {_value(best.f1)})"
    if len({one.evaluation for one in compared}) > 1:
        text += f" of the {len(compared)} models that were evaluated on the same objects"
    text += "."
    if recall is not None and precision is not None:
        text += (
            f" It finds {recall:.0%} of the true {inputs.things}, and {precision:.0%} of what it "
            "draws is one of them (at IoU 0.5)."
        )
    others = _against_others((inputs.evaluation or {}).get("comparisons", ()), best.model)
    return f"{text} {others}{_against_people(inputs, mean)}".strip()


def _against_others(comparisons: Sequence[Mapping[str, Any]], best: str) -> str:
    """Say which differences from the best are beyond chance, where the two were compared."""
    unclear = []
    for pair in comparisons:
        if best not in (pair["first"], pair["second"]):
            continue
        p = pair["metrics"].get("evaluation_score", {}).get("p")
        if p is not None and p >= 0.05:
            unclear.append(pair["first"] if pair["second"] == best else pair["second"])
    if not unclear:
        return ""
    return f"Its lead over {_and(unclear)} could be chance. "


def _against_people(inputs: Inputs, mean: Mapping[str, Any]) -> str:
    people = inputs.ceiling.get("annotators") or inputs.ceiling.get("self")
    if not people:
        return ""
    level, value = people["mean"].get("evaluation_score"), mean.get("evaluation_score")
    if level is None or value is None:
        return ""
    if value >= level:
        return "That is as good as people agree with each other."
    return f"People agree with each other at {level:.3f}: {level - value:.3f} are left to gain."


def progress(points: Sequence[Point], gains: Sequence[Gain], work: Work) -> str:
    """Say what hand work brought, and whether more of it is likely to pay."""
    spent = f"{number_of(work.objects, 'object was', 'objects were')} settled by hand so far"
    if work.minutes:
        spent += f", in {_minutes(work.minutes)}"
    if work.untimed:
        spent += f" (and {number_of(work.untimed, 'round')} whose time was not noted)"
    if not gains:
        known = "one round" if points else "no round"
        return (
            f"{spent}. Scores of runs from {known} of labels are known: what more hand work "
            "brings shows once a model was trained on a later round."
        )
    last = gains[-1]
    rate = f", {last.per_hour:+.3f} per hour of work" if last.per_hour is not None else ""
    noise = (
        " The intervals of the two scores overlap, so this may be chance."
        if last.within_noise
        else ""
    )
    return (
        f"{spent}. Between rounds {last.rounds[0]} and {last.rounds[1]} the score of {last.model} "
        f"changed by {last.difference:+.3f} for "
        f"{number_of(last.objects, 'more object')}{rate}.{noise}"
    )


def overlap(mean: Mapping[str, Any], model: str, things: str) -> str:
    """Say where the model's matches stop to hold."""
    loose, strict = mean.get("thresholds.0.5.ap"), mean.get("thresholds.0.75.ap")
    if loose is None or strict is None:
        return ""
    if loose < 0.3:
        why = f"many {things} are not found as separate ones at all"
    elif strict < 0.5 * loose:
        why = f"{things} are found, but their outlines are loose"
    else:
        why = f"found {things} keep their match when more overlap is asked for: outlines fit well"
    return f"{model}: AP {loose:.2f} at IoU 0.5 and {strict:.2f} at 0.75, so {why}."


def errors(counts: Mapping[str, Mapping[str, float]], model: str, things: str) -> str:
    """Say which error is most frequent, and what helps against it."""
    found = counts.get(model, {})
    wrong = {k: v for k, v in found.items() if k != "matched" and v > 0}
    if not wrong:
        return f"{model} makes no error on these fields."
    worst = max(wrong, key=lambda kind: wrong[kind])
    advice = {
        "missed": f"Correct rounds that add faint or small {things}; check contrast and depth.",
        "spurious": "Delete false objects and mark empty regions as verified.",
        "merged": f"Correct crowded regions first: separating touching {things} teaches most.",
        "split": f"Correct large or textured {things} that were cut into pieces.",
        "shifted": f"Redraw outlines: these {things} are found, but not well enough.",
    }[worst]
    objects = number_of(wrong[worst], "object")
    return f"{model}'s most frequent error is {worst} ({objects}). {advice}"


def volumes(medians: Mapping[str, float], things: str) -> str:
    """Say whether predicted objects have the right size."""
    true, predicted = medians.get("truth"), medians.get("prediction")
    if true is None or predicted is None:
        return "; ".join(f"{name}: median {_volume(value)} µm³" for name, value in medians.items())
    share = predicted / true - 1
    if abs(share) < 0.1:
        verdict = "about the right size"
    elif share < 0:
        verdict = f"too small: outlines run inside the {things}, or some are fragments"
    else:
        verdict = f"too large: outlines run outside the {things}, or neighbours are merged"
    return (
        f"Half of the true {things} are larger than {_volume(true)} µm³, half of the predicted "
        f"ones than {_volume(predicted)} µm³ ({share:+.0%}): predicted {things} are {verdict}."
    )


def training(cards: Sequence[Mapping[str, Any]]) -> str:
    """Say whether the last run was stopped early or could gain by longer training."""
    if not cards:
        return ""
    card = cards[-1]
    epochs, best = card.get("epochs"), card.get("best_epoch")
    if not epochs or not best:
        return ""
    if best >= 0.95 * epochs:
        verdict = "it was still improving when training stopped, so longer training may help"
    else:
        verdict = "later epochs brought nothing on the validation part, so it was trained enough"
    return f"{card['run']} was best in epoch {best} of {epochs}: {verdict}."


def agreement(inputs: Inputs) -> str:
    """Say how well people agree."""
    parts = []
    words = {"annotators": "Two people agree", "self": "One person agrees with an earlier self"}
    for kind, found in inputs.ceiling.items():
        value, f1 = found["mean"].get("evaluation_score"), found["mean"].get("f1")
        parts.append(
            f"{words.get(kind, kind)} at an evaluation score of {_value(value)} and an F1 of "
            f"{_value(f1)} ({number_of(found['pairs'], 'comparison')})."
        )
    return " ".join(parts)


def _minutes(minutes: float) -> str:
    return f"{minutes / 60:.1f} hours" if minutes >= 90 else number_of(round(minutes), "minute")


def _volume(value: float) -> str:
    return f"{value:,.0f}".replace(",", "\u202f") if value >= 100 else f"{value:.3g}"


def _value(value: float | None) -> str:
    return "–" if value is None else f"{value:.3f}"


def _and(names: Sequence[str]) -> str:
    return names[0] if len(names) == 1 else f"{', '.join(names[:-1])} and {names[-1]}"

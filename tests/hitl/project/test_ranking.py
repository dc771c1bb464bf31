"""One ranking of all models that were ever evaluated."""

from __future__ import annotations

from typing import Any

from hitl.project.ranking import newest, ranking


def evaluation(
    number: str, split: str = "test", ids: tuple[int, ...] = (1, 2), **scores: tuple[float, float]
) -> dict[str, Any]:
    models = {
        model: {
            "mean": {"evaluation_score": score, "f1": f1},
            "fields": {"a": {"objects": [{"id": number} for number in ids]}},
        }
        for model, (score, f1) in scores.items()
    }
    return {"number": number, "split": split, "made": "", "models": models}


def test_the_best_of_an_earlier_evaluation_stands_first() -> None:
    found = ranking(
        [evaluation("1", starter=(0.879, 0.9)), evaluation("2", a=(0.0, 0.0), b=(0.1, 0.2))]
    )
    assert [(one.model, one.evaluation, one.comparable) for one in found] == [
        ("starter", "1", True), ("b", "2", True), ("a", "2", True),
    ]  # fmt: skip


def test_f1_decides_where_the_score_is_the_same() -> None:
    found = ranking([evaluation("1", many_spurious=(0.8, 0.3), few=(0.8, 0.7))])
    assert [one.model for one in found] == ["few", "many_spurious"]


def test_what_was_scored_on_other_objects_stands_behind_and_is_marked() -> None:
    found = ranking([evaluation("1", ids=(1,), easy=(0.99, 0.99)), evaluation("2", a=(0.5, 0.5))])
    assert [(one.model, one.comparable) for one in found] == [("a", True), ("easy", False)]


def test_only_the_newest_scores_of_a_model_count_and_test_fields_go_first() -> None:
    every = [evaluation("1", a=(0.9, 0.9)), evaluation("2", a=(0.4, 0.4))]
    every.append(evaluation("3", "val", a=(1.0, 1.0)))
    last = newest(every)
    assert last is not None and last["number"] == "2"
    assert [(one.evaluation, one.score, one.f1) for one in ranking(every)] == [("2", 0.4, 0.4)]


def test_without_an_evaluation_there_is_none() -> None:
    assert (newest([]), ranking([])) == (None, ())

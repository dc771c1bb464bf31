"""The report's figures, words and files; what it looks like is in test_report_browser.py."""

from __future__ import annotations

import html.parser
import json
import re
from datetime import UTC, datetime
from pathlib import Path
from typing import Any

import numpy as np
import pytest

from annotations.rounds import EditCounts, LogEntry
from hitl.cli import run
from hitl.project.config import parse_config
from hitl.project.folder import Project
from hitl.project.reporter import Silent
from hitl.report.hand_work import gains, points, work_by_round
from hitl.report.inputs import Scored, read_inputs
from hitl.report.meshes import MAX_FACES, surface
from hitl.report.page import embedded
from hitl.report.pictures import BOTH, PREDICTION_ONLY, TRUTH_ONLY, draw
from hitl.report.plot import ticks
from hitl.report.worst_places import Place, find_places
from hitl.report.write import write_report
from tests.hitl.report.report_project import HOSTILE, full_project


@pytest.fixture(scope="module")
def project(tmp_path_factory: pytest.TempPathFactory) -> Any:
    with pytest.MonkeyPatch.context() as patch:
        yield full_project(tmp_path_factory.mktemp("report"), patch)


@pytest.fixture(scope="module")
def written(project: Project) -> Any:
    return write_report(project, Silent())


class Tags(html.parser.HTMLParser):
    """Every tag with its attributes, and whether each is closed."""

    VOID = ("meta", "link", "img", "input", "br", "line", "rect", "circle", "polyline", "polygon")

    def __init__(self, text: str) -> None:
        super().__init__()
        self.seen: list[tuple[str, dict[str, str | None]]] = []
        self.open: list[str] = []
        self.feed(text)

    def handle_starttag(self, tag: str, attrs: list[tuple[str, str | None]]) -> None:
        self.seen.append((tag, dict(attrs)))
        if tag not in self.VOID:
            self.open.append(tag)

    def handle_startendtag(self, tag: str, attrs: list[tuple[str, str | None]]) -> None:
        self.seen.append((tag, dict(attrs)))

    def handle_endtag(self, tag: str) -> None:
        if tag not in ("option", "p") or tag in self.open[-1:]:
            assert self.open.pop() == tag


def test_the_page_is_one_file_that_refers_to_nothing_outside(written: Any) -> None:
    text = written.file.read_text(encoding="utf-8")
    tags = Tags(text)
    assert tags.open == []
    for tag, attributes in tags.seen:
        for name in ("src", "href", "action", "data", "poster", "srcset"):
            value = attributes.get(name)
            assert value is None or value.startswith(("#", "data:")), (tag, name, value[:80])
    assert not re.search(r"https?://|url\(|@import", text)
    policy = next(a["content"] for t, a in tags.seen if a.get("http-equiv"))
    assert policy.startswith("default-src 'none'")
    targets = {a["id"] for _, a in tags.seen if "id" in a}
    assert {a["href"][1:] for t, a in tags.seen if t == "a"} <= targets
    for tag, attributes in tags.seen:
        assert tag != "img" or len(attributes["alt"] or "") > 20


def test_hostile_names_are_text(written: Any) -> None:
    text = written.file.read_text(encoding="utf-8")
    tags = Tags(text)
    assert not [a for t, a in tags.seen if "onerror" in a]
    assert sum(t == "script" for t, _ in tags.seen) == 5
    assert "window.hacked" in text
    assert "<script>window.hacked" not in text
    assert json.loads(embedded([HOSTILE, "\u2028"])) == [HOSTILE, "\u2028"]
    assert not set(embedded([HOSTILE])) & set("<>&")


def test_the_json_holds_the_figures_of_the_page(project: Project, written: Any) -> None:
    data = json.loads(written.json.read_text(encoding="utf-8"))
    scores = json.loads((project.folder / "evaluations/0001/scores.json").read_text())
    for one in data["models"]:
        assert one["mean"] == scores["models"][one["model"]]["mean"]
    (labels,) = [table for table in data["tables"] if table["name"] == "labels of the project"]
    assert len(labels["values"]["id"]) == len(labels["values"]["volume"]) == 72
    assert [point["run"] for point in data["progress"]] == ["fake-0001", "fake-0002"]
    assert data["progress"][0]["work"]["objects"] == 0
    assert data["progress"][1]["work"]["minutes"] == data["work"]["minutes"] == 19.5
    assert [found["author"] for found in data["rounds"]][1:] == [HOSTILE, "bela"]
    assert data["curves"]["fake-0001"][2]["val_loss"] == 0.9


def test_what_is_said_follows_from_the_figures(written: Any) -> None:
    data = json.loads(written.json.read_text(encoding="utf-8"))
    best = max(data["models"], key=lambda one: one["mean"]["evaluation_score"])
    assert data["sentences"]["scores"].startswith(f"{best['model']} has the highest")
    (gain,) = data["gains"]
    assert f"{gain['difference']:+.3f}" in data["sentences"]["progress"]
    assert gain["per_hour"] == pytest.approx(gain["difference"] / (19.5 / 60))


def test_pictures_show_what_is_wrong_in_its_colour() -> None:
    truth, pred = np.zeros((2, 6, 20, 20), np.uint32)
    truth[1:5, 5:15, 5:10] = 7
    pred[1:5, 5:15, 8:14] = 3
    place = Place(
        stack="s", kind="shifted", truth_ids=(7,), pred_ids=(3,), score=0.3, iou=0.2,
        volume_um3=1.0, centroid_um=(1.0, 1.0, 1.0), image=truth.astype("u2"), truth=truth,
        pred=pred, start=(0, 0, 0), spacing_um=(2.0, 1.0, 1.0), cut=False,
    )  # fmt: skip
    for view, height in zip(draw(place), (220, 132), strict=True):
        assert [picture.name for picture in view.pictures] == ["image", "truth", "prediction"]
        assert (view.pictures[2].width, view.pictures[2].height) == (220, height)
        pixels = _pixels(view.pictures[2].uri)
        for colour, voxels in ((BOTH, 2), (PREDICTION_ONLY, 4), (TRUTH_ONLY, 3)):
            share = np.all(pixels == colour, axis=-1).sum() / pixels[..., 0].size
            expected = voxels / 20 * (0.5 if view.plane == "xy" else 4 / 6)
            assert share == pytest.approx(expected, rel=0.25)


def _pixels(uri: str) -> np.ndarray:
    import base64
    import io

    from PIL import Image

    data = base64.b64decode(uri.removeprefix("data:image/webp;base64,"))
    return np.asarray(Image.open(io.BytesIO(data)).convert("RGB"))


def test_a_surface_has_the_size_of_its_voxels_in_um() -> None:
    grid = np.indices((24, 60, 60)) - np.array([12, 30, 30])[:, None, None, None]
    ball = (grid**2 * np.array([4.0, 1.0, 1.0])[:, None, None, None]).sum(axis=0) <= 20.0**2
    vertices, faces = surface(ball, (2.0, 1.0, 1.0))
    assert 100 < len(faces) <= MAX_FACES
    radius = np.linalg.norm(vertices - np.array([24.0, 30.0, 30.0]), axis=1)
    assert radius.mean() == pytest.approx(20, abs=1)
    assert radius.max() < 22
    one = np.zeros((3, 3, 3), bool)
    one[1, 1, 1] = True
    assert len(surface(one, (1.0, 1.0, 1.0))[1]) > 0


def test_each_kind_of_error_takes_its_turn(project: Project) -> None:
    inputs = read_inputs(project)
    found = find_places(inputs, 3, Silent())
    assert len(found.shown) == 3
    everything = find_places(inputs, 1000, Silent())
    kinds = [place.kind for place in everything.shown]
    assert sum(kind != "matched" for kind in kinds) == everything.total
    for place in everything.shown:
        assert place.true_voxels.any() == bool(place.truth_ids)
        assert place.predicted_voxels.any() == bool(place.pred_ids)


def entry(number: int, kind: str, minutes: float | None, changed: int) -> LogEntry:
    return LogEntry(
        snapshot=str(number), when=datetime.now(UTC), kind=kind, message="m", round=number,
        counts={"s": EditCounts(reshaped=changed)}, minutes=minutes,
    )  # fmt: skip


def test_hand_work_adds_up_and_gains_are_per_hour() -> None:
    rounds = [
        entry(0, "bootstrap", None, 50),
        entry(1, "correct", 30.0, 10),
        entry(2, "propose", None, 40),
        entry(3, "import", 15.0, 5),
        entry(4, "correct", None, 5),
    ]
    work = work_by_round(rounds)
    assert [work[n].objects for n in (-1, 0, 1, 2, 3, 4)] == [0, 0, 10, 10, 15, 20]
    assert [work[n].minutes for n in (0, 1, 3, 4)] == [0, 30, 45, 45]
    cards = [{"run": f"m-000{n}", "model": "m", "round": n} for n in (1, 3, 4)]
    scored = [
        Scored(
            f"m-000{n}", "0001", "", {"mean": {"evaluation_score": s, "f1": s}, "stacks": {}}, True
        )
        for n, s in ((1, 0.5), (3, 0.6), (4, 0.7))
    ]
    first, second = gains(points(scored, cards, rounds))
    assert (first.objects, first.minutes) == (5, 15)
    assert first.per_hour == pytest.approx(0.4)
    assert (second.objects, second.minutes, second.per_hour) == (5, None, None)


@pytest.mark.parametrize(
    ("low", "high", "whole", "expected"),
    [
        (0, 1, False, [0, 0.2, 0.4, 0.6, 0.8, 1.0]),
        (0, 3, True, [0, 1, 2, 3]),
        (0, 5000, True, [0, 1000, 2000, 3000, 4000, 5000]),
    ],
)
def test_ticks_are_round_numbers(
    low: float, high: float, whole: bool, expected: list[float]
) -> None:
    assert ticks(low, high, whole=whole) == pytest.approx(expected)


def test_an_empty_project_says_what_makes_each_part(tmp_path: Path) -> None:
    project = Project.create(tmp_path / "new", parse_config({}))
    written = write_report(project, Silent())
    text = written.file.read_text(encoding="utf-8")
    assert Tags(text).open == []
    for command in ("hitl evaluate", "hitl train", "hitl bootstrap", "hitl agreement"):
        assert f"<code>{command}" in text
    assert written.to_dict()["places"] == 0


def test_a_report_replaces_reports_and_nothing_else(
    project: Project, tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    target = tmp_path / "mine.html"
    arguments = ["report", str(project.folder), "--output", str(target), "--places", "1"]
    assert run([*arguments, "--json"]) == 0
    printed = json.loads(capsys.readouterr().out)
    assert (printed["file"], printed["places"]) == (str(target), 1)
    assert run(arguments) == 0
    (tmp_path / "mine.json").write_text("{}")
    assert run(arguments) == 1
    assert "mine.json exists already and is no report" in capsys.readouterr().err
    assert run([*arguments, "--overwrite"]) == 0
    for bad, said in (("x.txt", "ends in .html"), ("no/x.html", "there is no folder")):
        assert run([*arguments[:3], str(tmp_path / bad)]) == 1
        assert said in capsys.readouterr().err


def test_a_damaged_evaluation_is_named(
    project: Project, capsys: pytest.CaptureFixture[str]
) -> None:
    folder = project.folder / "evaluations" / "0002"
    folder.mkdir()
    (folder / "scores.json").write_text('{"split": "test", "models": {"a": {"mean": 3}}}')
    try:
        assert run(["report", str(project.folder)]) == 1
        assert "0002/scores.json: expected the scores" in capsys.readouterr().err
    finally:
        (folder / "scores.json").unlink()
        folder.rmdir()


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

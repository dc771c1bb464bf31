"""The page: one file, everything in it escaped."""

from __future__ import annotations

import json
import re
from pathlib import Path
from typing import Any

from hitl.project.config import parse_config
from hitl.project.folder import Project
from hitl.project.reporter import Silent
from hitl.report.page import embedded
from hitl.report.requests import ReportRequest
from hitl.report.write import write_report
from tests.hitl.report.report_project import HOSTILE
from tests.hitl.report.tags import Tags


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


def test_an_empty_project_says_what_makes_each_part(tmp_path: Path) -> None:
    project = Project.create(tmp_path / "new", parse_config({}))
    written = write_report(project, ReportRequest(), Silent())
    text = written.file.read_text(encoding="utf-8")
    assert Tags(text).open == []
    for command in ("hitl evaluate", "hitl train", "hitl bootstrap", "hitl agreement"):
        assert f"<code>{command}" in text
    assert len(written.report.places.shown) == 0

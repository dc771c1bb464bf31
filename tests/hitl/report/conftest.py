"""One project with everything in it, and its report, for all tests of the report."""

from __future__ import annotations

from collections.abc import Iterator

import pytest

from hitl.project.folder import Project
from hitl.project.reporter import Silent
from hitl.report.requests import ReportRequest
from hitl.report.write import Written, write_report
from tests.hitl.report.report_project import full_project


@pytest.fixture(scope="package")
def project(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Project]:
    with pytest.MonkeyPatch.context() as patch:
        yield full_project(tmp_path_factory.mktemp("report"), patch)


@pytest.fixture(scope="package")
def written(project: Project) -> Written:
    return write_report(project, ReportRequest(), Silent())

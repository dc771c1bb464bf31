"""A project's folder: made whole or again, and not confused by what else lies in it."""

from __future__ import annotations

from pathlib import Path

import pytest

from annotations.store import AnnotationStore
from hitl.project.config import CONFIG_NAME, ProjectConfig, load_config
from hitl.project.errors import ConfigError, ProjectError
from hitl.project.folder import Project
from hitl.project.runs import read_card
from hitl.project.status import status


@pytest.fixture
def project(tmp_path: Path) -> Project:
    return Project.create(tmp_path / "project", ProjectConfig())


@pytest.mark.parametrize("left", ["store", "draft", "lock"])
def test_an_init_that_was_killed_can_be_repeated(tmp_path: Path, left: str) -> None:
    folder = tmp_path / "project"
    folder.mkdir()
    if left == "store":
        AnnotationStore.create(folder / "store")
    elif left == "draft":
        (folder / ".store.0123abcd.new" / "refs").mkdir(parents=True)
        (folder / ".hitl.yaml.abc").touch()
    (folder / "store.lock").touch()
    project = Project.create(folder, ProjectConfig())
    assert project.store(read_only=False).fields() == []
    with pytest.raises(ProjectError, match="is a project already"):
        Project.create(folder, ProjectConfig())


def test_init_takes_no_folder_that_holds_more(project: Project) -> None:
    (project.folder / CONFIG_NAME).unlink()
    store = project.store(read_only=False)
    (project.folder / "notes.txt").touch()
    with pytest.raises(ProjectError, match="other files"):
        Project.create(project.folder, project.config)
    (project.folder / "notes.txt").unlink()
    with store._writing() as session:
        import zarr

        zarr.open_group(session.store, mode="r+").attrs["used"] = True
        store._commit(session, "used", {"hitl_format": 1, "kind": "add"})
    with pytest.raises(ProjectError, match="other files"):
        Project.create(project.folder, project.config)


@pytest.mark.parametrize("url", ["s3://bucket/prefix", "gs://bucket/a/b"])
def test_a_url_is_no_project_folder(
    url: str, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.chdir(tmp_path)
    with pytest.raises(ProjectError, match=f"store: {url}"):
        Project.create(Path(url), ProjectConfig())
    with pytest.raises(ProjectError, match=f"{url}: expected a local folder"):
        Project.open(Path(url))
    assert list(tmp_path.iterdir()) == []


@pytest.mark.parametrize("text", ["", "\n\n", "# annotator: anna\n"])
def test_an_empty_config_is_not_the_defaults(project: Project, text: str) -> None:
    (project.folder / CONFIG_NAME).write_text(text)
    with pytest.raises(ConfigError, match="is empty; restore it"):
        Project.open(project.folder)
    with pytest.raises(ConfigError, match="is empty"):
        load_config(project.folder / CONFIG_NAME)


def test_what_else_lies_among_runs_and_evaluations_is_passed_over(project: Project) -> None:
    for folder in ("unet3d-old", "unet3d-0002", "notes", "best model"):
        (project.runs_folder / folder).mkdir(parents=True)
    (project.runs_folder / "notes" / "card.json").write_text("{}")
    (project.runs_folder / "unet3d-0003").write_text("a file")
    for folder in ("3-old", "notes", "0001"):
        (project.folder / "evaluations" / folder).mkdir(parents=True)
    (project.folder / "evaluations" / "3-old" / "scores.json").write_text("{}")
    assert project.finished_runs() == []
    assert project.evaluation_files() == []
    assert status(project, project.store()).unfinished_runs == ("unet3d-0002",)
    assert project.new_run("unet3d").name == "unet3d-0004"


@pytest.mark.parametrize("text", ["", "{", "[]", "{}"])
def test_damaged_files_are_told_in_one_line(project: Project, text: str) -> None:
    run = project.new_run("unet3d")
    (run / "card.json").write_text(text)
    with pytest.raises(ProjectError, match=r"card\.json: expected the card of a run"):
        read_card(run)
    with pytest.raises(ProjectError, match=r"card\.json"):
        status(project, project.store())
    (run / "card.json").unlink()
    scores = project.folder / "evaluations" / "0001" / "scores.json"
    scores.parent.mkdir(parents=True)
    scores.write_text(text)
    with pytest.raises(ProjectError, match=r"scores\.json: expected the scores"):
        status(project, project.store())

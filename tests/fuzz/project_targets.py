"""What a project keeps beside its store, and runs: files to begin from and what reads them."""

from __future__ import annotations

import hashlib
import json
import shutil
import tempfile
from functools import cache
from pathlib import Path

import numpy as np

SPACING_UM = (2.0, 0.5, 0.5)


@cache
def whole_project() -> Path:
    """A project with a run, an evaluation and an agreement, made once in each process."""
    import contextlib
    import os

    from tests.hostile.run_folders import RUN, make_run_project

    folder = Path(tempfile.mkdtemp(prefix="fuzz-project-")) / "project"
    with Path(os.devnull).open("w") as nothing, contextlib.redirect_stdout(nothing):
        make_run_project(folder)
    rows = "epoch,loss,val_loss,seconds\n1,0.5,0.6,1.0\n2,0.4,nan,2.0\n"
    (folder / "runs" / RUN / "curves.csv").write_text(rows)
    return folder


BESIDE = ("store", "predictions")
"""What is not damaged: its readers have targets, and tests, of their own."""


def projects(folder: Path) -> list[Path]:
    left_out = shutil.ignore_patterns(*BESIDE, "*.lock", "*.safetensors")
    shutil.copytree(whole_project(), folder / "project", ignore=left_out)
    return [folder / "project"]


def read_project(path: Path) -> None:
    """Tell of a copy of a project all that there is to tell."""
    from hitl.project.folder import Project
    from hitl.project.reporter import Silent
    from hitl.project.status import status
    from hitl.queue.model_errors import list_errors
    from hitl.report.requests import ReportRequest
    from hitl.report.write import write_report

    with tempfile.TemporaryDirectory() as place:
        copy = Path(shutil.copytree(path, Path(place) / "project", symlinks=True))
        for name in BESIDE:
            shutil.copytree(whole_project() / name, copy / name)
        project = Project.open(copy)
        status(project, project.store())
        list_errors(project, (), reporter=Silent(), limit=5)
        write_report(project, ReportRequest(places=2), Silent())


def unet_runs(folder: Path) -> list[Path]:
    from tests.hostile.run_folders import write_unet

    return [write_unet(folder / "run")]


def read_unet_run(path: Path) -> None:
    """Segment a small image with a run whose sha256 is what it is, as who means harm writes it."""
    from hitl.prediction.segmenters import run_segmenter
    from hitl.project.reporter import Silent

    weights, about = path / "weights.safetensors", path / "model.json"
    try:
        said = json.loads(about.read_bytes())
        said["weights_sha256"] = hashlib.sha256(weights.read_bytes()).hexdigest()
        about.write_text(json.dumps(said))
    except (OSError, ValueError, TypeError, RecursionError):
        pass
    run = run_segmenter(path)
    image = np.random.default_rng(0).integers(5, 200, (1, 4, 12, 12)).astype(np.uint16)
    run.segment(image, SPACING_UM, "image", Silent(), run.steps_of(None), None)


def stardist_runs(folder: Path) -> list[Path]:
    """Return run folders without their weights, which have a target of their own."""
    from tests.hostile.run_folders import write_stardist

    run = write_stardist(folder / "run")
    (run / "weights.safetensors").unlink()
    return [run]


def read_stardist_run(path: Path) -> None:
    """Read all that is read before TensorFlow is."""
    from models.stardist3d import runfolder

    runfolder.read_settings(path)
    runfolder._described(path / runfolder.CONFIG, 3)
    runfolder._read_thresholds(path)


def weights(folder: Path) -> list[Path]:
    import h5py

    from models.runfolder import SHIPPED

    for number, options in enumerate(({}, {"track_order": True}, {"libver": "latest"})):
        (folder / str(number)).mkdir()
        with h5py.File(folder / str(number) / "weights_best.h5", "w", **options) as file:
            for layer in ("a", "b"):
                group = file.create_group(f"{layer}/{layer}")
                group.attrs["weight_names"] = [b"kernel:0", b"bias:0"]
                group["kernel:0"], group["bias:0"] = np.zeros((3, 3, 2)), np.zeros(2, np.float32)
            file.attrs["layer_names"] = [b"a", b"b"]
    (folder / "s").mkdir()
    shutil.copy(SHIPPED / "stardist3d" / "weights.safetensors", folder / "s")
    return sorted(path for path in folder.rglob("weights*") if path.is_file())


def read_weights(path: Path) -> None:
    from models.stardist3d.weights import numbers_in

    numbers_in(path)


def drafts(folder: Path) -> list[Path]:
    from hitl.review.session.changed_chunks import ChunkData
    from hitl.review.session.draft import Draft, DraftHeader, write_draft

    shape = (2, 4, 4)
    data = ChunkData.of(np.ones(shape, np.uint32), np.ones(shape, np.uint8))
    header = DraftHeader(
        id="a", field="s", class_name="nuclei", time=0, annotator="ann", base="A1", shape=shape,
        saved_at="now", seconds=1.5, row=0, highest_id=3, verdicts={"1": "ACCEPTED"},
        counts={"added": 1}, handled=(1,), rounds={"1": 0}, base_highest_id=2, chunks=("0.0.0",),
    )  # fmt: skip
    write_draft(folder / "ann.zip", Draft(header, {(0, 0, 0): (data, data)}))
    return [folder / "ann.zip"]


def read_draft(path: Path) -> None:
    from hitl.review.session import draft

    draft.read_draft(path)


def settings(folder: Path) -> list[Path]:
    words = (
        "epochs=3",
        "features=[8, 16]",
        "learning_rate=1e-3",
        "patch_size=[8,16,16]",
        "flip=n",
    )
    for number, word in enumerate(words):
        (folder / f"{number}.txt").write_text(word)
    return sorted(folder.iterdir())


def read_setting(path: Path) -> None:
    """Read what stands after `--set`."""
    from hitl.project.config import ProjectConfig, trainer_options
    from hitl.project.options import parse_settings

    word = path.read_bytes().decode("utf-8", "surrogateescape")
    trainer_options(ProjectConfig(), "unet3d", parse_settings([word]))

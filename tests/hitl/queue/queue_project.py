"""A project with a field to correct, one labelled by hand, and one of split test."""

from __future__ import annotations

from dataclasses import replace
from pathlib import Path

from annotations.formats import write_image_tiff, write_labels_tiff
from hitl.labelling.add import add_field
from hitl.labelling.requests import AddRequest
from hitl.project.config import parse_config
from hitl.project.folder import Project
from hitl.project.reporter import Silent
from scripts.simulate_budget import SPHEROID

FIELD = replace(SPHEROID, shape=(16, 56, 56), nuclei=25).make(1)


TRAINING = {
    "features": [4, 8],
    "epochs": 1,
    "steps_per_epoch": 2,
    "patch_size": [8, 32, 32],
    "threads": 1,
}


def make_project(folder: Path) -> Project:
    """A field to correct, one labelled by hand, and one of split test."""
    write_image_tiff(folder / "image.tif", FIELD.image, FIELD.spacing_um)
    write_image_tiff(folder / "other.tif", FIELD.image[:, ::-1], FIELD.spacing_um)
    write_labels_tiff(folder / "labels.tif", FIELD.labels, FIELD.spacing_um)
    made = Project.create(
        folder / "project",
        parse_config(
            {"bootstrap": {"segmenter": "classical"}, "training": {"models": {"unet3d": TRAINING}}}
        ),
    )
    for image, name, split, labels in (
        ("image.tif", "open", "train", ()),
        ("image.tif", "known", "train", ((None, folder / "labels.tif"),)),
        ("other.tif", "held", "test", ((None, folder / "labels.tif"),)),
    ):
        request = AddRequest(images=(folder / image,), field=name, split=split, labels=labels)
        add_field(made, request, Silent())
    return made

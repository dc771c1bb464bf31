"""One of something is not called several: every count in a text goes through `number_of`."""

from __future__ import annotations

import re

from labels.numbers import number_of
from tests.source_texts import source_texts

KIND = "more|other|new|labelled|verified|training|time|test|stage|different|whole"
COUNT = re.compile(rf"\{{\}} (?P<what>(?:(?:{KIND}) )?(?:[a-z]+s|nuclei|vertices))\b")
"""What may be a number, and what may be several of something."""

AFTER_A_NAME = re.compile(
    "across|as|belongs|comes|covers|crosses|does|ends|exists|flatters|follows|has|holds|is|knows|"
    "lacks|lies|makes|names|proposes|reaches|shares|shows|shrinks|stands|takes|teaches|was"
)
"""Words that end in s and follow a name: they count nothing."""

SIZE = "a size, of several numbers"
SEVERAL = "said only where there are several"
BYTES = "of a file, or of all that is in one"
NAME = "a name and no number"

ALLOWED = {
    "annotations/copies/copy.py: self.slices slices": SEVERAL,
    "annotations/formats/tiff_read.py: bits bits": SIZE,
    "hitl/cli/printing/labelling.py: size voxels": SIZE,
    "hitl/cli/printing/labelling.py: channels channels": SEVERAL,
    "hitl/cli/printing/labelling.py: times time points": SEVERAL,
    "hitl/cli/printing/project.py: channels channels": SEVERAL,
    "hitl/cli/printing/project.py: times times": SEVERAL,
    "hitl/labelling/add.py: len(request.images) files": SEVERAL,
    "hitl/labelling/exchange/plausible.py: found.after objects": SEVERAL,
    "hitl/labelling/exchange/plausible.py: found.before objects": SEVERAL,
    "hitl/labelling/exchange/plausible.py: words voxels": SIZE,
    "hitl/measure/output.py: table.num_rows rows": SEVERAL,
    "hitl/measure/output.py: sheets sheets": SEVERAL,
    "hitl/prediction/segmenters.py: math.prod(info.zyx) voxels": SEVERAL,
    "hitl/preprocess/streaming.py: dtype voxels": NAME,
    "hitl/project/classes.py: len(channels) channels": SEVERAL,
    "hitl/project/yaml_text.py: len(node.value) digits": SEVERAL,
    "hitl/queue/model_errors.py: len(case.truth_ids) nuclei": SEVERAL,
    "hitl/queue/model_errors.py: len(case.pred_ids) objects": SEVERAL,
    "hitl/queue/ranking.py: shape.pieces[row] pieces": SEVERAL,
    "hitl/report/build.py: name objects": NAME,
    "hitl/review/session/undo.py: size bytes": BYTES,
    "hitl/report/sentences.py: len(compared) models": SEVERAL,
    "hitl/training/folds.py: sizes fields": SEVERAL,
    "hitl/training/held_out.py: shape[1] pixels": SIZE,
    "hitl/training/preflight.py: counted voxels": SEVERAL,
    "hitl/training/preflight.py: judged voxels": SEVERAL,
    "hitl/training/samples.py: count channels": SEVERAL,
    "hitl/training/sweep/running.py: count cells": SEVERAL,
    "annotations/durability/chunk_files.py: size bytes": BYTES,
    "annotations/formats/cellpose.py: expected.shape[0] slices": SEVERAL,
    "annotations/formats/inert_pickle.py: len(data) bytes": BYTES,
    "annotations/formats/nd2.py: sizes['P'] stage positions": SEVERAL,
    "annotations/formats/nd2.py: stated.widthBytes or 0 bytes": BYTES,
    "annotations/formats/nd2_structure.py: frame_bytes bytes": BYTES,
    "annotations/formats/nd2_structure.py: len(data) bytes": BYTES,
    "annotations/formats/nd2_structure.py: size bytes": BYTES,
    "annotations/formats/ome_xml.py: claimed planes": SEVERAL,
    "annotations/formats/ome_xml.py: held bytes": BYTES,
    "annotations/formats/outlines.py: total crossings": SEVERAL,
    "annotations/formats/outlines.py: shape[0] pixels": SIZE,
    "annotations/formats/pictures.py: picture.height pixels": SIZE,
    "annotations/formats/roi.py: corners corners": SEVERAL,
    "annotations/formats/roi.py: height pixels": SIZE,
    "annotations/formats/roi_sets.py: len(members) entries": SEVERAL,
    "annotations/formats/roi_sets.py: total bytes": BYTES,
    "annotations/formats/tiff_structure.py: voxel_bytes bytes": BYTES,
    "annotations/formats/tiff_structure.py: len(self.pages) pages": SEVERAL,
    "annotations/formats/tiff_structure.py: page.tags tags": SEVERAL,
    "annotations/formats/tiff_structure.py: page.value_bytes bytes": BYTES,
    "annotations/formats/tiff_structure.py: tif.filehandle.size bytes": BYTES,
    "annotations/formats/tiff_write.py: bits bits": SEVERAL,
    "annotations/formats/zarr_folder.py: count chunks": SEVERAL,
    "annotations/formats/zarr_folder.py: array.chunks voxels": SIZE,
    "annotations/formats/zarr_folder.py: len(packing) times": SEVERAL,
    "annotations/formats/zarr_folder.py: size bytes": BYTES,
    "annotations/views.py: math.prod(image.shape) voxels": SEVERAL,
    "models/cellpose/checkpoint.py: path.stat().st_size bytes": BYTES,
    "models/cellpose/engine.py: size bytes": BYTES,
    "models/cellpose/weights.py: expected bytes": BYTES,
    "models/cellpose/weights.py: got bytes": BYTES,
    "models/scarce_memory.py: _text(tiling.tile) voxels": SIZE,
    "models/scarce_memory.py: _text(shape) voxels": SIZE,
    "models/smp2d/plan.py: '×'.join(map(str, patch)) pixels": SIZE,
    "models/stardist2d/trainer.py: largest[1:] pixels": SIZE,
    "models/stardist3d/objects.py: self.voxels voxels": SEVERAL,
    "models/stardist3d/runfolder.py: wanted numbers": SEVERAL,
    "models/stardist3d/runfolder.py: planned weights": SEVERAL,
    "models/stardist3d/trainer.py: largest voxels": SIZE,
    "models/stardist3d/training.py: '×'.join(map(str, patch)) voxels": SIZE,
    "models/synthetic/options.py: ' × '.join(map(str, shape)) voxels": SIZE,
    "models/unet3d/checkpoint.py: wanted weights": SEVERAL,
    "models/unet3d/plan.py: '×'.join(map(str, patch)) voxels": SIZE,
    "labels/files.py: found.st_size bytes": BYTES,
    "labels/json_files.py: len(text) digits": SEVERAL,
}
"""Counts that stand bare before several of something, and why one of it is never called so."""


def bare_counts() -> set[str]:
    found = set()
    for text in source_texts():
        for match in COUNT.finditer("" if text.docstring else text.text):
            part, form = text.parts[text.text[: match.start()].count("{}")]
            counted = part.startswith("number_of(")
            # A constant of the source is known to be more than one; decimals are always several.
            constant = re.fullmatch(r"(?:\w+\.)*_?[A-Z][A-Z_]+", part) is not None
            decimals = bool(re.search("[efg%]$", form))
            follows = AFTER_A_NAME.fullmatch(match["what"]) is not None
            if not (follows or counted or constant or decimals):
                found.add(f"{text.module}: {part} {match['what']}")
    return found


def test_counts_are_written_by_the_one_function_that_knows_one_from_many() -> None:
    found = bare_counts()
    assert found - ALLOWED.keys() == set(), "write it with number_of, or say why it is never one"
    assert ALLOWED.keys() - found == set(), "these are no longer there"


def test_one_and_many() -> None:
    assert [number_of(n, "stack") for n in (0, 1, 2, 1.0, 1.25)] == [
        "0 stacks", "1 stack", "2 stacks", "1 stack", "1.25 stacks",
    ]  # fmt: skip
    assert number_of(1, "cell is", "cells are") == "1 cell is"


def test_no_article_stands_before_what_may_begin_with_another_sound() -> None:
    before = re.compile(r"\b[Aa]n? \{\}")
    allowed = {
        "annotations/_ingest.py: what": "kind or projection",
        "hitl/training/train.py: card['model']": "a model's name, none begins with a vowel's sound",
        "models/runfolder.py: model": "a model's name, none begins with a vowel's sound",
    }
    found = {
        f"{text.module}: {text.parts[text.text[: match.start()].count('{}')][0]}"
        for text in source_texts()
        if not text.docstring
        for match in before.finditer(text.text)
    }
    assert found == allowed.keys()


def test_a_and_an_are_those_of_the_word_behind_them() -> None:
    wrong = re.compile(
        r"\b(?:[Aa] (?!uni|use|us[au]|one\b|eu)[aeiou][a-z]+|[Aa]n [bcdfgjklmnpqrtvwz][a-z]+)\b"
    )
    assert [str(text) for text in source_texts() if wrong.search(text.text)] == []

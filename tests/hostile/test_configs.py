"""A project's config, and that of a sweep, of every odd make: one line by every verb."""

from __future__ import annotations

from collections.abc import Callable
from pathlib import Path

import pytest

from hitl.cli import run
from tests.hitl.project.test_yaml_text import ODD
from tests.hostile.damages import DAMAGES
from tests.hostile.limits import limits, refusal

TEXTS: dict[str, str | bytes] = {
    **ODD,
    "UTF-16": "store: store\n".encode("utf-16"),
    "Latin letters": "annotator: \xe9\n".encode("latin-1"),
    "a lone carriage return and NUL": b"store: store\r\0",
    "an escape": b'annotator: "\\e[31mred"\nx: 1\n',
    "a key that is null": "~: 1\n",
    "a key that is a number": "1: 1\n",
    "a key that is true": "true: 1\n",
    "a merge of what is there": "a: &a {store: x}\nbootstrap: {<<: *a}\n",
    "a merge of a mapping": "<<: {store: store}\nstore: b\n",
    "keys given twice below": "bootstrap: {clean: true, clean: false}\n",
    "a class given twice": "classes: {a: {}, a: {}}\n",
    "a key with a typing error": "anotator: ann\n",
    "a key below with a typing error": "bootstrap: {segmentor: auto}\n",
    "a key of a step with a typing error": "preprocess: [{step: median, siez: 3}]\n",
    "an unknown step": "preprocess: [{step: blur}]\n",
    "a step without a name": "preprocess: [{size: 3}]\n",
    "steps that are a mapping": "preprocess: {step: median}\n",
    "a section that is null": "bootstrap: null\n",
    "a section that is a list": "training: []\n",
    "a section that is text": "prediction: all\n",
    "text for a number": "evaluation: {edge_width_px: wide}\n",
    "a number for text": "store: 3\n",
    "a list for text": "annotator: [ann]\n",
    "a text for yes and no": "bootstrap: {clean: maybe}\n",
    "an unknown segmenter": "bootstrap: {segmenter: celpose}\n",
    "options of an unknown segmenter": "segmenters: {magic: {}}\n",
    "options of an unknown model": "training: {models: {unet: {}}}\n",
    "a sweep of an unknown model": "sweep: {unet: {}}\n",
    "a grid without values": "sweep: {unet3d: {grids: [{epochs: []}]}}\n",
    "a grid of what is none": "sweep: {unet3d: {grids: [{epochs: [0]}]}}\n",
    "seeds below 0": "sweep: {unet3d: {seeds: [-1]}}\n",
    "an option with a typing error": "training: {models: {unet3d: {epoch: 3}}}\n",
    "a class with a name that is none": "classes: {'../a': {}}\n",
    "a class that is without an unknown one": "classes: {a: {kind: area, neither: [b]}}\n",
    "a mask value of 0": "classes: {a: {mask_values: [0]}}\n",
    "a store elsewhere": "store: ../elsewhere\n",
    "a store that is the project": "store: .\n",
    "a store at an absolute place": "store: /tmp\n",
    "a store with NUL": 'store: "a\\0b"\n',
    "a store with a long name": f"store: {'a' * 5000}\n",
    "a store of an unknown kind": "store: strange://bucket\n",
    "a store at a file": "store: file:///tmp/x\n",
    "even kernels": "postprocess: {smooth_kernel_px: 4}\n",
    "percentiles in the wrong order": "preprocess: [{step: to_uint8, low: 99, high: 1}]\n",
}
"""What is no config of a project, or not of this one."""

NUMBERS = [
    "training: {validation_share: NUMBER}",
    "prediction: {whole_up_to_voxels: NUMBER}",
    "evaluation: {edge_width_px: NUMBER}",
    "postprocess: {min_area_px: NUMBER}",
    "postprocess: {min_volume_um3: NUMBER}",
    "postprocess: {close_radius_px: NUMBER}",
    "preprocess: [{step: gamma, gamma: NUMBER}]",
    "preprocess: [{step: clahe, grid: NUMBER}]",
    "preprocess: [{step: subtract_tophat, radius: NUMBER}]",
    "preprocess: [{step: to_uint8, low: NUMBER}]",
    "classes: {a: {mask_values: [NUMBER]}}",
    "sweep: {unet3d: {seeds: [NUMBER]}}",
    "segmenters: {starter: {diameter_um: NUMBER}}",
    "segmenters: {classical: {min_volume: NUMBER}}",
    "training: {models: {stardist3d: {n_rays: NUMBER}}}",
    "training: {models: {unet3d: {batch_size: NUMBER}}}",
]


def project_with(project: Path, text: str | bytes) -> Path:
    (project / "hitl.yaml").write_bytes(text if isinstance(text, bytes) else text.encode())
    return project


@pytest.mark.parametrize("text", TEXTS.values(), ids=TEXTS)
def test_a_config_that_is_none(
    project: Path, capsys: pytest.CaptureFixture[str], text: str | bytes
) -> None:
    line = refusal(capsys, project_with(project, text), ["status", project])
    assert len(line) < 2100


@pytest.mark.parametrize("text", NUMBERS)
def test_a_number_in_a_config_that_is_none(
    project: Path, capsys: pytest.CaptureFixture[str], text: str
) -> None:
    for number in (".nan", ".inf", "-1", "1.0e+300", "9" * 40, f"0x{'f' * 30}", "1e9x", "~x"):
        project_with(project, text.replace("NUMBER", number))
        line = refusal(capsys, project, ["log", project])
        assert "hitl.yaml" in line


VERBS: dict[str, list[str]] = {
    "add": ["add", "PROJECT", "image.tif"],
    "agreement": ["agreement", "0", "1", "--project", "PROJECT", "--field", "s"],
    "blame": ["blame", "PROJECT", "s", "1"],
    "bootstrap": ["bootstrap", "PROJECT"],
    "correct": ["correct", "PROJECT", "s"],
    "diff": ["diff", "PROJECT"],
    "evaluate": ["evaluate", "PROJECT"],
    "export": ["export", "PROJECT", "s", "new"],
    "gc": ["gc", "PROJECT"],
    "import": ["import", "PROJECT", "s", "labels.tif"],
    "init": ["init", "PROJECT"],
    "measure": ["measure", "PROJECT"],
    "predict": ["predict", "PROJECT", "--model", "starter"],
    "promote": ["promote", "PROJECT", "unet3d-0001"],
    "propose": ["propose", "PROJECT", "--model", "starter"],
    "queue": ["queue", "PROJECT"],
    "remove": ["remove", "PROJECT", "s"],
    "report": ["report", "PROJECT"],
    "rollback": ["rollback", "PROJECT", "0"],
    "simulate": ["simulate", "PROJECT"],
    "sweep": ["sweep", "PROJECT", "unet3d", "--grid", "epochs=1,2"],
    "synth": ["synth", "new", "--like-project", "PROJECT"],
    "train": ["train", "PROJECT", "unet3d"],
    "verify": ["verify", "PROJECT"],
}


@pytest.mark.parametrize("words", VERBS.values(), ids=VERBS)
def test_every_verb_tells_of_a_config_that_is_none(
    project: Path, capsys: pytest.CaptureFixture[str], words: list[str]
) -> None:
    for text in ("annotator: 2020-13-45\n", "anotator: ann\n", b"\xff", ""):
        project_with(project, text)
        refusal(capsys, project, [str(project) if w == "PROJECT" else w for w in words])


OTHER_THINGS = [name for name in DAMAGES if name.startswith(("a folder", "a pipe", "a link"))]


@pytest.mark.parametrize("name", OTHER_THINGS)
def test_another_thing_in_place_of_a_config(
    project: Path, capsys: pytest.CaptureFixture[str], name: str
) -> None:
    DAMAGES[name](project / "hitl.yaml")
    if name == "a link to a good file elsewhere":  # a team may share its config
        assert run(["status", str(project)]) == 0
    else:
        refusal(capsys, project, ["status", project])


@pytest.mark.parametrize("text", ODD.values(), ids=ODD)
def test_a_config_of_a_sweep_that_is_none(
    project: Path, tmp_path: Path, capsys: pytest.CaptureFixture[str], text: str | bytes
) -> None:
    file = tmp_path / "sweep.yaml"
    file.write_bytes(text if isinstance(text, bytes) else text.encode())
    refusal(capsys, project, ["sweep", project, "unet3d", f"--config={file}"])


GOOD: dict[str, bytes] = {
    "a byte order mark": b"\xef\xbb\xbfannotator: ann\n",
    "Windows' line ends": b"annotator: ann\r\nbootstrap:\r\n  clean: false\r\n",
    "old line ends": b"annotator: ann\rstore: store\r",
    "no line end": b"annotator: ann",
    "letters of the world": "annotator: Åsa Öberg 王\n".encode(),
    "only a comment": b"# nothing\n{}\n",
    "one document": b"---\nannotator: ann\n...\n",
}


@pytest.mark.parametrize("text", GOOD.values(), ids=GOOD)
def test_a_config_that_editors_write(project: Path, text: bytes) -> None:
    with limits():
        assert run(["status", str(project_with(project, text))]) == 0


@pytest.mark.parametrize(
    "make",
    [
        lambda path: path.mkdir(),
        lambda path: path.write_text("hitl.yaml"),
        lambda path: path.symlink_to("nowhere"),
        lambda path: path.symlink_to(path),
    ],
)
def test_what_is_no_project(
    tmp_path: Path, capsys: pytest.CaptureFixture[str], make: Callable[[Path], object]
) -> None:
    make(tmp_path / "project")
    for words in VERBS.values():
        if words[0] != "init":
            typed = [str(tmp_path / "project") if w == "PROJECT" else w for w in words]
            refusal(capsys, tmp_path, typed)

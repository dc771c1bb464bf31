"""Configs of every odd make end in one line, and bombs are not lit."""

from __future__ import annotations

from pathlib import Path

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from hitl.cli import run
from hitl.project.config import load_config
from hitl.project.errors import ConfigError
from hitl.project.options import parse_settings
from hitl.project.yaml_text import YamlTextError, dump_yaml, parse_yaml

BOMB = "a: &a [x, x]\n" + "".join(
    f"{chr(n)}: &{chr(n)} [{', '.join(['*' + chr(n - 1)] * 9)}]\n" for n in range(98, 115)
)
ODD: dict[str, str | bytes] = {
    "date": "annotator: 2020-13-45\n",
    "time stamp": "annotator: !!timestamp x\n",
    "list as key": "? [a]\n: 1\n",
    "mapping as key": "? {a: 1}\n: 1\n",
    "set as key": "? !!set {a}\n: 1\n",
    "no integer": "annotator: !!int x\n",
    "no float": "annotator: !!float x\n",
    "binary": "annotator: !!binary x\n",
    "5,000 digits": f"annotator: {'9' * 5000}\n",
    "3,000 open levels": f"annotator: {'[' * 3000}\n",
    "3,000 levels": f"annotator: {'[' * 3000}{']' * 3000}\n",
    "3,000 mappings": f"annotator: {'{a: ' * 3000}{'}' * 3000}\n",
    "NUL": "annotator: \0\n",
    "not UTF-8": b"annotator: \xff\n",
    "code": "annotator: !!python/object/apply:os.system [true]\n",
    "unknown tag": "annotator: !thing x\n",
    "aliases without end": BOMB,
    "an alias of itself": "annotator: &a [*a]\n",
    "an unknown alias": "annotator: *a\n",
    "merge": "<<: 3\n",
    "list": "- a\n",
    "word": "abc\n",
    "empty": "",
    "two documents": "store: a\n---\nstore: b\n",
    "twice": "store: a\nstore: b\n",
    "tab": "\tstore: a\n",
    "pairs": "annotator: !!pairs 3\n",
    "1e302 of a number": "training: {validation_share: 1.0e+302}\n",
    "infinity": "training: {validation_share: .inf}\n",
    "hexadecimal digits": f"prediction: {{whole_up_to_voxels: 0x{'f' * 20_000}}}\n",
    "sixties": f"prediction: {{whole_up_to_voxels: {'1:' * 20_000}1}}\n",
    "90,000 letters": f"bootstrap: {{segmenter: {'x' * 90_000}}}\n",
    "too large": f"# {'x' * 110_000}\n",
}


@pytest.mark.parametrize("case", ODD)
def test_a_config_of_an_odd_make_is_one_line(
    case: str, tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    text = ODD[case]
    file = tmp_path / "config.yaml"
    file.write_bytes(text if isinstance(text, bytes) else text.encode())
    with pytest.raises(ConfigError):
        load_config(file)
    assert run(["init", str(tmp_path / "p"), "--config", str(file)]) == 1
    printed = capsys.readouterr()
    assert printed.err.startswith("error: ") and printed.err.count("\n") == 1
    assert len(printed.err) < 2100
    assert not (tmp_path / "p").exists()


@settings(max_examples=300, deadline=None)
@given(st.text(st.sampled_from("ab019-:[]{}?*&!|>#,.'\"~ \n\t%@`="), max_size=30))
def test_any_text_is_read_or_refused(text: str) -> None:
    for read in (parse_yaml, lambda value: parse_settings([f"epochs={value}"])):
        try:
            read(text)
        except (YamlTextError, ConfigError):
            continue


def test_what_is_written_can_be_read_back() -> None:
    """Two classes may share a list of steps: PyYAML alone would write the second as an alias."""
    steps = [{"step": "gamma", "gamma": 2.0}]
    shared = {"preprocess": {"a": steps, "b": steps}, "size": (1, 2), "name": "µm"}
    text = dump_yaml(shared)
    assert "&" not in text and "µm" in text
    read = parse_yaml(text)
    assert read == {**shared, "size": [1, 2]}
    assert list(read) == list(shared)

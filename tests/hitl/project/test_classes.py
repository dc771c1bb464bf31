"""Classes in `hitl.yaml`: what is refused, and which channels of an image show a class."""

from __future__ import annotations

from typing import Any

import pytest

from annotations.names import DEFAULT_CLASS
from hitl.project.classes import (
    ChannelError,
    ClassConfig,
    chosen_channels,
    projection_of,
    seen_channels,
)
from hitl.project.config import ProjectConfig, dump_config, parse_config
from hitl.project.errors import ConfigError

FUCCI = ("Cy3", "GFP", "Hoechst")
PROJECT, TO_UINT8 = {"step": "project"}, {"step": "to_uint8"}
BONE = {"OB": {}, "nuclei": {}, "bone": {"kind": "area", "neither": ["OB", "nuclei"]}}


@pytest.mark.parametrize(
    ("classes", "said"),
    [
        ({"a/b": {}}, "'a/b': expected a name of 1 to 100 letters"),
        ({"-a": {}}, "starts with a letter or digit"),
        ({"": {}}, "expected a name of 1 to 100"),
        ({"a" * 101: {}}, "expected a name of 1 to 100"),
        ({"zarr.json": {}}, "'zarr.json': expected a name"),
        ({"a:b": {}}, "'a:b': expected a name"),
        ({"a": {"chanels": ["x"]}}, "'classes.a.chanels': did you mean 'channels'"),
        ({"a": {"kind": "objects"}}, "classes.a.kind: .*'instances' or 'area'"),
        ({"a": {"channels": [True]}}, "classes.a.channels.0: expected text, got True"),
        ({"a": {"mask_values": [0]}}, "classes.a.mask_values.0: expected at least 1"),
        ({"a": {"preprocess": [{"step": "median", "sise": 3}]}}, "did you mean 'size'"),
        (
            {"a": {"preprocess": [TO_UINT8, PROJECT]}},
            "classes.a.preprocess: expected project as the first step, got it as step 2$",
        ),
        ({"a": {}, "b": {"neither": ["a"]}}, "classes.b: neither is for kind area, got instances"),
        (
            {**BONE, "bone": BONE["bone"] | {"mask_values": [1]}},
            "classes.bone: expected mask_values or neither, got both; leave one of them out$",
        ),
        (
            {**BONE, "bone": {"kind": "area", "neither": ["OB", "nuclie"]}},
            "classes.bone.neither: unknown class 'nuclie': did you mean 'nuclei'",
        ),
        (
            {**BONE, "bone": {"kind": "area", "neither": ["bone"]}},
            "classes.bone.neither: expected classes that are drawn, got 'bone'",
        ),
        (
            {**BONE, "rest": {"kind": "area", "neither": ["bone"]}},
            "classes.rest.neither: expected classes that are drawn, got 'bone'",
        ),
    ],
)
def test_a_wrong_class_is_refused_in_one_line(classes: dict[str, Any], said: str) -> None:
    with pytest.raises(ConfigError, match=said) as caught:
        parse_config({"classes": classes}, "hitl.yaml")
    assert str(caught.value).startswith("hitl.yaml: ")
    assert "\n" not in str(caught.value)


@pytest.mark.parametrize("name", ["nuclei", "a", "0", "A.b_c-9", "a" * 100, "zarr.json5"])
def test_names_of_classes(name: str) -> None:
    assert parse_config({"classes": {name: {}}}).class_names == (name,)


def test_a_project_without_classes_has_one() -> None:
    config = ProjectConfig()
    assert config.class_names == (DEFAULT_CLASS,) == ("nuclei",)
    assert config.class_of("nuclei") == config.class_of("golgi") == ClassConfig()
    assert parse_config({"classes": BONE}).class_names == ("OB", "nuclei", "bone")


def test_a_class_s_own_preprocessing_replaces_the_project_s() -> None:
    own = {"own": {"preprocess": [PROJECT]}, "none": {"preprocess": []}, "shared": {}}
    config = parse_config({"preprocess": [TO_UINT8], "classes": own})
    steps = {name: [step.step for step in config.steps_of(name)] for name in (*own, "new")}
    assert steps == {"own": ["project"], "none": [], "shared": ["to_uint8"], "new": ["to_uint8"]}
    assert projection_of(config.steps_of("own")) == "max"
    assert projection_of(config.steps_of("shared")) is None
    assert parse_config({"classes": own}).steps_of("shared") == ()


def test_the_project_s_projection_comes_first_too() -> None:
    assert projection_of(parse_config({"preprocess": [PROJECT, TO_UINT8]}).preprocess) == "max"
    with pytest.raises(ConfigError, match="config: preprocess: expected project as the first step"):
        parse_config({"preprocess": [TO_UINT8, PROJECT]})


def test_what_a_class_says_is_dumped_and_nothing_else() -> None:
    data = {
        "a": {"channels": [0, "GFP"], "preprocess": []},
        "b": {"kind": "area", "mask_values": [128, 170]},
    }
    config = parse_config({"classes": data})
    assert config.class_of("a").channels == ("0", "GFP")
    text = dump_config(config)
    assert "neither" not in text
    assert text[text.index("classes") : text.index("bootstrap")] == (
        "classes:\n"
        "  a:\n    channels:\n    - '0'\n    - GFP\n    preprocess: []\n    kind: instances\n"
        "  b:\n    kind: area\n    mask_values:\n    - 128\n    - 170\n"
    )


@pytest.mark.parametrize(
    ("name", "config", "channels", "stated", "seen"),
    [
        ("GFP", {}, FUCCI, (), (1,)),
        ("gfp", {}, FUCCI, (), (1,)),
        ("nuclei", {}, ("0",), (), (0,)),
        ("nuclei", {"channels": ["Hoechst", "Cy3"]}, FUCCI, (), (2, 0)),
        ("nuclei", {"channels": ["2"]}, FUCCI, (), (2,)),
        ("nuclei", {"channels": ["2"]}, FUCCI, ("GFP", "0"), (1, 0)),
        ("GFP", {"channels": ["Cy3"]}, FUCCI, (), (0,)),
        ("a", {"channels": ["GFP", "1"]}, FUCCI, (), (1,)),
        ("a", {"channels": ["1"]}, ("2", "1", "0"), (), (1,)),
    ],
)
def test_which_channels_show_a_class(
    name: str,
    config: dict[str, Any],
    channels: tuple[str, ...],
    stated: tuple[str, ...],
    seen: tuple[int, ...],
) -> None:
    assert seen_channels(name, ClassConfig(**config), channels, stated) == seen


@pytest.mark.parametrize(
    ("name", "config", "channels", "said"),
    [
        ("nuclei", {}, FUCCI, r"3 channels: 0 \(Cy3\), 1 \(GFP\), 2 \(Hoechst\).*--class nuclei="),
        ("a", {}, ("A", "a"), "2 channels"),
        ("nuclei", {"channels": ["Hoecst"]}, FUCCI, "no channel 'Hoecst'.*did you mean 'Hoechst'"),
        ("nuclei", {"channels": ["3"]}, FUCCI, "class nuclei: there is no channel '3'"),
    ],
)
def test_a_channel_is_never_guessed(
    name: str, config: dict[str, Any], channels: tuple[str, ...], said: str
) -> None:
    with pytest.raises(ChannelError, match=said):
        seen_channels(name, ClassConfig(**config), channels)


def test_the_channel_of_a_plain_file() -> None:
    assert chosen_channels(("0",), ()) == (0,)
    assert chosen_channels(FUCCI, ["GFP"]) == chosen_channels(FUCCI, ["1", "GFP"]) == (1,)
    assert chosen_channels(FUCCI, ["Hoechst", "Cy3"]) == (2, 0)
    with pytest.raises(ChannelError, match="say --channel NAME"):
        chosen_channels(FUCCI, ())
    with pytest.raises(ChannelError, match="did you mean 'GFP'"):
        chosen_channels(FUCCI, ["gfpp"])

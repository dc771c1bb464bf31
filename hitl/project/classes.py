"""Classes: the kinds of structure that a project labels, as its config describes them."""

from __future__ import annotations

import difflib
from collections.abc import Mapping, Sequence
from typing import Annotated, Any, Literal, Self

from annotated_types import Ge, Le
from pydantic import BeforeValidator, Field, model_validator

from annotations.names import is_name
from hitl.project.errors import ConfigError, HitlError
from hitl.project.processing import PercentileStretch, PreprocessStep, PreprocessSteps, Projection
from hitl.project.schema import Frozen
from labels.names import did_you_mean


class ChannelError(HitlError):
    """A channel that an image does not have, or none named where there are several."""


def _as_text(channel: Any) -> Any:
    """Take the number of a channel as YAML has it."""
    return str(channel) if type(channel) is int else channel


class ClassConfig(Frozen):
    """One kind of structure that is labelled.

    Parameters
    ----------
    channels : tuple of str
        Names, or numbers from 0, of the channels that a model sees. When empty: the channel that
        is named like the class, else the image's only one.
    preprocess : tuple of steps, optional
        Applied in order to every channel before a segmenter sees it; the project's when not given.
    kind : {"instances", "area"}
        Objects, one id each; or an area, which is one id.
    mask_values : tuple of int
        Grey levels of a mask that are this class, where one file holds several classes.
    neither : tuple of str
        Classes of which none is where this area is: it is derived from them, not drawn.
    """

    channels: tuple[Annotated[str, BeforeValidator(_as_text)], ...] = Field(
        default=(), examples=[("GFP", "1")]
    )
    preprocess: PreprocessSteps | None = Field(default=None, examples=[(PercentileStretch(),)])
    kind: Literal["instances", "area"] = "instances"
    mask_values: tuple[Annotated[int, Ge(1), Le(2**32 - 1)], ...] = Field(
        default=(), examples=[(128, 255)]
    )
    neither: tuple[str, ...] = Field(default=(), examples=[("nuclei",)])

    @model_validator(mode="after")
    def _fits_together(self) -> Self:
        if self.neither and self.kind != "area":
            raise ValueError("neither is for kind area, got instances; write kind: area")
        if self.neither and self.mask_values:
            raise ValueError("expected mask_values or neither, got both; leave one of them out")
        return self


def check_classes(classes: Mapping[str, ClassConfig], where: str) -> None:
    """Refuse names that cannot be one, and areas that are derived from what is not there.

    Raises
    ------
    ConfigError
    """
    for name, each in classes.items():
        if not is_name(name):
            raise ConfigError(
                f"{where}: classes: {name!r}: expected a name of 1 to 100 letters, digits, '.', "
                "'_' and '-' that starts with a letter or digit"
            )
        for other in each.neither:
            _check_other(classes, name, other, f"{where}: classes.{name}.neither")


def _check_other(classes: Mapping[str, ClassConfig], name: str, other: str, where: str) -> None:
    if other not in classes:
        near = difflib.get_close_matches(other, classes, n=1)
        hint = f"did you mean {near[0]!r}? " if near else ""
        raise ConfigError(f"{where}: unknown class {other!r}: {hint}known are {', '.join(classes)}")
    if other == name or classes[other].neither:
        raise ConfigError(f"{where}: expected classes that are drawn, got {other!r}, which is not")


def projection_of(steps: Sequence[PreprocessStep]) -> str | None:
    """Return how the slices of an image become one, None where they stay."""
    return next((step.method for step in steps if isinstance(step, Projection)), None)


def seen_channels(
    name: str, config: ClassConfig, channels: Sequence[str], stated: Sequence[str] = ()
) -> tuple[int, ...]:
    """Return the numbers of the channels that show a class.

    Parameters
    ----------
    name : str
        Of the class.
    config : ClassConfig
    channels : sequence of str
        Names of the image's.
    stated : sequence of str
        What a person says of this image, over the config.

    Raises
    ------
    ChannelError
        Several channels and none named, or one named that is not there.
    """
    wanted = stated or config.channels
    if wanted:
        return tuple(dict.fromkeys(channel_number(channels, channel, name) for channel in wanted))
    alike = [i for i, channel in enumerate(channels) if channel.lower() == name.lower()]
    if len(alike) == 1:
        return tuple(alike)
    if len(channels) == 1:
        return (0,)
    raise ChannelError(
        f"class {name}: the image has {len(channels)} channels: {_listed(channels)}; say which "
        f"show it with --channel NAME, --class {name}=NAME, or in hitl.yaml (classes: {name}: "
        "channels: [NAME])"
    )


def channel_number(channels: Sequence[str], wanted: str, what: str = "") -> int:
    """Return the number of a channel that is given by name or number.

    Raises
    ------
    ChannelError
        There is none.
    """
    if wanted in channels:
        return list(channels).index(wanted)
    if wanted.isdecimal() and int(wanted) < len(channels):
        return int(wanted)
    hint = did_you_mean(wanted, channels)
    of = f"class {what}: " if what else ""
    raise ChannelError(f"{of}there is no channel {wanted!r}; there are {_listed(channels)}{hint}")


def chosen_channels(channels: Sequence[str], wanted: Sequence[str]) -> tuple[int, ...]:
    """Return the numbers of the channels that were named, else of the only one.

    Raises
    ------
    ChannelError
        Several channels and none named, or one named that is not there.
    """
    if wanted:
        return tuple(dict.fromkeys(channel_number(channels, each) for each in wanted))
    if len(channels) > 1:
        raise ChannelError(
            f"the image has {len(channels)} channels: {_listed(channels)}; say --channel NAME or "
            "NUMBER"
        )
    return (0,)


def _listed(channels: Sequence[str]) -> str:
    return ", ".join(f"{number} ({name})" for number, name in enumerate(channels))

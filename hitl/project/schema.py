"""Config schemas that follow from a dataclass's fields, and errors that name the nearest key."""

from __future__ import annotations

import dataclasses
import difflib
import reprlib
import typing
from collections.abc import Iterator, Mapping
from typing import Any, TypeVar

from pydantic import BaseModel, ConfigDict, ValidationError, create_model, model_validator
from pydantic_core import ErrorDetails, InitErrorDetails, PydanticCustomError

from hitl.project.errors import ConfigError

Model = TypeVar("Model", bound=BaseModel)


_TRUTH = PydanticCustomError("truth", "expected something other than true or false")


class Frozen(BaseModel):
    """Base of every config model: immutable; refuses unknown keys, NaN, infinity, truth for 1."""

    model_config = ConfigDict(extra="forbid", frozen=True, allow_inf_nan=False)

    @model_validator(mode="before")
    @classmethod
    def _refuse_truth(cls, data: Any) -> Any:
        """Refuse true and false where pydantic would take them for 1 and 0."""
        wrong: list[InitErrorDetails] = [
            {"type": _TRUTH, "loc": (name,), "input": value}
            for name, value in (data.items() if isinstance(data, dict) else ())
            if name in cls.model_fields
            and any(isinstance(x, bool) for x in (value if isinstance(value, list) else [value]))
            and _numbers_only(cls.model_fields[name].annotation)
        ]
        if wrong:
            raise ValidationError.from_exception_data(cls.__name__, wrong)
        return data


def options_model(cls: type[Any]) -> type[BaseModel]:
    """Return a pydantic model with the same fields, types, bounds and defaults as a dataclass."""
    hints = typing.get_type_hints(cls, include_extras=True)
    fields: dict[str, Any] = {}
    for item in dataclasses.fields(cls):
        default = item.default
        if item.default_factory is not dataclasses.MISSING:
            default = item.default_factory()
        fields[item.name] = (hints[item.name], ... if default is dataclasses.MISSING else default)
    return create_model(cls.__name__, __base__=Frozen, **fields)


def resolve_options(cls: type[Any], options: Mapping[str, Any], where: str) -> dict[str, Any]:
    """Validate `options` against the fields of a dataclass and fill in the defaults.

    Parameters
    ----------
    cls : type
        A frozen dataclass of flat options.
    options : mapping
    where : str
        Where the options stand in the config, for messages.

    Raises
    ------
    ConfigError
        Unknown key (the nearest valid one is suggested) or invalid value.
    """
    return validate(options_model(cls), options, where).model_dump()


def validate(model: type[Model], data: Any, where: str) -> Model:
    """Return `data` as an instance of `model`, or raise one readable `ConfigError`."""
    try:
        return model.model_validate(data)
    except ValidationError as exc:
        raise ConfigError(f"{where}: {explain(model, exc)}") from exc


def explain(model: type[BaseModel], exc: ValidationError) -> str:
    """Say in one line what is wrong with a config, and what is valid instead."""
    problems = []
    for error in exc.errors(include_url=False):
        path = ".".join(str(part) for part in error["loc"])
        if error["type"] == "extra_forbidden":
            problems.append(_explain_unknown(model, error["loc"], path))
        else:
            problems.append(f"{path or 'value'}: {_explain_value(error)}")
    return "; ".join(problems)


EXPECTED = {
    "int_parsing": "a whole number",
    "int_parsing_size": "a whole number of fewer digits",
    "int_from_float": "a whole number",
    "int_type": "a whole number",
    "float_parsing": "a number",
    "float_type": "a number",
    "bool_parsing": "true or false",
    "bool_type": "true or false",
    "string_type": "text",
    "tuple_type": "a list",
    "invalid_key": "a word as a key",
    "dict_type": "keys and values",
    "model_type": "keys and values",
    "literal_error": "{expected}",
    "union_tag_invalid": "one of {expected_tags}",
    "union_tag_not_found": "one with the key {discriminator}",
    "missing": "a value",
    "too_short": "at least {min_length} of them",
    "too_long": "at most {max_length} of them",
    "greater_than_equal": "at least {ge}",
    "less_than_equal": "at most {le}",
    "greater_than": "more than {gt}",
    "less_than": "less than {lt}",
    "finite_number": "a finite number",
}
"""What was expected, by pydantic's name of the problem."""


def expected(error: ErrorDetails) -> str | None:
    """Return in words what was expected, None where pydantic's own words have to do."""
    words = EXPECTED.get(error["type"])
    bounds = {
        name: f"{bound:g}" if isinstance(bound, float) else bound
        for name, bound in error.get("ctx", {}).items()
    }
    return None if words is None else words.format(**bounds)


def _explain_value(error: ErrorDetails) -> str:
    wanted = expected(error)
    if wanted is not None:
        return f"expected {wanted}, got {reprlib.repr(error['input'])}"
    said = error["msg"].removeprefix("Value error, ")
    # Our own messages about a section say what is wrong in it; all of it would bury that.
    if error["type"] == "value_error" and isinstance(error["input"], dict | list | tuple):
        return said
    return f"{said}, got {reprlib.repr(error['input'])}"


def _explain_unknown(model: type[BaseModel], loc: tuple[int | str, ...], path: str) -> str:
    valid = sorted(_valid_keys(model, loc[:-1]))
    near = difflib.get_close_matches(str(loc[-1]), valid, n=1)
    hint = f"did you mean {near[0]!r}? " if near else ""
    return f"unknown key {path!r}: {hint}valid keys are {', '.join(valid)}"


def _valid_keys(model: type[BaseModel], loc: tuple[int | str, ...]) -> set[str]:
    """Names of the fields of the model that stands at `loc` below `model`."""
    candidates: list[type[BaseModel]] = [model]
    for part in loc:
        below = [m for c in candidates if part in c.model_fields for m in _models_of(c, str(part))]
        tagged = [c for c in candidates if part in _tags(c)]
        candidates = below or tagged or candidates
    return {name for candidate in candidates for name in candidate.model_fields}


def _models_of(model: type[BaseModel], field: str) -> Iterator[type[BaseModel]]:
    yield from _unwrap(model.model_fields[field].annotation)


def _unwrap(annotation: Any) -> Iterator[type[BaseModel]]:
    if isinstance(annotation, type) and issubclass(annotation, BaseModel):
        yield annotation
    for argument in typing.get_args(annotation):
        yield from _unwrap(argument)


def _numbers_only(annotation: Any) -> bool:
    """Tell whether there are numbers among the values of a type, and neither true nor false."""
    found = set(_leaves(annotation))
    return bool({int, float} & found) and not {bool, Any, True} & found


def _leaves(annotation: Any) -> Iterator[Any]:
    inner = typing.get_args(annotation)
    if not inner:
        # What bounds a number has no part in it, and may have no hash.
        yield annotation if annotation.__hash__ else None
    for each in inner:
        yield from _leaves(each)


def _tags(model: type[BaseModel]) -> set[str]:
    """Values of the literal fields that tell the members of a union apart."""
    return {
        str(value)
        for field in model.model_fields.values()
        if typing.get_origin(field.annotation) is typing.Literal
        for value in typing.get_args(field.annotation)
    }

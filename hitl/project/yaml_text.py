"""YAML as people write it: safe, each key once, and whatever is wrong is one error."""

from __future__ import annotations

from typing import Any

import yaml


class YamlTextError(Exception):
    """Text that is not YAML, or YAML of a kind that no config needs."""


DEEPEST = 40
"""Levels of lists and mappings; a config has under ten."""

MOST_DIGITS = 40
"""Of a whole number, however it is written."""


class _Loader(yaml.SafeLoader):
    """Safe YAML that refuses a key given twice: one of the two would be lost silently."""

    _level = 0

    def compose_node(self, parent: Any, index: Any) -> Any:
        """Refuse aliases, a few lines of which make billions of values, and depth without end."""
        if self.check_event(yaml.AliasEvent):
            event: Any = self.peek_event()  # type: ignore[no-untyped-call]
            raise yaml.composer.ComposerError(
                None, None, f"*{event.anchor}: write the value out again", event.start_mark
            )
        self._level += 1
        if self._level > DEEPEST:
            event = self.peek_event()  # type: ignore[no-untyped-call]
            raise yaml.composer.ComposerError(
                None, None, f"lists in lists, more than {DEEPEST} deep", event.start_mark
            )
        node = super().compose_node(parent, index)
        self._level -= 1
        return node

    def construct_mapping(self, node: yaml.MappingNode, deep: bool = False) -> dict[Any, Any]:
        """Build a mapping after looking for repeated keys."""
        seen = set()
        for key_node, _ in node.value:
            key = self.construct_object(key_node, deep=True)
            if isinstance(key, list | dict | set):
                raise yaml.constructor.ConstructorError(
                    None, None, "a key is a word or a number", key_node.start_mark
                )
            if key in seen:
                raise yaml.constructor.ConstructorError(
                    None, None, f"key {key!r} is given twice", key_node.start_mark
                )
            seen.add(key)
        return super().construct_mapping(node, deep)


def _whole(loader: _Loader, node: yaml.ScalarNode) -> int:
    """Refuse what no message could show: in hexadecimal, a line holds a number without end."""
    if len(node.value) > MOST_DIGITS:
        raise yaml.constructor.ConstructorError(
            None, None, f"a number of {len(node.value):,} digits", node.start_mark
        )
    return int(loader.construct_yaml_int(node))


_Loader.add_constructor("tag:yaml.org,2002:int", _whole)


class _Dumper(yaml.SafeDumper):
    """Writes a value out wherever it stands: an alias could not be read back."""

    def ignore_aliases(self, data: Any) -> bool:
        """Make none."""
        return True


def dump_yaml(data: Any) -> str:
    """Return data as YAML text, keys in their order; `parse_yaml` reads it back."""
    return str(yaml.dump(data, Dumper=_Dumper, sort_keys=False, allow_unicode=True))


def parse_yaml(text: str) -> Any:
    """Return what YAML text says.

    Raises
    ------
    YamlTextError
    """
    try:
        return yaml.load(text, Loader=_Loader)  # noqa: S506
    except yaml.MarkedYAMLError as error:
        mark = error.problem_mark or error.context_mark
        where = "" if mark is None else f" (line {mark.line + 1}, column {mark.column + 1})"
        words = ", ".join(part for part in (error.context, error.problem) if part)
        raise YamlTextError(f"not valid YAML: {words}{where}") from error
    except yaml.YAMLError as error:
        words = " ".join(str(error).split()).replace(' in "<unicode string>"', "")
        raise YamlTextError(f"not valid YAML: {words}") from error
    except RecursionError as error:
        raise YamlTextError("not valid YAML: lists in lists without end") from error
    except (ValueError, OverflowError) as error:
        # What PyYAML lets through from the making of dates and numbers.
        raise YamlTextError(f"not valid YAML: a value cannot be read ({error})") from error
    except (TypeError, AttributeError) as error:
        raise YamlTextError("not valid YAML: a value that is not what its tag says") from error

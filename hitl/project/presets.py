"""Configurations that ship with the package."""

from __future__ import annotations

from pathlib import Path

from hitl.project.errors import ConfigError

PACKAGE = Path(__file__).resolve().parents[1]


def presets_folder() -> Path:
    """Folder of the shipped YAML files, in a checkout or in an installed package."""
    installed = PACKAGE / "configs"
    return installed if installed.is_dir() else PACKAGE.parent / "configs"


def preset_names() -> list[str]:
    """Names that `hitl init --config` takes besides files."""
    return sorted(path.stem for path in presets_folder().glob("*.yaml"))


def find_preset(name_or_file: str) -> Path:
    """Return the file of a shipped configuration, or the file that was named.

    Raises
    ------
    ConfigError
        When it is neither.
    """
    if Path(name_or_file).is_file():
        return Path(name_or_file)
    if name_or_file in preset_names():
        return presets_folder() / f"{name_or_file}.yaml"
    raise ConfigError(
        f"no config {name_or_file!r}: expected a YAML file or one of {', '.join(preset_names())}"
    )

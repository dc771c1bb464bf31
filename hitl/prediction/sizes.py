"""How large a field's objects are, where that was said."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass, replace

from annotations.errors import UnknownFieldError
from annotations.fields import LabelsInfo
from hitl.project.addresses import chosen_labels
from hitl.project.config import CONFIG_NAME
from hitl.project.errors import ConfigError
from hitl.project.folder import Project
from models.base import Segmenter
from models.options import DiameterUm


@dataclass(frozen=True, kw_only=True)
class RunOptions:
    """What may be said of an image that a trained run segments.

    Parameters
    ----------
    diameter_um : float, optional
        Diameter of its objects.
    """

    diameter_um: DiameterUm | None = None


def diameter_of(said: Mapping[str, float], info: LabelsInfo) -> float | None:
    """Return what the config says of a field's labels: of FIELD:CLASS, else of FIELD."""
    return said.get(info.key, said.get(info.field.name))


def said_diameters(project: Project) -> Mapping[str, float]:
    """Return the sizes that the config says.

    Raises
    ------
    ConfigError
        Of a field that the project has not.
    """
    said = project.config.prediction.diameter_um
    try:
        if said:
            chosen_labels(project.store(), tuple(said))
    except UnknownFieldError as error:
        raise ConfigError(f"prediction.diameter_um in {CONFIG_NAME}: {error}") from error
    return said


def of_size(segmenter: Segmenter, diameter_um: float | None) -> Segmenter:
    """Return a segmenter for objects of a size; itself where it takes none or none is given."""
    if diameter_um is None or not takes_size(segmenter):
        return segmenter
    sized: Segmenter = replace(segmenter, diameter_um=diameter_um)  # type: ignore[type-var]
    return sized


def takes_size(segmenter: Segmenter) -> bool:
    """Whether a segmenter can be told the size of the objects."""
    return "diameter_um" in getattr(segmenter, "__dataclass_fields__", ())

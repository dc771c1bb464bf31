"""The project's configuration: YAML in, frozen and validated models out."""

from __future__ import annotations

from collections.abc import Mapping
from pathlib import Path
from typing import Annotated, Any

from annotated_types import Ge, Gt, Le, Lt
from pydantic import AfterValidator, BaseModel, Field

from annotations.names import DEFAULT_CLASS
from hitl.project.classes import ClassConfig, check_classes
from hitl.project.errors import ConfigError
from hitl.project.processing import EVERY_STEP, PostprocessConfig, PreprocessStep, PreprocessSteps
from hitl.project.schema import Frozen, options_model, resolve_options, validate
from hitl.project.yaml_text import YamlTextError, dump_yaml, parse_yaml
from labels.files import UnfitFileError, read_plain
from models.errors import UnknownModelError
from models.options import DiameterUm, Seed
from models.registry import Part, check_model, segmenter_class, trainer_class

CONFIG_NAME = "hitl.yaml"
MAX_CONFIG_BYTES = 100_000
"""What ships has at most 3,000; PyYAML takes seconds for what is allowed at its worst."""


LONGEST_PLACE = 1000


def _place(text: str) -> str:
    """Refuse what no file system and no URL has."""
    if not text.isprintable() or not 0 < len(text) <= LONGEST_PLACE:
        raise ValueError(f"expected a folder or a URL of at most {LONGEST_PLACE} letters")
    return text


class BootstrapConfig(Frozen):
    """Which segmenter makes round 0, and whether its masks are cleaned.

    Parameters
    ----------
    segmenter : str
        Name of a segmenter, or ``"auto"``: Cellpose when its weights are on this machine, else
        what ships with the package.
    clean : bool
        Post-process the masks.
    """

    segmenter: str = "auto"
    clean: bool = True


class TrainingConfig(Frozen):
    """What training takes from the project, and each model's options.

    Parameters
    ----------
    validation_share : float
        Share of each training field (whole objects all over it) that is held out for validation
        when no field of split ``val`` has labels.
    models : mapping of str to mapping
        Options of each trainable model by name; `hitl models --options NAME` lists them.
    """

    validation_share: Annotated[float, Gt(0), Lt(0.6)] = 0.2
    models: dict[str, dict[str, Any]] = Field(
        default_factory=dict, examples=[{"unet3d": {"epochs": 100, "learning_rate": 0.001}}]
    )


class SweepConfig(Frozen):
    """A grid over one model's options.

    Parameters
    ----------
    seeds : tuple of int
        Each combination is trained with each of them; the options' own seed when empty.
    set : mapping
        Options of every cell, over those of `training.models`.
    grids : tuple of mapping of str to list
        Each grid is trained in every combination of its values; a combination that several grids
        hold is trained once.
    """

    seeds: tuple[Seed, ...] = Field(default=(), examples=[(0, 1, 2)])
    set: dict[str, Any] = Field(default_factory=dict, examples=[{"epochs": 50}])
    grids: tuple[dict[str, list[Any]], ...] = ()


class PredictionConfig(Frozen):
    """How fields are segmented by trained models.

    Parameters
    ----------
    whole_up_to_voxels : int
        Fields of more voxels are segmented box by box, from the store into a file, by models that
        can (StarDist); the default of 2²⁷ is 512 × 512 × 512.
    diameter_um : mapping of str to float
        Diameter of the objects of a field (or of FIELD:CLASS) in µm; found in the image, or as in
        training, where it is not said.
    """

    whole_up_to_voxels: Annotated[int, Ge(0), Le(2**62)] = 2**27
    diameter_um: dict[str, DiameterUm] = Field(default_factory=dict, examples=[{"embryo": 9.5}])


class EvaluationConfig(Frozen):
    """How predictions are scored.

    Parameters
    ----------
    edge_width_px : int
        Width of the edge class of the voxel metrics.
    picture : bool
        Draw each prediction beside the truth.
    """

    edge_width_px: Annotated[int, Ge(1), Le(1000)] = 1
    picture: bool = True


class ProjectConfig(Frozen):
    """Everything that a project's `hitl.yaml` may say.

    Parameters
    ----------
    store : str
        Where the annotation store is: a folder inside the project, or a URL (``s3://…``).
    annotator : str
        Who corrects, when a command does not say.
    classes : mapping of str to ClassConfig
        The kinds of structure that are labelled; one named nuclei when there is none.
    preprocess : tuple of steps
        Applied in order to every channel before a segmenter sees it, where a class has no own.
    bootstrap, postprocess, training, prediction, evaluation
        One section for each part of the work.
    sweep : mapping of str to SweepConfig
        What `hitl sweep` trains, by model.
    segmenters : mapping of str to mapping
        Options of each segmenter by name; `hitl models --options NAME` lists them.
    """

    store: Annotated[str, AfterValidator(_place)] = "store"
    annotator: str = ""
    classes: dict[str, ClassConfig] = Field(
        default_factory=dict, examples=[{"golgi": {"channels": ["GFP"]}}]
    )
    preprocess: PreprocessSteps = Field(default=(), examples=[EVERY_STEP])
    bootstrap: BootstrapConfig = BootstrapConfig()
    segmenters: dict[str, dict[str, Any]] = Field(
        default_factory=dict, examples=[{"starter": {"diameter_um": 12.0}}]
    )
    postprocess: PostprocessConfig = PostprocessConfig()
    training: TrainingConfig = TrainingConfig()
    sweep: dict[str, SweepConfig] = Field(
        default_factory=dict,
        examples=[
            {"unet3d": {"grids": [{"loss": ["wce", "iou"], "learning_rate": [0.003, 0.001]}]}}
        ],
    )
    prediction: PredictionConfig = PredictionConfig()
    evaluation: EvaluationConfig = EvaluationConfig()

    def class_of(self, name: str) -> ClassConfig:
        """Return what is said of a class; the defaults where nothing is."""
        return self.classes.get(name, ClassConfig())

    def steps_of(self, name: str) -> tuple[PreprocessStep, ...]:
        """Return the preprocessing of a class."""
        own = self.class_of(name).preprocess
        return self.preprocess if own is None else own

    @property
    def class_names(self) -> tuple[str, ...]:
        """Names of the classes."""
        return tuple(self.classes) or (DEFAULT_CLASS,)


def load_yaml(path: Path) -> dict[str, Any]:
    """Read a YAML mapping.

    Raises
    ------
    ConfigError
        Missing, empty, unreadable, not YAML, a key given twice, or not a mapping.
    """
    try:
        data = parse_yaml(read_plain(path, MAX_CONFIG_BYTES, linked=True).decode("utf-8"))
    except OSError as exc:
        raise ConfigError(f"{path}: cannot be read ({exc.strerror}); give a YAML file") from exc
    except UnicodeDecodeError as exc:
        raise ConfigError(f"{path}: expected UTF-8 text, got something else") from exc
    except UnfitFileError as exc:
        raise ConfigError(f"{path}: expected a config, got {exc}") from exc
    except YamlTextError as exc:
        raise ConfigError(f"{path}: {exc}") from exc
    if data is None:
        # A file that a power cut emptied must not read as the defaults.
        raise ConfigError(
            f"{path}: is empty; restore it from a copy, or take the one that `hitl init` writes "
            "into another folder (for the defaults, leave --config away)"
        )
    if not isinstance(data, dict):
        raise ConfigError(f"{path}: expected keys and values, got {type(data).__name__}")
    return data


def parse_config(data: Mapping[str, Any], where: str = "config") -> ProjectConfig:
    """Validate a mapping, the options of every segmenter and trainer included.

    Raises
    ------
    ConfigError
        Unknown key (with the nearest valid one), invalid value, unknown segmenter.
    """
    config = validate(ProjectConfig, data, where)
    check_classes(config.classes, where)
    if config.bootstrap.segmenter != "auto":
        _check_name(config.bootstrap.segmenter, "segmenter", f"{where}: bootstrap.segmenter")
    for name in config.segmenters:
        _check_name(name, "segmenter", f"{where}: segmenters")
        segmenter_options(config, name, where=where)
    for name in config.training.models:
        _check_name(name, "trainer", f"{where}: training.models")
        trainer_options(config, name, where=where)
    for name, sweep in config.sweep.items():
        _check_name(name, "trainer", f"{where}: sweep")
        check_sweep(name, sweep, f"{where}: sweep.{name}")
    return config


def load_config(path: Path) -> ProjectConfig:
    """Read and validate a project's configuration file."""
    return parse_config(load_yaml(path), str(path))


def segmenter_options(
    config: ProjectConfig, name: str, where: str = CONFIG_NAME, **overrides: Any
) -> dict[str, Any]:
    """Return the resolved options of the segmenter `name`."""
    raw = {**config.segmenters.get(name, {}), **overrides}
    return resolve_options(segmenter_class(name), raw, f"{where}: segmenters.{name}")


def trainer_options(
    config: ProjectConfig,
    name: str,
    settings: Mapping[str, Any] | None = None,
    where: str = CONFIG_NAME,
) -> dict[str, Any]:
    """Return the resolved options of the trainer `name`, with `settings` over the config's."""
    cls = trainer_class(name)
    if settings:
        validate(options_model(cls), settings, "--set")
    raw = {**config.training.models.get(name, {}), **(settings or {})}
    return resolve_options(cls, raw, f"{where}: training.models.{name}")


def check_sweep(name: str, sweep: SweepConfig, where: str) -> None:
    """Refuse a sweep of the trainer `name` with a key or value that the trainer does not take.

    Raises
    ------
    ConfigError
        Unknown key (with the nearest valid one), invalid value, a key without values.
    """
    schema = options_model(trainer_class(name))
    validate(schema, sweep.set, f"{where}.set")
    for number, grid in enumerate(sweep.grids):
        for key, values in grid.items():
            if not values:
                raise ConfigError(f"{where}.grids.{number}: {key} has no value; give at least one")
            for value in values:
                validate(schema, {key: value}, f"{where}.grids.{number}")


def dump_config(config: ProjectConfig) -> str:
    """Return the config as YAML text that `load_config` reads back."""
    return dump_yaml(_said(config))


def _said(section: BaseModel) -> dict[str, Any]:
    """Return a section without what is empty unless a person fills it: that is only clutter."""
    said = section.model_dump(mode="json")
    for key, field in type(section).model_fields.items():
        value = getattr(section, key)
        default = field.get_default(call_default_factory=True)
        if said[key] in ({}, [], None) and value == default:
            del said[key]
        elif isinstance(value, BaseModel):
            said[key] = _said(value)
        elif isinstance(value, dict):
            said[key] |= {k: _said(v) for k, v in value.items() if isinstance(v, BaseModel)}
    return said


def _check_name(name: str, part: Part, where: str) -> None:
    try:
        check_model(name, part)
    except UnknownModelError as exc:
        raise ConfigError(f"{where}: {exc}") from exc

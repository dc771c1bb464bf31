"""Synthetic stacks as files: pairs of image and truth, drawn at random or like a person's own."""

from __future__ import annotations

import contextlib
import dataclasses
import tempfile
import typing
from collections.abc import Iterator, Mapping
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import numpy as np
from numpy.typing import NDArray

from annotations.formats import (
    label_axes,
    open_image,
    refuse_series,
    write_image_tiff,
    write_labels_tiff,
)
from hitl.labelling.add import add_field
from hitl.labelling.given_labels import open_label_file
from hitl.labelling.requests import AddRequest
from hitl.preprocess.grey import one_channel
from hitl.project.classes import chosen_channels
from hitl.project.docstrings import parameter_descriptions
from hitl.project.errors import ConfigError, LeakageError, NothingToDoError, ProjectError
from hitl.project.folder import Project, write_json
from hitl.project.models import Options, type_name
from hitl.project.reporter import Reporter
from hitl.project.schema import options_model, validate
from hitl.simulate.requests import SynthRequest
from labels.spacing import Spacing
from models.synthetic import (
    NucleiGenerator,
    NucleiOptions,
    Ranges,
    SyntheticStack,
    like,
    random_generator,
)
from models.synthetic.preview import preview_png

DEFAULT_SHAPE = (32, 128, 128)
_RESERVED = {"shape": "--shape", "spacing_um": "--spacing-um", "diameter_um": "--diameter-um"}


@dataclass(frozen=True)
class Pair:
    """The files of one stack.

    Parameters
    ----------
    name : str
    image, labels, options, preview : Path
    nuclei : int
    """

    name: str
    image: Path
    labels: Path
    options: Path
    preview: Path
    nuclei: int


@dataclass(frozen=True)
class Synthesised:
    """What was drawn.

    Parameters
    ----------
    folder : Path
    stacks : tuple of Pair
    into : Path or None
        Project that got them.
    """

    folder: Path
    stacks: tuple[Pair, ...]
    into: Path | None


def synthesise(request: SynthRequest, reporter: Reporter) -> Synthesised:
    """Draw stacks and write their files; an image that is there has its labels beside it.

    Raises
    ------
    ConfigError
        An unknown option, or a value out of bounds.
    ProjectError
        Files that exist and may not be replaced, or a folder that cannot be used.
    SyntheticError
        Options that no stack can be drawn with.
    """
    settings = _checked_settings(request.settings)
    folder = request.folder
    assert folder is not None  # the request says so
    names = [f"synthetic_{request.seed + n:04d}" for n in range(request.count)]
    project = _check_targets(request, folder, names)
    fitted = _fitted(request)
    pairs = []
    for number, name in enumerate(names):
        reporter.progress(number, len(names), "drawing stacks")
        seed = request.seed + number
        options = dataclasses.replace(fitted or _drawn(request, seed), **settings)
        pairs.append(_write(folder, name, seed, options))
        if project is not None:
            pair = pairs[-1]
            new = AddRequest(images=(pair.image,), field=name, labels=((None, pair.labels),))
            add_field(project, new, reporter)
    reporter.progress(len(names), len(names), "drawing stacks")
    return Synthesised(folder, tuple(pairs), request.into)


def generator_options() -> Options:
    """List what `--set` takes, and from where it is drawn if it is not said."""
    spans = dataclasses.asdict(Ranges())
    hints = typing.get_type_hints(NucleiOptions)
    meanings = parameter_descriptions(NucleiOptions.__doc__ or "")
    return Options(
        "synth",
        tuple(
            (
                item.name,
                type_name(hints[item.name]),
                "drawn, {:g} to {:g}".format(*spans[item.name]) if item.name in spans else "drawn",
                meanings[item.name],
            )
            for item in dataclasses.fields(NucleiOptions)
            if item.name not in _RESERVED
        ),
    )


def _checked_settings(settings: Mapping[str, Any]) -> dict[str, Any]:
    """Validate `--set` alone, so that only what was said replaces what was drawn."""
    for name, option in _RESERVED.items():
        if name in settings:
            raise ConfigError(f"--set {name}: say {option} instead")
    checked = validate(options_model(NucleiOptions), dict(settings), "--set")
    return {name: getattr(checked, name) for name in settings}


def _check_targets(request: SynthRequest, folder: Path, names: list[str]) -> Project | None:
    """Refuse before anything is drawn what would fail after it."""
    if folder.exists() and not folder.is_dir():
        raise ProjectError(f"{folder} is a file; name a folder")
    taken = [path for name in names for path in _files(folder, name) if path.exists()]
    if taken and not request.overwrite:
        raise ProjectError(
            f"{taken[0]} exists already; name another folder, another --seed, or say --overwrite"
        )
    if request.into is None:
        return None
    project = Project.open(request.into)
    known = {info.name for info in project.store().fields()}
    clash = [name for name in names if name in known]
    if clash:
        raise ProjectError(
            f"{request.into} has a field {clash[0]} already; draw others with another --seed"
        )
    return project


def _files(folder: Path, name: str) -> tuple[Path, Path, Path, Path]:
    """Return image, labels, options and preview of a stack."""
    ends = (".tif", "_labels.tif", ".json", ".png")
    image, labels, options, preview = (folder / f"{name}{end}" for end in ends)
    return image, labels, options, preview


def _drawn(request: SynthRequest, seed: int) -> NucleiGenerator:
    # Another stream than that of the voxels, which are drawn from the seed itself.
    rng = np.random.default_rng((seed, 1))
    shape = request.shape or DEFAULT_SHAPE
    return random_generator(rng, shape, request.spacing_um, request.diameter_um)


def _fitted(request: SynthRequest) -> NucleiGenerator | None:
    """Return the options that a person's stack gives, if they named one."""
    if request.like is not None:
        image, labels, spacing_um = _read_file(request, request.like)
    elif request.project is not None:
        image, labels, spacing_um = _read_field(request, request.project)
    else:
        return None
    return like(image, spacing_um, labels, shape=request.shape, diameter_um=request.diameter_um)


def _read_file(
    request: SynthRequest, path: Path
) -> tuple[NDArray[Any], NDArray[np.uint32] | None, Spacing]:
    with open_image(path, axes=request.axes, spacing_um=request.spacing_um) as source:
        times, _, depth, _, _ = source.info.shape
        refuse_series(path, times, flat=depth == 1)
        named = () if request.channel is None else (request.channel,)
        image = source.read(0, 0, depth)[chosen_channels(source.info.channels, named)[0]]
        spacing_um = source.info.spacing_um
    if request.labels is None:
        return image, None, spacing_um
    with open_label_file(request.labels, label_axes(request.axes)) as labels:
        refuse_series(request.labels, labels.times, flat=labels.zyx[0] == 1)
        return image, labels.read(0, labels.shape[0]), spacing_um


def _read_field(
    request: SynthRequest, folder: Path
) -> tuple[NDArray[Any], NDArray[np.uint32] | None, Spacing]:
    store = Project.open(folder).store()
    if request.field is None:
        listed = ", ".join(info.address for info in store.all_labels()) or "none yet"
        raise NothingToDoError(f"say which field of {folder} with --field; there are: {listed}")
    view = store.labels(request.field)
    if view.info.split == "test":
        raise LeakageError(
            f"{request.field} is a test field, and models may learn from what is drawn; name "
            "a field of split train or val"
        )
    first = view.at(0)
    labels, image = np.asarray(first.labels[...], np.uint32), one_channel(first.read_image())
    return image, labels if labels.any() else None, view.info.spacing_um


def _write(folder: Path, name: str, seed: int, options: NucleiGenerator) -> Pair:
    """Draw a stack and move its finished files into place, the image last."""
    stack = options.make(seed)
    nuclei = int(stack.labels.max())
    with _workplace(folder) as inside:
        image, labels, record, preview = _files(inside, name)
        write_labels_tiff(labels, stack.labels, stack.spacing_um)
        write_image_tiff(image, stack.image, stack.spacing_um)
        write_json(record, _record(seed, options, stack))
        preview.write_bytes(preview_png(stack))
        # An old image never stands beside new labels.
        _files(folder, name)[0].unlink(missing_ok=True)
        for made in (preview, record, labels, image):
            made.replace(folder / made.name)
    return Pair(name, *_files(folder, name), nuclei)


@contextlib.contextmanager
def _workplace(folder: Path) -> Iterator[Path]:
    """Give a hidden folder inside `folder` that is gone afterwards, whatever happens."""
    try:
        folder.mkdir(parents=True, exist_ok=True)
        inside = tempfile.TemporaryDirectory(prefix=".synthetic-", dir=folder)
    except OSError as exc:
        raise ProjectError(f"{folder}: cannot be written ({exc.strerror}); name another") from exc
    with inside as name:
        yield Path(name)


def _record(seed: int, options: NucleiGenerator, stack: SyntheticStack) -> dict[str, Any]:
    """Return what makes the stack again, and what it holds."""
    assert stack.contrast_to_noise is not None
    return {
        "generator": "models.synthetic.NucleiGenerator",
        "seed": seed,
        "options": dataclasses.asdict(options),
        "nuclei": int(stack.labels.max()),
        "contrast_to_noise": [round(float(v), 3) for v in stack.contrast_to_noise[1:]],
    }

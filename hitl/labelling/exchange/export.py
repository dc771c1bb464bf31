"""Labels, and the image where a tool needs it, as files that other tools open."""

from __future__ import annotations

from dataclasses import dataclass
from pathlib import Path

from annotations.formats.registry import export_formats
from annotations.history import provenance_steps
from annotations.store import AnnotationStore
from annotations.views import LabelsView
from hitl.labelling.exchange.errors import ExchangeError
from hitl.labelling.exchange.sidecar import Sidecar, sidecar_path
from hitl.labelling.exchange.writing import file_names, new_folder_files, write_files
from hitl.project.errors import NothingToDoError
from hitl.project.folder import Project, now
from hitl.project.reporter import Reporter


@dataclass(frozen=True, kw_only=True)
class Exported:
    """What was written.

    Parameters
    ----------
    field, format : str
    round : int, optional
        None for the labels that came with the field.
    objects : int
    labels : str
        The file to give to `hitl import` when it has been corrected.
    files : tuple of str
        All files.
    hint : str
        What to do with them.
    """

    field: str
    format: str
    round: int | None
    objects: int
    labels: str
    files: tuple[str, ...]
    hint: str


def export(
    project: Project,
    field: str,
    destination: Path,
    format_name: str,
    round: int | None,
    reporter: Reporter,
) -> Exported:
    """Write a field's labels, and its image where the tool needs it: all files or none.

    Parameters
    ----------
    project : Project
    field : str
    destination : Path
        A folder, made where it is not there; no file in it is overwritten.
    format_name : str
        Of one of the `export_formats`.
    round : int, optional
        The labels of an earlier round.
    reporter : Reporter

    Raises
    ------
    ExchangeError
        An unknown format, or a destination that cannot be used.
    NothingToDoError
        The field has no labels yet.
    UnknownFieldError, UnknownRoundError
    FormatError
        A file that cannot be written.
    """
    formats = export_formats()
    if format_name not in formats:
        raise ExchangeError(f"--format: expected one of {', '.join(formats)}, got {format_name!r}")
    fmt = formats[format_name]
    project.check_output(destination)
    store = project.store()
    view, round, snapshot = _state(store, field, round)
    if not len(view.objects.live_ids):
        raise NothingToDoError(
            f"field {field} has no labels to export; make some with `hitl bootstrap "
            f"{project.folder}`"
        )
    names = file_names(view.info, fmt)
    with new_folder_files(destination, (*names, sidecar_path(Path(names[-1])).name)) as folder:
        steps = provenance_steps(store, field, round)
        ids = write_files(view, fmt, folder, destination, steps, reporter)
        state = Sidecar(
            project=project.folder.resolve().name,
            field=view.info.field.name,
            class_name=view.info.class_name,
            format=fmt.name,
            round=round,
            snapshot=snapshot,
            times=view.info.times,
            shape_zyx=view.info.zyx,
            spacing_um=view.info.spacing_um,
            image_sha256=view.info.source_sha256,
            slices=view.info.field.digest,
            ids=ids,
            exported=now(),
        )
        state.write(sidecar_path(folder / names[-1]))
    return Exported(
        field=field,
        format=fmt.name,
        round=round,
        objects=len(ids),
        labels=str(destination / names[-1]),
        files=tuple(str(destination / name) for name in names),
        hint=fmt.hint,
    )


def _state(
    store: AnnotationStore, field: str, round: int | None
) -> tuple[LabelsView, int | None, str]:
    """Return a field with the round whose labels it has, and the snapshot of that state."""
    if round is not None:
        return store.labels(field, round), round, store.round_snapshot(round)
    head, after = "", store.head()
    # Somebody may commit between the two.
    while head != after:
        head, view, after = after, store.labels(field), store.head()
    for entry in store.entries():
        if entry.round is not None:
            return view, entry.round, head
        if entry.kind == "add" and view.info.key in entry.labels:
            break
    return view, None, head

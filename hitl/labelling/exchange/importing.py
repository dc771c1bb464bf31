"""Corrected labels of any tool become one round: all of it or nothing."""

from __future__ import annotations

from collections.abc import Iterable
from dataclasses import dataclass, replace
from pathlib import Path
from typing import get_args

import fastremap
import numpy as np
from numpy.typing import NDArray

from annotations.edits.sources import WithRounds
from annotations.edits.table import updated_objects
from annotations.edits.verified import (
    VerifiedPatch,
    changed_voxels,
    shell_voxels,
    verified_mask_update,
)
from annotations.errors import LabelError
from annotations.formats.coded import CODED
from annotations.formats.field_labels import read_field_labels
from annotations.formats.format import Expected, recognise
from annotations.formats.registry import FORMATS
from annotations.merging import Merged, merge_edits
from annotations.planes import Planes
from annotations.rounds import EditCounts, RoundInfo
from annotations.store import AnnotationStore
from annotations.transaction import RoundTransaction
from annotations.views import LabelsView
from hitl.labelling.corrections import Corrections, Region
from hitl.labelling.exchange.errors import ExchangeError, NothingChangedError
from hitl.labelling.exchange.plausible import check_plausible
from hitl.labelling.exchange.sidecar import (
    Sidecar,
    check_field,
    find_sidecar,
    own_sidecar_path,
)
from hitl.labelling.requests import ImportRequest, Verified
from hitl.project.folder import Project
from hitl.project.reporter import Reporter
from labels.hashing import file_sha256


@dataclass(frozen=True, kw_only=True)
class Imported:
    """What an import did.

    Parameters
    ----------
    field : str
    round : int
        The round that it became, or would.
    format : str
    base_round : int, optional
        The round that the labels were compared with; None for those that came with the field.
    counts : EditCounts
    verified_voxels : int, optional
        Voxels that are verified now and were not; None where nothing was written.
    dry_run : bool
        Nothing was written.
    """

    field: str
    round: int
    format: str
    base_round: int | None
    counts: EditCounts
    verified_voxels: int | None
    dry_run: bool


def import_labels(project: Project, request: ImportRequest, reporter: Reporter) -> Imported:
    """Read corrected labels, find what was changed, and commit it as one round.

    The labels are compared with those that were exported; what others have committed since
    stays. Their ids may be any.

    Parameters
    ----------
    project : Project
    request : ImportRequest
    reporter : Reporter

    Raises
    ------
    LabelError
        No labels, labels of another shape or of another field.
    FormatError
        A file that cannot be read, or that asks for code to be run.
    ConflictError
        The edits meet what others have committed since the export.
    NothingChangedError
        The labels are those of the project.
    ExchangeError
        An unknown answer to what is verified, a damaged sidecar, or labels that no correction
        looks like.
    StoreError
        The store cannot be written; it stays as it was.
    """
    if request.verified not in get_args(Verified):
        raise ExchangeError(f"--verified: expected all or changed, got {request.verified!r}")
    author = project.annotator(request.annotator)
    store = project.store(read_only=False)
    view = store.labels(request.field)
    path, sidecar = _sidecar(store, view, request, reporter)
    reporter.progress(0, 2, f"{request.field}: reading labels")
    stated = sidecar.format if sidecar is not None else None
    fmt = recognise(request.file, FORMATS, CODED.name if request.coded else stated)
    known = Expected(
        shape=view.info.zyx,
        times=view.info.times,
        axes=request.axes,
        exported=sidecar is not None,
    )
    found = read_field_labels(fmt, request.file, known)
    if view.info.label_class.kind == "area":
        found = replace(found, labels=(found.labels != 0).astype(np.uint32))
    for note in found.notes:
        reporter.note(note)
    reporter.progress(1, 2, f"{request.field}: comparing")
    info = _round_info(request, author, fmt.name, sidecar)
    gained = None
    if request.dry_run:
        number = store.last_round() + 1
        plan = _plan(store, request, sidecar, found.labels)
        _, counts = updated_objects(
            plan.now.objects,
            plan.merged.edits,
            annotator=info.author,
            round=number,
            accepted=plan.merged.accepted,
        )
    else:
        with store.begin_round(info) as round_:
            # Nobody commits between this and the end of the block.
            state = store.head()
            plan = _plan(store, request, sidecar, found.labels)
            counts, gained = _write(round_, plan, info.author)
            number = round_.number
        if path is not None and sidecar is not None:
            after = store.round_snapshot(number)
            ids = tuple(store.labels(request.field, number).objects.live_ids.tolist())
            told = sidecar.after_import(number, state, after, ids, merged=plan.others)
            _bring_up_to_date(path, told, request.file, reporter)
    reporter.progress(2, 2, f"{request.field}: comparing")
    return Imported(
        field=request.field,
        round=number,
        format=fmt.name,
        base_round=plan.base_round,
        counts=counts,
        verified_voxels=gained,
        dry_run=request.dry_run,
    )


@dataclass(frozen=True)
class _Plan:
    """What an import would write.

    Parameters
    ----------
    now : LabelsView
    merged : Merged
    everywhere : list of region
        All of the field, where the person has looked at all.
    base_round : int, optional
    others : bool
        Whether others have changed the field since the person's labels were handed out.
    """

    now: LabelsView
    merged: Merged
    everywhere: list[Region]
    base_round: int | None
    others: bool


def _plan(
    store: AnnotationStore,
    request: ImportRequest,
    sidecar: Sidecar | None,
    labels: NDArray[np.uint32],
) -> _Plan:
    """Compare labels with those that were handed out and those that are there now."""
    now = store.labels(request.field)
    base, base_round = _base(store, now, sidecar)
    everywhere = [_whole(now)] if request.verified == "all" else []
    ids = fastremap.unique(labels)
    ids = ids[ids > 0]
    merged = merge_edits(
        base,
        labels,
        now.labels,
        objects=now.objects,
        name=str(request.file),
        accepted=ids.tolist() if everywhere else (),
        checked=everywhere,
    )
    if not request.yes:
        check_plausible(labels, len(ids), merged.edits, now, str(request.file))
    return _Plan(now, merged, everywhere, base_round, base is not now.labels)


def _sidecar(
    store: AnnotationStore, view: LabelsView, request: ImportRequest, reporter: Reporter
) -> tuple[Path, Sidecar] | tuple[None, None]:
    """Find where the labels come from; refuse those of another field or project."""
    if not request.file.exists():
        # Who reads it says so.
        return None, None
    path = find_sidecar(request.file, view.info)
    if path is None:
        last = store.last_round()
        with_what = f"round {last}" if last >= 0 else "the labels of the field"
        reporter.note(
            f"{request.file}: nothing beside it says which round it was exported from; compared "
            f"with {with_what}, the last one"
        )
        return None, None
    sidecar = Sidecar.read(path)
    check_field(sidecar, view, request.file)
    if not all(map(store.holds_commit, sidecar.states)):
        raise LabelError(
            f"{request.file}: expected labels exported from this project, got those of another, "
            f"{sidecar.project!r} (says {path.name}); import them there, or remove {path.name} to "
            "compare them with the last round"
        )
    return path, sidecar


def _bring_up_to_date(path: Path, sidecar: Sidecar, file: Path, reporter: Reporter) -> None:
    """Write what the labels are now, so that a person can go on in the same file."""
    try:
        sidecar.write(own_sidecar_path(file, path))
    except OSError as error:
        reporter.note(
            f"{path}: cannot be written ({error.strerror}), so it does not say that the labels are "
            "imported; export again before you go on"
        )


def _base(
    store: AnnotationStore, now: LabelsView, sidecar: Sidecar | None
) -> tuple[Planes | WithRounds, int | None]:
    """Return the labels that a person began with, and their round; the present ones if they are."""
    if sidecar is None:
        last = store.last_round()
        return now.labels, last if last >= 0 else None
    if not sidecar.imported:
        for entry in store.entries():
            if entry.snapshot == sidecar.snapshot:
                return now.labels, sidecar.round
            if now.info.key in entry.labels:
                break
    rounds = tuple(
        (_labels_at(store, now, before), _labels_at(store, now, after))
        for before, after in sidecar.imported
    )
    base = _labels_at(store, now, sidecar.snapshot)
    return WithRounds(base, rounds) if rounds else base, sidecar.round


def _labels_at(store: AnnotationStore, now: LabelsView, snapshot: str) -> Planes:
    found = store.labels_at(now.info.key, snapshot)
    if found is None:
        raise ExchangeError(
            f"{now.info.address}: expected a field that was there when it was exported, got none "
            f"at {snapshot}; the file beside the labels was changed: export again"
        )
    return found.labels


def _round_info(
    request: ImportRequest, author: str, format_name: str, sidecar: Sidecar | None
) -> RoundInfo:
    return RoundInfo(
        kind="import",
        message=f"import of {request.file.name} into {request.field}",
        author=author,
        minutes=request.minutes,
        config={
            "file": request.file.name,
            "sha256": file_sha256(request.file) if request.file.is_file() else None,
            "format": format_name,
            "verified": request.verified,
            "base_round": sidecar.round if sidecar else None,
        },
    )


def _whole(view: LabelsView) -> Region:
    planes, height, width = view.labels.shape
    return slice(0, planes), slice(0, height), slice(0, width)


def _seen(now: LabelsView, merged: Merged, everywhere: list[Region]) -> Iterable[VerifiedPatch]:
    """Return what the person has verified: everything, or what was changed."""
    shell, depth = shell_voxels(now.info.spacing_um), now.info.zyx[0]
    if now.info.label_class.kind == "area" and not everywhere:
        return changed_voxels(now.labels, merged.labels, shell=shell, depth=depth)
    return verified_mask_update(
        now.labels,
        merged.labels,
        merged.edits,
        merged.accepted,
        shell=shell,
        checked=everywhere,
        depth=depth,
    )


def _write(round_: RoundTransaction, plan: _Plan, annotator: str) -> tuple[EditCounts, int]:
    """Write labels, objects and verified voxels; return the counts and the voxels verified."""
    merged = plan.merged
    corrections = Corrections(
        field=plan.now.info.address,
        objects=plan.now.objects,
        edits=merged.edits,
        labels=merged.labels,
        accepted=merged.accepted,
        annotator=annotator,
    )
    counts, gained = corrections.write(round_, _seen(plan.now, merged, plan.everywhere))
    if not merged.edits.changes and not counts.accepted and not gained:
        raise NothingChangedError(
            f"{plan.now.info.address}: the labels are those of the project already, so no round "
            "was made; correct them and save them in the tool, then import again"
        )
    return counts, gained

"""The small file beside exported labels that says where they come from."""

from __future__ import annotations

from dataclasses import asdict, dataclass, replace
from pathlib import Path
from typing import Self

from annotations.errors import LabelError
from annotations.fields import LabelsInfo
from annotations.names import key_of
from annotations.views import LabelsView
from hitl.labelling.exchange.errors import ExchangeError
from hitl.project.folder import write_json
from hitl.project.records import Whole
from labels.json_files import read_json, shaped

SUFFIX = ".hitl.json"
_VERSION = 2
_ADVICE = "export again, or import without it"


@dataclass(frozen=True, kw_only=True)
class Sidecar:
    """Where exported labels come from.

    Parameters
    ----------
    project : str
        Name of the project's folder.
    field, class_name : str
    format : str
        Name of the export's format.
    round : int, optional
        The round whose labels these are; None for those that came with the field.
    snapshot : str
        The store's own name of that state.
    times : int
        Number of time points.
    shape_zyx : tuple of int
    spacing_um : tuple of float
    image_sha256 : str, optional
        Of the image's source file.
    slices : str
        Digest of the hashes of the image's slices.
    ids : tuple of int
        Objects in the file, ascending; mask k of the Cellpose GUI is the k-th.
    exported : str
        When, UTC.
    imported : tuple of (str, str)
        The states before and after each round that these labels became, where others changed the
        field meanwhile: the labels are those of `snapshot` with what these rounds changed.
    """

    project: str
    field: str
    class_name: str
    format: str
    round: Whole | None
    snapshot: str
    times: Whole
    shape_zyx: tuple[Whole, Whole, Whole]
    spacing_um: tuple[float, float, float]
    image_sha256: str | None
    slices: str
    ids: tuple[Whole, ...]
    exported: str
    imported: tuple[tuple[str, str], ...] = ()

    def write(self, path: Path) -> None:
        """Write it; `read` is the inverse."""
        write_json(path, {"hitl_export": _VERSION, **asdict(self)})

    @classmethod
    def read(cls, path: Path) -> Self:
        """Read one.

        Raises
        ------
        ExchangeError
            Not one of this toolkit's, or damaged.
        """
        try:
            found = read_json(path)
            if not isinstance(found, dict) or found.pop("hitl_export", None) != _VERSION:
                raise ValueError("another version")
            sidecar = shaped(cls, found)
            if len({after for _, after in sidecar.imported}) != len(sidecar.imported):
                raise ValueError("a round that is told of twice")
            return sidecar
        except (OSError, ValueError) as exc:
            raise ExchangeError(
                f"{path}: expected what `hitl export` wrote, got something else ({exc}); {_ADVICE}"
            ) from exc

    def after_import(
        self, number: int, before: str, after: str, ids: tuple[int, ...], *, merged: bool
    ) -> Self:
        """Return what holds of the labels once they are a round.

        Parameters
        ----------
        number : int
            The round.
        before, after : str
            The states before and after it.
        ids : tuple of int
            Objects after it, ascending.
        merged : bool
            Whether the state after has others' changes too, which the labels have not.
        """
        if merged:
            return replace(self, imported=(*self.imported, (before, after)))
        return replace(self, round=number, snapshot=after, ids=ids, imported=())

    def is_of(self, info: LabelsInfo) -> bool:
        """Whether these are labels of a class in a field, by their names."""
        return (self.field, self.class_name) == (info.field.name, info.class_name)

    @property
    def states(self) -> tuple[str, ...]:
        """The store's own names of all states that it speaks of."""
        return self.snapshot, *(text for pair in self.imported for text in pair)


def sidecar_path(labels_file: Path) -> Path:
    """Return where the sidecar of a file of labels is."""
    return labels_file.parent / f"{labels_file.name}{SUFFIX}"


def own_sidecar_path(labels_file: Path, found: Path) -> Path:
    """Return where a file's sidecar is written: where it was found, unless it is another's."""
    return found if found in _own_paths(labels_file) else sidecar_path(labels_file.resolve())


def _own_paths(labels_file: Path) -> list[Path]:
    """Return where a file's own sidecar may be: beside it, or beside the OME-Zarr around it."""
    file = labels_file.resolve()
    around = [folder for folder in file.parents[:2] if folder.suffix == ".zarr"]
    return [sidecar_path(each) for each in (file, *around)]


def find_sidecar(labels_file: Path, info: LabelsInfo) -> Path | None:
    """Return the sidecar of a file, also where a tool saved it under a new name.

    That of the same name, or that of the OME-Zarr around a label group; else that of the only
    export of the labels in the same folder.
    """
    for own in _own_paths(labels_file):
        if own.is_file():
            return own
    others = sorted(p for p in labels_file.resolve().parent.glob(f"*{SUFFIX}") if p.is_file())
    of_field = [path for path in others if Sidecar.read(path).is_of(info)]
    states = {(read.round, read.snapshot) for read in map(Sidecar.read, of_field)}
    return of_field[0] if len(states) == 1 else None


def check_field(sidecar: Sidecar, view: LabelsView, file: Path) -> None:
    """Refuse labels that were exported from another field.

    Raises
    ------
    LabelError
    """
    field, theirs = view.info.address, sidecar.field
    if sidecar.class_name != view.info.class_name:
        theirs = key_of(sidecar.field, sidecar.class_name)
    if not sidecar.is_of(view.info):
        raise LabelError(
            f"{file}: expected labels of field {field!r}, got those of {theirs!r} "
            f"(says {sidecar_path(file).name}); import them into that field"
        )
    if sidecar.slices != view.info.field.digest:
        raise LabelError(
            f"{file}: expected labels of the image in field {field!r}, got those of another image "
            f"of this name (from project {sidecar.project!r}); import them there, or export again"
        )

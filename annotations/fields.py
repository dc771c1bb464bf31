"""Fields and the labels of their classes: what is known of them, and how they are read."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass
from dataclasses import field as default
from typing import Any, Literal, cast, get_args

import numpy as np
import zarr

from annotations.errors import StoreError
from annotations.names import key_of
from annotations.splits import Split
from labels.spacing import Spacing

LabelKind = Literal["instances", "area"]
"""Whether labels are objects, one id each, or an area, which is one id."""


@dataclass(frozen=True, kw_only=True)
class ClassInfo:
    """A kind of structure that is labelled in a field.

    Parameters
    ----------
    name : str
    seen : tuple of int
        Numbers of the channels that a model sees.
    kind : {"instances", "area"}
    projection : str, optional
        How the slices of the image become the one that is labelled (`planes.PROJECTIONS`).
    """

    name: str
    seen: tuple[int, ...] = (0,)
    kind: LabelKind = "instances"
    projection: str | None = None

    def attributes(self) -> dict[str, Any]:
        """Return what the field's group carries; `of` is the inverse."""
        return {"channels": list(self.seen), "kind": self.kind, "projection": self.projection}

    @classmethod
    def of(cls, name: str, attributes: Mapping[str, Any]) -> ClassInfo:
        """Return the class that a field's group tells of."""
        return cls(
            name=name,
            seen=tuple(int(number) for number in attributes["channels"]),
            kind=attributes["kind"],
            projection=attributes["projection"],
        )


@dataclass(frozen=True, kw_only=True)
class FieldInfo:
    """What is known of a field.

    Parameters
    ----------
    name : str
    shape : (int, int, int, int, int)
        (T, C, Z, Y, X).
    dtype : numpy dtype
        Of the image.
    spacing_um : (float, float, float)
        Voxel size (z, y, x) in µm.
    time_step_s : float, optional
        Seconds between time points, where they are known.
    channels : tuple of str
    split : {"train", "val", "test"}
    source : str
        Names of the files that it came from.
    source_sha256 : str, optional
        None when it came from memory, not from files.
    metadata : mapping of str to str
        Of the experiment: condition, well, specimen …
    classes : tuple of ClassInfo
        By name.
    number : int
        Fields are numbered as they are added; no number is given twice.
    digest : str
        Of the hashes of the image's slices, whatever file it came from.
    """

    name: str
    shape: tuple[int, int, int, int, int]
    dtype: np.dtype[Any]
    spacing_um: Spacing
    channels: tuple[str, ...]
    split: Split
    time_step_s: float | None = None
    source: str = ""
    source_sha256: str | None = None
    metadata: Mapping[str, str] = default(default_factory=dict)
    classes: tuple[ClassInfo, ...] = ()
    number: int = 0
    digest: str = ""

    @property
    def times(self) -> int:
        """Number of time points."""
        return self.shape[0]

    @property
    def zyx(self) -> tuple[int, int, int]:
        """Shape (Z, Y, X)."""
        return self.shape[2:]

    def attributes(self) -> dict[str, Any]:
        """Return what the field's group carries; `read_field` is the inverse."""
        return {
            "spacing_um": list(self.spacing_um),
            "time_step_s": self.time_step_s,
            "channels": list(self.channels),
            "split": self.split,
            "source": self.source,
            "source_sha256": self.source_sha256,
            "metadata": dict(self.metadata),
            "classes": {info.name: info.attributes() for info in self.classes},
            "number": self.number,
            "digest": self.digest,
            # Beside the arrays, so that listing fields opens none of them.
            "shape": list(self.shape),
            "dtype": self.dtype.name,
        }


@dataclass(frozen=True, kw_only=True)
class LabelsInfo:
    """What is known of the labels of one class in one field.

    Parameters
    ----------
    field : FieldInfo
    label_class : ClassInfo
    """

    field: FieldInfo
    label_class: ClassInfo

    @property
    def class_name(self) -> str:
        """Name of the class."""
        return self.label_class.name

    @property
    def key(self) -> str:
        """``FIELD:CLASS``, as commits have it."""
        return key_of(self.field.name, self.class_name)

    @property
    def address(self) -> str:
        """``FIELD`` where that has one class, else ``FIELD:CLASS``; as people read it."""
        return self.field.name if len(self.field.classes) == 1 else self.key

    @property
    def file_name(self) -> str:
        """The address as part of a file's name: no file system objects to it."""
        return self.address.replace(":", "~")

    @property
    def seen(self) -> tuple[int, ...]:
        """Numbers of the channels that a model sees."""
        return self.label_class.seen

    @property
    def times(self) -> int:
        """Number of time points."""
        return self.field.times

    @property
    def zyx(self) -> tuple[int, int, int]:
        """Shape (Z, Y, X) of the labels at one time point."""
        depth, height, width = self.field.zyx
        return (1 if self.label_class.projection else depth), height, width

    @property
    def voxels(self) -> int:
        """Number of voxels of all time points."""
        z, y, x = self.zyx
        return self.times * z * y * x

    @property
    def spacing_um(self) -> Spacing:
        """Voxel size (z, y, x) in µm; a projection is as deep as all that it shows."""
        z, y, x = self.field.spacing_um
        return (z * self.field.zyx[0] if self.label_class.projection else z), y, x

    @property
    def split(self) -> Split:
        """What the field is for."""
        return self.field.split

    @property
    def source_sha256(self) -> str | None:
        """Digest of the files that the image came from."""
        return self.field.source_sha256


def check_split(split: str) -> None:
    """Refuse an unknown split with StoreError."""
    if split not in get_args(Split):
        raise StoreError(f"split: expected one of {', '.join(get_args(Split))}, got {split!r}")


def read_field(group: zarr.Group) -> FieldInfo:
    """Return what a field's group says of it."""
    attrs: dict[str, Any] = dict(group.attrs)
    z, y, x = attrs["spacing_um"]
    classes = attrs["classes"]
    return FieldInfo(
        name=group.basename,
        shape=cast("tuple[int, int, int, int, int]", tuple(attrs["shape"])),
        dtype=np.dtype(attrs["dtype"]),
        spacing_um=(float(z), float(y), float(x)),
        time_step_s=attrs["time_step_s"],
        channels=tuple(attrs["channels"]),
        split=attrs["split"],
        source=attrs["source"],
        source_sha256=attrs["source_sha256"],
        metadata=attrs["metadata"],
        classes=tuple(ClassInfo.of(name, classes[name]) for name in sorted(classes)),
        number=int(attrs["number"]),
        digest=attrs["digest"],
    )


def labels_of(info: FieldInfo) -> list[LabelsInfo]:
    """Return what is known of the labels of each class in a field."""
    return [LabelsInfo(field=info, label_class=each) for each in info.classes]

"""What two fields have in common, in words and figures."""

from __future__ import annotations

from collections.abc import Iterable, Mapping
from dataclasses import dataclass
from typing import Any

from annotations.copies.catalogue import Found
from annotations.copies.placement import Placement
from annotations.fields import FieldInfo

_SAME_SIZE, _WHOLE = 0.02, 0.98


@dataclass(frozen=True)
class Copy:
    """A field that holds voxels of another one.

    Parameters
    ----------
    original : FieldInfo
        The field that was added first.
    copy : FieldInfo
    slices : int
        Slices that are equal voxel by voxel, in any channel and at any time point.
    found : Found, optional
        A volume that is the other's by its content; None where equal slices say it all.
    """

    original: FieldInfo
    copy: FieldInfo
    slices: int
    found: Found | None = None

    @property
    def names(self) -> tuple[str, str]:
        """The names of both, the one that was added first standing first."""
        return self.original.name, self.copy.name

    def other(self, name: str) -> FieldInfo:
        """Return the field that is not the one of a name."""
        return self.copy if name == self.original.name else self.original

    @property
    def share(self) -> float | None:
        """Share of the copied volume that is in the original, None where only slices are known."""
        if self.found is None:
            return None
        return self.found.placement.share(self.copy.zyx, self.original.zyx)

    @property
    def how(self) -> tuple[str, ...]:
        """What was done to it, such as ``flipped in x``; nothing for a plain copy."""
        if self.found is None:
            return ()
        placement = self.found.placement
        whole = placement.inverse.share(self.original.zyx, self.copy.zyx) >= _WHOLE
        return (
            *_turned(placement),
            *_resized(placement),
            *(() if whole else ("cropped",)),
        )

    def __str__(self) -> str:
        """Return it as people read it: ``48% of b is in a (flipped in x, cropped)``."""
        equal = f"{self.slices} slices of {self.copy.name} are slices of {self.original.name}"
        if self.slices == 1:
            equal = f"a slice of {self.copy.name} is a slice of {self.original.name}"
        if self.found is None:
            return equal
        copied, source = (
            _volume(info, key)
            for info, key in ((self.copy, self.found.mine), (self.original, self.found.theirs))
        )
        how = f" ({', '.join(self.how)})" if self.how else ""
        return f"{self.share:.0%} of {copied} is in {source}{how}"

    def as_data(self) -> dict[str, Any]:
        """Return it as JSON has it."""
        return {
            "original": self.original.name,
            "copy": self.copy.name,
            "equal_slices": self.slices,
            "share_of_copy": None if self.share is None else round(self.share, 3),
            "how": list(self.how),
        }


def copies_among(
    infos: Mapping[int, FieldInfo],
    slices: Mapping[tuple[int, int], int],
    found: Iterable[Found],
) -> list[Copy]:
    """Return what fields have in common; fields that were removed are left out.

    Parameters
    ----------
    infos : mapping of int to FieldInfo
        Of the fields that are there, by number.
    slices : mapping of (int, int) to int
        Equal slices of two fields, the lower number first.
    found : iterable of Found
    """
    by_content: dict[tuple[int, int], Found] = {}
    for each in found:
        one, other = sorted((each.mine[0], each.theirs[0]))
        by_content[one, other] = each
    copies = []
    for pair in sorted({*slices, *by_content}):
        if pair[0] in infos and pair[1] in infos:
            original, copy, entry = infos[pair[0]], infos[pair[1]], by_content.get(pair)
            # Fields of an earlier version are looked at later than those that came after them.
            if entry is not None and entry.mine[0] == original.number:
                original, copy = copy, original
            copies.append(Copy(original, copy, slices.get(pair, 0), entry))
    return copies


def _volume(info: FieldInfo, key: tuple[int, int, int]) -> str:
    """Return a field's name, with time point and channel where it has several."""
    _, time, channel = key
    told = [f"channel {info.channels[channel]}"] if len(info.channels) > 1 else []
    if info.times > 1:
        told.append(f"time point {time}")
    return info.name + (f" ({', '.join(told)})" if told else "")


def _turned(placement: Placement) -> list[str]:
    z, y, x = (scale < 0 for scale in placement.scale)
    told = ["flipped in z"] if z else []
    if placement.axes[1] == 1:
        flipped = [name for name, flip in (("y", y), ("x", x)) if flip]
        return told + ([f"flipped in {' and '.join(flipped)}"] if flipped else [])
    if y != x:
        return [*told, "turned by 90°"]
    return [*told, "y and x swapped", *(["flipped in y and x"] if y else [])]


def _resized(placement: Placement) -> list[str]:
    """Tell of axes that have more or fewer voxels than the original."""
    told = []
    for there, name in enumerate("zyx"):
        factor = 1 / abs(placement.scale[there])
        if abs(factor - 1) > _SAME_SIZE:
            told.append(f"×{factor:.2f} in {name}")
    return [f"resampled {', '.join(told)}"] if told else []

"""Which commit a store opens at: the newest, or the one before when the newest is torn."""

from __future__ import annotations

from collections.abc import Iterator
from dataclasses import dataclass
from pathlib import Path

from annotations.damage import Damage
from annotations.durability.refs import branch_file, read_ref, tags
from annotations.durability.sums import MANIFESTS, SNAPSHOTS, SUMS, Sums
from annotations.errors import DamagedStoreError

REPAIR = "`hitl verify PROJECT --repair`"


@dataclass(frozen=True)
class Opening:
    """Where a store opens, and what a person must know of it.

    Parameters
    ----------
    snapshot : str, optional
        The commit; None for the one that the branch names.
    damage : str, optional
        What is damaged of the newest commit.
    writable : bool
        False while the branch names a commit that is torn, or that has no checksums.
    """

    snapshot: str | None = None
    damage: str | None = None
    writable: bool = True


def find_opening(folder: Path) -> Opening:
    """Find the newest commit of a local store that is whole.

    Raises
    ------
    FileNotFoundError
        There is no branch, so there is no store.
    DamagedStoreError
        The branch cannot be read, or no commit is whole.
    """
    try:
        tip = read_ref(branch_file(folder))
    except DamagedStoreError as error:
        raise DamagedStoreError(f"{error}; {REPAIR} sets it to the newest commit") from error
    except FileNotFoundError as error:
        if not (folder / SUMS).is_dir():
            raise
        name = branch_file(folder)
        raise DamagedStoreError(f"{name} is gone; {REPAIR} makes it anew") from error
    sums = Sums(folder)
    torn, damaged = _compare(sums, tip)
    if torn is None:
        return _whole(damaged)
    before = newest_whole(sums, tip)
    if before is None:
        raise DamagedStoreError(
            f"{folder}: {torn}, and no other commit is whole; restore the store from a copy"
        )
    return Opening(
        before,
        f"the newest commit is torn ({torn}), so the newest that is whole is shown and nothing "
        f"can be written; {REPAIR} makes that one the newest",
        writable=False,
    )


def what_tore(sums: Sums, snapshot: str) -> Damage | None:
    """Return what a commit brought and is damaged now; None when it is whole, as far as is known.

    Damage of what came with earlier commits tears none of those after it: going back would not
    heal it.
    """
    return _compare(sums, snapshot)[0]


def _compare(
    sums: Sums, snapshot: str
) -> tuple[Damage | None, dict[str, Damage] | DamagedStoreError]:
    """Return what tore a commit, and what is damaged of its manifests, if that is known."""
    file = f"{SNAPSHOTS}/{snapshot}"
    try:
        found = sums.damage_of(file, sums.head(snapshot).files[file])
        damaged = sums.damaged_manifests(snapshot)
        if found is None and damaged:
            own = sums.own_manifests(snapshot)
            found = next((damaged[name] for name in sorted(own & damaged.keys())), None)
    except DamagedStoreError as error:
        there = (sums.folder / file).is_file()
        return None if there else Damage(file, "gone"), error
    return found, damaged


def newest_whole(sums: Sums, torn: str | None = None) -> str | None:
    """Return the newest commit that is whole: an ancestor of a torn one if it still has sums."""
    return next((one for one in _candidates(sums, torn) if what_tore(sums, one) is None), None)


def _candidates(sums: Sums, torn: str | None) -> Iterator[str]:
    if torn is not None:
        try:
            parent = sums.head(torn).parent
            while parent is not None:
                yield parent
                parent = sums.head(parent).parent
        except DamagedStoreError:
            pass
        else:
            return
    # What was committed may have a tag; what a killed writer left has none.
    tagged = set(tags(sums.folder).values())
    known: list[tuple[int, bool, str]] = []
    for commit in sums.commits():
        try:
            known.append((sums.head(commit).number, commit in tagged, commit))
        except DamagedStoreError:
            continue
    yield from (commit for _, _, commit in sorted(known, reverse=True) if commit != torn)


def _whole(damaged: dict[str, Damage] | DamagedStoreError) -> Opening:
    """Say what is known of a tip that is not torn."""
    if isinstance(damaged, DamagedStoreError):
        return Opening(
            damage=f"{damaged}, so nothing shows that the newest commit is whole and nothing can "
            f"be written; {REPAIR} reads all of it and makes its checksums anew",
            writable=False,
        )
    if not damaged:
        return Opening()
    first = next(iter(damaged.values()))
    more = f" and {len(damaged) - 1} more" if len(damaged) > 1 else ""
    return Opening(
        damage=f"{first}{more}: what lies there cannot be read, all else can; "
        f"`hitl verify PROJECT` names it (files of {MANIFESTS} can be restored from a copy)"
    )

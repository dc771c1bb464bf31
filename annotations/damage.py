"""What is found damaged, and what an error of a reader tells of it."""

from __future__ import annotations

from dataclasses import dataclass

from labels.numbers import spans


@dataclass(frozen=True)
class Damage:
    """A file that is gone or is not what was written.

    Parameters
    ----------
    file : str
        Path in the store.
    problem : str
        As in "<file> is <problem>".
    """

    file: str
    problem: str

    def __str__(self) -> str:
        """Return "<file> is <problem>"."""
        return f"{self.file} is {self.problem}"


@dataclass(frozen=True, kw_only=True)
class Finding(Damage):
    """One file that is damaged, and what that means.

    Parameters
    ----------
    holds : str
        What is in it: an array and a region, or a commit.
    rounds : tuple of int
        The rounds that need it.
    newest : bool
        Whether the newest commit needs it.
    """

    holds: str
    rounds: tuple[int, ...] = ()
    newest: bool = False

    def __str__(self) -> str:
        """Return one line."""
        needed = [f"rounds {spans(self.rounds)}"] if self.rounds else []
        needed += ["the newest commit"] if self.newest else []
        by = f"; needed by {' and '.join(needed)}" if needed else ""
        return f"{super().__str__()}: {self.holds}{by}"


def damage_in(error: BaseException) -> str | None:
    """Return what an error says of damage on the disk; None when it tells of something else.

    Parameters
    ----------
    error : BaseException
        Out of a read of one of the store's arrays or groups.
    """
    # By name, so that asking costs no import of Icechunk.
    if type(error).__module__.startswith("icechunk"):
        return first_line(error)
    # What `zarr.codecs.Crc32cCodec` raises has no class of its own.
    if isinstance(error, ValueError) and "computed checksum do not match" in str(error):
        return "its checksum is wrong, so it is not what was written"
    return None


def first_line(error: BaseException) -> str:
    """Return the first line of an error, which for Icechunk's is the one that tells something."""
    lines = str(error).strip().splitlines() or [type(error).__name__]
    return lines[0].strip().removeprefix("x ").strip()

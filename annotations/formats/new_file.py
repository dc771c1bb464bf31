"""A file or folder that appears only when it is complete, and takes nobody else's place."""

from __future__ import annotations

import errno
import os
import shutil
import uuid
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path

from annotations.errors import FormatError
from labels.files import replace_durably, sync_file, sync_tree

_NO_LINKS = {errno.EPERM, errno.ENOTSUP, errno.EOPNOTSUPP, errno.ENOSYS, errno.EMLINK}
"""How file systems without hard links say so."""


@contextmanager
def new_file(path: Path, suffixes: tuple[str, ...], *, overwrite: bool = False) -> Iterator[Path]:
    """Give a temporary path beside `path`, for a file or folder that takes its place at the end.

    Parameters
    ----------
    path : Path
    suffixes : tuple of str
        What the name must end in, one of these.
    overwrite : bool
        Replace a file that exists.

    Raises
    ------
    FormatError
        Another suffix, a path that exists, a folder that does not, or no space left.
    """
    if not path.name.lower().endswith(suffixes):
        raise FormatError(
            f"{path}: expected a name that ends in {' or '.join(suffixes)}; rename it"
        )
    if not path.parent.is_dir():
        raise FormatError(f"{path}: the folder {path.parent} does not exist; create it first")
    if path.exists() and not overwrite:
        raise FormatError(_exists(path))
    partial = path.with_name(f".{path.name}.{uuid.uuid4().hex}.partial")
    try:
        yield partial
        sync_tree(partial) if partial.is_dir() else sync_file(partial)
        if overwrite:
            replace_durably(partial, path)
        else:
            move_new(partial, path)
    except FileExistsError as exc:
        raise FormatError(_exists(path)) from exc
    except OSError as exc:
        raise FormatError(
            f"{path}: could not be written ({exc.strerror or exc}); free some space or choose "
            "another folder"
        ) from exc
    finally:
        if partial.is_dir():
            shutil.rmtree(partial)
        else:
            partial.unlink(missing_ok=True)


def _exists(path: Path) -> str:
    return f"{path}: exists already; give another name, or allow overwriting"


def move_new(source: Path, target: Path) -> None:
    """Move a file or folder to a name of the same file system, unless somebody has taken it.

    Two processes may try at the same time: one of them gets the name.

    Raises
    ------
    FileExistsError
        The name is taken; `source` is where it was.
    OSError
        It cannot be moved.
    """
    if source.is_dir():
        # A folder replaces an empty one, in one step: that of this claim.
        target.mkdir()
        _move_onto_claim(source, target)
        return
    try:
        os.link(source, target)
    except OSError as exc:
        if exc.errno not in _NO_LINKS:
            raise
        os.close(os.open(target, os.O_CREAT | os.O_EXCL | os.O_WRONLY))
        _move_onto_claim(source, target)
    else:
        source.unlink()


def _move_onto_claim(source: Path, target: Path) -> None:
    """Put something in the place of what was made to hold its name."""
    try:
        source.replace(target)
    except BaseException:
        if target.is_dir():
            target.rmdir()
        else:
            target.unlink()
        raise

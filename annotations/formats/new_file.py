"""A file or folder that appears only when it is complete."""

from __future__ import annotations

import shutil
import uuid
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path

from annotations.errors import FormatError
from labels.files import replace_durably, sync_file, sync_tree


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
        raise FormatError(f"{path}: exists already; give another name, or allow overwriting")
    partial = path.with_name(f".{path.name}.{uuid.uuid4().hex}.partial")
    try:
        yield partial
        sync_tree(partial) if partial.is_dir() else sync_file(partial)
        replace_durably(partial, path)
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

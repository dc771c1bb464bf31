"""Where a store lies, who may write to it, and what its failures mean to a person."""

from __future__ import annotations

import errno
import os
import re
from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import dataclass
from pathlib import Path
from urllib.parse import urlsplit

import icechunk

from annotations._lock import acquire
from annotations.damage import damage_in, first_line
from annotations.errors import ConflictError, DamagedStoreError, StoreError

_MEMORY: dict[str, icechunk.Storage] = {}

_NO_SPACE = {errno.ENOSPC, errno.EDQUOT}
_NO_PERMISSION = {errno.EACCES, errno.EPERM, errno.EROFS}


@dataclass(frozen=True)
class Location:
    """A local folder or a URL of object storage.

    Parameters
    ----------
    text : str
        As shown to a person.
    folder : Path, optional
        The absolute local folder; None for object storage.
    """

    text: str
    folder: Path | None

    @property
    def lock_file(self) -> Path | None:
        """The file whose lock a writer holds; None where the storage itself orders commits."""
        if self.folder is None:
            return None
        return self.folder.with_name(self.folder.name + ".lock")

    def storage(self) -> icechunk.Storage:
        """Return the storage; a local folder is created when it does not exist.

        Raises
        ------
        StoreError
            The URL lacks a part, or its scheme is not supported.
        """
        if self.folder is not None:
            # The library warns that local commits race; the lock file is the answer to that.
            if "ICECHUNK_LOG" not in os.environ:
                icechunk.set_logs_filter("error")
            return icechunk.local_filesystem_storage(str(self.folder))
        return _remote_storage(self.text)


def parse_location(location: str | Path) -> Location:
    """Tell a local folder from a URL.

    Parameters
    ----------
    location : str or Path
        A folder, or ``s3://bucket/prefix``, ``gs://bucket/prefix``, ``az://container/prefix``
        or ``memory:name`` (this process only, for tests).
    """
    text = str(location)
    scheme = re.match(r"([A-Za-z][A-Za-z0-9+.-]+):", text)
    if isinstance(location, Path) or scheme is None:
        # `absolute` and not `resolve`: a link's name is the one that the person knows.
        folder = Path(text).expanduser().absolute()
        return Location(str(folder), Path(os.path.normpath(folder)))
    return Location(text, None)


def _remote_storage(url: str) -> icechunk.Storage:
    parts = urlsplit(url)
    bucket, prefix = parts.netloc, parts.path.strip("/")
    if parts.scheme == "memory":
        return _MEMORY.setdefault(url, icechunk.in_memory_storage())
    if parts.scheme not in ("s3", "gs", "az"):
        raise StoreError(
            f"{url}: expected a folder or a URL that starts with s3://, gs:// or az://, "
            f"got {parts.scheme!r}; give one of these"
        )
    if not bucket or not prefix:
        raise StoreError(
            f"{url}: expected {parts.scheme}://BUCKET/PREFIX, got no "
            f"{'prefix' if bucket else 'bucket'}; give both"
        )
    if parts.scheme == "gs":
        return icechunk.gcs_storage(bucket=bucket, prefix=prefix, from_env=True)
    if parts.scheme == "az":
        account = os.environ.get("AZURE_STORAGE_ACCOUNT_NAME")
        if not account:
            raise StoreError(
                f"{url}: expected the account in AZURE_STORAGE_ACCOUNT_NAME, got none; set it"
            )
        return icechunk.azure_storage(
            account=account, container=bucket, prefix=prefix, from_env=True
        )
    endpoint = os.environ.get("AWS_ENDPOINT_URL_S3") or os.environ.get("AWS_ENDPOINT_URL")
    return icechunk.s3_storage(
        bucket=bucket,
        prefix=prefix,
        region=os.environ.get("AWS_REGION") or os.environ.get("AWS_DEFAULT_REGION"),
        endpoint_url=endpoint,
        allow_http=bool(endpoint and endpoint.startswith("http://")),
        # Servers that are not Amazon's rarely give every bucket a host name of its own.
        force_path_style=bool(endpoint),
        from_env=True,
    )


@contextmanager
def exclusive(location: Location, timeout_s: float | None) -> Iterator[None]:
    """Hold the store's lock file; object storage needs none.

    Raises
    ------
    StoreLockedError
        Another process (or thread) held the lock for `timeout_s` seconds.
    StoreError
        The lock file cannot be made.
    """
    if location.lock_file is None:
        yield
        return
    with translated("write to", location):
        lock = acquire(location.lock_file, location.text, timeout_s)
    try:
        yield
    finally:
        lock.release()


@contextmanager
def translated(action: str, location: Location) -> Iterator[None]:
    """Turn failures of disk, network and Icechunk into one clear line.

    Parameters
    ----------
    action : str
        What was being done, as in "cannot <action> <location>".
    location : Location

    Raises
    ------
    ConflictError
        Somebody else committed first (object storage).
    StoreError
        Anything else.
    """
    try:
        yield
    except icechunk.ConflictError as error:
        raise conflict(location) from error
    except (icechunk.IcechunkError, OSError) as error:
        raise StoreError(_explain(error, action, location)) from error


@contextmanager
def reading(location: Location | str, what: str) -> Iterator[None]:
    """Turn what a damaged store does to a read into one clear line; a bug stays what it is.

    Parameters
    ----------
    location : Location or str
        The store.
    what : str
        What is read: the array, and which part of it.

    Raises
    ------
    DamagedStoreError
        A chunk is gone, cut short, or not what was written.
    """
    try:
        yield
    except (icechunk.IcechunkError, ValueError) as error:
        problem = damage_in(error)
        if problem is None:
            raise
        raise DamagedStoreError(
            f"{location.text if isinstance(location, Location) else location}: {what} cannot be "
            f"read: {problem}; {VERIFY}"
        ) from error


VERIFY = "`hitl verify PROJECT` tells what is damaged and what is whole"


def conflict(location: Location) -> ConflictError:
    """Return the error for a commit that came too late."""
    return ConflictError(
        f"{location.text}: somebody else committed while this was being written; nothing was "
        "changed, do it again on top of theirs"
    )


def _explain(error: Exception, action: str, location: Location) -> str:
    found = re.search(r"\(os error (\d+)\)", str(error))
    number = error.errno if isinstance(error, OSError) else int(found[1]) if found else None
    start = f"cannot {action} {location.text}"
    if number in _NO_SPACE:
        return f"{start}: no space left there; nothing was changed, free some space and try again"
    if number in _NO_PERMISSION:
        return (
            f"{start}: no permission; nothing was changed, check who owns the folder "
            "and whether its disk is mounted read-only"
        )
    return f"{start}: {first_line(error)}; nothing was changed"

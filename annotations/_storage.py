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

import filelock
import icechunk

from annotations.errors import ConflictError, StoreError, StoreLockedError

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
def exclusive(location: Location, timeout_s: float) -> Iterator[None]:
    """Hold the store's lock file; object storage needs none.

    The operating system frees the lock when its holder ends, however it ends.

    Raises
    ------
    StoreLockedError
        Another process (or thread) held the lock for `timeout_s` seconds.
    StoreError
        The lock file cannot be made.
    """
    lock_file = location.lock_file
    if lock_file is None:
        yield
        return
    lock = filelock.FileLock(lock_file)
    with translated("write to", location):
        try:
            lock.acquire(timeout=timeout_s)
        except filelock.Timeout as error:
            raise StoreLockedError(
                f"{location.text}: another process is writing (it holds {lock_file}; waited "
                f"{timeout_s:g} s); wait until it is done, or close it, and try again"
            ) from error
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
        raise ConflictError(
            f"{location.text}: somebody else committed while this was being written; nothing was "
            "changed, do it again on top of theirs"
        ) from error
    except (icechunk.IcechunkError, OSError) as error:
        raise StoreError(_explain(error, action, location)) from error


@contextmanager
def reading(location: Location, what: str) -> Iterator[None]:
    """Turn the failure of a read into one clear line that names what was read.

    Raises
    ------
    StoreError
    """
    try:
        with translated(f"read {what} of", location):
            yield
    except ValueError as error:
        # What Zarr's codecs raise on bytes that are not those that were written.
        raise StoreError(
            f"cannot read {what} of {location.text}: it is damaged ({error}); `hitl verify` says "
            "what is whole"
        ) from error


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
    lines = str(error).strip().splitlines() or [type(error).__name__]
    return f"{start}: {lines[0].strip().removeprefix('x ').strip()}; nothing was changed"

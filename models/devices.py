"""Where torch runs: device, threads, and whether bfloat16 is fast there."""

from __future__ import annotations

import ctypes
import os
import platform
import threading
import warnings
from collections.abc import Iterator
from contextlib import AbstractContextManager, contextmanager
from dataclasses import dataclass
from typing import Any, Literal

Precision = Literal["auto", "bf16", "fp32"]


@dataclass(frozen=True)
class Compute:
    """A torch device and the number format that convolutions run in.

    Parameters
    ----------
    device : str
        ``"cpu"`` or ``"cuda"``.
    bf16 : bool
        True when convolutions run in bfloat16.
    """

    device: str
    bf16: bool

    @property
    def note(self) -> str:
        """What to tell the user."""
        return f"computed on {self.device} in {'bfloat16' if self.bf16 else 'float32'}"

    def autocast(self) -> AbstractContextManager[Any]:
        """Return the context in which the network runs."""
        import torch

        context: AbstractContextManager[Any] = torch.autocast(
            self.device, dtype=torch.bfloat16, enabled=self.bf16
        )
        return context


def cpu_has_bf16(*, training: bool = False) -> bool:
    """Tell whether the processor multiplies bfloat16 in hardware (AMX or AVX512-BF16).

    Parameters
    ----------
    training : bool
        Whether gradients are needed. oneDNN's weight gradient of a 3D convolution reads memory
        that nobody wrote on processors with AVX512-BF16 only, so that these train in float32.
    """
    import torch

    capabilities = torch.cpu.get_capabilities() if hasattr(torch.cpu, "get_capabilities") else {}
    kinds = ("amx_bf16",) if training else ("amx_bf16", "avx512_bf16")
    return any(capabilities.get(kind) for kind in kinds)


def choose_compute(
    precision: Precision = "auto", device: str = "auto", *, training: bool = False
) -> Compute:
    """Return where and in which number format to compute.

    Parameters
    ----------
    precision : {"auto", "bf16", "fp32"}
        ``"auto"`` takes bfloat16 where the hardware multiplies it.
    device : {"auto", "cpu", "cuda"}
        ``"auto"`` takes a GPU when there is one.
    training : bool
        Whether gradients are needed: `cpu_has_bf16` says what that changes.
    """
    import torch

    if device == "auto":
        with warnings.catch_warnings():
            # A build for CUDA on a machine without a driver warns; that is no news to the user.
            warnings.filterwarnings("ignore", message="CUDA initialization")
            device = "cuda" if torch.cuda.is_available() else "cpu"
    if precision != "auto":
        return Compute(device, precision == "bf16")
    if device == "cuda":
        return Compute(device, torch.cuda.is_bf16_supported())
    return Compute(device, cpu_has_bf16(training=training))


def set_threads(threads: int | None) -> None:
    """Let torch use `threads` CPU threads, at most the machine's; None leaves its own choice."""
    import torch

    if threads is None:
        return
    # Torch aborts where the system has no more to give, and more than there are cores only wait.
    threads = min(threads, os.cpu_count() or threads)
    if torch.get_num_threads() != threads:
        torch.set_num_threads(threads)


def is_out_of_memory(error: BaseException) -> bool:
    """Tell whether an error of torch, numpy or Python says that an allocation failed."""
    # torch.OutOfMemoryError is a RuntimeError; its CPU allocator raises plain ones.
    if isinstance(error, MemoryError) or type(error).__name__ == "OutOfMemoryError":
        return True
    reasons = ("out of memory", "not enough memory", "allocate memory")
    return isinstance(error, RuntimeError) and any(r in str(error).lower() for r in reasons)


M_TRIM_THRESHOLD, M_MMAP_THRESHOLD = -1, -3
KEPT_BYTES, LARGEST_KEPT = 2**31 - 1, 2**30
USUAL_TRIM, USUAL_MMAP = 2**26, 2**25
"""What glibc's own thresholds rise to in a program that allocates much."""


class _Users:
    """How many ask for `reused_memory` at present."""

    def __init__(self) -> None:
        self.count, self.lock = 0, threading.Lock()


_users = _Users()


@contextmanager
def reused_memory() -> Iterator[None]:
    """Let the C library keep large blocks for the next allocation instead of giving them back.

    A network frees and allocates hundreds of megabytes per layer, and fresh pages cost a fifth of
    its time. Only the main thread's blocks are kept, and only with glibc; elsewhere nothing
    changes. On leaving, what is free goes back to the system. May be nested.
    """
    if platform.libc_ver()[0] != "glibc":
        yield
        return
    libc = ctypes.CDLL(None)
    with _users.lock:
        _users.count += 1
        libc.mallopt(M_MMAP_THRESHOLD, LARGEST_KEPT)
        libc.mallopt(M_TRIM_THRESHOLD, KEPT_BYTES)
    try:
        yield
    finally:
        with _users.lock:
            _users.count -= 1
            if _users.count == 0:
                libc.mallopt(M_MMAP_THRESHOLD, USUAL_MMAP)
                libc.mallopt(M_TRIM_THRESHOLD, USUAL_TRIM)
                libc.malloc_trim(0)

"""Where torch runs: device, threads, and whether bfloat16 is fast there."""

from __future__ import annotations

import warnings
from contextlib import AbstractContextManager
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


def cpu_has_bf16() -> bool:
    """Tell whether the processor multiplies bfloat16 in hardware (AMX or AVX512-BF16)."""
    import torch

    capabilities = torch.cpu.get_capabilities() if hasattr(torch.cpu, "get_capabilities") else {}
    return bool(capabilities.get("amx_bf16") or capabilities.get("avx512_bf16"))


def choose_compute(precision: Precision = "auto", device: str = "auto") -> Compute:
    """Return where and in which number format to compute.

    Parameters
    ----------
    precision : {"auto", "bf16", "fp32"}
        ``"auto"`` takes bfloat16 where the hardware multiplies it.
    device : {"auto", "cpu", "cuda"}
        ``"auto"`` takes a GPU when there is one.
    """
    import torch

    if device == "auto":
        with warnings.catch_warnings():
            # A build for CUDA on a machine without a driver warns; that is no news to the user.
            warnings.filterwarnings("ignore", message="CUDA initialization")
            device = "cuda" if torch.cuda.is_available() else "cpu"
    if precision != "auto":
        return Compute(device, precision == "bf16")
    return Compute(device, torch.cuda.is_bf16_supported() if device == "cuda" else cpu_has_bf16())


def set_threads(threads: int | None) -> None:
    """Let torch use `threads` CPU threads; None leaves its own choice."""
    import torch

    if threads is not None and torch.get_num_threads() != threads:
        torch.set_num_threads(threads)

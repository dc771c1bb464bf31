"""Fixtures shared by all tests."""

from __future__ import annotations

import json
import os
import shutil
import subprocess
from collections.abc import Callable, Iterator
from pathlib import Path

import hypothesis
import numpy as np
import pytest
import tifffile
from numpy.typing import NDArray

os.environ.setdefault("TF_USE_LEGACY_KERAS", "1")
os.environ.setdefault("TF_CPP_MIN_LOG_LEVEL", "3")
os.environ.setdefault("MPLBACKEND", "Agg")

# The same examples in every run: what lands must not depend on luck. Set the variable to explore.
hypothesis.settings.register_profile(
    "repeatable", derandomize="HITL_TEST_EXPLORE" not in os.environ
)
hypothesis.settings.load_profile("repeatable")

RealStack = tuple[NDArray, NDArray, tuple[float, float, float]]

# QCANet's repository states only the ratio z : xy of the voxel size.
RATIO_ONLY_SPACING_UM = {"qcanet_16cell": (1.744, 0.8, 0.8)}


def real_data_folder() -> Path:
    """Folder of the real stacks (``HITL_TEST_DATA``)."""
    default = Path(__file__).resolve().parents[1] / ".." / "shared" / "data"
    return Path(os.environ.get("HITL_TEST_DATA", default)).resolve()


@pytest.fixture(scope="session")
def real_stack() -> Callable[[str], RealStack]:
    """Load a real stack by folder name: image, labels, spacing (z, y, x) in µm."""

    def load(name: str) -> RealStack:
        folder = real_data_folder() / name
        if not folder.is_dir():
            pytest.skip(f"real stack {name} is not at {folder}: set HITL_TEST_DATA")
        meta = json.loads((folder / "meta.json").read_text())
        spacing = meta.get("voxel_size_um_zyx") or RATIO_ONLY_SPACING_UM[name]
        image = tifffile.imread(folder / "image.tif")
        labels = tifffile.imread(folder / "labels.tif").astype(np.uint32)
        return image, labels, tuple(spacing)

    return load


@pytest.fixture
def small_disk(tmp_path: Path) -> Iterator[Path]:
    """A file system of 1 MiB; needs the right to mount one."""
    folder = tmp_path / "small_disk"
    folder.mkdir()
    command = ["mount", "-t", "tmpfs", "-o", "size=1m", "tmpfs", str(folder)]
    if shutil.which("mount") is None or subprocess.run(command, capture_output=True).returncode:
        pytest.skip("a small file system cannot be mounted here: run the tests as root")
    yield folder
    subprocess.run(["umount", "-l", str(folder)], check=True)

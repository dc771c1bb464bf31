"""Compiled loops work whatever becomes of the files that they are kept in."""

from __future__ import annotations

import errno
import os
import re
import subprocess
import sys
import warnings
from pathlib import Path

import numba
import numpy as np
import pytest
import tifffile
from numba.core.caching import IndexDataCacheFile

from labels.compiled import compiled
from labels.errors import ToldWarning

ROOT = Path(__file__).resolve().parents[2]


def twice(x):
    return 2 * x


@pytest.fixture
def kept_in(tmp_path, monkeypatch):
    """Keep machine code in a folder of the test's own."""
    monkeypatch.setattr(numba.config, "CACHE_DIR", str(tmp_path))

    def files(suffix):
        return sorted(tmp_path.rglob(f"*{suffix}"))

    return files


def test_a_loop_is_kept_and_found_again(kept_in):
    assert compiled(twice)(3) == 6
    assert len(kept_in(".nbc")) == 1
    again = compiled(twice)
    assert again(3) == 6
    assert sum(again.stats.cache_hits.values()) == 1


def test_a_signature_is_compiled_at_once_and_no_other(kept_in):
    loop = compiled(twice, numba.int64)
    assert len(kept_in(".nbc")) == 1
    assert loop(3) == 6
    assert len(loop.signatures) == 1


@pytest.mark.parametrize("suffix", [".nbi", ".nbc"])
@pytest.mark.parametrize("content", [b"", b"\x80\x04\x95", b"not a pickle"])
def test_a_damaged_file_is_written_anew(kept_in, suffix, content):
    compiled(twice)(3)
    kept_in(suffix)[0].write_bytes(content)
    with warnings.catch_warnings():
        warnings.simplefilter("error")
        assert compiled(twice)(3) == 6
    again = compiled(twice)
    assert again(3) == 6
    assert sum(again.stats.cache_hits.values()) == 1


def test_a_full_disk_is_told_and_the_loop_runs(kept_in, monkeypatch):
    def full(*_):
        raise OSError(errno.ENOSPC, os.strerror(errno.ENOSPC))

    monkeypatch.setattr(IndexDataCacheFile, "save", full)
    with pytest.warns(ToldWarning, match="No space left on device"):
        assert compiled(twice)(3) == 6


def test_without_any_folder_a_command_says_so_once_and_works(tmp_path):
    image = np.zeros((4, 20, 20), np.uint16)
    image[1:3, 5:15, 5:15] = 100
    tifffile.imwrite(tmp_path / "image.tif", image, photometric="minisblack")
    # No folder of numba's own choice is one, as in an installation that only others may write to.
    nowhere = {"NUMBA_CACHE_LOCATOR_CLASSES": "UserWideCacheLocator", "XDG_CACHE_HOME": "/dev/null"}
    script = "from hitl.cli import main; main()"
    words = "segment image.tif found.tif --segmenter classical --axes ZYX --spacing-um 2 1 1"
    done = subprocess.run(
        [sys.executable, "-c", script, *words.split()],
        capture_output=True, text=True, timeout=120, check=False, cwd=tmp_path,
        env={**os.environ, **nowhere, "NUMBA_OPT": "0"},
    )  # fmt: skip
    assert done.returncode == 0, done.stderr
    assert "Traceback" not in done.stderr
    assert done.stderr.count("cannot be kept (no folder for it can be written)") == 1
    assert tifffile.imread(tmp_path / "found.tif").any()


def test_every_loop_is_compiled_in_this_way():
    calls = re.compile(r"numba\.(n?jit|vectorize|guvectorize|stencil)\b")
    packages = [ROOT / name for name in ("hitl", "annotations", "models", "labels")]
    found = {
        str(path.relative_to(ROOT))
        for package in packages
        for path in package.rglob("*.py")
        if calls.search(path.read_text(encoding="utf-8"))
    }
    assert found == {"labels/compiled.py"}

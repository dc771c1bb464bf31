"""What memory there is."""

from __future__ import annotations

import os

import pytest

from labels.memory import memory_bytes, too_large
from tests.hostile.limits import limits


def test_the_machine_the_container_and_the_process_bound_it() -> None:
    physical = os.sysconf("SC_PAGE_SIZE") * os.sysconf("SC_PHYS_PAGES")
    assert 0 < memory_bytes() <= physical
    with limits(memory=2**28):
        assert memory_bytes() <= 2**28
        assert too_large(2**27) is None
        told = too_large(2**40)
    assert told is not None and "1,024 GiB" in told


@pytest.mark.parametrize("need", [0, 1, 2**20])
def test_what_fits_is_not_told(need: int) -> None:
    assert too_large(need) is None

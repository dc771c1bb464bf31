"""Label images that files of other tools are tested with."""

from __future__ import annotations

import json
from pathlib import Path

import numpy as np
import tifffile
from hypothesis import HealthCheck, settings
from hypothesis import strategies as st
from hypothesis.extra import numpy as hnp
from numpy.typing import NDArray

from annotations.formats.labkit import names_file

SPACING_UM = (2.0, 0.5, 0.25)
FAST = settings(
    max_examples=60,
    deadline=None,
    derandomize=True,
    suppress_health_check=[HealthCheck.function_scoped_fixture],
)


def blobs() -> NDArray[np.uint32]:
    """Three objects, one with a hole, one of two pieces that touch at a corner."""
    labels = np.zeros((4, 12, 15), np.uint32)
    labels[1:3, 2:7, 2:8] = 7
    labels[1, 4, 4:6] = 0
    labels[0:2, 8:10, 10:12] = 70_000
    labels[0:2, 10:12, 12:15] = 70_000
    labels[3, 0:2, 0:3] = 3
    return labels


def compact(labels: NDArray[np.uint32]) -> NDArray[np.uint32]:
    return np.unique(labels, return_inverse=True)[1].reshape(labels.shape).astype(np.uint32)


small_labels = hnp.arrays(np.uint32, (3, 6, 7), elements=st.integers(0, 4))


def save_labkit(file: Path, labels: NDArray[np.uint32], times: int = 1) -> None:
    """An index image in an order of Labkit's own, without axes, and the list of names."""
    ids = np.unique(labels[labels > 0])[::-1]
    indices = np.zeros(labels.shape, np.int32)
    for index, number in enumerate(ids, start=1):
        indices[labels == number] = index
    planes, height, width = labels.shape
    unknown = [planes // times, times] if times > 1 else [planes]
    axes = ",".join(["X", "Y", *["Unknown"] * len(unknown)])
    lengths = ",".join(map(str, [width, height, *unknown]))
    described = (
        f"SCIFIO=0.46.0\naxes={axes}\nlengths={lengths}\n"
        f"scales=1.0,1.0,1.0\nunits=null,null,null\nbitsPerPixel=32\nimages={planes}\n"
        "channels=1\nslices=1\nframes=1\nhyperstack=true\nmode=composite\nunit=null\n"
    )
    with tifffile.TiffWriter(file) as tif:
        for z, plane in enumerate(indices):
            text = described if z == 0 else None
            tif.write(
                plane, photometric="minisblack", metadata=None, description=text, contiguous=False
            )
    names_file(file).write_text(json.dumps({"labelSets": [[], *([str(i)] for i in ids)]}))

"""Pictures of a place."""

from __future__ import annotations

import numpy as np
import pytest

from hitl.evaluation.results import ScoredCase
from hitl.report.pictures import BOTH, PREDICTION_ONLY, TRUTH_ONLY, draw
from hitl.report.worst_places import Place


def test_pictures_show_what_is_wrong_in_its_colour() -> None:
    truth, pred = np.zeros((2, 6, 20, 20), np.uint32)
    truth[1:5, 5:15, 5:10] = 7
    pred[1:5, 5:15, 8:14] = 3
    place = Place(
        case=ScoredCase("s", "shifted", (7,), (3,), (2.5, 9.5, 7.0), ()),
        volume_um3=1.0,
        centroid_um=(1.0, 1.0, 1.0),
        image=truth.astype("u2"),
        truth=truth,
        pred=pred,
        start=(0, 0, 0),
        spacing_um=(2.0, 1.0, 1.0),
        cut=False,
    )
    for view, height in zip(draw(place), (220, 132), strict=True):
        assert [picture.name for picture in view.pictures] == ["image", "truth", "prediction"]
        assert (view.pictures[2].width, view.pictures[2].height) == (220, height)
        pixels = _pixels(view.pictures[2].uri)
        for colour, voxels in ((BOTH, 2), (PREDICTION_ONLY, 4), (TRUTH_ONLY, 3)):
            share = np.all(pixels == colour, axis=-1).sum() / pixels[..., 0].size
            expected = voxels / 20 * (0.5 if view.plane == "xy" else 4 / 6)
            assert share == pytest.approx(expected, rel=0.25)


def _pixels(uri: str) -> np.ndarray:
    import base64
    import io

    from PIL import Image

    data = base64.b64decode(uri.removeprefix("data:image/webp;base64,"))
    return np.asarray(Image.open(io.BytesIO(data)).convert("RGB"))

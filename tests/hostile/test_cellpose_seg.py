"""``_seg.npy`` of nobody's GUI: pickles that ask for work without end, and masks that are none."""

from __future__ import annotations

import io
import pickle
import struct
from collections.abc import Callable
from pathlib import Path

import numpy as np
import pytest

from tests.annotations.store_sources import boxes

UINT16 = np.dtype("u2")


def state_of(shape: object, dtype: object, data: object) -> bytes:
    """What numpy.save makes of {"masks": array}, with any state of the array."""

    class State:
        def __reduce__(self) -> object:
            build = np.zeros(1, np.uint8).__reduce__()
            return build[0], build[1], (1, shape, dtype, False, data)

    return saved({"masks": State()})


def saved(content: object, protocol: int = 4) -> bytes:
    return pickle.dumps(np.array(content, object), protocol=protocol)


def doubled(steps: int, end: bytes) -> bytes:
    """A tuple of a tuple twice, and so on; `end` makes something of it."""
    return b"\x80\x04)" + b"2\x86" * steps + end


KEY = b"q\x00}h\x00K\x01s."
MEMBER = b"q\x00\x8f(h\x00\x90."
PATH = b"q\x000cpathlib\nPosixPath\n" + b"h\x00\x85R."

PICKLES: dict[str, Callable[[], bytes]] = {
    "tuples doubled 45 times as a key": lambda: doubled(45, KEY),
    "tuples doubled 45 times in a set": lambda: doubled(45, MEMBER),
    "tuples doubled 45 times in a frozen set": lambda: b"\x80\x04(" + doubled(45, b"\x91.")[2:],
    "tuples doubled 45 times in a path": lambda: doubled(45, PATH),
    "tuples doubled 45 times as a dtype's name": lambda: doubled(
        45, b"q\x000cnumpy\ndtype\nh\x00\x85R."
    ),
    "tuples 100,000 deep as a key": lambda: b"\x80\x04)" + b"\x85" * 100_000 + KEY,
    "lists 100,000 deep": lambda: b"\x80\x04" + b"]" * 100_000 + b"a" * 99_999 + b".",
    "more values than any file has": lambda: b"\x80\x04](" + b"N" * 1_100_000 + b"e.",
    "a list that holds itself": lambda: b"\x80\x04]q\x00h\x00a.",
    "a memo without end": lambda: b"\x80\x04Nr\xff\xff\xff\x7f.",
    "a number of 5,000 digits": lambda: b"\x80\x04I" + b"9" * 5000 + b"\n.",
    "a long of 1 MB": lambda: (
        b"\x80\x04\x8b" + struct.pack("<i", 1 << 20) + b"\x7f" * (1 << 20) + b"."
    ),
    "a long of negative length": lambda: b"\x80\x04\x8b\xff\xff\xff\xff.",
    "bytes of 2**63": lambda: b"\x80\x04\x8e" + struct.pack("<Q", 1 << 63) + b"ab.",
    "a byte array of 2**40": lambda: b"\x80\x05\x96" + struct.pack("<Q", 1 << 40) + b"ab.",
    "a text of 2**40": lambda: b"\x80\x04\x8d" + struct.pack("<Q", 1 << 40) + b"ab.",
    "a frame of 2**40": lambda: b"\x80\x04\x95" + struct.pack("<Q", 1 << 40) + b"N.",
    "a buffer from outside": lambda: b"\x80\x05\x97.",
    "attributes of a function": lambda: (
        b"\x80\x04cnumpy.core.multiarray\n_reconstruct\nN}X\x08\x00\x00\x00__name__K\x01s\x86b."
    ),
    "a call of os.system": lambda: b"cos\nsystem\n(S'true'\ntR.",
    "an extension": lambda: b"\x80\x04\x82\x01.",
    "a persistent object": lambda: b"\x80\x04P1\n.",
    "an empty stack": lambda: b"\x80\x04.",
    "no mark": lambda: b"\x80\x04Nt.",
    "no end": lambda: b"\x80\x04N",
    "nothing": lambda: b"",
    "an unknown step": lambda: b"\x80\x04\xfe.",
    "a list": lambda: saved([1, 2]),
    "no masks": lambda: saved({"flows": []}),
    "masks as a list": lambda: saved({"masks": [[1, 2], [3, 4]]}),
    "a shape of 10**12": lambda: state_of((10**12,), UINT16, b"ab"),
    "a shape of 10**5,000": lambda: state_of((10**5000, 1, 1), UINT16, b"ab"),
    "a negative shape": lambda: state_of((-1, 1, 1), UINT16, b"ab"),
    "a shape of many axes": lambda: state_of((1,) * 100, UINT16, b"ab"),
    "a shape with nothing in it": lambda: state_of((0, 40, 30), UINT16, b""),
    "a dtype of texts": lambda: state_of((1, 1, 1), np.dtype("S1000000000"), b"ab"),
    "a dtype of objects": lambda: state_of((1, 1, 1), np.dtype(object), b"12345678"),
    "a dtype with fields": lambda: state_of((1, 1, 1), np.dtype([("a", "u4")]), b"abcd"),
    "fractions": lambda: saved({"masks": np.full((20, 40, 30), 0.5)}),
    "complex numbers": lambda: saved({"masks": np.ones((20, 40, 30), complex)}),
    "true and false": lambda: saved({"masks": boxes() > 0}),
    "ids below -1": lambda: saved({"masks": np.full((20, 40, 30), -5)}),
    "ids above 2**32": lambda: saved({"masks": np.full((20, 40, 30), 2**32)}),
    "another shape": lambda: saved({"masks": np.zeros((20, 40, 29), np.uint16)}),
    "four axes": lambda: saved({"masks": np.zeros((1, 20, 40, 30), np.uint16)}),
}


def npy(pickled: bytes, descr: str = "|O") -> bytes:
    """A .npy whose header is that of one object, and whose rest is any pickle."""
    file = io.BytesIO()
    header = {"descr": descr, "fortran_order": False, "shape": ()}
    np.lib.format.write_array_header_1_0(file, header)
    return file.getvalue() + pickled


@pytest.mark.parametrize("make", PICKLES.values(), ids=PICKLES)
def test_a_pickle_that_is_none_of_the_gui(
    refused: Callable[..., str], project: Path, tmp_path: Path, make: Callable[[], bytes]
) -> None:
    file = tmp_path / "s_seg.npy"
    file.write_bytes(npy(make()))
    assert str(file) in refused("import", project, "s", file, "--annotator=anna")


@pytest.mark.parametrize(
    "content",
    {
        "a zip": b"PK\x03\x04" + bytes(100),
        "an array of numbers": npy(bytes(8), "<f8"),
        "a header of 4 GB": b"\x93NUMPY\x02\x00" + struct.pack("<I", 2**32 - 1) + b"{" * 100,
        "a header that is deep": b"\x93NUMPY\x01\x00" + struct.pack("<H", 9000) + b"(" * 9000,
        "a bare pickle": saved({"masks": boxes()}),
    }.items(),
    ids=lambda item: item[0],
)
def test_what_is_no_npy_of_an_object(
    refused: Callable[..., str], project: Path, tmp_path: Path, content: tuple[str, bytes]
) -> None:
    file = tmp_path / "s_seg.npy"
    file.write_bytes(content[1])
    assert str(file) in refused("import", project, "s", file, "--annotator=anna")

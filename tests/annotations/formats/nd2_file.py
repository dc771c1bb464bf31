"""Writes a minimal ND2 3.0 file, so that the true reader has something to read.

No public tool writes ND2, and no microscope's file is at hand. The container (chunks with the magic
number, LIM variants, the chunk map at the end) is as the package ``nd2`` documents it.
"""

from __future__ import annotations

import struct
from pathlib import Path

import numpy as np
from numpy.typing import NDArray

MAGIC = 0x0ABECEDA
BOOL, UINT32, DOUBLE, STRING, LEVEL = 1, 3, 6, 8, 11
HEADER = 4096

Value = bool | int | float | str | dict[str, "Value"]


def _variant(name: str, value: Value) -> bytes:
    encoded = (name + "\0").encode("utf-16-le")
    kinds = {bool: BOOL, int: UINT32, float: DOUBLE, str: STRING, dict: LEVEL}
    head = struct.pack("BB", kinds[type(value)], len(encoded) // 2) + encoded
    if isinstance(value, dict):
        body = b"".join(_variant(k, v) for k, v in value.items())
        length = len(head) + 12 + len(body)
        return head + struct.pack("<IQ", len(value), length) + body + bytes(8 * len(value))
    if isinstance(value, str):
        return head + (value + "\0").encode("utf-16-le")
    return head + struct.pack({bool: "<B", int: "<I", float: "<d"}[type(value)], value)


def _loop(kind: int, parameters: dict[str, Value]) -> dict[str, Value]:
    return {"eType": kind, "uLoopPars": parameters, "uiLoopSize": 1}


def write_nd2(
    path: Path,
    frames: NDArray[np.uint16],
    *,
    z_step_um: float,
    pixel_um: float,
    times: int = 1,
    period_ms: float = 1.0,
    channels: tuple[str, ...] = (),
) -> None:
    """Write frames of shape (T * Z, Y, X, C)."""
    count, height, width, components = frames.shape
    depth = count // times
    stack = _loop(4, {"uiCount": depth, "dZStep": z_step_um, "dZLow": 0.0, "dZHigh": 1.0})
    experiment = stack
    if times > 1:
        series: dict[str, Value] = {"uiCount": times}
        series |= {"dStart": 0.0, "dPeriod": period_ms, "dDuration": 1.0}
        experiment = _loop(1, series) | {"ppNextLevelEx": {"i0000000000": stack}}
    planes: dict[str, Value] = {
        f"a{i}": {
            "sDescription": name,
            "uiCompCount": components // len(channels),
            "pFluorescentProbe": {"m_sName": name},
        }
        for i, name in enumerate(channels)
    }
    attributes: dict[str, Value] = {
        "uiWidth": width,
        "uiWidthBytes": width * components * 2,
        "uiHeight": height,
        "uiComp": components,
        "uiBpcInMemory": 16,
        "uiBpcSignificant": 16,
        "uiSequenceCount": count,
        "eCompression": 2,
    }
    picture: dict[str, Value] = {
        "bCalibrated": pixel_um > 0,
        "dCalibration": float(pixel_um),
        "sPicturePlanes": {"uiCount": len(channels) or components, "sPlaneNew": planes},
    }
    chunks = {
        "ImageAttributesLV!": _variant("SLxImageAttributes", attributes),
        "ImageMetadataLV!": _variant("SLxExperiment", experiment),
        "ImageMetadataSeqLV|0!": _variant("SLxPictureMetadata", picture),
    }
    for i, frame in enumerate(frames):
        chunks[f"ImageDataSeq|{i}!"] = bytes(8) + frame.tobytes()
    _write_chunks(path, chunks)


def _write_chunks(path: Path, chunks: dict[str, bytes]) -> None:
    signature, version = b"ND2 FILE SIGNATURE CHUNK NAME01!", b"Ver3.0".ljust(64, b"\0")
    out = struct.pack("<IIQ", MAGIC, 32, 64) + signature + version
    table = b""
    for name, data in chunks.items():
        out = out.ljust(-(-len(out) // HEADER) * HEADER, b"\0")
        table += name.encode() + struct.pack("<QQ", len(out), len(data))
        reserved = name.encode().ljust(HEADER - 24, b"\0")
        out += struct.pack("<IIQ", MAGIC, len(reserved), len(data)) + reserved + data
    out = out.ljust(-(-len(out) // HEADER) * HEADER, b"\0")
    end = b"ND2 CHUNK MAP SIGNATURE 0000001!" + struct.pack("<Q", len(out))
    table += end
    name = b"ND2 FILEMAP SIGNATURE NAME 0001!"
    path.write_bytes(out + struct.pack("<IIQ", MAGIC, len(name), len(table)) + name + table)

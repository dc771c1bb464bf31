"""OME-XML inside TIFF that claims planes by the billion, names other files, or has no end."""

from __future__ import annotations

import os
from collections.abc import Callable
from pathlib import Path

import pytest

from hitl.cli import run
from tests.annotations.store_sources import noise
from tests.hostile import tiff_parts as t
from tests.hostile.tiff_parts import text, tiff

SPACE = "http://www.openmicroscopy.org/Schemas/OME/2016-06"
SIZES = 'SizeX="30" SizeY="40" SizeZ="20" SizeC="1" SizeT="1"'
STEPS = 'PhysicalSizeX="0.4" PhysicalSizeY="0.5" PhysicalSizeZ="2"'
DATA = '<TiffData IFD="0" PlaneCount="20"/>'


def ome(
    sizes: str = SIZES,
    data: str = DATA,
    *,
    steps: str = STEPS,
    order: str = "XYZCT",
    more: str = "",
    start: str = "",
) -> str:
    return (
        f'<?xml version="1.0"?>{start}<OME xmlns="{SPACE}"><Image ID="Image:0"><Pixels '
        f'ID="Pixels:0" DimensionOrder="{order}" Type="uint16" {sizes} {steps}>'
        f'<Channel ID="Channel:0:0" SamplesPerPixel="1"/>{data}</Pixels></Image>{more}</OME>'
    )


def sized(**sizes: object) -> str:
    known = {"X": 30, "Y": 40, "Z": 20, "C": 1, "T": 1} | sizes
    return ome(" ".join(f'Size{axis}="{size}"' for axis, size in known.items()))


def stepped(step: str) -> str:
    return ome(steps=f'PhysicalSizeX="{step}" PhysicalSizeY="0.5" PhysicalSizeZ="2"')


def named(name: str) -> str:
    return ome(
        data=f'<TiffData IFD="0" PlaneCount="20"><UUID FileName="{name}">a</UUID></TiffData>'
    )


def modulo(**range_: object) -> str:
    stated = " ".join(f'{key}="{value}"' for key, value in range_.items())
    return ome(
        more='<StructuredAnnotations><XMLAnnotation ID="A:0" Namespace="openmicroscopy.org/omero/'
        f'dimension/modulo"><Value><Modulo><ModuloAlongT Type="lifetime" {stated}/></Modulo>'
        "</Value></XMLAnnotation></StructuredAnnotations>"
    )


LAUGHS = (
    "<!DOCTYPE OME ["
    + '<!ENTITY a "ha">'
    + "".join(f'<!ENTITY {chr(98 + i)} "{f"&{chr(97 + i)};" * 10}">' for i in range(20))
)

XML: dict[str, Callable[[], str]] = {
    "10**9 slices": lambda: sized(Z=10**9),
    "10**9 channels": lambda: sized(C=10**9),
    "10**9 time points": lambda: sized(T=10**9),
    "10**17 planes": lambda: sized(Z=10**6, C=10**5, T=10**6),
    "10**400 slices": lambda: sized(Z=10**400),
    "more slices than there are": lambda: sized(Z=200),
    "-1 slices": lambda: sized(Z=-1),
    "no slice": lambda: sized(Z=0),
    "1e9 slices": lambda: sized(Z="1e9"),
    "slices of text": lambda: sized(Z="many"),
    "a width of another page": lambda: sized(X=31),
    "no sizes": lambda: ome(""),
    "an order without slices": lambda: ome(order="XYCT"),
    "an order of nothing": lambda: ome(order=""),
    "an order of one axis": lambda: ome(order="ZZZZZ"),
    "an order of its own": lambda: ome(order="XYZCTQ"),
    "10**9 planes in one part": lambda: ome(data='<TiffData IFD="0" PlaneCount="1000000000"/>'),
    "-10**9 planes in one part": lambda: ome(data='<TiffData IFD="0" PlaneCount="-1000000000"/>'),
    "a plane beyond all pages": lambda: ome(data='<TiffData IFD="1000000000" PlaneCount="20"/>'),
    "a plane before all pages": lambda: ome(data='<TiffData IFD="-30" PlaneCount="20"/>'),
    "a first slice of 10**9": lambda: ome(
        data='<TiffData FirstZ="1000000000" IFD="0" PlaneCount="20"/>'
    ),
    "100,000 parts of all pages": lambda: ome(data="<TiffData/>" * 100_000),
    "1,000 images": lambda: ome(more="<Image><Pixels/></Image>" * 1000),
    "no planes": lambda: ome(data=""),
    "a voxel of NaN": lambda: stepped("nan"),
    "a voxel of infinity": lambda: stepped("inf"),
    "a voxel of -1": lambda: stepped("-1"),
    "a voxel of 0": lambda: stepped("0"),
    "a voxel of 1e300": lambda: stepped("1e300"),
    "a voxel of text": lambda: stepped("0,4"),
    "a billion laughs": lambda: ome(start=LAUGHS + "]>", more="<a>&u;</a>"),
    "an entity of another file": lambda: ome(
        start='<!DOCTYPE OME [<!ENTITY x SYSTEM "file:///etc/passwd">]>', more="<a>&x;</a>"
    ),
    "a definition elsewhere": lambda: ome(start='<!DOCTYPE OME SYSTEM "http://127.0.0.1:9/a.dtd">'),
    "elements 100,000 deep": lambda: ome(more="<a>" * 100_000 + "</a>" * 100_000),
    "2,100,000 elements": lambda: ome(more="<a/>" * 2_100_000),
    "elements that do not end": lambda: ome()[:-10],
    "a control character": lambda: ome(more="<a>\x01</a>"),
    "words": lambda: "This is no XML at all, but ends so: OME>",
    "another XML": lambda: "<html><body/></html><!-- OME>",
    "a file upwards": lambda: named("../a.ome.tif"),
    "an absolute file": lambda: named("/etc/passwd"),
    "a file of Windows": lambda: named("C:\\a.ome.tif"),
    "a file that is gone": lambda: named("gone.ome.tif"),
    "an axis without end": lambda: modulo(Start=0, End=1e18, Step=1),
    "an axis of steps of 0": lambda: modulo(Start=0, End=1, Step=0),
    "an axis of NaN": lambda: modulo(Start="nan", End=1, Step=1),
}


def write(path: Path, xml: str) -> Path:
    path.write_bytes(tiff({t.DESCRIPTION: text(xml)}))
    return path


@pytest.mark.parametrize("make", XML.values(), ids=XML)
def test_xml_that_lies(
    refused: Callable[..., str], project: Path, tmp_path: Path, make: Callable[[], str]
) -> None:
    file = write(tmp_path / "new.ome.tif", make())
    assert str(file) in refused("add", project, file)


OTHERS: dict[str, Callable[[Path], object]] = {
    "a pipe": os.mkfifo,
    "zeros without end": lambda place: place.symlink_to("/dev/zero"),
    "a link out of the folder": lambda place: place.symlink_to(
        write(place.parent.parent / "elsewhere.ome.tif", ome())
    ),
    "a folder": Path.mkdir,
    "no image": lambda place: place.write_bytes(b"II*\0"),
    "pages in a circle": lambda place: place.write_bytes(
        b"II*\0\x08\0\0\0" + b"\x04\0" + bytes(48) + b"\x08\0\0\0"
    ),
}


@pytest.mark.parametrize("put", OTHERS.values(), ids=OTHERS)
def test_another_part_that_is_none(
    refused: Callable[..., str], project: Path, tmp_path: Path, put: Callable[[Path], object]
) -> None:
    folder = tmp_path / "in"
    folder.mkdir()
    put(folder / "other.ome.tif")
    file = write(folder / "new.ome.tif", named("other.ome.tif"))
    assert "other.ome.tif" in refused("add", project, file)


def test_xml_that_tells_the_truth(project: Path, tmp_path: Path) -> None:
    file = write(tmp_path / "new.ome.tif", ome())
    assert noise().shape[1] == 20
    assert run(["add", str(project), str(file)]) == 0

"""NRRD: every field of the table in docs/data.md, read right, said or refused."""

import bz2
import gzip
import zlib

import numpy as np
import pytest

from tests.headers import AFFINE, VOXELS, Case, cases, check, straightened, write_nrrd
from xmodbench.data.volumes.io import read_volume
from xmodbench.errors import UserError

LPS = {
    "space": "left-posterior-superior",
    "space directions": "(1.5,0,0) (0,2,0) (0,0,3)",
    "space origin": "(-10,-20,-30)",
}
NO_SPACE = {"space": None, "space directions": None, "space origin": None, "space units": None}
MIDDLE = AFFINE.copy()
MIDDLE[:3, 3] = -AFFINE[:3, :3] @ (np.array([7, 6, 5]) / 2)
IN_UM = {"space directions": "(-1500,0,0) (0,-2000,0) (0,0,3000)", "space origin": "(10000,20000,-30000)"}


def listed(*sizes, before=True, **fields):
    """An axis beside those of space."""
    extra, spatial = f"{sizes[0]}", "8 7 6"
    directions = "(-1.5,0,0) (0,-2,0) (0,0,3)"
    return {
        "dimension": 4,
        "sizes": f"{extra} {spatial}" if before else f"{spatial} {extra}",
        "space directions": f"none {directions}" if before else f"{directions} none",
        "kinds": "list domain domain domain" if before else "domain domain domain list",
        **fields,
    }


def text(data):
    return " ".join(map(str, np.frombuffer(data, "<i2"))).encode()


def halves(data):
    return data[: len(data) // 2]


ROWS = {
    "magic": [Case({}), Case({"content": "a head", "DWMRI_b-value:": "=1"})],
    "type": [
        Case({"type": "signed short int"}),
        Case({"type": "unsigned short"}, values=lambda stored: stored.view(np.uint16)),
        Case({"type": "block", "block size": 2}, refused="its type is 'block'"),
        Case({"type": "int24"}, refused="its type is 'int24', no plain number"),
        Case({"type": None}, refused="its header has no 'type'"),
    ],
    "dimension, sizes": [
        Case({"sizes": "8 7 5"}, refused="holds more voxels than its header says"),
        Case({"sizes": "8 7 7"}, refused="truncated: 672 of 784 bytes"),
        Case({"sizes": "8 7"}, refused="gives the sizes '8 7' for 3 axes"),
        Case({"sizes": "8 7 x"}, refused="its sizes are '8 7 x', which are no numbers"),
        Case({"sizes": "8 7 0"}, refused="gives the sizes '8 7 0'"),
        Case({"sizes": "8 7 6.5"}, refused="gives the sizes '8 7 6.5'"),
        Case({"sizes": "8 7 nan"}, refused="gives the sizes '8 7 nan'"),
        Case({"dimension": 2, "sizes": "8 42", "space directions": "(-1.5,0,0) (0,-2,0)", "kinds": "domain domain"},
             refused="a 2-D image"),
        Case({"sizes": None}, refused="its header has no 'sizes'"),
        Case({"sizes": "8 7 6", "Sizes": "8 7 6"}, refused="gives 'Sizes' twice"),
    ],
    "kinds": [
        Case(listed(1)),
        Case(listed(1, before=False)),
        Case(listed(1, kinds="vector space space space")),
        Case(listed(1, kinds=None)),
        Case({"kinds": None}),
        Case(listed(2, sizes="2 8 7 3"), refused=r"2 values per voxel \(axis 1 of 2x8x7x3 is of the kind 'list'\)"),
        Case(listed(3, sizes="8 7 2 3", before=False), refused="3 values per voxel .axis 4"),
        Case({"kinds": "domain domain"}, refused="gives 2 kinds for 3 axes"),
        Case({"dimension": 4, "sizes": "8 7 3 2", "kinds": "domain domain domain time",
              "space directions": "(-1.5,0,0) (0,-2,0) (0,0,3) none"}, refused="2 values per voxel .*'time'"),
    ],
    "space": [
        Case(LPS),
        Case({**LPS, "space": "LPS"}),
        Case({**LPS, "space": "left-anterior-superior", "space directions": "(1.5,0,0) (0,-2,0) (0,0,3)",
              "space origin": "(-10,20,-30)"}),
        Case({**LPS, "space": "scanner-xyz"}, refused="is not known .its space is 'scanner-xyz'.; set"),
        Case({**LPS, "space": "3D-right-handed"}, refused="its space is '3D-right-handed'"),
        Case({"space": None, "space dimension": 3}, refused="its orientation is not known .its header has no `space`"),
        Case({**LPS, "space": "scanner-xyz"}, orientation="LPS", affine=MIDDLE, said="its axes are taken to run to LPS"),
    ],
    "space directions, space origin": [
        Case({"space origin": None}, affine=np.hstack([AFFINE[:, :3], [[0], [0], [0], [1]]]),
             said="its place in the world is not stated"),
        Case({"space directions": "(-1.5,0.05,0) (0,-2,0) (0,0,3)"}, said="not quite perpendicular",
             affine=straightened(AFFINE + 0.05 * np.eye(4)[[1, 0, 2, 3]] * [[0], [1], [0], [0]])),
        Case({"space directions": "(-1.5,0.8,0) (0,-2,0) (0,0,3)"}, refused="its header shears the voxels"),
        Case({"space directions": "(-1.5,0,0) (0,-2,0) (0,0,nan)"}, refused="its space directions are"),
        Case({"space directions": "(-1.5,0,0) (0,-2,0) (0,0,0)"}, refused="its space directions are"),
        Case({"space directions": "(-1.5,0,0) (0,-2,0)"}, refused="gives 2 space directions for 3 axes"),
        Case({"space directions": "(-1.5,0) (0,-2) (0,3)"}, refused="its space directions has 2 numbers"),
        Case({"space directions": "(-1.5,0,0) none (0,0,3)"}, refused="7 values per voxel"),
        Case({"space origin": "(1,2)"}, refused="its space origin has 2 numbers"),
        Case({"space origin": "(1,nan,3)"}, refused="its space origin is"),
        Case({"space directions": None}, refused="does not say how large its voxels are"),
    ],
    "spacings": [
        Case({**NO_SPACE, "spacings": "1.5 2 3"}, refused="its orientation is not known .its header has no `space`"),
        Case({**NO_SPACE, "spacings": "1.5 2 3", "units": '"mm" "mm" "mm"'}, orientation="LPS", affine=MIDDLE,
             said="taken to run to LPS"),
        Case({**NO_SPACE, "spacings": "1.5 nan 3"}, refused="its spacings are"),
        Case({**NO_SPACE, "spacings": "1.5 3"}, refused="its spacings are"),
        Case(NO_SPACE, refused="does not say how large its voxels are"),
    ],
    "space units, units": [
        Case({**IN_UM, "space units": '"um" "um" "um"'}),
        Case({**IN_UM, "space units": '"microns" "microns" "microns"'}),
        Case({"space units": '"m" "m" "m"', "space directions": "(-.0015,0,0) (0,-.002,0) (0,0,.003)",
              "space origin": "(.01,.02,-.03)"}),
        Case({"space units": None}, said="its unit of length is not stated .space units. and taken as mm"),
        Case({"space units": '"" "" ""'}, said="taken as mm"),
        Case({"space units": None, **IN_UM}, refused="its longest side is 1.8e.04 mm: no volume of a person"),
        Case({"space units": '"furlong" "furlong" "furlong"'}, refused="its unit of length is"),
        Case({"space units": '"mm" "mm" "cm"'}, refused="its unit of length is"),
    ],
    "encoding": [
        Case({"encoding": "gzip"}, body=gzip.compress),
        Case({"encoding": "gz"}, body=lambda data: gzip.compress(data[:100]) + gzip.compress(data[100:]) + bytes(7)),
        Case({"encoding": "bzip2"}, body=bz2.compress),
        Case({"encoding": "hex"}, body=lambda data: data.hex().encode()),
        Case({"encoding": "ascii", "endian": None}, body=text),
        Case({"encoding": "gzip"}, body=lambda data: gzip.compress(data) + b"\r\n", said="2 bytes after the end"),
        Case({"encoding": "gzip"}, body=lambda data: halves(gzip.compress(data)), refused="truncated: its gzip data"),
        Case({"encoding": "bzip2"}, body=lambda data: halves(bz2.compress(data)), refused="truncated: its bzip2 data"),
        Case({"encoding": "gzip"}, body=zlib.compress, refused="not compressed with gzip"),
        Case({"encoding": "ascii"}, body=lambda data: b"1 2 three", refused="no numbers of its type"),
        Case({"encoding": "hex"}, body=lambda data: b"xyz", refused="no hexadecimal digits"),
        Case({"encoding": "zstd"}, refused="its encoding is 'zstd'"),
        Case({}, body=lambda data: data + b"\r\n", said="2 bytes after the last voxel"),
    ],
    "endian": [
        Case({"endian": "big"}, body=lambda data: np.frombuffer(data, "<i2").astype(">i2").tobytes()),
        Case({"endian": None}, refused="its byte order is not stated"),
        Case({"endian": "middle"}, refused="its byte order is 'middle'"),
        Case({"endian": None, "type": "uchar"}, values=lambda stored: stored % 256,
             body=lambda data: np.frombuffer(data, "<i2").astype(np.uint8).tobytes()),
    ],
    "line skip, byte skip": [
        Case({"line skip": 2}, body=lambda data: b"one\ntwo\n" + data),
        Case({"byte skip": 5}, body=lambda data: b"abcde" + data),
        Case({"byte skip": -1}, body=lambda data: b"any header" + data),
        Case({"byte skip": 5, "encoding": "gzip"}, body=lambda data: gzip.compress(b"abcde" + data)),
        Case({"line skip": 1, "byte skip": 2}, body=lambda data: b"one\nab" + data),
        Case({"byte skip": -1, "encoding": "gzip"}, body=gzip.compress, refused="its header skips -1 bytes"),
        Case({"line skip": -3}, refused="its header skips 0 bytes and -3 lines"),
        Case({"byte skip": "many"}, refused="its header has 'many' as byteskip"),
    ],
    "old min, old max": [Case({"old min": 0, "old max": 1.5}, refused="quantised from 0 to 1.5 .*unu unquantize")],
    "thicknesses, centerings, min, max, measurement frame": [
        Case({"thicknesses": "9 9 9", "centerings": "cell cell cell", "min": 0, "max": 7, "sample units": '"HU"',
              "measurement frame": "(1,0,0) (0,1,0) (0,0,1)"}),
    ],
}  # fmt: skip


@pytest.mark.parametrize("case", cases(ROWS))
def test_a_field(tmp_path, case):
    check(write_nrrd(tmp_path / "a.nrrd", case), case)


DETACHED = {
    "one": ({"a.raw": slice(0, None)}, "a.raw"),
    "list": ({"s1": slice(0, 224), "s2": slice(224, 448), "s3": slice(448, None)}, "LIST\ns1\ns2\ns3"),
    "pattern": ({"p07.raw": slice(0, 336), "p09.raw": slice(336, None)}, "p%02d.raw 7 9 2"),
}


@pytest.mark.parametrize("header", ["a.nrrd", "a.nhdr"])
@pytest.mark.parametrize("kind", DETACHED)
def test_data_file(tmp_path, kind, header):
    files, text = DETACHED[kind]
    data = VOXELS.astype("<i2").tobytes()
    for name, part in files.items():
        (tmp_path / name).write_bytes(data[part])
    case = Case({"data file": text}, body=lambda _: b"")
    check(write_nrrd(tmp_path / header, case), case)
    last = tmp_path / list(files)[-1]
    last.write_bytes(last.read_bytes()[:-9])
    with pytest.raises(UserError, match=rf"{last.name}: truncated"):
        read_volume(tmp_path / header)
    last.write_bytes(b"")
    with pytest.raises(UserError, match=rf"{last.name}: the file is empty"):
        read_volume(tmp_path / header)
    last.unlink()
    with pytest.raises(UserError, match=rf"{header}: its voxels are in {last.name}, which is not there"):
        read_volume(tmp_path / header)


@pytest.mark.parametrize(
    "text", [b"", b"NRRD0099\ntype: short\n\n", b"hello", b"NRRD0004\nno field\n\n", b"NRRD0004\n\xff: \xfe\n\n"]
)
def test_what_is_no_nrrd(tmp_path, text):
    (tmp_path / "a.nrrd").write_bytes(text)
    with pytest.raises(UserError, match=r"a.nrrd: (not a NRRD file|the file is empty|its header has)"):
        read_volume(tmp_path / "a.nrrd")


def test_a_pattern_that_would_fill_the_memory(tmp_path):
    for number, pattern in enumerate(("s%d 1 1000000000000", "s%0999999999d 1 6", "s%*d 1 6", "s%d%d 1 6", "s%s 1 6")):
        case = Case({"data file": pattern}, refused=r"names no files of voxels; fetch")
        check(write_nrrd(tmp_path / f"{number}.nhdr", case), case)

"""MetaImage: every field of the table in docs/data.md, read right, said or refused."""

import zlib

import numpy as np
import pytest

from tests.headers import AFFINE, VOXELS, Case, cases, check, straightened, write_metaimage
from xmodbench.data.volumes.io import read_volume
from xmodbench.errors import UserError

MIDDLE = AFFINE.copy()
MIDDLE[:3, 3] = -AFFINE[:3, :3] @ (np.array([7, 6, 5]) / 2)
UPSIDE_DOWN = AFFINE * [1, 1, -1, 1]
NO_MATRIX = {"TransformMatrix": None, "AnatomicalOrientation": None}
# the first axis leans to the second, at its length
LEANING = np.eye(4)
LEANING[:2, 0] = np.array([1, 0.02 * 1.5 / 2]) / np.hypot(1, 0.02)
PACKED = {"CompressedData": "True"}
FOUR = {"NDims": 4, "DimSize": "8 7 6 1", "ElementSpacing": "1.5 2 3 1", "Offset": "-10 -20 -30 0",
        "TransformMatrix": "1 0 0 0 0 1 0 0 0 0 1 0 0 0 0 1"}  # fmt: skip


def big(data):
    return np.frombuffer(data, "<i2").astype(">i2").tobytes()


def damaged(data):
    packed = bytearray(zlib.compress(data))
    packed[len(packed) // 2] ^= 0xFF
    return bytes(packed)


def text(data):
    return " ".join(map(str, np.frombuffer(data, "<i2"))).encode()


ROWS = {
    "ObjectType, NDims, DimSize": [
        Case({}),
        Case(FOUR),
        Case({**FOUR, "DimSize": "8 7 3 2"}, refused=r"a 4-D image \(8x7x3x2\)"),
        Case({"DimSize": "8 7"}, refused="gives the sizes '8 7' for 3 axes"),
        Case({"DimSize": "8 7 x"}, refused="its DimSize is '8 7 x', no numbers"),
        Case({"DimSize": "8 7 0"}, refused="gives the sizes '8 7 0'"),
        Case({"DimSize": "8 7 6.5"}, refused="gives the sizes '8 7 6.5'"),
        Case({"DimSize": "8 7 5"}, refused="holds more voxels than its header says"),
        Case({"DimSize": "8 7 7"}, refused="truncated: 672 of 784 bytes"),
        Case({"DimSize": None}, refused="its header has no DimSize"),
        Case({"NDims": 2, "DimSize": "8 42", "ElementSpacing": "1 1"}, refused="a 2-D image"),
    ],
    "ElementType, ElementNumberOfChannels": [
        Case({"ElementType": "MET_USHORT"}, values=lambda stored: stored.view(np.uint16)),
        Case({"ElementNumberOfChannels": 1}),
        Case({"ElementNumberOfChannels": 3}, refused="3 values per voxel"),
        Case({"ElementType": "MET_SHORT_ARRAY"}, refused="its ElementType is MET_SHORT_ARRAY"),
        Case({"ElementType": "MET_OTHER"}, refused="its ElementType is MET_OTHER"),
        Case({"ElementType": None}, refused="its header has no ElementType"),
    ],
    "BinaryData, BinaryDataByteOrderMSB, ElementByteOrderMSB": [
        Case({"BinaryDataByteOrderMSB": "True"}, body=big),
        Case({"BinaryDataByteOrderMSB": None, "ElementByteOrderMSB": "True"}, body=big),
        Case({"BinaryDataByteOrderMSB": None}, said="its byte order is not stated .BinaryDataByteOrderMSB"),
        Case({"BinaryData": None}),
        Case({"BinaryData": "False"}, body=text),
        Case({"BinaryData": "False"}, body=lambda data: b"1 2 three", refused="no numbers of its type"),
        Case({"BinaryData": "False"}, body=lambda data: text(data)[:-9], refused="truncated"),
    ],
    "CompressedData, CompressedDataSize": [
        Case(PACKED, body=zlib.compress),
        Case({**PACKED, "CompressedDataSize": 9}, body=zlib.compress),
        Case(PACKED, body=lambda data: zlib.compress(data) + bytes(9)),
        Case(PACKED, body=lambda data: zlib.compress(data) + b"\r\n", said="2 bytes after the end of the compressed"),
        Case(PACKED, body=damaged, refused="a.mha: damaged: its zlib data are not sound"),
        Case(PACKED, body=lambda data: zlib.compress(data)[:-2], refused="truncated: its zlib data end early"),
        Case(PACKED, body=lambda data: zlib.compress(data[:-100]), refused="truncated: 572 of 672 bytes"),
        Case(PACKED, refused="damaged"),
    ],
    "TransformMatrix, Rotation, Orientation": [
        Case({"TransformMatrix": "1 0 0 0 1 0 0 0 -1", "AnatomicalOrientation": "???"}, affine=UPSIDE_DOWN),
        Case({"TransformMatrix": None, "Rotation": "1 0 0 0 1 0 0 0 1"}),
        # a row is the direction of an axis
        Case({"TransformMatrix": "0 1 0 1 0 0 0 0 1", "AnatomicalOrientation": None},
             affine=np.array([[0, -2.0, 0, 10], [-1.5, 0, 0, 20], [0, 0, 3, -30], [0, 0, 0, 1]])),
        Case({"TransformMatrix": "1 0.02 0 0 1 0 0 0 1"}, said="not quite perpendicular",
             affine=straightened(AFFINE @ LEANING)),
        Case({"TransformMatrix": "1 0 0 0 0.94 0.342 0 0 1"}, refused="its header shears the voxels"),
        Case({"TransformMatrix": "2 0 0 0 2 0 0 0 2"}, refused="not of length 1, which leaves its voxel size open"),
        Case({"TransformMatrix": "1 0 0 0 1 0 0 0 0"}, refused="not of length 1"),
        Case({"TransformMatrix": "1 0 0 1"}, refused="its TransformMatrix has 4 numbers for 3 axes"),
        Case({"TransformMatrix": "1 0 0 0 nan 0 0 0 1"}, refused="its TransformMatrix is '1 0 0 0 nan"),
        Case(NO_MATRIX, refused="is not known .its header has no TransformMatrix.; set `assume_orient"),
        Case(NO_MATRIX, orientation="LPS", affine=MIDDLE, said="its axes are taken to run to LPS"),
    ],
    "AnatomicalOrientation": [
        # it says where an axis comes from
        Case({"TransformMatrix": None}),
        Case({"TransformMatrix": None, "AnatomicalOrientation": "RAS"}, affine=UPSIDE_DOWN),
        Case({"TransformMatrix": None, "AnatomicalOrientation": "???"}, refused="its orientation is not known"),
        Case({"TransformMatrix": None, "AnatomicalOrientation": "RLA"}, refused="its orientation is not known"),
        Case({"AnatomicalOrientation": "RAS"}, said="run to LPS, AnatomicalOrientation LPI; the matrix is used"),
    ],
    "Offset, Position, Origin": [
        Case({"Offset": None, "Position": "-10 -20 -30"}),
        Case({"Offset": None}, affine=np.hstack([AFFINE[:, :3], [[0], [0], [0], [1]]]), said="its place in the world"),
        Case({"Offset": "1 2"}, refused="its Offset has 2 numbers for 3 axes"),
        Case({"Offset": "1 2 inf"}, refused="its Offset is '1 2 inf'"),
    ],
    "ElementSpacing, ElementSize": [
        Case({"ElementSpacing": None, "ElementSize": "1.5 2 3"}),
        Case({"ElementSize": "1.5 2 9"}),
        Case({"ElementSpacing": None}, refused="does not say how large its voxels are"),
        Case({"ElementSpacing": "1.5 0 3"}, refused="voxel size 1.5 x 0 x 3"),
        Case({"ElementSpacing": "1.5 2"}, refused="voxel size 1.5 x 2"),
    ],
    "DistanceUnits": [
        Case({"DistanceUnits": "mm"}),
        Case({"DistanceUnits": "um", "ElementSpacing": "1500 2000 3000", "Offset": "-10000 -20000 -30000"}),
        Case({"DistanceUnits": "cm", "ElementSpacing": ".15 .2 .3", "Offset": "-1 -2 -3"}),
        Case({"DistanceUnits": "ell"}, refused="its DistanceUnits is 'ell'"),
        Case({"ElementSpacing": "1500 2000 3000"}, refused="its longest side is 1.8e.04 mm: no volume of a person"),
        Case({"ElementSpacing": ".0015 .002 .003"}, refused="its longest side is 0.018 mm"),
    ],
    "ElementToIntensityFunctionSlope, ElementToIntensityFunctionOffset": [
        Case({"ElementToIntensityFunctionSlope": 1, "ElementToIntensityFunctionOffset": 0}),
        Case({"ElementToIntensityFunctionSlope": 2, "ElementToIntensityFunctionOffset": -5},
             values=lambda stored: stored * 2.0 - 5, said="scaled by 2 and -5"),
        Case({"ElementToIntensityFunctionSlope": 0}, refused="its ElementToIntensityFunctionSlope is 0"),
        Case({"ElementToIntensityFunctionSlope": "nan"}, refused="its ElementToIntensityFunctionSlope is 'nan'"),
    ],
    "HeaderSize": [
        Case({"HeaderSize": -1.5}, refused="its HeaderSize is -1.5"),
        Case({"HeaderSize": 0}),
        Case({"HeaderSize": -1}, body=lambda data: b"any header" + data),
        Case({"HeaderSize": 4}, refused="its HeaderSize is 4"),
        Case({"HeaderSize": -1, **PACKED}, body=zlib.compress, refused="its HeaderSize is -1"),
    ],
    "ElementDataFile": [
        Case({"ElementDataFile": "local"}),
        Case({"ElementDataFile": "gone.raw"}, refused="its voxels are in gone.raw, which is not there"),
        Case({"ElementDataFile": "s%d.raw 1 3"}, refused="its voxels are in s1.raw, which is not there"),
        Case({"ElementDataFile": "s%d.raw a b c"}, refused="names no files of voxels|not there"),
    ],
    "Modality, ElementMin, ElementMax, CenterOfRotation": [
        Case({"Modality": "MET_MOD_MR", "ElementMin": 0, "ElementMax": 9, "CenterOfRotation": "1 2 3", "Comment": "a = b"}),
    ],
}  # fmt: skip


@pytest.mark.parametrize("case", cases(ROWS))
def test_a_field(tmp_path, case):
    check(write_metaimage(tmp_path / "a.mha", case), case)


DETACHED = {
    "one": ({"a b.raw": slice(0, None)}, "a b.raw", b""),
    "list": ({f"s{n}": slice(112 * n, 112 * n + 112) for n in range(6)}, "LIST", b"s0\ns1\ns2\ns3\ns4\ns5\n"),
    "list 2D": ({f"s{n}": slice(112 * n, 112 * n + 112) for n in range(6)}, "LIST 2D", b"s0\ns1\ns2\ns3\ns4\ns5\n"),
    "pattern": ({f"s{n}.raw": slice(112 * n - 112, 112 * n) for n in range(1, 7)}, "s%d.raw 1 6 1", b""),
}


@pytest.mark.parametrize("packed", [False, True])
@pytest.mark.parametrize("kind", DETACHED)
def test_voxels_elsewhere(tmp_path, kind, packed):
    files, name, names = DETACHED[kind]
    data = VOXELS.astype("<i2").tobytes()
    for file, part in files.items():
        (tmp_path / file).write_bytes(zlib.compress(data[part]) if packed else data[part])
    case = Case({"ElementDataFile": name, "CompressedData": str(packed)}, body=lambda _: names)
    check(write_metaimage(tmp_path / "a.mhd", case), case)
    last = tmp_path / list(files)[-1]
    last.write_bytes(last.read_bytes()[:-9])
    with pytest.raises(UserError, match=rf"{last.name}: truncated"):
        read_volume(tmp_path / "a.mhd")


def test_a_header_in_the_voxels_own_file(tmp_path):
    (tmp_path / "a.raw").write_bytes(b"sixteen bytes...\n"[:16] + VOXELS.astype("<i2").tobytes())
    case = Case({"ElementDataFile": "a.raw", "HeaderSize": 16}, body=lambda _: b"")
    check(write_metaimage(tmp_path / "a.mhd", case), case)


@pytest.mark.parametrize(
    "text", [b"", b"hello", b"NDims = 3\n", b"NDims = 3\nDimSize", b"\xff" * 99, b"a = 1\na = 2\n"]
)
def test_what_is_no_metaimage(tmp_path, text):
    (tmp_path / "a.mha").write_bytes(text)
    with pytest.raises(UserError, match=r"a.mha: (not a MetaImage file|the file is empty|its header gives a twice)"):
        read_volume(tmp_path / "a.mha")

"""NIfTI-1 and -2: every field of the table in docs/data.md, read right, said or refused."""

import gzip

import nibabel
import numpy as np
import pytest

from tests.headers import AFFINE, VOXELS, Case, cases, check, straightened, write_nifti, write_pair
from xmodbench.data.volumes.io import read_volume
from xmodbench.errors import UserError

NOWHERE = {"qform_code": 0, "sform_code": 0}
NO_SFORM, NO_QFORM = {"sform_code": 0}, {"qform_code": 0}


def rows_of(matrix):
    return {f"srow_{letter}": matrix[row] for row, letter in enumerate("xyz")}


def scaled(factor):
    """A header whose lengths are in another unit."""
    pixdim = np.array([1, 1.5, 2, 3, 1, 1, 1, 1]) * factor
    offsets = {f"qoffset_{letter}": AFFINE[row, 3] * factor for row, letter in enumerate("xyz")}
    return {"pixdim": pixdim, **offsets, **rows_of(AFFINE * factor)}


def sheared(by):
    matrix = AFFINE.copy()
    matrix[0, 1] += by
    return matrix


def flat():
    """Two axes in one direction."""
    matrix = AFFINE.copy()
    matrix[:3, 1] = matrix[:3, 0] * 1.2
    return matrix


def middle_at_origin(diagonal):
    affine = np.diag([*np.multiply(diagonal, (1.5, 2, 3)), 1.0])
    affine[:3, 3] = -affine[:3, :3] @ (np.array([7, 6, 5]) / 2)
    return affine


def dim(*sizes):
    return {"dim": [len(sizes), *sizes, *[1] * (7 - len(sizes))]}


TURNED = np.diag([1.0, -1, 1, 1]) @ AFFINE
ROWS = {
    "sizeof_hdr, magic": [
        Case({}),
        Case({"magic": b"ni1"}, refused="its voxels are in another file"),
        Case({"magic": b""}, refused="an Analyze file does not say how it lies"),
        Case({"sizeof_hdr": 340}, refused="not a NIfTI file"),
    ],
    "dim": [
        Case(dim(8, 7, 6, 1)),
        Case(dim(8, 7, 6, 1, 1)),
        Case(dim(8, 7, 6, 0), said="axes of 0 .* taken as 1"),
        # beyond the number of axes nothing counts
        Case({"dim": [3, 8, 7, 6, 9, 0, 0, 0]}),
        Case(dim(8, 7, 3, 2), refused=r"a 4-D image \(8x7x3x2\); split it"),
        Case(dim(8, 7, 2, 1, 3), refused=r"3 values per voxel \(8x7x2x1x3: vectors\)"),
        Case(dim(8, 7, 3, 2, 1), refused="a 5-D image"),
        Case(dim(8, 7, 0), refused="a size of 8x7x0"),
        Case(dim(8, 7, -6), refused="a size of 8x7x-6"),
        Case(dim(8, 42), refused="a single slice"),
        Case({"dim": [0, 8, 7, 6, 1, 1, 1, 1]}, refused=r"dim\[0\] is 0"),
        Case({"dim": [9, 8, 7, 6, 1, 1, 1, 1]}, refused=r"dim\[0\] is|cannot be understood"),
        Case(dim(8, 7, 5), refused="holds more voxels than its header says"),
        Case(dim(8, 7, 7), refused="truncated: 672 of 784 bytes"),
    ],
    "datatype, bitpix": [
        Case({"datatype": 512, "bitpix": 16}, values=lambda stored: stored.view(np.uint16)),
        Case({"bitpix": 8}, said="bitpix 8 contradicts the datatype, int16"),
        Case({"datatype": 32, "bitpix": 64}, refused="complex numbers"),
        Case({"datatype": 128, "bitpix": 24}, refused="colour"),
        Case({"datatype": 2304, "bitpix": 32}, refused="colour"),
        Case({"datatype": 1536, "bitpix": 128}, refused="no plain grey values|cannot be understood"),
        Case({"datatype": 1, "bitpix": 1}, refused="cannot be understood|no plain"),
        Case({"datatype": 0, "bitpix": 16}, refused="cannot be understood|no plain"),
        Case({"datatype": 77, "bitpix": 16}, refused="datatype 77 is none"),
    ],
    "vox_offset": [
        Case({"vox_offset": 368}, body=lambda data: bytes(16) + data),
        Case({"vox_offset": 0}, refused="vox_offset 0 is not where voxels can begin"),
        Case({"vox_offset": 350}, refused="vox_offset 350"),
        Case({"vox_offset": 1e6}, refused="truncated: 0 of 672 bytes"),
    ],
    "scl_slope, scl_inter": [
        Case({"scl_slope": 2, "scl_inter": -7}, values=lambda stored: stored * 2.0 - 7),
        Case({"scl_slope": -1}, values=lambda stored: -stored),
        Case({"scl_slope": 0, "scl_inter": 200}),
        Case({"scl_slope": np.nan, "scl_inter": 200}),
        Case({"scl_slope": np.inf, "scl_inter": 200}),
        Case({"scl_slope": 0, "scl_inter": np.nan}),
        Case({"scl_slope": 1, "scl_inter": -1024}, values=lambda stored: stored - 1024.0),
        Case({"scl_slope": 2, "scl_inter": np.nan}, refused="scl_inter is nan"),
    ],
    "xyzt_units": [
        Case({"xyzt_units": 2 + 8}),
        Case({"xyzt_units": 1, **scaled(0.001)}),
        Case({"xyzt_units": 3, **scaled(1000)}),
        Case({"xyzt_units": 3 + 16, **scaled(1000), **NO_SFORM}),
        Case({"xyzt_units": 0}, said=r"unit of length is not stated \(xyzt_units 0\) and taken as mm"),
        Case({"xyzt_units": 5}, said="taken as mm"),
        Case({"xyzt_units": 0, **scaled(0.001)}, said="taken as m,"),
        Case({"xyzt_units": 0, **scaled(1000)}, said="taken as um"),
        Case({"xyzt_units": 0, **scaled(1e-6)}, refused="fits neither mm, m nor um"),
        Case({"xyzt_units": 1}, refused="its longest side is 1.8e.04 mm: no volume of a person"),
        Case({"xyzt_units": 3}, refused="its longest side is 0.018 mm"),
    ],
    "pixdim": [
        Case({"pixdim": [1, 1.5, 0, 3, 1, 1, 1, 1]}, refused="voxel size 1.5 x 0 x 3 mm"),
        Case({"pixdim": [1, 1.5, np.nan, 3, 1, 1, 1, 1]}, refused="voxel size 1.5 x nan x 3"),
        Case({"pixdim": [1, 1.5, -2, 3, 1, 1, 1, 1]}, refused="voxel size 1.5 x -2 x 3"),
        Case({"pixdim": [1, 1, 1, 1, 1, 1, 1, 1], **NO_QFORM}, said="pixdim says voxels of 1 x 1 x 1 mm.*the sform is used"),
        # a sign of 0 is 1, and a sign of -1 turns the third axis about
        Case({"pixdim": [0, 1.5, 2, 3, 1, 1, 1, 1], **NO_SFORM}),
        Case({"pixdim": [-1, 1.5, 2, 3, 1, 1, 1, 1], **NO_SFORM}, affine=AFFINE * [1, 1, -1, 1]),
    ],
    "sform_code, qform_code": [
        Case(NO_SFORM),
        Case(NO_QFORM),
        Case({"sform_code": 4, "qform_code": 2}),
        Case(NOWHERE, refused="its orientation is not known .qform_code and sform_code are 0.; set `assume_orientation`"),
        Case({"qform_code": -1, "sform_code": -2}, refused="its orientation is not known"),
        Case(NOWHERE, orientation="LPS", affine=middle_at_origin((-1, -1, 1)), said="its axes are taken to run to LPS"),
        Case(NOWHERE, orientation="LAS", affine=middle_at_origin((-1, 1, 1)), said="its middle to lie at the origin"),
        # the setting is for files that do not say it
        Case({}, orientation="RAS"),
    ],
    "srow_x, srow_y, srow_z": [
        Case({**rows_of(TURNED), **NO_QFORM}, affine=TURNED),
        Case(rows_of(TURNED), affine=TURNED, said="sform and qform place the volume's corners up to .* mm apart"),
        Case({**rows_of(sheared(0.05)), **NO_QFORM}, affine=straightened(sheared(0.05)), said="corners by 0.2 mm"),
        Case({**rows_of(sheared(0.9)), **NO_QFORM}, refused="its header shears the voxels"),
        Case({**rows_of(AFFINE * np.nan), **NO_QFORM}, refused="its sform is no position in space"),
        Case({**rows_of(AFFINE * 0), **NO_QFORM}, refused="its sform is no position in space|fits neither"),
        Case({**rows_of(flat()), **NO_QFORM}, refused="its axes are no directions in space"),
    ],
    "quatern_b, _c, _d, qoffset_x, _y, _z": [
        Case({"quatern_d": 1.0000012, **NO_SFORM}, said="a little longer than 1"),
        Case({"quatern_d": 1.0000012}, said="^its qform's quaternion is a little longer than 1 and shortened$"),
        Case({"quatern_b": 0.5, "quatern_d": 1.0}, said="its quaternion has a length of 1.12.; the sform"),
        Case({"quatern_b": 0.5, "quatern_d": 1.0, **NO_SFORM}, refused="its qform is no position .*and it has no sform"),
        Case({"qoffset_x": np.nan}, said="its qform is no position .not finite.; the sform is used"),
        Case({"quatern_c": np.inf, **NO_SFORM}, refused="its qform is no position .not finite."),
    ],
    "intent_code": [
        Case({"intent_code": 1011}),
        Case({"intent_code": 1002}, said=r"intent_code 1002 \(label\).*taken as grey values"),
        Case({"intent_code": 3}, said=r"intent_code 3 \(t test\)"),
        Case({"intent_code": 999}, said="intent_code 999"),
    ],
    "cal_min, cal_max, descrip, slice_code, toffset, dim_info": [
        Case({"cal_min": 5, "cal_max": 6, "descrip": b"x", "slice_code": 3, "toffset": 9, "dim_info": 27}),
    ],
}  # fmt: skip


@pytest.mark.parametrize("case", cases(ROWS))
@pytest.mark.parametrize("form", ["a.nii", "a.nii.gz"])
def test_a_field(tmp_path, case, form):
    check(write_nifti(tmp_path / form, case), case)


@pytest.mark.parametrize("case", cases({"dim": [Case({})], "scl_slope": ROWS["scl_slope, scl_inter"][0:1]}))
def test_nifti_2_and_the_other_byte_order(tmp_path, case):
    check(write_nifti(tmp_path / "a.nii", case, nibabel.Nifti2Header), case)
    check(write_nifti(tmp_path / "b.nii.gz", case, nibabel.Nifti2Header, ">"), case)
    check(write_nifti(tmp_path / "c.nii.gz", case, nibabel.Nifti1Header, ">"), case)


ELSEWHERE = ("sizeof_hdr, magic", "vox_offset")
ALIKE = {
    row: [case for case in of if not (case.refused or "").startswith(("truncated", "holds more"))]
    for row, of in ROWS.items()
    if row not in ELSEWHERE
}


@pytest.mark.parametrize("case", cases(ALIKE))
@pytest.mark.parametrize("form", ["a.hdr", "a.hdr.gz"])
def test_a_field_of_a_pair(tmp_path, case, form):
    check(write_pair(tmp_path / form, case), case)


@pytest.mark.parametrize("name", ["a.hdr", "A.HDR"])
def test_pairs_of_nifti_2_with_an_offset_and_the_other_byte_order(tmp_path, name):
    case = Case({"vox_offset": 16}, body=lambda data: b"sixteen bytes..." + data)
    path = tmp_path / name
    check(write_pair(path, case, nibabel.Nifti2Header, ">"), case)
    (image,) = (file for file in tmp_path.iterdir() if file != path)
    image.rename(path.with_suffix(".IMG"))
    check(path, case)
    path.with_suffix(".IMG").rename(tmp_path / f"{path.stem}.img.gz")
    packed = tmp_path / f"{path.stem}.img.gz"
    packed.write_bytes(gzip.compress(packed.read_bytes()))
    check(path, case)


PAIRS = {
    "no image": (lambda hdr, img: img.unlink(), r"a.hdr: its voxels are in an .img file, which is not there; put that"),
    "empty image": (lambda hdr, img: img.write_bytes(b""), r"a.img: the file is empty"),
    "half an image": (lambda hdr, img: img.write_bytes(img.read_bytes()[:99]), r"a.img: truncated: 99 of 672 bytes"),
    "too large an image": (lambda hdr, img: img.write_bytes(img.read_bytes() * 2), r"a.img: holds more voxels than"),
    "two images": (lambda hdr, img: img.with_name("a.img.gz").write_bytes(b"x"), r"a.hdr: its voxels may be in a.img and a"),
    "damaged gzip": (
        lambda hdr, img: img.rename(img.with_name("a.img.gz")).write_bytes(gzip.compress(img.name.encode())[:-4]),
        r"a.img.gz: (truncated|damaged)",
    ),
    "one file": (lambda hdr, img: write_nifti(hdr, Case({})), r"a.hdr: its voxels are in its own file.*name it .nii"),
    "named .nii": (lambda hdr, img: hdr.rename(hdr.with_name("a.nii")), r"a.nii: its voxels are in another file"),
    "Analyze": (lambda hdr, img: write_pair(hdr, Case({"magic": b""})), r"a.hdr: .*an Analyze file does not say how it"),
    "text": (lambda hdr, img: hdr.write_text("ENVI\nsamples = 3\n"), r"a.hdr: not a NIfTI file"),
    "packed": (lambda hdr, img: hdr.write_bytes(gzip.compress(hdr.read_bytes())), r"a.hdr: compressed with gzip.*\.hdr\.gz"),
}  # fmt: skip


@pytest.mark.fault(
    "volumes",
    "a NIfTI pair without its image, with two, with a damaged one, or of Analyze 7.5",
    "one line with the file, what is wrong and what to do; its subject is left out, the others go on",
)
@pytest.mark.parametrize("name", PAIRS)
def test_a_pair_that_is_none(tmp_path, name):
    spoil, expected = PAIRS[name]
    path = write_pair(tmp_path / "a.hdr", Case({}))
    spoil(path, tmp_path / "a.img")
    with pytest.raises(UserError, match=expected):
        read_volume(path if path.exists() else tmp_path / "a.nii")


def test_a_name_that_contradicts_the_compression(tmp_path):
    write_nifti(tmp_path / "a.nii", Case({})).rename(tmp_path / "a.nii.gz")
    with pytest.raises(UserError, match=r"a.nii.gz: not compressed with gzip; name it .nii"):
        read_volume(tmp_path / "a.nii.gz")
    write_nifti(tmp_path / "b.nii.gz", Case({})).rename(tmp_path / "b.nii")
    with pytest.raises(UserError, match=r"b.nii: compressed with gzip.*name it .nii.gz"):
        read_volume(tmp_path / "b.nii")


def test_voxels_agree_with_nibabel(tmp_path):
    for number, (kind, code) in enumerate(
        {"u1": 2, "i1": 256, "i4": 8, "u4": 768, "f4": 16, "f8": 64, "i8": 1024}.items()
    ):
        stored = np.abs(VOXELS) % 100
        fields = {"datatype": code, "bitpix": 8 * np.dtype(kind).itemsize, "scl_slope": 0.25, "scl_inter": 3}
        case = Case(
            fields,
            values=lambda _, s=stored: s * 0.25 + 3,
            body=lambda _, k=kind, s=stored: s.astype(f"<{k}").tobytes(),
        )
        check(write_nifti(tmp_path / f"{number}.nii", case), case)


@pytest.mark.parametrize("value", [np.nan, np.inf, 1e39])
def test_values_that_are_none_in_float32(tmp_path, value):
    values = VOXELS.astype("<f8")
    values[1, 2, :3] = value
    case = Case({"datatype": 64, "bitpix": 64}, refused="3 voxels are NaN or infinite", body=lambda _: values.tobytes())
    check(write_nifti(tmp_path / "a.nii", case), case)


def test_an_extension_is_passed_over(tmp_path):
    extension = (32).to_bytes(4, "little") + (6).to_bytes(4, "little") + b"a comment" + bytes(15)
    case = Case({"vox_offset": 384}, body=lambda data: extension + data)
    data = bytearray(write_nifti(tmp_path / "a.nii", case).read_bytes())
    data[348] = 1
    (tmp_path / "a.nii").write_bytes(data)
    check(tmp_path / "a.nii", case)
    assert gzip.decompress(gzip.compress(bytes(data))) == data

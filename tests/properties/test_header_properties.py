"""Volumes with any damage to their headers: read with a finite place and voxels, or refused in a line with the file."""

from __future__ import annotations

import bz2
import gzip
import resource
import time
import zlib
from collections.abc import Callable
from functools import cache
from pathlib import Path
from tempfile import TemporaryDirectory

import nibabel
import numpy as np
import pytest
import SimpleITK as sitk
from hypothesis import given
from hypothesis import strategies as st

from tests.headers import Case, check, write_metaimage, write_nifti, write_nrrd, write_pair
from tests.properties.lines import check_line, hostile
from xmodbench.data.volumes import streams
from xmodbench.data.volumes.elsewhere import volume_files
from xmodbench.data.volumes.io import read_volume
from xmodbench.errors import UserError

SECONDS, MEGABYTES = 5.0, 200
"""That a volume of a few hundred bytes may take at most, however busy the machine."""


def check_reading(path: Path) -> None:
    """Read a volume, which takes no time and memory to speak of, and find everything finite; or a line that names it."""
    began, held = time.process_time(), peak_mb()
    try:
        image = read_volume(path, remark=lambda clause: check_line(Exception(clause)))
    except UserError as error:
        check_line(error, about=path.parent)
    else:
        place = [*image.GetSpacing(), *image.GetOrigin(), *image.GetDirection()]
        assert np.isfinite(place).all() and min(image.GetSpacing()) > 0 and min(image.GetSize()) > 1
        axes = np.reshape(image.GetDirection(), (3, 3))
        assert np.abs(axes.T @ axes - np.eye(3)).max() < 1e-3
        assert np.isfinite(sitk.GetArrayViewFromImage(image)).all()
    volume_files(path)
    assert time.process_time() - began < SECONDS and peak_mb() - held < MEGABYTES


def peak_mb() -> float:
    return resource.getrusage(resource.RUSAGE_SELF).ru_maxrss / 1024


@cache
def folder() -> TemporaryDirectory:
    return TemporaryDirectory(prefix="xmodbench-test-")


def place(name: str) -> Path:
    return Path(folder().name) / name


floats = st.floats(width=32) | st.sampled_from([0.0, 1.0, -1.0, 3.4e38, 1e-30])
NIFTI = nibabel.Nifti1Header.template_dtype
OLD = ("sizeof_hdr", "extents", "session_error", "regular", "glmax", "glmin")
"""Fields of Analyze, or none to be changed here."""
FIELDS = [name for name in NIFTI.names if NIFTI[name].base.kind in "iuf" and name not in OLD]


def values_of(name: str, of: np.dtype) -> st.SearchStrategy:
    """Values that a field of a kind of NIfTI header can hold."""
    kind, shape, single = of[name].base, of[name].shape, floats
    if kind.kind in "iu":
        low, high = int(np.iinfo(kind).min), int(np.iinfo(kind).max)
        single = st.integers(low, high) | st.integers(max(low, -2), min(high, 8))
    return st.lists(single, min_size=shape[0], max_size=shape[0]) if shape else single


WRITTEN: dict[str, Callable[..., Path]] = {"a.nii": write_nifti, "a.nii.gz": write_nifti, "a.hdr": write_pair}
kinds = st.sampled_from([(nibabel.Nifti1Header, "<"), (nibabel.Nifti1Header, ">"), (nibabel.Nifti2Header, "<")])


@pytest.mark.fault(
    "volumes",
    "any fields or bytes of a header, of NIfTI, NRRD or MetaImage, are other than they were",
    "read with a finite place and finite voxels, or one line with the file; no other error, no hang, no memory filled",
)
@given(
    st.data(),
    st.lists(st.sampled_from(FIELDS), min_size=1, max_size=3, unique=True),
    st.sampled_from(sorted(WRITTEN)),
    kinds,
)
def test_fields_of_nifti(data, names, form, kind):
    fields = {name: data.draw(values_of(name, kind[0].template_dtype), label=name) for name in names}
    check_reading(WRITTEN[form](place(form), Case(fields), *kind))


@given(
    st.lists(st.tuples(st.integers(0, 539), st.binary(min_size=1, max_size=8)), min_size=1, max_size=3),
    kinds,
    st.booleans(),
)
def test_bytes_of_nifti(changes, kind, packed):
    path = write_nifti(place("a.nii"), Case({}), *kind)
    content = bytearray(path.read_bytes())
    for at, piece in changes:
        content[at : at + len(piece)] = piece
    path = path if not packed else place("a.nii.gz")
    path.write_bytes(gzip.compress(content) if packed else content)
    check_reading(path)


numbers = st.one_of(
    st.integers(),
    floats,
    st.sampled_from(["nan", "-inf", "1e400", "1e308", "9" * 400, "0x10", "1_0", "٣", "", "-0", "1e-320"]),
).map(str)
texts = st.one_of(
    hostile, numbers, st.lists(numbers, max_size=10).map(" ".join),
    st.lists(st.lists(numbers, min_size=2, max_size=4).map(lambda row: f"({','.join(row)})"), max_size=4).map(" ".join),
    st.sampled_from(["LOCAL", "LIST", "LIST 2", "raw", "gzip", "bzip2", "text", "hex", "True", "False", "none", "/dev/zero",
                     ".", "%d 1 9", "s%d 1 99999999999 1", "%999999999d 1 2", "MET_SHORT", "MET_DOUBLE", "int64",
                     "domain list space", "left-posterior-superior", '"mm" "mm" "mm"', '"um" "m"', "RAI",
                     "1 0 0 0 1 0 0 0 1"]),
)  # fmt: skip
NRRD = ["type", "dimension", "space", "space dimension", "sizes", "space directions", "kinds", "endian", "encoding",
        "space origin", "space units", "units", "spacings", "line skip", "byte skip", "data file", "old min",
        "labels"]  # fmt: skip
META = ["ObjectType", "NDims", "BinaryData", "BinaryDataByteOrderMSB", "CompressedData", "CompressedDataSize", "Offset",
        "TransformMatrix", "AnatomicalOrientation", "ElementSpacing", "ElementSize", "DimSize", "ElementType", "HeaderSize",
        "ElementDataFile", "DistanceUnits", "ElementToIntensityFunctionSlope", "ElementToIntensityFunctionOffset",
        "ElementNumberOfChannels"]  # fmt: skip


def write_text(write: Callable[..., Path], path: Path, fields: dict[str, str | None]) -> Path:
    """A header of text; halves of characters and line breaks as they come."""
    lines = {name: value and value.encode("utf-8", "replace").decode() for name, value in fields.items()}
    return write(path, Case(lines))


@given(
    st.dictionaries(st.sampled_from(NRRD), texts | st.none(), min_size=1, max_size=3),
    st.sampled_from(["a.nrrd", "a.nhdr"]),
)
def test_fields_of_nrrd(fields, name):
    check_reading(write_text(write_nrrd, place(name), fields))


@given(
    st.dictionaries(st.sampled_from(META), texts | st.none(), min_size=1, max_size=3),
    st.sampled_from(["a.mha", "a.mhd"]),
)
def test_fields_of_metaimage(fields, name):
    check_reading(write_text(write_metaimage, place(name), fields))


@given(st.data(), st.sampled_from(["a.nrrd", "a.mha"]))
def test_bytes_of_text_headers(data, name):
    path = (write_nrrd if name == "a.nrrd" else write_metaimage)(place(name), Case({}))
    content = path.read_bytes()
    for _ in range(data.draw(st.integers(1, 3))):
        at, length = data.draw(st.integers(0, 420)), data.draw(st.integers(0, 30))
        content = content[:at] + data.draw(st.binary(max_size=6)) + content[at + length :]
    path.write_bytes(content)
    check_reading(path)


@given(st.binary(max_size=600), st.sampled_from(["a.nii", "a.nii.gz", "b.hdr", "a.nrrd", "a.nhdr", "a.mha", "a.mhd"]))
def test_bytes_of_nothing(content, name):
    place(name).write_bytes(content)
    check_reading(place(name))


SWOLLEN = {
    "a.nii.gz": (write_nifti, {}, lambda data: data),
    "a.hdr.gz": (write_pair, {}, lambda data: data),
    "a.nrrd": (write_nrrd, {"encoding": "gzip"}, gzip.compress),
    "b.nrrd": (write_nrrd, {"encoding": "bzip2"}, bz2.compress),
    "a.mha": (write_metaimage, {"CompressedData": "True"}, zlib.compress),
}


@pytest.mark.fault(
    "volumes",
    "a compressed volume swells far beyond what its header says",
    "one line with the file, before memory is filled",
)
@pytest.mark.parametrize("name", SWOLLEN)
def test_a_stream_that_would_fill_the_memory(tmp_path, monkeypatch, name):
    """A few kilobytes that become as many megabytes as one likes."""
    made = []
    pieces = streams._pieces
    monkeypatch.setattr(streams, "_SPARE", 1 << 21)
    monkeypatch.setattr(
        streams, "_pieces", lambda *given: (made.append(len(piece)) or piece for piece in pieces(*given))
    )
    write, fields, pack = SWOLLEN[name]
    path = write(tmp_path / name, Case(fields, body=lambda data: pack(data + b"\1" * (8 << 20))))
    with pytest.raises(UserError, match=r"holds far more data than its header says; correct") as caught:
        read_volume(path)
    check_line(caught.value, about=tmp_path)
    assert max(made) <= 1 << 20 and sum(made) < 4 << 20


@pytest.mark.parametrize("name", SWOLLEN)
def test_a_stream_with_a_little_more_is_read(tmp_path, name):
    write, fields, pack = SWOLLEN[name]
    case = Case(fields, body=lambda data: pack(data + bytes(3 << 20)))
    check(write(tmp_path / name, case), case)

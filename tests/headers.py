"""Small volumes whose headers are written field by field, and what reading them is held against."""

from __future__ import annotations

import gzip
import re
from collections.abc import Callable
from dataclasses import dataclass
from pathlib import Path

import nibabel
import numpy as np
import pytest
import SimpleITK as sitk
from scipy.linalg import polar

from xmodbench.data.volumes.io import read_volume
from xmodbench.data.volumes.resample import affine_ras
from xmodbench.errors import UserError

# [z, y, x]: no two sizes alike, and every value in its place to be told by
VOXELS = (np.arange(6 * 7 * 8, dtype=np.int16).reshape(6, 7, 8) * 3 - 200).astype(np.int16)
SPACING = (1.5, 2.0, 3.0)
AFFINE = np.array([[-1.5, 0, 0, 10], [0, -2.0, 0, 20], [0, 0, 3.0, -30], [0, 0, 0, 1]])
"""To RAS mm: the axes run to left, back and head."""


@dataclass(frozen=True)
class Case:
    """Fields of a header that differ from a plain one, and what is right then.

    Args:
        fields: by name; None leaves a field out.
        refused: expression that the one line of the refusal matches.
        said: expression that what is said matches; nothing may be said where it is None.
        values: the grey values, of `VOXELS` as stored.
        affine: to RAS mm.
        orientation: the setting `assume_orientation`.
        body: the bytes of the voxels, of those that a plain file would have.
    """

    fields: dict[str, object]
    refused: str | None = None
    said: str | None = None
    values: Callable[[np.ndarray], np.ndarray] = lambda stored: stored
    affine: np.ndarray | None = None
    orientation: str | None = None
    body: Callable[[bytes], bytes] = lambda data: data


def straightened(matrix: np.ndarray) -> np.ndarray:
    """A 4x4 matrix with the nearest axes that are perpendicular, of the same lengths."""
    lengths, result = np.linalg.norm(matrix[:3, :3], axis=0), matrix.copy()
    result[:3, :3] = polar(matrix[:3, :3] / lengths)[0] * lengths
    return result


def cases(rows: dict[str, list[Case]]) -> list:
    """Parameters of a test, named by the row and a running number."""
    return [pytest.param(case, id=f"{row} {number}") for row, of in rows.items() for number, case in enumerate(of)]


def check(path: Path, case: Case) -> None:
    """Read a file that was written for a case, and hold it against what is right."""
    said: list[str] = []
    if case.refused is not None:
        with pytest.raises(UserError, match=case.refused) as caught:
            read_volume(path, orientation=case.orientation, remark=said.append)
        text = str(caught.value)
        assert path.name in text and "\n" not in text and ";" in text
        assert "Error" not in text and "Traceback" not in text
        return
    image = read_volume(path, orientation=case.orientation, remark=said.append)
    np.testing.assert_array_equal(sitk.GetArrayFromImage(image), np.float32(case.values(VOXELS)))
    np.testing.assert_allclose(affine_ras(image), AFFINE if case.affine is None else case.affine, atol=1e-3)
    clauses = "; ".join(said)
    if case.said is None:
        assert not clauses
    else:
        assert re.search(case.said, clauses), clauses


def write_nifti(path: Path, case: Case, kind: type = nibabel.Nifti1Header, order: str = "<") -> Path:
    """A NIfTI file with an sform and a qform of `AFFINE`, in mm."""
    header = kind(endianness=order)
    header.set_data_shape(VOXELS.shape[::-1])
    header.set_data_dtype(np.int16)
    header.set_xyzt_units("mm")
    header.set_qform(AFFINE, 1)
    header.set_sform(AFFINE, 1)
    header["vox_offset"], header["scl_slope"], header["scl_inter"] = header.single_vox_offset, 1, 0
    header["magic"] = header.single_magic
    for name, value in case.fields.items():
        header[name] = value
    body = case.body(VOXELS.astype(f"{order}i2").tobytes())
    data = header.binaryblock + bytes(4) + body
    path.write_bytes(gzip.compress(data, mtime=0) if path.name.endswith(".gz") else data)
    return path


def write_nrrd(path: Path, case: Case) -> Path:
    """A raw NRRD file."""
    fields = {
        "type": "int16", "dimension": 3, "space": "right-anterior-superior", "sizes": "8 7 6",
        "space directions": "(-1.5,0,0) (0,-2,0) (0,0,3)", "kinds": "domain domain domain", "endian": "little",
        "encoding": "raw", "space origin": "(10,20,-30)", "space units": '"mm" "mm" "mm"', **case.fields,
    }  # fmt: skip
    lines = "".join(f"{name}: {value}\n" for name, value in fields.items() if value is not None)
    path.write_bytes(f"NRRD0005\n# made for a test\n{lines}\n".encode() + case.body(VOXELS.astype("<i2").tobytes()))
    return path


def write_metaimage(path: Path, case: Case) -> Path:
    """A MetaImage file, its voxels within unless ElementDataFile says otherwise."""
    fields = {
        "ObjectType": "Image", "NDims": 3, "BinaryData": "True", "BinaryDataByteOrderMSB": "False",
        "CompressedData": "False", "TransformMatrix": "1 0 0 0 1 0 0 0 1", "Offset": "-10 -20 -30",
        "AnatomicalOrientation": "RAI", "ElementSpacing": "1.5 2 3", "DimSize": "8 7 6", "ElementType": "MET_SHORT",
        "ElementDataFile": "LOCAL", **case.fields,
    }  # fmt: skip
    lines = [f"{name} = {value}\n" for name, value in fields.items() if value is not None and name != "ElementDataFile"]
    text = "".join([*lines, f"ElementDataFile = {fields['ElementDataFile']}\n"])
    path.write_bytes(text.encode() + case.body(VOXELS.astype("<i2").tobytes()))
    return path


def write_pair(path: Path, case: Case, kind: type = nibabel.Nifti1Header, order: str = "<") -> Path:
    """A NIfTI pair: the header at `path` (``.hdr``), its voxels beside it (``.img``), both compressed where it is."""
    packed = path.name.endswith(".gz")
    write_nifti(path, Case({"magic": kind.pair_magic, "vox_offset": 0, **case.fields}, body=lambda _: b""), kind, order)
    content = VOXELS.astype(f"{order}i2").tobytes()
    image = path.with_name(re.sub(r"(?i)\.hdr", ".img", path.name))
    image.write_bytes(gzip.compress(case.body(content), mtime=0) if packed else case.body(content))
    return path

"""NIfTI-1 and NIfTI-2, files and pairs: what decides a voxel's value and place is read, said or refused."""

from __future__ import annotations

import struct
import zlib
from contextlib import suppress
from math import prod
from pathlib import Path

import nibabel
import numpy as np
import SimpleITK as sitk
from nibabel.spatialimages import HeaderDataError
from nibabel.wrapstruct import WrapStructError

from xmodbench.data.volumes.elsewhere import PAIRED, images_of
from xmodbench.data.volumes.nifti_position import positions
from xmodbench.data.volumes.placing import UNITS, Frame, Stored, judged_unit
from xmodbench.data.volumes.streams import FETCH_AGAIN, decompressed, exactly, read_bytes
from xmodbench.errors import UserError

_KINDS = {348: nibabel.Nifti1Header, 540: nibabel.Nifti2Header}
_UNIT_CODES = {1: "m", 2: "mm", 3: "um"}
_PAIRS, _SINGLE = (b"ni1\0", b"ni2\0"), (b"n+1\0", b"n+2\0")


def read_nifti(path: Path) -> Stored:
    """A NIfTI file, or pair by its header, read to its end, with the CRC of a compressed one checked.

    Raises:
        UserError: it is damaged, holds anything but one volume of grey values, or its header contradicts itself.
    """
    remarks: list[str] = []
    data = _uncompressed(path, remarks)
    paired = path.name.lower().endswith(PAIRED)
    try:
        header = _header(data, path, paired)
        size, kind = _size(header, path, remarks), _kind(header, path, remarks)
        mm = _unit(header, size, path, remarks)
        affine = positions(header, size, mm, path, remarks)
        offset = _offset(header, path, paired)
        slope, intercept = _scaling(header, path)
    except (HeaderDataError, LookupError, ValueError, OverflowError) as error:
        text = " ".join(str(error).split())
        raise UserError(f"its header cannot be understood ({text})", path, FETCH_AGAIN) from None
    _intent(header, remarks)
    count = prod(size)
    needed, one = count * kind.itemsize, size[0] * size[1] * kind.itemsize
    image, data = _image(path, remarks, offset + needed) if paired else (path, data)
    voxels = np.frombuffer(exactly(memoryview(data)[offset:], needed, one, image, remarks), kind, count)
    spacing = tuple(float(value) * mm for value in header["pixdim"][1:4])
    unstated = "qform_code and sform_code are 0"
    frame = _frame(path) if affine is not None and _is_plain(header, affine) else None
    return Stored(voxels.reshape(size[::-1]), affine, spacing, unstated, slope, intercept, frame, remarks)


def nifti_header(path: Path) -> nibabel.Nifti1Header:
    """The header of a file that `read_nifti` reads, as it stands there.

    Raises:
        UserError: it is none.
    """
    return _header(_uncompressed(path, []), path, path.name.lower().endswith(PAIRED))


def _uncompressed(path: Path, remarks: list[str], needed: int | None = None) -> bytes:
    data = read_bytes(path)
    packed, named = data[:2] == b"\x1f\x8b", path.name.lower().endswith(".gz")
    ending = path.name[-7:-3] if named else path.name[-4:]
    if named and not packed and _sizeof_hdr(data)[0] in _KINDS:
        raise UserError("not compressed with gzip", path, f"name it {ending}, which is what it is")
    if packed and not named and not ending.lower() == ".img":
        raise UserError("compressed with gzip, which its name does not say", path, f"name it {ending}.gz")
    return (
        decompressed(data, "gzip", path, remarks, needed if needed is not None else _promised(data)) if named else data
    )


def _promised(data: bytes) -> int:
    """How long the header of a compressed file says that it is; 0 where it says nothing that can be understood."""
    with suppress(zlib.error, WrapStructError, HeaderDataError, KeyError, ValueError):
        head = zlib.decompressobj(31).decompress(data, 540)
        size, order = _sizeof_hdr(head)
        header = _KINDS[size](head[:size], order, check=False)
        sizes = (max(1, int(n)) for n in header["dim"][1:])
        return (
            int(header["vox_offset"])
            + prod(sizes) * max(1, abs(int(header["bitpix"])), 8 * header.get_data_dtype().itemsize) // 8
        )
    return 0


def _sizeof_hdr(data: bytes) -> tuple[int, str]:
    """Size of the header, 0 for one that is none, and its byte order."""
    orders = ((struct.unpack(f"{order}i", data[:4])[0], order) for order in "<>") if len(data) >= 4 else ()
    return next(((size, order) for size, order in orders if size in _KINDS), (0, "<"))


def _image(header: Path, remarks: list[str], needed: int) -> tuple[Path, bytes]:
    """The file with the voxels of a pair, and its bytes."""
    found = images_of(header)
    if not found:
        raise UserError("its voxels are in an .img file, which is not there", header, "put that file beside it")
    if len(found) > 1:
        names = " and ".join(path.name for path in found)
        raise UserError(f"its voxels may be in {names}", header, "remove the wrong one")
    return found[0], _uncompressed(found[0], remarks, needed)


def _header(data: bytes, path: Path, paired: bool) -> nibabel.Nifti1Header:
    """The header as nibabel reads it; nothing in it is corrected."""
    size, order = _sizeof_hdr(data)
    if not size:
        raise UserError("not a NIfTI file", path, FETCH_AGAIN)
    try:
        header = _KINDS[size](data[:size], order, check=False)
    except (WrapStructError, HeaderDataError) as error:
        raise UserError(f"not a NIfTI file, or truncated in its header ({error})", path, FETCH_AGAIN) from None
    magic = bytes(header["magic"].tobytes()[:4])
    if magic in _PAIRS and not paired:
        raise UserError("its voxels are in another file (.img)", path, "name it .hdr and put its .img file beside it")
    if magic in _SINGLE and paired:
        raise UserError("its voxels are in its own file, as its magic says", path, "name it .nii")
    if magic not in (*_PAIRS, *_SINGLE):
        problem = f"not a NIfTI file: its magic is {magic!r}; an Analyze file does not say how it lies"
        raise UserError(problem, path, "convert it to NIfTI from the original")
    return header


def _size(header: nibabel.Nifti1Header, path: Path, remarks: list[str]) -> tuple[int, ...]:
    dim = [int(n) for n in header["dim"]]
    if not 1 <= dim[0] <= 7:
        raise UserError(f"dim[0] is {dim[0]}, not a number of axes", path, FETCH_AGAIN)
    size, more = tuple([*dim[1 : dim[0] + 1], 1, 1][:3]), dim[4 : dim[0] + 1]
    if min(size) < 1 or min(more, default=1) < 0:
        raise UserError(f"a size of {'x'.join(map(str, dim[1 : dim[0] + 1]))} in its header", path, FETCH_AGAIN)
    if 0 in more:
        remarks.append("axes of 0 after the third in its header are taken as 1")
    if max(more, default=1) > 1:
        shape, values = "x".join(map(str, dim[1 : dim[0] + 1])), dim[5:6] if dim[4] <= 1 else []
        problem = f"a {dim[0]}-D image ({shape})"
        if values and max(dim[6 : dim[0] + 1], default=1) <= 1:
            problem = f"{values[0]} values per voxel ({shape}: vectors)"
        raise UserError(problem, path, "split it and give one 3-D volume per modality")
    return size


def _kind(header: nibabel.Nifti1Header, path: Path, remarks: list[str]) -> np.dtype:
    try:
        kind = header.get_data_dtype()
    except (HeaderDataError, KeyError):
        raise UserError(
            f"its header cannot be understood (datatype {int(header['datatype'])} is none)", path, FETCH_AGAIN
        ) from None
    if kind.names or kind.kind not in "iuf" or kind.itemsize > 8:
        what = "colour" if kind.names else "complex numbers" if kind.kind == "c" else f"datatype {header['datatype']}"
        raise UserError(f"its voxels are no plain grey values ({what})", path, "give a gray volume")
    if int(header["bitpix"]) != 8 * kind.itemsize:
        remarks.append(f"bitpix {header['bitpix']} contradicts the datatype, {kind.name}, which is used")
    return kind


def _offset(header: nibabel.Nifti1Header, path: Path, paired: bool) -> int:
    """Where voxels begin."""
    offset, least = float(header["vox_offset"]), 0 if paired else int(header.single_vox_offset)
    if not np.isfinite(offset) or offset < least or offset % 1:
        raise UserError(
            f"vox_offset {offset:g} is not where voxels can begin (from {least} on)", path, "convert the file again"
        )
    return int(offset)


def _unit(header: nibabel.Nifti1Header, size: tuple[int, ...], path: Path, remarks: list[str]) -> float:
    """Millimetres per unit of length."""
    voxel = np.array(header["pixdim"][1:4], float)
    if not np.isfinite(voxel).all() or voxel.min() <= 0:
        given = " x ".join(f"{value:g}" for value in voxel)
        raise UserError(f"voxel size {given} mm in the header", path, "correct pixdim[1..3]; all must be above 0")
    code = int(header["xyzt_units"]) & 7
    if code in _UNIT_CODES:
        return UNITS[_UNIT_CODES[code]]
    affine = header.get_sform() if header["sform_code"] > 0 else np.diag([*voxel, 1])
    sides = np.linalg.norm(affine[:3, :3], axis=0) * size
    unit = judged_unit(sides if np.isfinite(sides).all() else voxel * size, path)
    remarks.append(f"its unit of length is not stated (xyzt_units {code}) and taken as {unit}, by the volume's size")
    return UNITS[unit]


def _scaling(header: nibabel.Nifti1Header, path: Path) -> tuple[float | None, float]:
    """Slope and intercept; a slope of 0 (or none) means that nothing is scaled, and the intercept does not count."""
    slope, intercept = float(header["scl_slope"]), float(header["scl_inter"])
    if slope == 0 or not np.isfinite(slope):
        return None, 0.0
    if not np.isfinite(intercept):
        raise UserError(f"scl_inter is {intercept}, so its grey values are not known", path, "correct scl_inter")
    return (None, 0.0) if (slope, intercept) == (1, 0) else (slope, intercept)


def _intent(header: nibabel.Nifti1Header, remarks: list[str]) -> None:
    code = int(header["intent_code"])
    if code not in (0, 1011):  # none, dimensionless
        name = nibabel.nifti1.intent_codes.label[code] if code in nibabel.nifti1.intent_codes.code else "unknown"
        remarks.append(f"intent_code {code} ({name}) in its header: its values are taken as grey values all the same")


def _is_plain(header: nibabel.Nifti1Header, affine: np.ndarray) -> bool:
    """Whether ITK can be asked for the position; it talks to standard error about one that is none."""
    fields = [f"{name}_{letter}" for name, letters in (("quatern", "bcd"), ("qoffset", "xyz")) for letter in letters]
    numbers = [*affine[:3].ravel(), *(float(header[name]) for name in fields if header["qform_code"])]
    if not np.isfinite(numbers).all() or np.abs(numbers).max() > 1e9:
        return False
    axes = affine[:3, :3] / np.linalg.norm(affine[:3, :3], axis=0)
    return bool(np.abs(axes.T @ axes - np.eye(3)).max() < 1e-3)


def _frame(path: Path) -> Frame | None:
    """The place that ITK reads from the header, in its own arithmetic; None where it does not understand it."""
    reader = sitk.ImageFileReader()
    reader.SetFileName(str(path))
    warns = sitk.ProcessObject.GetGlobalWarningDisplay()
    sitk.ProcessObject.SetGlobalWarningDisplay(False)
    try:
        reader.ReadImageInformation()
    except RuntimeError:
        return None
    finally:
        sitk.ProcessObject.SetGlobalWarningDisplay(warns)
    axes = reader.GetDimension()
    if axes < 3:
        return None
    direction = np.reshape(reader.GetDirection(), (axes, axes))[:3, :3]
    return Frame(np.array(reader.GetSpacing()[:3]), np.array(reader.GetOrigin()[:3]), direction)

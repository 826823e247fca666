"""The axes of a NRRD header: which are those of space, where they run, and in which unit."""

from __future__ import annotations

import re
from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path

import numpy as np

from xmodbench.data.volumes.placing import SIDE_MM, Frame
from xmodbench.data.volumes.streams import FETCH_AGAIN
from xmodbench.errors import UserError

# the sign of each world axis against RAS
_SPACES = {
    "right-anterior-superior": (1, 1, 1), "ras": (1, 1, 1), "left-anterior-superior": (-1, 1, 1), "las": (-1, 1, 1),
    "left-posterior-superior": (-1, -1, 1), "lps": (-1, -1, 1),
}  # fmt: skip
_UNITS = {
    "mm": 1.0, "millimeter": 1.0, "millimeters": 1.0, "millimetre": 1.0, "millimetres": 1.0,
    "cm": 10.0, "centimeter": 10.0, "centimeters": 10.0, "centimetre": 10.0, "centimetres": 10.0,
    "m": 1000.0, "meter": 1000.0, "meters": 1000.0, "metre": 1000.0, "metres": 1000.0,
    "um": 1e-3, "µm": 1e-3, "μm": 1e-3, "micron": 1e-3, "microns": 1e-3, "micrometer": 1e-3, "micrometers": 1e-3,
    "micrometre": 1e-3, "micrometres": 1e-3, "nm": 1e-6,
}  # fmt: skip
_NOT_SPACE = re.compile(
    r"list|time|vector|point|normal|stub|scalar|complex|2-|3-|4-|RGB|RGBA|HSV|XYZ|quaternion|matrix|color",
    re.IGNORECASE,
)


@dataclass(frozen=True)
class Axes:
    """The three axes of space: their lengths, and as in `Stored`; those of length 1 beside them are dropped."""

    size: tuple[int, ...]
    spacing: Sequence[float]
    affine: np.ndarray | None
    unstated: str
    frame: Frame | None = None


def read_axes(fields: dict[str, str], path: Path, remarks: list[str]) -> Axes:
    """What a header says of its axes.

    Raises:
        UserError: they are not three axes of space, or the header contradicts itself.
    """
    sizes = [int(n) if n.is_integer() else 0 for n in _numbers(fields["sizes"], "sizes", path)]
    if fields["dimension"] != str(len(sizes)) or min(sizes, default=0) < 1:
        problem = f"its header gives the sizes '{fields['sizes']}' for {fields['dimension']} axes"
        raise UserError(problem, path, FETCH_AGAIN)
    directions = _directions(fields, len(sizes), path)
    kept = _axes_of_space(fields, sizes, directions, path)
    mm = _millimetres(fields, kept, len(sizes), path, remarks)
    size = tuple(sizes[axis] for axis in kept)
    if directions is None:
        return Axes(size, [mm * step for step in _spacings(fields, kept, len(sizes), path)], None, _unstated(fields))
    columns = np.stack([vector for vector in directions if vector is not None][:3], axis=1) * mm
    spacing = tuple(float(length) for length in np.linalg.norm(columns, axis=0))
    if not np.isfinite(spacing).all() or min(spacing) <= 0:
        raise UserError(f"its space directions are '{fields['spacedirections']}'", path, "correct them")
    signs = _SPACES.get(fields.get("space", "").lower())
    if signs is None:
        return Axes(size, spacing, None, _unstated(fields))
    affine = np.eye(4)
    affine[:3, :3] = columns
    affine[:3, 3] = _origin(fields, path, remarks) * mm
    to_lps = np.array([-1, -1, 1]) * signs
    # as NRRD's own library divides
    frame = Frame(np.array(spacing), to_lps * affine[:3, 3], to_lps[:, None] * columns * (1 / np.array(spacing)))
    return Axes(size, spacing, np.diag([*signs, 1]) @ affine, "", frame)


def _unstated(fields: dict[str, str]) -> str:
    if "space" not in fields:
        return "its header has no `space`"
    return f"its space is '{fields['space']}'" if fields["space"].lower() not in _SPACES else "no `space directions`"


def _directions(fields: dict[str, str], count: int, path: Path) -> list[np.ndarray | None] | None:
    """For each axis its vector, None for one that is not of space; None where the header has none at all."""
    if "spacedirections" not in fields:
        return None
    words = re.findall(r"none|\([^)]*\)", fields["spacedirections"])
    vectors = [None if word == "none" else _vector(word, "space directions", path) for word in words]
    if len(vectors) != count:
        raise UserError(f"it gives {len(vectors)} space directions for {count} axes", path, "correct its header")
    return vectors


def _axes_of_space(fields: dict[str, str], sizes: list[int], directions, path: Path) -> list[int]:
    kinds = re.findall(r'"[^"]*"|\S+', fields.get("kinds", "")) or ["???"] * len(sizes)
    if len(kinds) != len(sizes):
        raise UserError(f"it gives {len(kinds)} kinds for {len(sizes)} axes", path, "correct its header")
    if "block" in fields["type"]:
        raise UserError("its voxels are blocks", path, "give a gray volume")
    if directions is not None:
        kept = [axis for axis, vector in enumerate(directions) if vector is not None]
    else:
        kept = [axis for axis, kind in enumerate(kinds) if not _NOT_SPACE.match(kind)]
    if len(kept) == 4 and sizes[kept[3]] == 1:
        kept.pop()
    others = [axis for axis in range(len(sizes)) if axis not in kept and sizes[axis] > 1]
    if others:
        axis, shape = others[0], "x".join(map(str, sizes))
        problem = f"{sizes[axis]} values per voxel (axis {axis + 1} of {shape} is of the kind '{kinds[axis]}')"
        raise UserError(problem, path, "give a gray volume, one component or time point of it")
    if len(kept) != 3:
        shape = "x".join(map(str, sizes))
        raise UserError(f"a {len(kept)}-D image ({shape})", path, "split it and give one 3-D volume per modality")
    return kept


def _millimetres(fields: dict[str, str], kept: list[int], count: int, path: Path, remarks: list[str]) -> float:
    """Millimetres per unit of the header."""
    name = "spaceunits" if "spaceunits" in fields else "units"
    given = re.findall(r'"([^"]*)"', fields.get(name, ""))
    if name == "units" and len(given) == count:
        given = [given[axis] for axis in kept]
    units = {unit.strip().lower() for unit in given[:3]} - {"", "???", "none"}
    if not units:
        remarks.append("its unit of length is not stated (space units) and taken as mm")
        return 1.0
    if len(units) > 1 or not units <= {*_UNITS}:
        raise UserError(f"its unit of length is {fields[name]}", path, 'mm is wanted (space units: "mm" "mm" "mm")')
    return _UNITS[units.pop()]


def _spacings(fields: dict[str, str], kept: list[int], count: int, path: Path) -> list[float]:
    if "spacings" not in fields:
        raise UserError("it does not say how large its voxels are", path, "write `space directions` into its header")
    values = _numbers(fields["spacings"], "spacings", path)
    spacing = [values[axis] for axis in kept] if len(values) == count else []
    if not spacing or not np.isfinite(spacing).all() or min(spacing) <= 0 or max(spacing) > SIDE_MM[1]:
        raise UserError(f"its spacings are '{fields['spacings']}'", path, "correct them; all must be above 0")
    return spacing


def _origin(fields: dict[str, str], path: Path, remarks: list[str]) -> np.ndarray:
    if "spaceorigin" not in fields:
        remarks.append(
            "its place in the world is not stated (space origin): its first voxel is taken to lie at the origin"
        )
        return np.zeros(3)
    origin = _vector(fields["spaceorigin"], "space origin", path)
    if not np.isfinite(origin).all():
        raise UserError(f"its space origin is {fields['spaceorigin']}", path, "correct it")
    return origin


def _vector(text: str, name: str, path: Path) -> np.ndarray:
    values = _numbers(text.strip().strip("()").replace(",", " "), name, path)
    if len(values) != 3:
        raise UserError(f"its {name} has {len(values)} numbers in '{text}'", path, "3 are wanted")
    return np.array(values)


def _numbers(text: str, name: str, path: Path) -> list[float]:
    try:
        return [float(word) for word in text.split()]
    except ValueError:
        raise UserError(f"its {name} are '{text}', which are no numbers", path, "correct its header") from None

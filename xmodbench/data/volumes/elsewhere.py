"""Which files a volume is made of: its own, and those to which a header leaves the voxels. Needs no array library."""

from __future__ import annotations

import re
from collections.abc import Callable, Sequence
from pathlib import Path

from xmodbench.data.volumes.fields import metaimage_fields, nrrd_fields
from xmodbench.data.volumes.streams import FETCH_AGAIN
from xmodbench.errors import UserError
from xmodbench.files import sha256_file, sha256_json

PAIRED = (".hdr", ".hdr.gz")
"""Headers of NIfTI pairs."""
_FIRST, _MOST = 1 << 14, 1 << 22
_MOST_FILES = 100_000
_NUMBERED = re.compile(r"[^%]*%[-+ #0]*\d{0,2}(?:\.\d{1,2})?[diouxX][^%]*")


def volume_files(path: Path) -> list[Path]:
    """The files of a volume: `path`, then those that hold its voxels, as its header names them, there or not.

    A header that cannot be understood names none: reading it says what is wrong.
    """
    path = Path(path)
    name = path.name.lower()
    if not path.is_file():
        return [path]
    if name.endswith(PAIRED):
        return [path, *(images_of(path) or [path.with_name(_stem(path) + ".img")])]
    for endings, find in _NAMED_BY.items():
        if name.endswith(endings):
            try:
                return [path, *find(path)]
            except (UserError, OSError, ValueError):
                break
    return [path]


def volume_sha256(path: Path) -> str:
    """Hex SHA-256 of a volume's file; where its voxels are in others, over the digests of all, in their order.

    Raises:
        OSError: one cannot be read.
    """
    digests = [sha256_file(file) for file in volume_files(path)]
    return digests[0] if len(digests) == 1 else sha256_json(digests)


def images_of(header: Path) -> list[Path]:
    """The files beside the header of a NIfTI pair that may hold its voxels (one, if all is well)."""
    names = (_stem(header) + ending for ending in (".img", ".img.gz", ".IMG", ".IMG.GZ"))
    there = (path for name in names if (path := header.with_name(name)).is_file())
    return list({path.resolve(): path for path in there}.values())


def named(names: str | Sequence[str], header: Path) -> list[Path]:
    """The files that a header names: one name, a list, or a pattern with its first, last and step (``s%03d.raw 1 9 1``).

    Raises:
        UserError: none is named, or the pattern cannot be understood.
    """
    if isinstance(names, str):
        words = names.split()
        pattern = len(words) in (3, 4, 5) and "%" in words[0] and not (header.parent / names).is_file()
        names = _numbered(words, header) if pattern else [names]
    paths = [header.parent / name.strip() for name in names if name.strip()]
    if not paths:
        raise UserError("it names no file with its voxels", header, FETCH_AGAIN)
    return paths


def nrrd_names(fields: dict[str, str]) -> str | list[str] | None:
    """What a NRRD header says of the files of its voxels; None where they are its own."""
    if "datafile" not in fields:
        return None
    return fields["files"].split("\n") if "files" in fields else fields["datafile"]


def metaimage_names(fields: dict[str, str], rest: bytes) -> str | list[str] | None:
    """The same of a MetaImage header, which a list of names may follow."""
    where = fields["ElementDataFile"]
    if where.upper() == "LOCAL":
        return None
    return rest.decode("utf-8", "replace").splitlines() if where.split()[:1] == ["LIST"] else where


def _of_nrrd(path: Path) -> list[Path]:
    head = _head(path, lambda data: re.search(rb"\n\r?\n", data) is not None)
    names = nrrd_names(nrrd_fields(head, path)[0])
    return [] if names is None else named(names, path)


def _of_metaimage(path: Path) -> list[Path]:
    head = _head(path, lambda data: re.search(rb"(?m)^\s*ElementDataFile\s*=\s*LOCAL\s*\n", data) is not None)
    fields, begin = metaimage_fields(head, path)
    names = metaimage_names(fields, head[begin:])
    return [] if names is None else named(names, path)


_NAMED_BY: dict[tuple[str, ...], Callable[[Path], list[Path]]] = {
    (".nrrd", ".nhdr"): _of_nrrd,
    (".mha", ".mhd"): _of_metaimage,
}


def _head(path: Path, ends: Callable[[bytes], bool]) -> bytes:
    """The beginning of a file, as far as the end of its header or `_MOST` bytes."""
    with open(path, "rb") as handle:
        data = handle.read(_FIRST)
        while not ends(data) and len(data) < _MOST and (more := handle.read(len(data))):
            data += more
    return data


def _stem(header: Path) -> str:
    return re.sub(r"(?i)\.hdr(\.gz)?$", "", header.name)


def _numbered(words: list[str], header: Path) -> list[str]:
    try:
        first, last, step = (int(word) for word in (words[1:4] if len(words) > 3 else [*words[1:3], "1"]))
        numbers = range(first, last + (1 if step > 0 else -1), step)
        # a header of a few bytes could ask for all memory
        if not _NUMBERED.fullmatch(words[0]) or len(numbers) > _MOST_FILES:
            raise ValueError
        return [words[0] % number for number in numbers]
    except (TypeError, ValueError, OverflowError):
        raise UserError(f"'{' '.join(words)}' names no files of voxels", header, FETCH_AGAIN) from None

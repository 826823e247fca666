"""What a model's folder may hold: plain files of numbers and text, nothing that runs code when it is read."""

from __future__ import annotations

import zipfile
from pathlib import Path
from typing import IO

from xmodbench.errors import UserError

PICKLES = frozenset({".pt", ".pth", ".pkl", ".pickle", ".bin", ".ckpt", ".joblib"})
FIX = "save tensors with safetensors, arrays with numpy.save(..., allow_pickle=False), the rest as JSON"


def check_saved(folder: Path) -> None:
    """Refuse what a method saved where it is no plain file, or a pickle by its name or by what it holds.

    Raises:
        UserError: naming the file.
    """
    for path in sorted(folder.rglob("*")):
        name = path.relative_to(folder)
        if path.is_symlink() or not (path.is_file() or path.is_dir()):
            raise UserError("is a link or no regular file", f"model: {name}", "save plain files")
        if path.is_file() and (problem := _problem(path)) is not None:
            raise UserError(problem, f"model: {name}", FIX)


def _problem(path: Path) -> str | None:
    if path.suffix.lower() in PICKLES:
        return "is a pickle by its name, which runs code when it is read"
    with path.open("rb") as file:
        if (problem := _content(file)) is not None:
            return problem
    if not zipfile.is_zipfile(path):
        return None
    try:
        with zipfile.ZipFile(path) as archive:
            for name in archive.namelist():
                with archive.open(name) as member:
                    if Path(name).suffix in PICKLES or _content(member) is not None:
                        return f"holds a pickle ({name}), which runs code when it is read"
    except (zipfile.BadZipFile, RuntimeError, NotImplementedError, OSError):
        return "is a zip file that cannot be read"
    return None


def _content(file: IO[bytes]) -> str | None:
    """What is wrong with a file by its first bytes: a pickle's are its protocol, an array's header names its type."""
    begins = file.read(1024)
    if begins[:2] in (b"\x80\x02", b"\x80\x03", b"\x80\x04", b"\x80\x05"):
        return "is a pickle, which runs code when it is read"
    if begins.startswith(b"\x93NUMPY") and b"'|O" in begins.partition(b"\n")[0]:
        return "is an array of objects, which is a pickle and runs code when it is read"
    return None

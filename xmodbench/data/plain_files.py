"""Files that hold data and cannot hold code, by their names and by what is in them: what a model may be made of."""

from __future__ import annotations

from pathlib import Path, PurePosixPath

from xmodbench.errors import UserError

TRUST = "do not use it; ask whoever gave it to you"
TEXTS = frozenset({".json", ".csv", ".txt", ".md"})
KINDS = TEXTS | {".safetensors", ".npy", ".png"}
"""What a model may hold: files that hold data and cannot hold code."""
PLAIN = f"a model is made of {', '.join(sorted(KINDS))}"


def check_name(name: str, where: Path) -> None:
    """Raise UserError unless a file's name leads to a place within its folder and is that of plain data."""
    path = PurePosixPath(name)
    outside = path.is_absolute() or ".." in path.parts or name != path.as_posix() or set(name) & set("\\:")
    if outside or not name.isprintable() or any(part.startswith(".") for part in path.parts):
        raise UserError(f"holds '{name}', which is no name of a file within a model", where, TRUST)
    if path.suffix not in KINDS:
        raise UserError(f"holds '{name}', which may hold code", where, f"{PLAIN}; nothing else is taken")


def check_plain(path: Path, name: str, where: Path) -> None:
    """Raise UserError unless a file holds data of the kind its name says: no pickle under another name."""
    with open(path, "rb") as handle:
        start = handle.read(8)
    suffix = path.suffix
    problem = None
    if suffix in TEXTS:
        problem = _no_text(path)
    elif suffix == ".png" and start != b"\x89PNG\r\n\x1a\n":
        problem = "is no PNG"
    elif suffix == ".npy":
        problem = _no_array(path)
    elif suffix == ".safetensors":
        problem = _no_tensors(path)
    if problem:
        raise UserError(f"'{name}' {problem}", where, f"{PLAIN}, each what its name says")


def _no_text(path: Path) -> str | None:
    try:
        with open(path, encoding="utf-8") as handle:
            while chunk := handle.read(1 << 20):
                if "\0" in chunk:
                    return "is no text"
    except UnicodeDecodeError:
        return "is no text"
    return None


def _no_array(path: Path) -> str | None:
    from xmodbench.store import mapped

    try:
        mapped(path, "")
    except UserError:  # one of Python objects among them, which are pickled
        return "is no array of numbers"
    return None


def _no_tensors(path: Path) -> str | None:
    from safetensors import SafetensorError, safe_open

    try:
        with safe_open(path, "np") as file:
            file.keys()
    except (SafetensorError, OSError, ValueError) as error:
        return f"is no file of tensors ({error})"
    return None

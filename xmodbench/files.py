"""Atomic writes and content hashes.

Nothing half-written may look whole (a killed job, a full disk): every writer here fills a temporary beside the
target, flushes it to disk and renames it.
"""

from __future__ import annotations

import fcntl
import hashlib
import itertools
import json
import os
import shutil
from collections.abc import Iterable, Iterator
from contextlib import ExitStack, contextmanager
from pathlib import Path
from typing import Any

PACKAGE_ROOT = Path(__file__).resolve().parent
REPOSITORY = PACKAGE_ROOT.parent
"""Where the package lies: the repository of a checkout, ``site-packages`` of an installed package."""
IS_CHECKOUT = not (PACKAGE_ROOT / "shipped").is_dir()
SHIPPED = REPOSITORY if IS_CHECKOUT else PACKAGE_ROOT / "shipped"
"""Where the Snakefile, ``methods``, ``data_prep``, ``workflow``, ``config``, ``profiles`` and ``docs`` lie."""


_count = itertools.count()


_UNFINISHED = ".tmp-"


def temporary_of(path: Path) -> Path:
    """A new name beside `path`, for what is to become it once it is whole."""
    return path.with_name(f".{path.name}{_UNFINISHED}{os.getpid()}-{next(_count)}")


def finished_name(path: Path) -> str | None:
    """The name that a temporary of `temporary_of` would have got; None for any other file or folder."""
    name, found, _ = path.name.rpartition(_UNFINISHED)
    return name[1:] if found and name.startswith(".") else None


def _temporaries_of(path: Path) -> list[Path]:
    """What lies beside `path` to become it: of processes that write it now, and of those that were killed."""
    return [other for other in path.parent.iterdir() if finished_name(other) == path.name]


@contextmanager
def scratch_dir(path: str | os.PathLike) -> Iterator[Path]:
    """Yield an empty temporary folder beside `path`, removed afterwards, with what processes that were killed left of such.

    A folder is held for as long as it is used, so that those of other processes stay, and the kernel lets go of it for a
    process that is killed.
    """
    path = Path(path)
    path.parent.mkdir(parents=True, exist_ok=True)
    with ExitStack() as stack:
        with ExitStack() as meanwhile:
            _hold(path.parent, meanwhile, wait=True)
            for left in _temporaries_of(path):
                with ExitStack() as other:
                    if left.is_dir() and _hold(left, other):
                        shutil.rmtree(left, ignore_errors=True)
            temporary = temporary_of(path)
            temporary.mkdir()
            stack.callback(shutil.rmtree, temporary, ignore_errors=True)
            _hold(temporary, stack)
        yield temporary


def _hold(place: Path, stack: ExitStack, *, wait: bool = False) -> bool:
    """Hold a file or folder until the stack ends; False where another process does, or where the disk has no locks."""
    try:
        handle = os.open(place, os.O_RDONLY)
        stack.callback(os.close, handle)
        fcntl.flock(handle, fcntl.LOCK_EX | (0 if wait else fcntl.LOCK_NB))
    except OSError:
        return False
    return True


@contextmanager
def atomic_file(path: str | os.PathLike) -> Iterator[Path]:
    """Yield a temporary path beside `path`; rename it to `path` when the block ends without an exception.

    What processes that were killed left of such files is removed. One is held for as long as it is written, as a folder is.
    """
    path = Path(path)
    path.parent.mkdir(parents=True, exist_ok=True)
    for left in _temporaries_of(path):
        with ExitStack() as other:
            if left.is_file() and _hold(left, other):
                left.unlink(missing_ok=True)
    with ExitStack() as stack:
        temporary = temporary_of(path)
        stack.callback(temporary.unlink, missing_ok=True)
        while not temporary.exists():  # once more if another process took it for left over before it was held
            temporary.touch()
            _hold(temporary, stack, wait=True)
        yield temporary
        with open(temporary, "rb+") as handle:
            os.fsync(handle.fileno())
        os.replace(temporary, path)


@contextmanager
def atomic_dir(path: str | os.PathLike) -> Iterator[Path]:
    """Yield an empty temporary folder beside `path`; put it in the place of `path` when the block succeeds.

    An existing folder at `path` is removed just before the rename, so a reader sees the old one, none, or the new one.
    """
    path = Path(path)
    with scratch_dir(path) as temporary:
        yield temporary
        if path.exists():
            shutil.rmtree(path)
        os.replace(temporary, path)


def write_text(path: str | os.PathLike, text: str) -> None:
    """Write UTF-8 text atomically."""
    with atomic_file(path) as temporary:
        temporary.write_text(text, encoding="utf-8")


def write_json(path: str | os.PathLike, value: Any) -> None:
    """Write `value` as sorted, indented JSON, atomically. NaN and infinity are refused (they are not JSON)."""
    write_text(path, json.dumps(value, indent=2, sort_keys=True, allow_nan=False) + "\n")


def read_json(path: str | os.PathLike) -> Any:
    """Read a JSON file; a damaged one raises UserError naming it."""
    from xmodbench.errors import UserError

    try:
        return json.loads(Path(path).read_text(encoding="utf-8"))
    except FileNotFoundError:
        raise UserError("no such file", where=path) from None
    except OSError as error:
        raise UserError(f"cannot be read ({error.strerror})", where=path) from None
    except (ValueError, RecursionError) as error:  # UnicodeDecodeError is a ValueError
        raise UserError(f"not valid JSON ({error})", where=path, fix="delete it and run again") from None


def files_below(folder: str | os.PathLike, *, linked: bool = True) -> Iterator[Path]:
    """Files below a folder in the order of their names, also through symbolic links to folders if `linked`; nothing hidden.

    A link to a folder above itself is not followed, so that no loop is walked. A link that leads nowhere is yielded. What
    vanishes meanwhile, as the temporary folders of other processes do, is passed over.

    Raises:
        PermissionError: a folder may not be read.
    """
    return _below(os.fspath(folder), (), linked)


def _below(folder: str, above: tuple[tuple[int, int], ...], linked: bool) -> Iterator[Path]:
    try:
        status = os.stat(folder)
        with os.scandir(folder) as found:
            entries = sorted(found, key=lambda entry: entry.name)
    except (FileNotFoundError, NotADirectoryError):
        return
    here = (status.st_dev, status.st_ino)
    if here in above:
        return
    for entry in entries:
        if entry.name.startswith("."):
            continue
        if _is_folder(entry):
            if linked or not entry.is_symlink():
                yield from _below(entry.path, (*above, here), linked)
        elif entry.is_symlink() or entry.is_file():
            yield Path(entry.path)


def relative_name(path: str | os.PathLike, folder: str | os.PathLike) -> str:
    """A file's name relative to a folder, as records hold it; its own name alone where it lies elsewhere."""
    path, folder = Path(path), Path(folder)
    return path.relative_to(folder).as_posix() if path.is_relative_to(folder) else path.name


def _is_folder(entry: os.DirEntry) -> bool:
    try:
        return entry.is_dir()
    except OSError:  # links that lead to each other
        return False


def sha256_file(path: str | os.PathLike) -> str:
    """Hex SHA-256 of a file's bytes."""
    with open(path, "rb") as handle:
        return hashlib.file_digest(handle, "sha256").hexdigest()


def sha256_files(paths: Iterable[Path], root: Path) -> str:
    """Hex SHA-256 over the names (relative to `root`) and contents of `paths`, whatever their order."""
    digest = hashlib.sha256()
    for path in sorted(paths):
        digest.update(path.relative_to(root).as_posix().encode() + b"\0")
        digest.update(sha256_file(path).encode() + b"\0")
    return digest.hexdigest()


def sha256_json(value: Any) -> str:
    """Hex SHA-256 of a JSON-able value, independent of key order."""
    return hashlib.sha256(json.dumps(value, sort_keys=True, default=str).encode()).hexdigest()

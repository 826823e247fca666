"""Voxels that a header leaves to other files, one or one per slice; and voxels written as text."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path

import numpy as np

from xmodbench.data.volumes.elsewhere import named
from xmodbench.data.volumes.streams import FETCH_AGAIN, read_bytes
from xmodbench.errors import UserError


@dataclass(frozen=True)
class Part:
    """A file of voxels; `inside` where it is the header's own file, from the end of the header on."""

    path: Path
    inside: bytes | None

    def content(self) -> bytes:
        """Its bytes.

        Raises:
            UserError: it is not there, or empty.
        """
        return read_bytes(self.path) if self.inside is None else self.inside


def listed(names: str | Sequence[str], header: Path) -> list[Path]:
    """The files that a header names (see `named`), all of them there.

    Raises:
        UserError: none is named, the pattern cannot be understood, or a file is not there.
    """
    paths = named(names, header)
    for path in paths:
        if not path.is_file():
            raise UserError(f"its voxels are in {path.name}, which is not there", header, "put that file beside it")
    return paths


def joined(parts: Sequence[memoryview], kind: np.dtype) -> np.ndarray:
    """The voxels of all parts, one after the other, flat."""
    return np.frombuffer(parts[0] if len(parts) == 1 else b"".join(parts), kind)


def text_numbers(content: bytes, kind: np.dtype, path: Path) -> bytes:
    """Numbers written as text, as bytes of a type.

    Raises:
        UserError: a word is no number, or does not fit into the type.
    """
    number = float if kind.kind == "f" else int
    try:
        return np.array([number(word) for word in content.replace(b",", b" ").split()], kind).tobytes()
    except (ValueError, OverflowError):
        raise UserError("damaged: its voxels are no numbers of its type", path, FETCH_AGAIN) from None

"""The page's pictures: small ones in the page itself, as drawn in a folder beside it."""

from __future__ import annotations

import io
from base64 import b64encode
from dataclasses import dataclass
from pathlib import Path

WIDEST = 760
"""Pixels of a picture within the page; a sheet of paper or a telephone shows no more."""


@dataclass(frozen=True)
class Picture:
    """A picture of the page: ``small`` is an address that holds the bytes, ``full`` the file's, relative to the page."""

    small: str
    full: str
    width: int
    height: int


class Pictures:
    """Writes pictures into the folder beside the page.

    Args:
        folder: where to write; it may still have the name of a temporary.
        name: what the folder is called beside the page.
        prints: the folder of figures for print, where there may be some.
    """

    def __init__(self, folder: Path, name: str, prints: Path | None = None):
        self.folder, self.name, self.prints = folder, name, prints or folder

    def address(self, path: str) -> str:
        """Address of a file of the folder, as the page asks for it."""
        return f"{self.name}/{path}"

    def keep(self, name: str, data: bytes, suffix: str = "png") -> Picture:
        """Write an encoded picture as ``pictures/<name>.<suffix>`` and make a small one of it."""
        from PIL import Image

        path = f"pictures/{name}.{suffix}"
        (self.folder / path).parent.mkdir(exist_ok=True)
        (self.folder / path).write_bytes(data)
        with Image.open(io.BytesIO(data)) as picture:
            return Picture(small_address(picture), self.address(path), *picture.size)

    def keep_file(self, name: str, path: Path) -> Picture | None:
        """The same of a file; None where it is no picture or cannot be read."""
        from PIL import UnidentifiedImageError

        try:
            return self.keep(name, path.read_bytes())
        except (OSError, UnidentifiedImageError):
            return None


def small_address(picture, widest: int = WIDEST, quality: int = 55) -> str:
    """A picture of Pillow's as the address of a WebP that carries itself, at most `widest` pixels wide."""
    from PIL import Image

    small = picture.convert("RGB")
    if small.width > widest:
        small = small.resize((widest, max(1, round(small.height * widest / small.width))), Image.Resampling.LANCZOS)
    buffer = io.BytesIO()
    small.save(buffer, "WEBP", quality=quality, method=4)
    return "data:image/webp;base64," + b64encode(buffer.getvalue()).decode()

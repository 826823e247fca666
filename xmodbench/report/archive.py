"""A report to send: one file with the page, its pictures, the tables and the figures."""

from __future__ import annotations

from pathlib import Path
from zipfile import ZIP_DEFLATED, ZIP_STORED, ZipFile, ZipInfo

from xmodbench.files import atomic_file, files_below

PACKED = {".png", ".jpg", ".pdf"}
"""What is compressed already."""


def write_archive(folder: Path, names: list[str], path: Path, top: str) -> None:
    """Zip files and folders of `folder` below one folder `top`; the same files give the same bytes."""
    found = [folder / name for name in names]
    files = [file for place in found for file in ([place] if place.is_file() else files_below(place))]
    with atomic_file(path) as temporary, ZipFile(temporary, "w", ZIP_DEFLATED, compresslevel=1) as archive:
        for file in files:
            entry = ZipInfo(f"{top}/{file.relative_to(folder).as_posix()}")
            entry.external_attr = 0o644 << 16
            entry.compress_type = ZIP_STORED if file.suffix in PACKED else ZIP_DEFLATED
            archive.writestr(entry, file.read_bytes())

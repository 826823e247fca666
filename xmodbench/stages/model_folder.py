"""A trained model's folder as the harness sees it: files with a hash in the record."""

from __future__ import annotations

from pathlib import Path
from typing import Any

from xmodbench.errors import UserError
from xmodbench.files import sha256_files
from xmodbench.records import FAILURE, RECORD


def model_sha256(folder: Path) -> str:
    """Hex SHA-256 over what a method saved: all files of a folder but the records, links and hidden ones (``.DS_Store``)."""
    return sha256_files([path for path in folder.rglob("*") if _is_saved(path, folder)], folder)


def _is_saved(path: Path, folder: Path) -> bool:
    if path in (folder / RECORD, folder / FAILURE) or path.name.startswith("."):
        return False
    return path.is_file() and not path.is_symlink()


def check_model(folder: Path, record: dict[str, Any]) -> None:
    """Compare a model with what its record says of it.

    Raises:
        UserError: files were changed, added or taken away since it was trained.
    """
    if model_sha256(folder) != record.get("outputs_sha256"):
        fix = "put back what training left there, or train the model again"
        raise UserError("its files are not those that were trained (the SHA-256 differs)", folder, fix)

"""What decides the bytes of volumes that are made once and kept: the code that wrote them."""

from __future__ import annotations

from functools import cache
from pathlib import Path

from xmodbench.files import sha256_file, sha256_files, sha256_json
from xmodbench.plugins import PACKAGE_ROOT, shared_machinery


@cache
def code_hash(*files: Path) -> str:
    """Hash of Python files and of the shared machinery they import (16 hexadecimal digits)."""
    shared = shared_machinery(files)
    return sha256_json([*map(sha256_file, sorted(files)), sha256_files(shared, PACKAGE_ROOT)])[:16]

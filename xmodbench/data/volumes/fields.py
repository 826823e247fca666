"""Headers that are lines of text, by their fields. Needs no array library."""

from __future__ import annotations

import re
from pathlib import Path

from xmodbench.data.volumes.streams import FETCH_AGAIN
from xmodbench.errors import UserError


def metaimage_fields(data: bytes, path: Path) -> tuple[dict[str, str], int]:
    """The fields of a MetaImage header, and where it ends: after the line ElementDataFile.

    Raises:
        UserError: it is none, gives a field twice, or lacks one that every header has.
    """
    values: dict[str, str] = {}
    begin = 0
    while "ElementDataFile" not in values:
        end = data.find(b"\n", begin)
        line = data[begin : end if end >= 0 else len(data)]
        key, equals, value = line.decode("utf-8", "replace").partition("=")
        if (not equals and line.strip()) or len(line) > 10_000 or begin >= len(data):
            raise UserError("not a MetaImage file, or truncated in its header", path, FETCH_AGAIN)
        if key.strip() in values:
            raise UserError(f"its header gives {key.strip()} twice", path, "remove the wrong one")
        if equals:
            values[key.strip()] = value.strip()
        begin = end + 1 if end >= 0 else len(data)
    missing = [name for name in ("NDims", "DimSize", "ElementType") if name not in values]
    if missing:
        raise UserError(f"its header has no {missing[0]}", path, FETCH_AGAIN)
    return values, begin


def nrrd_fields(data: bytes, path: Path) -> tuple[dict[str, str], int]:
    """The fields of a NRRD header by their names in small letters without spaces, and where it ends; ``files`` lists names.

    Raises:
        UserError: it is none, gives a field twice, or lacks one that every header has.
    """
    if not re.match(rb"NRRD000[1-6]\r?\n", data):
        raise UserError("not a NRRD file", path, FETCH_AGAIN)
    end = re.search(rb"\n\r?\n", data)
    fields: dict[str, str] = {}
    # a header of its own file may end without the empty line
    lines = (data[: end.start()] if end else data.rstrip(b"\r\n")).split(b"\n")[1:]
    for number, raw in enumerate(lines):
        line = raw.decode("utf-8", "replace").rstrip("\r")
        if line.startswith("#") or ":=" in line.partition(": ")[0]:
            continue  # a comment, or a key of somebody's own
        name, colon, value = line.partition(":")
        key = name.replace(" ", "").lower()
        if not colon:
            raise UserError(f"its header has the line '{line[:40]}', which is no field", path, FETCH_AGAIN)
        if key in fields:
            raise UserError(f"its header gives '{name}' twice", path, "remove the wrong one")
        fields[key] = value.strip()
        if key == "datafile" and value.split()[:1] == ["LIST"]:
            # the names follow to the header's end
            fields["files"] = "\n".join(item.decode("utf-8", "replace").strip() for item in lines[number + 1 :])
            break
    missing = [name for name in ("type", "dimension", "sizes", "encoding") if name not in fields]
    if missing:
        raise UserError(f"its header has no '{missing[0]}'", path, FETCH_AGAIN)
    return fields, end.end() if end else len(data)

"""Headers of tar archives, read without trust."""

from __future__ import annotations

import tarfile
from typing import Self

MAX_HEADER_BYTES = 1 << 20
_READ_WHOLE = (
    *(tarfile.GNUTYPE_LONGNAME, tarfile.GNUTYPE_LONGLINK),
    *(tarfile.XHDTYPE, tarfile.XGLTYPE, tarfile.SOLARIS_XHDTYPE),
)


class TarMember(tarfile.TarInfo):
    """A member of a tar; the library would pass over its damage and load any header into memory."""

    @classmethod
    def fromtarfile(cls, archive: tarfile.TarFile) -> Self:
        """The next member; a header that cannot be read is damage, not the archive's end."""
        try:
            return super().fromtarfile(archive)
        except tarfile.EOFHeaderError:  # type: ignore[attr-defined]  # the mark of the end, missing in the stubs
            raise
        except tarfile.HeaderError as error:
            raise tarfile.ReadError(f"{error} at byte {archive.offset:,}") from None

    @classmethod
    def frombuf(cls, header: bytes | bytearray, encoding: str, errors: str) -> Self:
        """A member by its header; one of those that hold a long name or extended facts is read as a whole afterwards."""
        member = super().frombuf(header, encoding, errors)
        if member.type in _READ_WHOLE and member.size > MAX_HEADER_BYTES:
            raise tarfile.ReadError(f"a header of {member.size:,} bytes")
        return member

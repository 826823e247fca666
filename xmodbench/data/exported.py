"""A model that was exported, one zip: looked through before anything is taken from it. Nothing in it is ever run.

The files lie in it uncompressed as they lie in a model's folder, and ``model-card.json`` names each with its size and hash.
"""

from __future__ import annotations

import json
import shutil
import zipfile
import zlib
from dataclasses import dataclass
from pathlib import Path
from typing import Annotated, Any, Literal

from pydantic import BaseModel, ConfigDict, Field

from xmodbench.data.plain_files import TRUST, check_name, check_plain
from xmodbench.errors import UserError
from xmodbench.files import sha256_file, sha256_json
from xmodbench.plugins.settings import NAME, Id, Modality, validated

CARD, CARD_TEXT = "model-card.json", "model-card.md"
KIND, FORMAT_VERSION = "xmodbench model", 1
MOST_CARD = 16 << 20
"""Bytes of a card: more is no card."""
MOST_FILE = 2 << 30
"""Bytes of one file."""
AGAIN = "get it again from where it was exported"
_BROKEN = (zipfile.BadZipFile, zlib.error, EOFError, OSError, NotImplementedError, RuntimeError, UnicodeError)
_Hash = Field(pattern="^[0-9a-f]{64}$")


class _Part(BaseModel):
    model_config = ConfigDict(extra="allow", strict=True, allow_inf_nan=False, defer_build=True)


class CardPlugin(_Part):
    """The method plugin that trained a model."""

    id: Id
    code_sha256: str


class CardFile(_Part):
    """A file of the model."""

    bytes: int = Field(ge=0, le=MOST_FILE)
    sha256: str = _Hash


class Card(_Part):
    """What is used of a model card; there is more in it for people (`xmodbench.stages.model_card`).

    Attributes:
        shape: height and width of the slices it was trained on, where they are known.
        settings: what it was trained with, all of the plugin's options.
        translation_settings: options of translation that its run used, where those were the same everywhere.
        sha256: of the model, as its record has it.
    """

    kind: Literal["xmodbench model"]
    format: int
    name: str
    plugin: CardPlugin
    target: Modality
    source: Annotated[str, Field(pattern=rf"^{NAME}(\+{NAME})*$")] | None
    supervision: str
    shape: list[int] | None
    seed: int
    settings: dict[str, Any]
    translation_settings: dict[str, Any] = {}
    sha256: str = _Hash
    files: dict[str, CardFile]

    @property
    def model_name(self) -> str:
        """As the model's folder is called in a run."""
        return f"{self.target}-from-{self.source}" if self.source else self.target


@dataclass(frozen=True)
class ExportedModel:
    """A zip whose card could be read and names exactly what is in it; the files' contents are checked by `unpack`.

    Attributes:
        sha256: of the zip.
    """

    path: Path
    sha256: str
    card: Card

    @classmethod
    def read(cls, path: Path) -> ExportedModel:
        """Read the card of a zip.

        Raises:
            UserError: it is not there, is damaged, is none that `xmodbench export` wrote, or holds what a model may not.
        """
        try:
            sha256 = sha256_file(path)
            with zipfile.ZipFile(path) as file:
                members = _members(file, path)
                card = _read_card(file, path)
        except (FileNotFoundError, IsADirectoryError) as error:
            is_folder = isinstance(error, IsADirectoryError)
            raise UserError("is a folder, no exported model" if is_folder else "no such file", path) from None
        except _BROKEN as error:
            raise UserError(f"no zip, or a damaged one ({error})", path, AGAIN) from None
        _compare(members, card, path)
        return cls(Path(path), sha256, card)

    def unpack(self, folder: Path) -> None:
        """Write the model's files and its card into an empty folder.

        Raises:
            UserError: a file is not what the card says, or not what its name says.
        """
        from xmodbench.data.download.archive import extract

        extract(self.path, folder, flat=False)
        if _card_of((folder / CARD).read_bytes(), self.path) != self.card:
            raise UserError("was changed while it was read", self.path, "run it again")
        for name, said in self.card.files.items():
            if sha256_file(folder / name) != said.sha256:
                raise UserError(f"'{name}' is not what its card says (the SHA-256 differs)", self.path, AGAIN)
            check_plain(folder / name, name, self.path)

    @property
    def short(self) -> str:
        """Its name and the beginning of its hash, for messages."""
        return f"{self.path} (SHA-256 {self.sha256[:12]}…)"


def _members(file: zipfile.ZipFile, path: Path) -> dict[str, int]:
    """Sizes by name; an archive that would grow is refused before any of it is read."""
    found = file.infolist()
    if sum(info.file_size for info in found) > path.stat().st_size:
        raise UserError("would grow when it is unpacked, which an exported model does not", path, TRUST)
    for info in found:
        check_name(info.orig_filename, path)
    if len({info.filename for info in found}) != len(found):
        raise UserError("holds two files of one name", path, TRUST)
    return {info.filename: info.file_size for info in found}


def _read_card(file: zipfile.ZipFile, path: Path) -> Card:
    if CARD not in file.namelist():
        raise UserError(f"no model that xmodbench exported ({CARD} is missing)", path, "give one that it did")
    with file.open(CARD) as handle:
        return _card_of(handle.read(MOST_CARD), path)


def _card_of(text: bytes, path: Path) -> Card:
    where = f"{path}: {CARD}"
    try:
        found = json.loads(text)
    except (ValueError, RecursionError) as error:
        raise UserError(f"not valid JSON ({error})", where, AGAIN) from None
    if not isinstance(found, dict) or found.get("kind") != KIND:
        raise UserError("no card of a model that xmodbench exported", where, "give one that it did")
    if found.get("format") != FORMAT_VERSION:
        problem = f"a model of format {found.get('format')!r:.20}, this xmodbench knows format {FORMAT_VERSION}"
        raise UserError(problem, where, "use the xmodbench that exported it, or a newer one")
    own = found.pop("card_sha256", None)
    if own != sha256_json(found):
        raise UserError("was changed since it was exported (its SHA-256 differs)", where, AGAIN)
    try:
        return validated(Card, found, CARD)
    except UserError as error:
        raise UserError(str(error), path, AGAIN) from None


def _compare(members: dict[str, int], card: Card, path: Path) -> None:
    """Raise UserError unless an archive holds what its card names, and nothing else."""
    said = {name: file.bytes for name, file in card.files.items()}
    for name in sorted(said.keys() | (members.keys() - {CARD})):
        if name not in said:
            raise UserError(f"holds '{name}', which its card does not name", path, TRUST)
        if name not in members:
            raise UserError(f"lacks '{name}', which its card names", path, AGAIN)
        if members[name] != said[name]:
            raise UserError(f"'{name}' has {members[name]} bytes, its card says {said[name]}", path, AGAIN)


def write_zip(path: Path, files: dict[str, Path | bytes]) -> None:
    """Write files by name into a zip, atomically; equal files make equal bytes, whenever and wherever.

    Uncompressed: compressors differ from version to version, and weights hardly shrink.
    """
    from xmodbench.data.download.disk import disk_errors
    from xmodbench.files import atomic_file

    with (
        disk_errors(path),
        atomic_file(path) as temporary,
        zipfile.ZipFile(temporary, "w", zipfile.ZIP_STORED) as file,
    ):
        for name, content in files.items():
            info = zipfile.ZipInfo(name, (1980, 1, 1, 0, 0, 0))
            info.create_system, info.external_attr = 3, 0o100644 << 16
            if isinstance(content, bytes):
                file.writestr(info, content)
                continue
            info.file_size = content.stat().st_size
            with open(content, "rb") as read, file.open(info, "w") as written:
                shutil.copyfileobj(read, written, 1 << 20)

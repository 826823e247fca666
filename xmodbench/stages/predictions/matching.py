"""Which file is which slice's or which subject's, and what is missing or left over."""

from __future__ import annotations

from collections.abc import Iterable, Iterator
from dataclasses import dataclass
from pathlib import Path

from xmodbench.data.volumes.found import SUFFIXES
from xmodbench.data.volumes.names import ascii_name
from xmodbench.errors import UserError, plain
from xmodbench.files import files_below
from xmodbench.plan.elsewhere import name_pattern
from xmodbench.store import SliceStore

IMAGES = (".png", ".npy")
TEXTS = frozenset({".csv", ".txt", ".md", ".json", ".log", ".yaml", ".yml"})
"""Endings of files that nobody takes for images."""
NAMED = 3


@dataclass(frozen=True)
class Matches:
    """What a folder of predictions holds.

    Attributes:
        slices: file of a slice, by its id.
        volumes: file of a volume, by subject.
        extra: files that belong to no slice and no subject of the store, by name relative to the folder.
    """

    slices: dict[str, Path]
    volumes: dict[str, Path]
    extra: list[str]

    @property
    def files(self) -> list[Path]:
        """All files that are read."""
        return [*self.slices.values(), *self.volumes.values()]


def ending(name: str) -> str | None:
    """The ending of an image's or volume's file name, or None where it is neither."""
    return next((known for known in (*IMAGES, *SUFFIXES) if name.lower().endswith(known)), None)


def match(folder: Path, store: SliceStore, files: str | None = None) -> Matches:
    """Match the files of a folder with the slices of a store.

    A slice's file is named by its id, a volume's file, or the folder that it lies in, by its subject.

    Args:
        files: how files are named otherwise, such as ``{id}_fake_B.png`` (`name_pattern`).

    Raises:
        UserError: no folder, no file that belongs to the store, or two files for one slice or subject.
    """
    if not folder.is_dir():
        raise UserError("no such folder", folder, "give the folder that the predictions lie in")
    found: dict[str, list[Path]] = {}
    extra = []
    known = _Known(store, files)
    for path in files_below(folder):
        name = path.relative_to(folder).as_posix()
        key = known.owner(name)
        if key is not None:
            found.setdefault(key, []).append(path)
        elif path.suffix.lower() not in TEXTS:
            extra.append(name)
    for key, paths in found.items():
        if len(paths) > 1:
            both = " and ".join(path.relative_to(folder).as_posix() for path in paths[:2])
            raise UserError(
                f"'{key}' comes twice: {both}", folder, "leave one of them there, or say with `files` which"
            )
    if not found:
        example = f"{store.ids[0]}.png or .npy, or {ascii_name(store.subjects[0])}.nii.gz"
        there = f"it has {some(extra)}" if extra else "it is empty"
        raise UserError(f"no file is named by a slice or subject ({there})", folder, f"name them like {example}")
    single = {key: paths[0] for key, paths in found.items()}
    ids = set(store.ids)
    return Matches(
        {key: path for key, path in single.items() if key in ids},
        {key: path for key, path in single.items() if key not in ids},
        extra,
    )


class _Known:
    """The names of a store's slices and subjects, and whose file has which name."""

    def __init__(self, store: SliceStore, files: str | None):
        self.pattern = name_pattern(files, "files") if files is not None else None
        self.ids = set(store.ids)
        self.subjects = {name: subject for subject in store.subjects for name in (subject, ascii_name(subject))}

    def owner(self, name: str) -> str | None:
        """The slice's id or the subject that a file, named relative to its folder, is of; None where there is none."""
        last = ending(name)
        if last is None:
            return None
        volume = last not in IMAGES
        if self.pattern is not None:
            # a pattern without a folder holds in any folder
            shown = name if "/" in self.pattern.pattern else name.rpartition("/")[2]
            if not (match := self.pattern.fullmatch(shown)):
                return None
            key = next(iter(match.groupdict().values()))
            return self._of(key, volume)
        folders, _, file = name.rpartition("/")
        return self._of(file[: -len(last)], volume) or (self._of(folders.rpartition("/")[2], True) if volume else None)

    def _of(self, key: str, volume: bool) -> str | None:
        return self.subjects.get(key) if volume else key if key in self.ids else None


def some(names: Iterable[str]) -> str:
    """How many names there are, and the first of them."""
    names = list(names)
    more = f" and {len(names) - NAMED} more" if len(names) > NAMED else ""
    return plain(f"{', '.join(names[:NAMED])}{more}")


def in_order(store: SliceStore, matches: Matches) -> Iterator[tuple[int, Path, bool]]:
    """Rows of the store's slices that there may be an image of, with its file, and whether that is a volume.

    Raises:
        UserError: a slice has a file of its own and lies in a volume too.
    """
    for row, (image_id, subject) in enumerate(zip(store.ids, store.subjects, strict=True)):
        own, volume = matches.slices.get(image_id), matches.volumes.get(subject)
        if own is not None and volume is not None:
            raise UserError(f"'{image_id}' comes twice", own, f"it lies in {volume.name} too; leave one of them there")
        if own is not None or volume is not None:
            yield row, own or volume, volume is not None  # type: ignore[misc]

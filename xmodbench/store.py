"""The slice store: the only data format between the stages of the benchmark.

A store is a folder with one ``<modality>.npy`` per modality (float32 ``[N, H, W]`` in ``[0, 1]``, all in the same
order), ``slices.csv`` (a row per slice: ``id``, ``subject``, ``site``, ``position_mm`` and whatever is needed to put the
slice back into its volume) and ``manifest.json`` (hashes, preparation, counts), which is written last.
"""

from __future__ import annotations

import csv
import os
from collections.abc import Mapping
from functools import cached_property
from pathlib import Path
from typing import TYPE_CHECKING, Any, BinaryIO

import numpy as np

from xmodbench.directions import modalities_of
from xmodbench.errors import UserError
from xmodbench.files import atomic_dir, read_json, sha256_file, sha256_json, write_json

if TYPE_CHECKING:
    import pandas as pd

FORMAT_VERSION = 1
OF_ONE_SPLIT = frozenset({"split", "arrays", "slices_sha256", "count", "subjects", "shape", "format"})
REQUIRED_COLUMNS = ("id", "subject", "site", "position_mm")


class SliceStore:
    """Read access to a store folder; arrays are memory-mapped.

    Raises:
        UserError: the folder is no complete store, or its files disagree with the manifest.
    """

    def __init__(self, directory: str | os.PathLike):
        self.directory = Path(directory)
        if not (self.directory / "manifest.json").is_file():
            raise UserError(
                "no slice store here (manifest.json is missing)", self.directory, "prepare the data set first"
            )
        self.manifest: dict[str, Any] = self._read_manifest()
        if self.manifest["count"] == 0:
            raise UserError("a slice store without slices", self.directory, "prepare it again")
        self.rows: list[dict[str, str]] = self._read_rows()
        if len(self.rows) != self.manifest["count"]:
            raise UserError(
                f"slices.csv has {len(self.rows)} rows, the manifest says {self.manifest['count']}",
                self.directory,
                "prepare it again",
            )

    def _read_manifest(self) -> dict[str, Any]:
        path = self.directory / "manifest.json"
        manifest = read_json(path)
        lacking = {"format", "count", "shape", "arrays"} - set(manifest if isinstance(manifest, dict) else ())
        if lacking:
            raise UserError(
                f"no manifest of a slice store ({', '.join(sorted(lacking))} missing)", path, "prepare it again"
            )
        if manifest["format"] != FORMAT_VERSION:
            raise UserError(f"slice store of format {manifest['format']!r:.40}", self.directory, "prepare it again")
        count, shape, arrays = manifest["count"], manifest["shape"], manifest["arrays"]
        sound = {
            "count": type(count) is int and count >= 0,
            "shape": isinstance(shape, list) and all(type(side) is int and side > 0 for side in shape),
            "arrays": isinstance(arrays, dict) and all(isinstance(facts, dict) for facts in arrays.values()),
        }
        for key in (key for key, well in sound.items() if not well):
            raise UserError(f"its {key} is {manifest[key]!r:.40}, which no store has", path, "prepare it again")
        return manifest

    def _read_rows(self) -> list[dict[str, str]]:
        path = self.directory / "slices.csv"
        try:
            with open(path, newline="", encoding="utf-8") as handle:
                table = csv.DictReader(handle)
                rows, columns = list(table), table.fieldnames or ()
        except (OSError, ValueError, csv.Error) as error:
            raise UserError(
                f"cannot be read ({getattr(error, 'strerror', None) or error})", path, "prepare it again"
            ) from None
        lacking = [name for name in REQUIRED_COLUMNS if name not in columns]
        if lacking:
            raise UserError(f"has no column {', '.join(lacking)}", path, "prepare it again")
        for number, row in enumerate(rows, 1):
            if None in row or None in row.values():
                raise UserError(f"row {number} has not {len(columns)} cells", path, "prepare it again")
        return rows

    @cached_property
    def slices(self) -> pd.DataFrame:
        """``slices.csv`` as a table, in array order (pandas is imported here: most jobs do without)."""
        import pandas as pd

        # a subject or a site may be called NA
        names = {"id": str, "subject": str, "site": str}
        return pd.read_csv(self.directory / "slices.csv", dtype=names, keep_default_na=False)

    @property
    def ids(self) -> list[str]:
        """Slice ids, in array order."""
        return [row["id"] for row in self.rows]

    @property
    def subjects(self) -> list[str]:
        """The subject of each slice, in array order."""
        return [row["subject"] for row in self.rows]

    @property
    def modalities(self) -> list[str]:
        """Names of the modalities in this store."""
        return sorted(self.manifest["arrays"])

    def array(self, modality: str) -> np.ndarray:
        """The slices of one modality, read-only, float32 ``[N, H, W]`` in ``[0, 1]``."""
        if modality not in self.manifest["arrays"]:
            raise UserError(f"no modality '{modality}' (it has {', '.join(self.modalities)})", self.directory)
        path = self.directory / f"{modality}.npy"
        expected = (self.manifest["count"], *self.manifest["shape"])
        array = mapped(path, "prepare the data set again")
        if array.shape != expected or array.dtype != np.float32:
            raise UserError(f"holds {array.dtype} {array.shape}, expected float32 {expected}", path, "prepare it again")
        return array

    def sha256(self, source: str) -> str | None:
        """Hash of the array of a modality, or of those of several (``t1+t2``); None where one is not there."""
        return source_sha256({name: entry["sha256"] for name, entry in self.manifest["arrays"].items()}, source)

    @property
    def preparation_sha256(self) -> str:
        """Hash of what the stores of one preparation share: settings, seed, volumes, who is in which split."""
        return sha256_json({key: value for key, value in self.manifest.items() if key not in OF_ONE_SPLIT})

    def verify(self, *modalities: str) -> None:
        """Compare ``slices.csv`` and the arrays (all, if none is named) with the hashes in the manifest.

        Raises:
            UserError: one differs; the message names it.
        """
        hashes = {f"{name}.npy": entry["sha256"] for name, entry in self.manifest["arrays"].items()}
        if modalities:
            hashes = {f"{name}.npy": hashes[f"{name}.npy"] for name in modalities if f"{name}.npy" in hashes}
        for file, known in {**hashes, "slices.csv": self.manifest.get("slices_sha256")}.items():
            path = self.directory / file
            if known is not None and (not path.is_file() or sha256_file(path) != known):
                raise UserError("changed since it was prepared", path, "prepare the data set again")


def source_sha256(arrays: Mapping[str, str], source: str) -> str | None:
    """Hash of a source, by those of the arrays of its modalities; None where one is not there."""
    found = [arrays.get(name) for name in modalities_of(source)]
    if len(found) == 1:
        return found[0]
    return None if None in found else sha256_json(found)


def _is_tabular(text: str) -> bool:
    """Whether a cell of a CSV comes back as it was: Python's writer leaves carriage returns bare, UTF-8 has no halves."""
    return "\r" not in text and not any("\ud800" <= letter <= "\udfff" for letter in text)


def mapped(path: Path, fix: str) -> np.ndarray:
    """The array of an ``.npy`` file, read-only, without reading it.

    Raises:
        UserError: it is none, or damaged; with this `fix`.
    """
    try:
        # not np.load, which takes archives and pickles as well
        return np.lib.format.open_memmap(path, mode="r")
    except Exception as error:  # its header is parsed as Python, which fails in every way that Python knows
        raise UserError(f"cannot be read ({error})", path, fix) from None


class StoreWriter:
    """Writes a store slice by slice, so that memory is bounded by one slice; the folder appears only when complete.

    Use as a context manager::

        with StoreWriter(directory, ["pd", "t1"], (128, 128), manifest) as writer:
            writer.add({"pd": image, "t1": image}, id=..., subject=..., site=..., position_mm=...)
    """

    def __init__(self, directory: str | os.PathLike, modalities, shape: tuple[int, ...], manifest: Mapping[str, Any]):
        self.directory, self.shape = Path(directory), tuple(shape)
        self.modalities, self.manifest = sorted(modalities), dict(manifest)
        self.rows: list[dict[str, Any]] = []
        self._ids: set[str] = set()
        self._atomic = atomic_dir(self.directory)
        self._files: dict[str, BinaryIO] = {}

    def __enter__(self) -> StoreWriter:
        self._folder = self._atomic.__enter__()
        for modality in self.modalities:
            self._files[modality] = open(self._folder / f"{modality}.npy", "wb")
            self._write_header(self._files[modality])
        return self

    def add(self, images: Mapping[str, np.ndarray], **row: Any) -> None:
        """Append one slice in all modalities; `row` needs at least ``id``, ``subject``, ``site``, ``position_mm``."""
        missing = [name for name in REQUIRED_COLUMNS if name not in row]
        if missing or set(images) != set(self.modalities):
            raise ValueError(f"incomplete slice: columns {missing} missing or modalities {sorted(images)}")
        for column, value in row.items():
            if isinstance(value, str) and not _is_tabular(value):
                problem = f"its {column} is '{value}', which no table can hold"
                raise UserError(problem, f"slice {row['id']}", "rename what it is named after")
        if row["id"] in self._ids:
            raise UserError(f"two slices with the id '{row['id']}'", self.directory, "give each subject its own name")
        checked = {name: self._checked(image, row["id"], name) for name, image in images.items()}
        for name, image in checked.items():
            self._files[name].write(image.tobytes())
        self._ids.add(row["id"])
        self.rows.append(row)

    def _checked(self, image: np.ndarray, slice_id: str, modality: str) -> np.ndarray:
        image = np.ascontiguousarray(image, dtype=np.float32)
        if image.shape != self.shape:
            raise ValueError(f"slice {slice_id} of {modality} has shape {image.shape}, the store {self.shape}")
        if not np.isfinite(image).all() or image.min() < 0 or image.max() > 1:
            raise UserError(f"{modality} has values that are not finite or outside [0, 1]", f"slice {slice_id}")
        return image

    def _write_header(self, handle: BinaryIO) -> None:
        # NumPy pads the header so that the first axis can grow: it is rewritten in place with the final count
        handle.seek(0)
        header = {"descr": "<f4", "fortran_order": False, "shape": (len(self.rows), *self.shape)}
        np.lib.format.write_array_header_1_0(handle, header)

    def __exit__(self, kind, value, traceback) -> bool | None:
        try:
            for handle in self._files.values():
                if kind is None:
                    self._write_header(handle)
                handle.close()
            if kind is None:
                self._finish()
        except BaseException as error:
            self._atomic.__exit__(type(error), error, error.__traceback__)
            raise
        return self._atomic.__exit__(kind, value, traceback)

    def _finish(self) -> None:
        if not self.rows:
            raise UserError("no slice was left to write", self.directory, "loosen the foreground filter or the stride")
        with open(self._folder / "slices.csv", "w", newline="", encoding="utf-8") as handle:
            table = csv.DictWriter(handle, fieldnames=list(self.rows[0]), lineterminator="\n")
            table.writeheader()
            table.writerows(self.rows)
        hashes = {name: {"sha256": sha256_file(self._folder / f"{name}.npy")} for name in self.modalities}
        write_json(
            self._folder / "manifest.json",
            {
                **self.manifest,
                "format": FORMAT_VERSION,
                "arrays": hashes,
                "slices_sha256": sha256_file(self._folder / "slices.csv"),
                "count": len(self.rows),
                "subjects": sorted({row["subject"] for row in self.rows}),
                "shape": list(self.shape),
            },
        )

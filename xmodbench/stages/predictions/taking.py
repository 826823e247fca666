"""import-predictions: read translations that were made elsewhere, check them, and write them as translate would."""

from __future__ import annotations

from collections.abc import Iterator
from pathlib import Path
from types import MappingProxyType
from typing import Any

import numpy as np

from xmodbench.directions import first_of, modalities_of
from xmodbench.errors import UserError, amount
from xmodbench.files import sha256_files
from xmodbench.metrics.paired import FOREGROUND_THRESHOLD
from xmodbench.plan.config import PredictionsEntry
from xmodbench.progress import Progress
from xmodbench.records import FAILURE, recorded
from xmodbench.stages.given import Expected, check_store
from xmodbench.stages.predictions.grids import ForeignVolume, slice_affines
from xmodbench.stages.predictions.matching import NAMED, Matches, in_order, match, some
from xmodbench.stages.predictions.reading import read_slice
from xmodbench.stages.predictions.values import Scale
from xmodbench.stages.translate import write_translation
from xmodbench.store import SliceStore

VERB = "import-predictions"


def import_predictions(
    entry: PredictionsEntry,
    store_dir: Path,
    out: Path,
    progress: Progress,
    *,
    expect: Expected = MappingProxyType({}),
    by_hand: bool = False,
) -> None:
    """Write predictions as a slice store with the modality ``target``, with a record like that of a translation.

    Args:
        entry: which predictions, and what is declared of them.
        store_dir: the test store.
        expect: what the plan says of the store.
        by_hand: noted in the record, by which the run's report finds predictions that its config does not name.

    Raises:
        UserError: an unusable store, files that cannot be read or do not fit, and slices without one unless
            ``entry.partial``.
    """
    source, target = entry.pair
    folder = Path(entry.folder)
    facts = {"name": entry.id, "source": source, "target": target, "supervision": entry.supervision}
    settings = entry.decisive()
    with recorded(out, VERB, **facts, isolation="none", settings=settings, by_hand=by_hand) as record:
        store = SliceStore(store_dir)
        check_store(store, expect, *modalities_of(source), target)
        matches = match(folder, store, entry.files)
        taken = _Images(store, source, matches, Scale.of(entry.units, store, target), folder)
        # in the place of what is there only when it is whole
        manifest: dict[str, Any] = {"kind": "translation", "source": source, "target": target, "intermediates": []}
        rows = taken.rows()
        missing = [image_id for row, image_id in enumerate(store.ids) if row not in set(rows)]
        record.update(missing_slices=missing, extra_files=matches.extra)  # all of them, where a line names a few
        _say_what_is_left(missing, matches, entry, store, out / FAILURE, progress)
        manifest |= {"partial": True} if missing else {}
        shape = tuple(store.manifest["shape"])
        chosen = [store.rows[row] for row in rows]
        write_translation(out, [target], shape, manifest, chosen, ({target: image[None, None]} for image in taken))
        if taken.scale.clipped:
            progress.say(f"{entry.label}: {taken.scale.clipped:,} values a little beyond [0, 1] were clipped")
        record.update(
            entry=entry.model_dump(),
            n_test=len(rows),
            missing=len(missing),
            extra=len(matches.extra),
            clipped=taken.scale.clipped,
            files_sha256=sha256_files(matches.files, folder),
            preparation_sha256=store.preparation_sha256,
            data_sha256=store.sha256(source),
            outputs_sha256=SliceStore(out).manifest["arrays"][target]["sha256"],
        )


def _say_what_is_left(
    missing: list[str], matches: Matches, entry: PredictionsEntry, store: SliceStore, failure: Path, progress: Progress
) -> None:
    """Tell what belongs to no slice; refuse slices without an image unless the predictions may be partial."""
    if matches.extra:
        files = f"{amount(len(matches.extra), 'file')} {'are' if matches.extra[1:] else 'is'}"
        progress.say(f"{entry.label}: {files} of no test slice: {some(matches.extra)}")
    if missing:
        problem = f"{len(missing)} of {len(store.ids)} test slices are missing: {some(missing)}"
        if not entry.partial:
            fix = "add them, or allow it with --partial (`partial: true`), which marks the row"
            raise UserError(f"{problem} (all: {failure})" if len(missing) > NAMED else problem, entry.folder, fix)
        progress.say(f"{entry.label}: {problem}")


class _Images:
    """The predictions' images in the store's order; iterating reads each file once."""

    def __init__(self, store: SliceStore, source: str, matches: Matches, scale: Scale, folder: Path):
        self.store, self.scale, self.folder = store, scale, folder
        self.source = store.array(first_of(source))
        self.found = list(in_order(store, matches))
        self.affines = slice_affines(store) if matches.volumes else []
        self._open: ForeignVolume | None = None
        self._beyond: set[int] = self._outside() if matches.volumes else set()

    def rows(self) -> list[int]:
        """Rows of the store's slices that there is an image of."""
        return [row for row, _, _ in self.found if row not in self._beyond]

    def __iter__(self) -> Iterator[np.ndarray]:
        shape: Any = tuple(self.store.manifest["shape"])
        for row, path, is_volume in self.found:
            if row in self._beyond:
                continue
            if is_volume:
                image = self._volume(path).slice(self.affines[row], shape, self.store.ids[row])
            else:
                image = read_slice(path, shape, self.scale)
            self._check_contents(image, row, path)
            yield image
        self.scale.check(self.folder)

    def _check_contents(self, image: np.ndarray, row: int, path: Path) -> None:
        """Refuse an image of one value, unless there was nothing to translate (as beyond the head)."""
        if np.ptp(image) == 0 and self.source[row].max() > FOREGROUND_THRESHOLD:
            problem = f"every pixel is {image.flat[0]:.3g} in slice {self.store.ids[row]}"
            raise UserError(problem, path, "leave slices out that have no prediction")

    def _volume(self, path: Path) -> ForeignVolume:
        if self._open is None or self._open.path != path:
            self._open = ForeignVolume(path, self.scale)
        return self._open

    def _outside(self) -> set[int]:
        """Rows whose slices lie beyond the ends of their subject's volume."""
        volumes = [(row, path) for row, path, is_volume in self.found if is_volume]
        beyond = {row for row, path in volumes if not self._volume(path).reaches(self.affines[row])}
        self.scale.clipped = 0  # they are read once more
        return beyond

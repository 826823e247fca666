"""score: compare translations with the real targets, per image and per direction."""

from __future__ import annotations

from collections.abc import Sequence
from pathlib import Path
from types import MappingProxyType
from typing import Any

import numpy as np

from xmodbench.commands import remake
from xmodbench.directions import first_of, modalities_of
from xmodbench.errors import UserError
from xmodbench.files import sha256_file, write_json
from xmodbench.metrics.distribution import distances
from xmodbench.metrics.field.measure import measure_field
from xmodbench.metrics.own import score_own
from xmodbench.metrics.paired import foreground, score_images
from xmodbench.metrics.placement import grey_scale, placement
from xmodbench.metrics.probe import probe
from xmodbench.metrics.registry import PAIRED, PROTOCOL
from xmodbench.plan.config import Scoring
from xmodbench.plugins import METRICS
from xmodbench.plugins.discovery import locate
from xmodbench.records import RECORD, read_record, recorded
from xmodbench.stages.given import Expected, check_made, check_store, check_together, prepared
from xmodbench.stages.score_table import write_columns
from xmodbench.store import SliceStore

NAMES = ("id", "subject", "site")
"""The columns before those of metrics."""
CHUNK = 64  # slices scored at once; bounds memory, changes no result


def score(
    translation_dir: Path,
    test_dir: Path,
    train_dir: Path,
    source: str,
    target: str,
    out_csv: Path,
    settings: Scoring,
    *,
    expect: Expected = MappingProxyType({}),
    **facts: Any,
) -> None:
    """Write per-image scores to ``out_csv``, the distances and counts to ``<stem>.json``, then ``<stem>.record.json``.

    Args:
        translation_dir: slice store whose one modality is ``target``, with the test store's ids in its order.
        test_dir: store with ``source`` and ``target``.
        source: where it is several (``t1+t2``), the first of them is what scores compare with.
        train_dir: store with ``target``, for the distances between real slices.
        expect: what the plan says of the stores and of the translation.

    Raises:
        UserError: the stores do not fit each other, the plan or the records beside them, or hold values that cannot be
            scored.
    """
    out_csv = Path(out_csv)
    record_name = f"{out_csv.stem}.record.json"
    (out_csv.parent / record_name).unlink(missing_ok=True)  # never an old record beside new scores
    with recorded(out_csv.parent, "score", file=record_name, source=source, target=target, **facts) as record:
        translation, test, train = map(SliceStore, (translation_dir, test_dir, train_dir))
        check_match(translation, test, target)
        check_translation(translation, test, source, expect)
        check_store(test, expect, *modalities_of(source), target)
        check_store(train, expect, target)
        check_together(test, train)
        translation.verify()
        rows = rows_of(translation, test)
        images = (translation.array(target), test.array(target)[rows], test.array(first_of(source))[rows])
        slices = np.array(test.rows, object)[rows].tolist()
        subjects = [row["subject"] for row in slices]
        scores = _scored(images, settings.metrics)
        field = measure_field(images, slices, test.manifest, (target, source), settings)
        names: dict[str, Sequence[str] | np.ndarray] = {name: [row[name] for row in slices] for name in NAMES}
        # before one's own, in the order of the report
        write_columns(out_csv, names | {name: scores.pop(name) for name in PAIRED} | field.slices | scores)
        real = (images[1], train.array(target))
        summary = {
            "distances": distances(images[0], *real, settings.fid_weights, subjects),
            "counts": _counts(images, subjects) | ({"of": len(test.ids)} if len(slices) < len(test.ids) else {}),
            "intermediates": _errors_on_the_way(translation, images[1], images[2]),
            "looks": _looks(images, subjects),
            **field.summary(),
        }
        write_json(out_csv.with_suffix(".json"), summary)
        record.update(
            protocol=PROTOCOL,
            prepared=prepared(test),
            n_test=len(slices),
            scores_sha256=sha256_file(out_csv),
            translation_sha256=translation.manifest["arrays"][target]["sha256"],
            test_sha256={name: test.manifest["arrays"][name]["sha256"] for name in (*modalities_of(source), target)},
            settings=settings.model_dump(),
            metrics_sha256={name: locate(METRICS, name).code_hash for name in settings.metrics},
        )


def check_match(translation: SliceStore, test: SliceStore, target: str) -> None:
    """Raise UserError unless the translations are the test slices, in their order, and all of them if not marked partial."""
    where, fix = translation.directory, "translate again from this test store"
    extra = set(translation.modalities) - {target, *translation.manifest.get("intermediates", ())}
    if target not in translation.modalities or extra:
        raise UserError(f"holds {', '.join(translation.modalities)}, expected only '{target}'", where, fix)
    if translation.manifest["shape"] != test.manifest["shape"]:
        found, wanted = translation.manifest["shape"], test.manifest["shape"]
        raise UserError(f"images of {found} pixels, the test slices have {wanted}", where, fix)
    if translation.ids == test.ids:
        return
    if (
        translation.manifest.get("partial") is True
        and list(np.array(test.ids)[rows_of(translation, test)]) == translation.ids
    ):
        return
    missing, extra = set(test.ids) - set(translation.ids), set(translation.ids) - set(test.ids)
    example = f", such as '{min(missing or extra)}'" if missing or extra else ""
    problem = f"not the test slices: {len(missing)} missing, {len(extra)} unknown{example}"
    raise UserError(problem if example else "the test slices, but in another order", where, fix)


def rows_of(translation: SliceStore, test: SliceStore) -> slice | list[int]:
    """Rows of the test slices that are translated: all of them, unless the translations are partial (see `check_match`)."""
    if translation.ids == test.ids:
        return slice(None)
    there = set(translation.ids)
    return [row for row, image_id in enumerate(test.ids) if image_id in there]


def check_translation(translation: SliceStore, test: SliceStore, source: str, expect: Expected) -> None:
    """Raise UserError unless the record beside the translations says that they are of these slices, as the plan asks.

    Translations that were made elsewhere have no record; in a run every one has.
    """
    folder = translation.directory
    if not expect and not (folder / RECORD).is_file():
        return
    record, fix = read_record(folder), remake(folder / RECORD, "translate again")
    check_made(record, expect.get("translated"), folder, "translated")
    target = str(record.get("target"))
    if record.get("source", source) != source:
        raise UserError(f"translated from '{record['source']}', not '{source}'", folder, fix)
    images = translation.manifest["arrays"].get(target, {}).get("sha256")
    if record.get("outputs_sha256", images) != images:
        raise UserError("not the images that the record beside them speaks of", folder, fix)
    slices = test.sha256(source)
    if record.get("data_sha256", slices) != slices:
        raise UserError(f"made of other slices than those of {test.directory}", folder, fix)
    if record.get("preparation_sha256", test.preparation_sha256) != test.preparation_sha256:
        raise UserError(f"made of another preparation than that of {test.directory}", folder, fix)


def _looks(images: tuple[np.ndarray, ...], subjects: list[str]) -> dict[str, Any]:
    """What the report judges beside the scores: places, grey values, and what the metrics give where that is known."""
    return {
        "placement": placement(images[0], images[1], subjects),
        "grey_scale": grey_scale(images[0], images[1], subjects),
        "probe": probe(),
    }


def _scored(images: tuple[np.ndarray, ...], own: list[str]) -> dict[str, np.ndarray]:
    """Metric id to a score for each image."""
    parts = []
    for start in range(0, len(images[0]), CHUNK):
        chunk = tuple(array[start : start + CHUNK] for array in images)
        parts.append(score_images(*chunk) | score_own(own, chunk))
    return {name: np.concatenate([part[name] for part in parts]) for name in parts[0]}


def _errors_on_the_way(translation: SliceStore, target: np.ndarray, source: np.ndarray) -> dict[str, dict[str, float]]:
    """Mean squared errors (of intensities in [0, 1]) of the kept images on the way, to the target and to the source."""
    found = {}
    for name in translation.manifest.get("intermediates", ()):
        images = translation.array(name)
        found[name] = {
            f"mse_{to}": float(np.mean([np.mean((a - b) ** 2) for a, b in zip(images, other, strict=True)]))
            for to, other in (("target", target), ("source", source))
        }
    return found


def _counts(images: tuple[np.ndarray, ...], subjects: list[str]) -> dict[str, int]:
    """How many images there are, and how many hit a metric's special case."""
    _, target, source = images
    flat = [array.reshape(len(array), -1) for array in images]
    return {
        "images": len(target),
        "subjects": len(set(subjects)),
        "identical": int((flat[0] == flat[1]).all(1).sum()),
        "constant_translation": int((np.ptp(flat[0], axis=1) == 0).sum()),
        "constant_target": int((np.ptp(flat[1], axis=1) == 0).sum()),
        "no_foreground": int((~foreground(target, source).any(axis=(1, 2))).sum()),
    }

"""What is said of prepared subjects that are not as one would think: left out, assumed, copied, doubtful, alone."""

from __future__ import annotations

from collections.abc import Iterator, Mapping
from typing import Any

SHOWN = 3
"""Subjects that are named where a remark is the same for several."""


def remarks(manifest: Mapping[str, Any]) -> Iterator[str]:
    """All of them, a line each, from the manifest of a store."""
    volumes = manifest["volumes"]
    yield from map(left_out, manifest["excluded"])
    yield from assumed(volumes)
    yield from manifest.get("copies", ())
    yield from doubtful(volumes)
    if manifest["split_by"] != "subject":
        yield alone(manifest["settings"]["split"]["gap_mm"])


def left_out(item: Mapping[str, str]) -> str:
    """Of a subject that is not used, and the reason."""
    return f"{item['subject']} left out: {item['reason']}"


def assumed(volumes: Mapping[str, Mapping[str, Any]]) -> Iterator[str]:
    """What was assumed of files, by facts of the subjects: a line for all that it is the same for."""
    subjects: dict[tuple[str, str], list[str]] = {}
    for subject, facts in volumes.items():
        for item in facts.get("headers", {}).items():
            subjects.setdefault(item, []).append(subject)
    for (modality, remark), names in subjects.items():
        more = f" and {len(names) - SHOWN} more" if len(names) > SHOWN else ""
        yield f"{', '.join(names[:SHOWN])}{more}, {modality}: {remark}"


def doubtful(volumes: Mapping[str, Mapping[str, Any]]) -> Iterator[str]:
    """Which modalities of a subject may not belong together, by facts of the subjects."""
    for subject, facts in volumes.items():
        for item in facts.get("pairing", ()):
            if item["suspected"]:
                yield f"{subject}, pairing doubtful: {item['suspected']}"


def alone(gap_mm: float) -> str:
    """What the split of a lone subject's slices is worth."""
    return (
        f"one subject, so tested on a block of its own slices, {gap_mm:g} mm from those it trains on, which says "
        "nothing of other heads or bodies; with a second subject one is trained on and the other tested"
    )

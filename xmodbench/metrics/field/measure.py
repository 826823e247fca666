"""The field's numbers of one direction, as far as its data allow and its settings ask."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

import numpy as np

from xmodbench.metrics.field.cards import EXTRAS
from xmodbench.metrics.field.units import scale_of
from xmodbench.plan.config import Scoring

UNKNOWN = "the data set's stores do not keep what 0 and 1 stood for"


@dataclass(frozen=True)
class Measured:
    """What was found.

    Attributes:
        slices: metric id to a score for each slice, in the order of the images.
        volumes, tissues: by subject, see `xmodbench.metrics.volumes.Field`.
        absent: by metric that was asked for, why there is none.
        window: what 0 and 1 of the target stand for in HU; None where it is no CT in HU.
    """

    slices: dict[str, np.ndarray] = field(default_factory=dict)
    volumes: dict[str, dict[str, float | None]] = field(default_factory=dict)
    tissues: dict[str, dict[str, Any]] = field(default_factory=dict)
    absent: dict[str, str] = field(default_factory=dict)
    window: tuple[float, float] | None = None

    def summary(self) -> dict[str, Any]:
        """What of it goes beside the scores of slices."""
        found = {"volumes": self.volumes, "tissues": self.tissues, "absent": self.absent, "window": self.window}
        return {name: value for name, value in found.items() if value}


def measure_field(
    images: tuple[np.ndarray, np.ndarray, np.ndarray],
    slices: Sequence[Mapping[str, str]],
    manifest: Mapping[str, Any],
    pair: tuple[str, str],
    settings: Scoring,
) -> Measured:
    """Score translations.

    Args:
        images: translations, targets and sources, ``[N, H, W]`` in [0, 1].
        slices, manifest: of the test store; rows in the order of the images.
        pair: names of the target and of the source.
    """
    if not settings.field:
        return Measured()
    scales = [scale_of(manifest, list(slices[0]), name) for name in pair]
    if scales[0] is None or scales[1] is None:
        return Measured(absent={EXTRAS[name].id: UNKNOWN for name in settings.extra})
    from xmodbench.metrics.volumes import score_volumes

    subjects, positions = [row["subject"] for row in slices], [float(row["position_mm"]) for row in slices]
    in_3d = "ms_ssim_3d" in settings.extra
    found = score_volumes(images, subjects, positions, scales[0], scales[1], in_3d)
    window = (scales[0].low, scales[0].high) if scales[0].hu else None
    for subject, tissues in found.tissues.items():
        scans = manifest.get("volumes", {}).get(subject, {}).get("scans", {})
        tissues |= {
            "extremes": scans.get(pair[0], {}).get("extremes"),
            "cut_off": scans.get(pair[0], {}).get("clipped"),
        }
    measured = Measured(found.slices, found.volumes, found.tissues, {}, window)
    if "lpips" in settings.extra:
        _perceptual(measured, images, settings)
    if "totalsegmentator" in settings.extra:
        _organs(measured, images, slices, manifest, pair[0])
    return measured


def _perceptual(measured: Measured, images: tuple[np.ndarray, ...], settings: Scoring) -> None:
    """Add LPIPS, or why there is none."""
    name = EXTRAS["lpips"].id
    if settings.lpips_weights is None:
        measured.absent[name] = "no AlexNet weights: set scoring.lpips_weights"
        return
    path = Path(settings.lpips_weights).expanduser()
    if not path.is_file():
        measured.absent[name] = f"no such file of AlexNet weights: {path}"
        return
    from xmodbench.metrics.field.lpips import SMALLEST, lpips

    if min(images[0].shape[1:]) < SMALLEST:
        measured.absent[name] = f"images are smaller than {SMALLEST} pixels"
    else:
        measured.slices[name] = lpips(images[0], images[1], path, settings.lpips_sha256)


def _organs(
    measured: Measured, images, slices: Sequence[Mapping[str, str]], manifest: Mapping[str, Any], modality: str
) -> None:
    """Add the overlap of organs to each volume, or why there is none."""
    from xmodbench.metrics.field.organs import NotHere, organ_overlap

    name = EXTRAS["totalsegmentator"].id
    for subject, volume in measured.volumes.items():
        rows = [row for row, facts in enumerate(slices) if facts["subject"] == subject]
        facts = manifest.get("volumes", {}).get(subject, {})
        here = [slices[row] for row in rows]
        try:
            volume[name] = organ_overlap(
                images[0][rows], images[1][rows], here, facts, modality, measured.window is not None
            )
        except NotHere as reason:
            measured.absent[name] = str(reason)
            return

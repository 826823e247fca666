"""What a model has to know of the volumes that it was trained on, so that others can be prepared alike and told apart."""

from __future__ import annotations

from collections.abc import Iterable, Mapping
from typing import Any

import numpy as np
import SimpleITK as sitk

from xmodbench.data.pairing.contrast import apart
from xmodbench.data.volumes.grids import Grid
from xmodbench.data.volumes.putting_back import Place, row_ends, row_index
from xmodbench.data.volumes.settings import Preparation
from xmodbench.errors import UserError
from xmodbench.store import SliceStore

FORMAT = 1
HU, OWN = "HU", "the scan's own"
"""Units: what a fixed window means, and what every scanner and sequence has for itself."""


def known_of(store: SliceStore) -> dict[str, Any] | None:
    """The preparation of a training store, JSON: settings, and what its volumes were like; None where it did not keep it.

    Nothing is taken from volumes of which no slice is in the store.
    """
    manifest = store.manifest
    try:
        given = {key: value for key, value in manifest["settings"].items() if key in Preparation.model_fields}
        settings = Preparation.model_validate(given)
        volumes = {name: manifest["volumes"][name] for name in dict.fromkeys(store.subjects)}
        places = {name: Place.read(facts, store.directory) for name, facts in volumes.items()}
        return {
            "format": FORMAT,
            "dataset": manifest.get("dataset"),
            "simulated": bool(manifest.get("simulated")),
            "settings": settings.model_dump(mode="json", exclude={"split", "exclude"}),
            "subjects": len(volumes),
            "slices": len(store.ids),
            "reference": _reference(store, volumes),
            "modalities": {name: _modality(store, settings, volumes, name) for name in store.modalities},
            **_geometry(store, settings, volumes, places),
        }
    except (UserError, LookupError, TypeError, ValueError, AttributeError):
        return None


def _reference(store: SliceStore, volumes: Mapping[str, Any]) -> str | None:
    """The modality whose grid the others were brought to: its file is what a slice is said to come from."""
    first = store.rows[0]
    files = volumes[first["subject"]].get("files", {})
    return next((name for name, item in files.items() if item["file"] == first.get("source")), None)


def _modality(store: SliceStore, settings: Preparation, volumes: Mapping[str, Any], name: str) -> dict[str, Any]:
    """What its raw values were, and how its histogram looks."""
    ends = np.array([row_ends(row, name, store.directory) for row in store.rows])
    levels = np.array([facts["levels"][name] for facts in volumes.values()], float)
    return {
        "unit": HU if settings.normalisation(name).method == "window" else OWN,
        "low": float(np.median(ends[:, 0])),
        "high": float(np.median(ends[:, 1])),
        "lowest": [float(facts["scans"][name]["extremes"][0]) for facts in volumes.values()],
        "levels": np.round(levels.mean(axis=0), 5).tolist(),
        "spread": round(max(apart(item, levels.mean(axis=0)) for item in levels), 5),
    }


def _geometry(
    store: SliceStore, settings: Preparation, volumes: Mapping[str, Any], places: Mapping[str, Place]
) -> dict[str, Any]:
    planes = {place.plane.name for place in places.values()}
    if len(planes) > 1:
        raise ValueError("slices of several planes")
    first, last = (np.array([facts["head"]["slices"][end] for facts in volumes.values()]) for end in (0, 1))
    number = {name: k for k, name in enumerate(volumes)}
    heights = [
        (row_index(row, store.directory) - first[k]) / max(1, last[k] - first[k])
        for row in store.rows
        for k in [number[row["subject"]]]
    ]
    measures = [measures_of(place, settings.image_size) for place in places.values()]
    heights_mm: dict[str, list[float]] = {name: [] for name in volumes}
    for row in store.rows:
        heights_mm[row["subject"]].append(float(row["position_mm"]))
    steps = [step for found in heights_mm.values() for step in np.diff(sorted(found))]
    return {
        "plane": planes.pop(),
        "mask": next(iter(volumes.values()))["mask"],
        "grid_mm": np.median([place.grid.spacing for place in places.values()], axis=0).tolist(),
        "heights": span(heights),
        "step_mm": round(float(np.median(steps)), 4) if steps else None,
        "cut_off": span(facts["head"]["cut_off"] for facts in volumes.values()),
        **{name: span(value for item in measures for value in item[name]) for name in measures[0]},
    }


def measures_of(place: Place, image_size: int) -> dict[str, list[float]]:
    """Of one subject, by name, each a few numbers: sizes of pixels (``pixel_mm``) and of the voxels they come from, within
    slices (``in_plane_mm``, the longer side) and from slice to slice (``between_mm``), share of the field of view that was
    scanned (``coverage``), and by how much slices lean from their plane (``tilt_deg``).
    """
    plane, crop = place.plane, place.crop
    grids = [oriented_spacing(grid) for grid in (place.grid, *place.scans.values())]
    directions = place.grid.affine[:3, :3] / np.linalg.norm(place.grid.affine[:3, :3], axis=0)
    own = place.grid.spacing
    return {
        "pixel_mm": [crop.height * own[plane.rows] / image_size, crop.width * own[plane.cols] / image_size],
        "in_plane_mm": [float(max(item[plane.rows], item[plane.cols])) for item in grids],
        "between_mm": [float(item[plane.normal]) for item in grids],
        "coverage": [crop.coverage(place.shape)],
        "tilt_deg": [float(np.degrees(np.arccos(np.clip(np.abs(np.diag(directions)).min(), 0, 1))))],
    }


def oriented_spacing(grid: Grid) -> np.ndarray:
    """Voxel size along the axes that run nearest to left-right, front-back and up-down, mm."""
    return np.array(sitk.DICOMOrient(grid.image(), "LPS").GetSpacing())


def span(values: Iterable[float]) -> dict[str, float]:
    """Least, middle and most of some numbers."""
    numbers = np.array([float(value) for value in values])
    return {
        "least": round(float(numbers.min()), 5),
        "median": round(float(np.median(numbers)), 5),
        "most": round(float(numbers.max()), 5),
    }

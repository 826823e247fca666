"""Measuring simulated volumes through the tissues that were drawn, which partial volume and noise do not bias."""

from __future__ import annotations

from collections.abc import Mapping

import numpy as np
import SimpleITK as sitk
from skimage.metrics import normalized_mutual_information

from xmodbench.data.volumes.prepare import prepare_dataset
from xmodbench.progress import Progress
from xmodbench.store import SliceStore


def on_grid(maps: Mapping[str, np.ndarray], grid, volume, transform=None, blur_mm=0.0) -> dict[str, np.ndarray]:
    """Fractions [Z, Y, X] on `grid` as shares of the voxels of `volume`, averaged over the slice thickness."""
    found = {}
    for name, values in maps.items():
        image = sitk.GetImageFromArray(values.astype(np.float32))
        image.CopyInformation(grid)
        image = sitk.SmoothingRecursiveGaussian(image, blur_mm) if blur_mm else image
        parts = []
        for step in (-1 / 3, 0, 1 / 3):
            shifted = sitk.Image(volume)
            shifted.SetOrigin(volume.TransformContinuousIndexToPhysicalPoint([0, 0, step]))
            chosen = transform or sitk.Transform(3, sitk.sitkIdentity)
            part = sitk.Resample(image, shifted, chosen, sitk.sitkLinear, 0.0, sitk.sitkFloat32, True)
            parts.append(sitk.GetArrayFromImage(part))
        found[name] = np.mean(parts, axis=0)
    return found


def unmixed(volume: sitk.Image, shares: Mapping[str, np.ndarray]) -> dict[str, float]:
    """The value of each tissue: least squares over all voxels that hold next to no air."""
    filled = sum(shares.values()) > 0.98
    matrix = np.stack([share[filled] for share in shares.values()], axis=1).astype(float)
    values, *_ = np.linalg.lstsq(matrix, sitk.GetArrayFromImage(volume)[filled].astype(float), rcond=None)
    return dict(zip(shares, values.tolist(), strict=True))


def own_and_shuffled(dataset, raw, out, source: str, target: str) -> tuple[float, float]:
    """Mean NMI (100 bins, by scikit-image) of prepared pairs, and of each source with another subject's target.

    The other target is that of the nearest height within its subject's slices.
    """
    prepare_dataset(dataset, raw, out, dataset_id="x", seed=1, threads=1, progress=Progress(quiet=True))
    pairs: dict[str, list] = {}
    for part in ("train", "test"):
        store = SliceStore(out / part)
        for subject, a, b in zip(store.subjects, store.array(source), store.array(target), strict=True):
            pairs.setdefault(subject, []).append((np.array(a), np.array(b)))
    subjects, own, other = list(pairs), [], []
    for number, subject in enumerate(subjects):
        partner = pairs[subjects[(number + 1) % len(subjects)]]
        for index, (a, b) in enumerate(pairs[subject]):
            place = round(index * (len(partner) - 1) / max(1, len(pairs[subject]) - 1))
            own.append(normalized_mutual_information(a, b, bins=100))
            other.append(normalized_mutual_information(a, partner[place][1], bins=100))
    return float(np.mean(own)), float(np.mean(other))

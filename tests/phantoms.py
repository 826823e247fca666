"""Heads of a few thousand voxels with landmarks at known places, as MR and as CT, on any grid."""

from __future__ import annotations

from pathlib import Path

import numpy as np
import SimpleITK as sitk

from tests.plugins import job_of
from xmodbench.data.volumes.prepare import prepare_dataset
from xmodbench.plugins import DATASETS, find
from xmodbench.progress import Progress
from xmodbench.stages.train import train
from xmodbench.store import SliceStore

COPIER = """
class Copier(Method):
    supervision = Supervision.ZERO_SHOT
    def fit(self, train, run): pass
    def save(self, directory): (directory / "weights").write_text("1")
    def load(self, directory, run): self.found = sorted(path.name for path in directory.iterdir())
    def translate(self, source, generators): return source
"""
LANDMARKS = np.array([[32.0, 10.0, 8.0], [-30.0, -22.0, -12.0], [5.0, 40.0, -25.0], [-12.0, 25.0, 24.0]])
"""LPS mm; no two of them symmetric in any way."""
WIDTH_MM = 6.0
PATTERNS = {"mr": "{subject}-mr.nii.gz", "ct": "{subject}-ct.nii.gz"}
CT = {"method": "window", "low": -1000, "high": 1000, "fill": -1000}
RADII = (70.0, 85.0, 62.0)

OBLIQUE = {"angles": (6.0, -5.0, 7.0), "centre": (11.0, -17.0, 23.0)}


def grid(code: str = "LPS", size=(60, 66, 44), spacing=(2.8, 3.1, 3.9), angles=(0.0, 0.0, 0.0), centre=(0.0, 0.0, 0.0)):
    """An empty image; `size` and `spacing` are along left, back and head, `code` says to where the file's axes run."""
    image = sitk.Image(list(size), sitk.sitkFloat32)
    image.SetSpacing(spacing)
    turn = sitk.Euler3DTransform((0, 0, 0), *np.radians(angles).tolist())
    image.SetDirection(turn.GetMatrix())
    middle = np.array(image.TransformContinuousIndexToPhysicalPoint([(n - 1) / 2 for n in size]))
    image.SetOrigin((np.array(centre) - middle).tolist())
    return sitk.DICOMOrient(image, code)


def head(kind: str, on: sitk.Image, centre=(0.0, 0.0, 0.0), seed: int = 0, scale: float = 1.0) -> sitk.Image:
    """A head around `centre` (LPS mm), MR (``mr``) or CT (``ct``, in HU), with the landmarks in it.

    Args:
        scale: of the MR's grey values.
    """
    size = on.GetSize()
    index = np.stack(np.meshgrid(*[np.arange(n) for n in size], indexing="ij"), -1)
    axes = np.reshape(on.GetDirection(), (3, 3)) * on.GetSpacing()
    places = index @ axes.T + on.GetOrigin() - np.array(centre)
    distance = np.sqrt(((places / RADII) ** 2).sum(-1))
    noise = np.random.default_rng(seed).normal(0, 1, distance.shape)
    blobs = sum(np.exp(-((places - mark) ** 2).sum(-1) / (2 * WIDTH_MM**2)) for mark in LANDMARKS)
    inside, shell = distance < 1, (distance < 1) & (distance > 0.9)
    if kind == "ct":
        values = np.where(shell, 800, np.where(inside, 40 + 300 * blobs, -1000)) + 5 * noise * inside
    else:
        values = scale * (np.where(shell, 120, np.where(inside, 400 + 900 * blobs, 5)) + np.abs(4 * noise))
    image = sitk.GetImageFromArray(values.transpose(2, 1, 0).astype(np.float32))
    image.CopyInformation(on)
    return image


def darker(image: sitk.Image) -> sitk.Image:
    """An MR of another contrast (``t2``), in which the landmarks are dark."""
    values = sitk.GetArrayFromImage(image)
    other = sitk.GetImageFromArray(np.where(values > 60, np.clip(900 - 0.6 * values, 0, None), values / 2))
    other.CopyInformation(image)
    return sitk.Cast(other, sitk.sitkFloat32)


def prepared(folder: Path, **settings) -> SliceStore:
    """The store of what lies in ``<folder>/raw`` as ``<subject>-mr.nii.gz`` and ``<subject>-ct.nii.gz``; the test slices."""
    plugin = find(DATASETS, "folder")
    given = {"patterns": PATTERNS, "normalise": {"ct": CT}, "split": {"n_test": 1}, **settings}
    dataset = plugin.cls(plugin.cls.Config.model_validate(given))
    quiet = Progress(quiet=True)
    prepare_dataset(dataset, folder / "raw", folder, dataset_id="x", seed=1, threads=1, progress=quiet)
    return SliceStore(folder / "test")


def trained_copier(folder: Path) -> Path:
    """In a folder, prepared heads, and models that give back their source: ``model`` towards CT, ``model-mr`` towards MR."""
    for number in range(3):
        for kind in PATTERNS:
            write(folder / "raw" / f"s{number}-{kind}.nii.gz", head(kind, grid(), seed=number, scale=1 + number / 10))
    prepared(folder, image_size=64, fov_mm=190.0)
    for target, out in (("ct", "model"), ("mr", "model-mr")):
        train(job_of(folder, "copier", COPIER), folder / "train", target, None, folder / out, folder / "state")
    return folder


def trained_on_two(folder: Path) -> Path:
    """In a folder, prepared heads with a T2, and the model ``model`` of MR and T2 towards CT, by `two_copier`."""
    for number in range(3):
        images = {kind: head(kind, grid(), seed=number, scale=1 + number / 10) for kind in PATTERNS}
        for kind, image in {**images, "t2": darker(images["mr"])}.items():
            write(folder / "raw" / f"s{number}-{kind}.nii.gz", image)
    prepared(folder, patterns={**PATTERNS, "t2": "{subject}-t2.nii.gz"}, image_size=64, fov_mm=190.0)
    job = job_of(folder, "two", two_copier())
    train(job, folder / "train", "ct", "mr+t2", folder / "model", folder / "state")
    return folder


def two_copier(answer: str = "source[:, :1]") -> str:
    """A method that is handed two sources and gives back one."""
    taking = COPIER.replace("ZERO_SHOT\n", "PAIRED\n    sources = (2, 2)\n")
    return taking.replace("return source", f"return {answer}")


def write(path: Path, image: sitk.Image) -> Path:
    path.parent.mkdir(parents=True, exist_ok=True)
    sitk.WriteImage(image, str(path), useCompression=True)
    return path


def landmarks_of(voxels: np.ndarray, affine: np.ndarray, centre=(0.0, 0.0, 0.0)) -> np.ndarray:
    """LPS mm of the landmarks as found: centroids of what is brighter than its surroundings.

    Args:
        voxels: [x, y, z].
        affine: 4x4 to RAS mm.
    """
    index = np.stack(np.meshgrid(*[np.arange(n) for n in voxels.shape], indexing="ij"), -1)
    places = (index @ affine[:3, :3].T + affine[:3, 3]) * [-1, -1, 1]
    found = []
    for mark in LANDMARKS + np.array(centre):
        around = np.linalg.norm(places - mark, axis=-1) < 5 * WIDTH_MM
        points, values, place = places[around], voxels[around], mark
        for _ in range(8):  # the window follows what it finds
            near = np.linalg.norm(points - place, axis=-1) < 2.5 * WIDTH_MM
            weights = np.clip(values[near] - np.quantile(values[near], 0.4), 0, None)
            place = (points[near] * weights[:, None]).sum(0) / weights.sum()
        found.append(place)
    return np.array(found)

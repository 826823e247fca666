"""The like of EASY-RESECT made from RESECT: both scans around the middle of the ultrasound volume."""

from __future__ import annotations

from collections.abc import Mapping
from pathlib import Path

import numpy as np
import SimpleITK as sitk

from xmodbench.data.download.errors import Damaged, NotFetched
from xmodbench.data.download.lockfile import LockFile
from xmodbench.data.download.obtain import obtain
from xmodbench.data.volumes.io import read_volume, write_volume
from xmodbench.data.volumes.resample import resample
from xmodbench.errors import UserError
from xmodbench.files import files_below, read_json, write_json
from xmodbench.plugins import RemoteFile
from xmodbench.plugins.code_hash import files_hash
from xmodbench.progress import Progress

FOLDER = "RESECT-resized"
SIZE, SPACING_MM = (256, 256, 288), 0.5
FRAME = "US-before"


def rebuild(
    raw_dir: Path, cases: Mapping[str, Mapping[str, RemoteFile]], progress: Progress, advice: str | None = None
) -> None:
    """Write ``RESECT-resized/NIFTI/<case>/<case>-<scan>-resize.nii`` of every case that the archive has.

    ``made.json`` beside them, written last, holds the digests of the originals and of the code: a case is made again
    where either changed. A case that is not complete or damaged does not stop the others.

    Args:
        raw_dir: the originals are fetched into its folder ``NIFTI`` where they are not there yet.
        cases: the originals of each case, with the ultrasound volume ``US-before`` among them.
        advice: what to do where no case can be used, for the message.

    Raises:
        NotFetched: an original cannot be had for another reason than that there is none.
        UserError: no case can be used, or the disk is full.
    """
    left_out = {}
    for case, files in progress.track(cases.items(), "resample RESECT", total=len(cases)):
        folder = raw_dir / FOLDER / "NIFTI" / case
        targets = {name: folder / f"{case}-{name}-resize.nii" for name in files if name != FRAME}
        if all(path.is_file() for path in [*targets.values(), folder / "made.json"]):
            if read_json(folder / "made.json") == _recipe(files, raw_dir):
                continue
            progress.say(f"{case}: its originals or the code have changed; it is made again")
        try:
            _rebuild_case(files, targets, folder / "made.json", raw_dir, progress)
        except (Damaged, NotFetched) as error:
            if isinstance(error, NotFetched) and all(path.is_file() for path in targets.values()):
                progress.say(f"{case}: kept as it is, made by other code: {error}")
                continue
            if isinstance(error, NotFetched) and not error.gone:
                raise
            left_out[case] = str(error)
            progress.say(f"{case} is left out: {error}")
    if not any(path.suffix == ".nii" for path in files_below(raw_dir / FOLDER)):
        raise UserError(f"no case of RESECT can be used ({next(iter(left_out.values()))})", raw_dir, advice)
    about = "made of RESECT (doi 10.11582/2017.00004) by linear interpolation; not the published EASY-RESECT"
    facts = {"about": about, "size": SIZE, "spacing_mm": SPACING_MM, "centre_and_axes": FRAME, "left_out": left_out}
    write_json(raw_dir / FOLDER / "about.json", facts)


def _rebuild_case(
    files: Mapping[str, RemoteFile], targets: Mapping[str, Path], made: Path, raw_dir: Path, progress: Progress
) -> None:
    paths = {name: obtain(file, raw_dir, progress) for name, file in files.items()}
    for path in [made, *targets.values()]:
        path.unlink(missing_ok=True)
    images = {name: _read(files[name], path, raw_dir, progress) for name, path in paths.items()}
    grid = frame_grid(images[FRAME])
    for name, target in targets.items():
        write_volume(resample(images[name], grid), target)
    write_json(made, _recipe(files, raw_dir))


def _read(file: RemoteFile, path: Path, raw_dir: Path, progress: Progress) -> sitk.Image:
    try:
        return read_volume(path, remark=lambda clause: progress.say(f"{file.name}: {clause}"))
    except UserError as error:
        if not (file.md5 or file.sha256):
            LockFile(raw_dir).forget_file(file.name)  # a sound one may take its place
        raise Damaged(error.what, error.where, "delete it and run again") from None


def _recipe(files: Mapping[str, RemoteFile], raw_dir: Path) -> dict[str, str]:
    """Digests of what decides the bytes of a case."""
    lock = LockFile(raw_dir)
    originals = {file.name: (lock.file(file.name) or {}).get("sha256", "") for file in files.values()}
    return {**originals, "code": files_hash(Path(__file__))}


def frame_grid(frame: sitk.Image) -> sitk.Image:
    """EASY-RESECT's grid (256 x 256 x 288 voxels of 0.5 mm) along the axes of a volume and around its middle."""
    grid = sitk.Image(SIZE, sitk.sitkUInt8)
    grid.SetSpacing([SPACING_MM] * 3)
    grid.SetDirection(frame.GetDirection())
    middle = frame.TransformContinuousIndexToPhysicalPoint([(n - 1) / 2 for n in frame.GetSize()])
    half = np.subtract(SIZE, 1) * SPACING_MM / 2
    grid.SetOrigin((np.array(middle) - np.reshape(frame.GetDirection(), (3, 3)) @ half).tolist())
    return grid

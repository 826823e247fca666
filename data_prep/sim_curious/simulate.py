"""One simulated case: T1 after gadolinium and FLAIR of a head with a glioma, cut as EASY-RESECT is."""

from __future__ import annotations

from dataclasses import dataclass
from pathlib import Path
from typing import Any

import numpy as np
import SimpleITK as sitk

from xmodbench.data.simulate.glioma import enhance, grow_glioma
from xmodbench.data.simulate.head import subject_fractions
from xmodbench.data.simulate.scanner import Grid, acquire, texture
from xmodbench.data.simulate.sequences import Tissue, head_tissues, inversion_recovery, mp_rage
from xmodbench.data.volumes.io import write_volume
from xmodbench.files import write_json
from xmodbench.seeding import derive_seed

FOLDER = "EASY-RESECT/NIFTI"
TESLA = ((1.5, 0.3), (3.0, 0.7))
SNR = {"T1": 25.0, "FLAIR": 18.0}
MP_RAGE = (2000.0, 1100.0, 3.0)
# the long echo train works like a shorter echo time
FLAIR, FLAIR_TE = (5000.0, 1800.0), (120.0, 140.0)
SIZE, SPACING_MM = (256, 256, 288), 0.5
TILT_DEG, AWAY_MM = 12.0, 8.0


@dataclass(frozen=True)
class Case:
    """All that is drawn of a case before the scans: tissue fractions [Z, Y, X] on `grid`, and each tissue's signals.

    ``uneven`` is a factor on every signal; ``generator`` goes on with the scans.
    """

    tesla: float
    signals: dict[str, dict[str, float]]
    fractions: dict[str, np.ndarray]
    uneven: np.ndarray
    grid: sitk.Image
    glioma: dict[str, Any]
    generator: np.random.Generator


def draw_case(case: str, seed: int, scale: float) -> Case:
    """Draw a case; the same name, seed and scale give the same one."""
    generator = np.random.default_rng(derive_seed(seed, "simulated glioma", case))
    tesla = TESLA[generator.choice(len(TESLA), p=[share for _, share in TESLA])][0]
    tissues = head_tissues(tesla, generator, gadolinium=True)
    signals = contrasts(tissues, float(generator.uniform(*FLAIR_TE)))
    fractions, grid = subject_fractions(generator, scale)
    fractions, lumpy, facts = grow_glioma(generator, fractions, grid)
    fractions = enhance(generator, fractions, grid)
    uneven = texture(generator, lumpy.shape, scale) * lumpy
    return Case(tesla, signals, fractions, uneven, grid, facts, generator)


def simulate_case(raw_dir: Path, case: str, seed: int, scale: float, truth: dict) -> None:
    """Write ``EASY-RESECT/NIFTI/<case>/<case>-{T1,FLAIR}-resize.nii`` and, last, ``<case>-truth.json``.

    Args:
        seed: of the run; the case has an own stream.
        scale: voxel size relative to EASY-RESECT's; scans and anatomy have `scale` mm.
        truth: facts to put into the truth file beside what was drawn.
    """
    drawn = draw_case(case, seed, scale)
    grid, generator = drawn.grid, drawn.generator
    scanned, cut = _scan_grid(grid), _cut_grid(generator, np.array(drawn.glioma["centre_mm"]), scale)
    for name, values in drawn.signals.items():
        signal = sitk.GetImageFromArray(
            sum(part * np.float32(values[key]) for key, part in drawn.fractions.items()) * drawn.uneven
        )
        signal.CopyInformation(grid)
        scan = acquire(generator, signal, scanned, tesla=drawn.tesla, reference_signal=values["wm"], snr=SNR[name])
        # a spline that is not clipped, as there: values below 0 beside bright edges
        resized = sitk.Resample(
            sitk.Cast(scan, sitk.sitkFloat32), cut, sitk.Transform(3, sitk.sitkIdentity), sitk.sitkBSpline3, 0.0
        )  # fmt: skip
        write_volume(
            sitk.Cast(sitk.Round(resized), sitk.sitkInt16), raw_dir / FOLDER / case / f"{case}-{name}-resize.nii"
        )
    write_json(
        raw_dir / f"{case}-truth.json",
        {**truth, "simulated": True, "tesla": drawn.tesla, "glioma": drawn.glioma, "signals": drawn.signals},
    )


def contrasts(tissues: dict[str, Tissue], flair_te: float) -> dict[str, dict[str, float]]:
    """Signal of each tissue in T1 and FLAIR."""
    flair = {name: inversion_recovery(tissue, *FLAIR, flair_te) for name, tissue in tissues.items()}
    # FLAIR is taken before the agent is given, and blood flows out of its long echo train
    flair["enhanced"] = 0.5 * flair["gm"]
    return {"T1": {name: mp_rage(tissue, *MP_RAGE) for name, tissue in tissues.items()}, "FLAIR": flair}


def _scan_grid(model: sitk.Image) -> Grid:
    """Both scans have the head's own grid; T1 was aligned to FLAIR before it was handed out."""
    middle = model.TransformContinuousIndexToPhysicalPoint([(n - 1) / 2 for n in model.GetSize()])
    return Grid(model.GetSize(), model.GetSpacing(), np.eye(3), np.array(middle))


def _cut_grid(generator: np.random.Generator, centre: np.ndarray, scale: float) -> sitk.Image:
    """The ultrasound's frame: around the tumour, tilted against the head."""
    angles = np.radians(generator.normal(0, TILT_DEG, 3))
    turn = sitk.Euler3DTransform((0, 0, 0), *angles.tolist())
    size = tuple(round(n / scale) for n in SIZE)
    # the probe looks from outside at the tumour: its field reaches farther inwards
    centre = centre + np.array([-np.sign(centre[0]) * AWAY_MM, 0, -AWAY_MM]) + generator.normal(0, 4, 3)
    return Grid(size, (SPACING_MM * scale,) * 3, np.reshape(turn.GetMatrix(), (3, 3)), centre).image()

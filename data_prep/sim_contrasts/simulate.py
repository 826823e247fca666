"""One simulated head in five contrasts, all on one grid in one position, and the truth about it."""

from __future__ import annotations

from pathlib import Path

import numpy as np
import SimpleITK as sitk

from xmodbench.data.simulate.ct import AIR_HU, ct_scan
from xmodbench.data.simulate.head import subject_fractions
from xmodbench.data.simulate.scanner import Grid, acquire, texture
from xmodbench.data.simulate.sequences import Tissue, head_tissues, inversion_recovery, mp_rage, spin_echo
from xmodbench.data.volumes.io import write_volume
from xmodbench.files import write_json
from xmodbench.seeding import derive_seed

TESLA = ((1.5, 0.6), (3.0, 0.4))
MP_RAGE, DUAL_ECHO_TR, ECHOES = (2000.0, 1100.0, 3.0), 6000.0, {"pd": 8.0, "t2": 100.0}
FLAIR = (9000.0, 2500.0, 120.0)
SNR = {"t1": 25.0, "pd": 30.0, "t2": 25.0, "flair": 18.0}
HU = {"gm": 38.0, "wm": 28.0, "csf": 8.0, "bone": 1000.0, "marrow": 350.0, "muscle": 55.0, "fat": -90.0, "skin": 20.0}
"""Hounsfield units, within the ranges of textbooks."""
CT_NOISE_HU = 4.0
NO_HIPS = (1e6, 1e6)  # far away: streaks lie between hips
SIZE, SPACING_MM, ABOVE_VERTEX_MM = (256, 256, 130), (0.9375, 0.9375, 1.25), 8.0


def contrasts(tissues: dict[str, Tissue]) -> dict[str, dict[str, float]]:
    """Signal of each tissue in the four MR contrasts."""
    return {
        "t1": {name: mp_rage(tissue, *MP_RAGE) for name, tissue in tissues.items()},
        **{
            echo: {name: spin_echo(tissue, DUAL_ECHO_TR, te) for name, tissue in tissues.items()}
            for echo, te in ECHOES.items()
        },
        "flair": {name: inversion_recovery(tissue, *FLAIR) for name, tissue in tissues.items()},
    }


def simulate_head(raw_dir: Path, subject: str, seed: int, scale: float, truth: dict) -> None:
    """Write ``<subject>-{T1,PD,T2,FLAIR,CT}.nii.gz`` and, last, ``<subject>-truth.json``.

    Args:
        seed: of the run; the subject has its own stream.
        scale: voxel size relative to IXI's; the anatomy is modelled at `scale` mm.
        truth: facts to put into the truth file beside what was drawn.
    """
    generator = np.random.default_rng(derive_seed(seed, "simulated contrasts", subject))
    tesla = TESLA[generator.choice(len(TESLA), p=[share for _, share in TESLA])][0]
    signals = contrasts(head_tissues(tesla, generator))
    fractions, model = subject_fractions(generator, scale)
    uneven = texture(generator, model.GetSize()[::-1], scale)
    grid = _grid(fractions["skin"], model, scale)
    for name, values in signals.items():
        signal = sum(part * np.float32(values[key]) for key, part in fractions.items()) * uneven
        scan = acquire(
            generator, _image(signal, model), grid, tesla=tesla, reference_signal=values["wm"], snr=SNR[name]
        )
        write_volume(scan, raw_dir / f"{subject}-{name.upper()}.nii.gz")
    hu = AIR_HU + sum(part * np.float32(HU[key] - AIR_HU) for key, part in fractions.items())
    scan = ct_scan(generator, _image(hu, model), grid, noise_hu=CT_NOISE_HU, hips=NO_HIPS)
    write_volume(scan, raw_dir / f"{subject}-CT.nii.gz")
    write_json(
        raw_dir / f"{subject}-truth.json", {**truth, "simulated": True, "tesla": tesla, "signals": signals, "hu": HU}
    )


def _image(values: np.ndarray, model: sitk.Image) -> sitk.Image:
    image = sitk.GetImageFromArray(values.astype(np.float32))
    image.CopyInformation(model)
    return image


def _grid(skin: np.ndarray, model: sitk.Image, scale: float) -> Grid:
    """Axial slices around the head's middle, from above its top downwards."""
    # in large voxels no voxel is skin by half
    where = np.argwhere(skin > 0.5 * skin.max())[:, ::-1] * model.GetSpacing() + model.GetOrigin()
    top = float(where[:, 2].max())
    upper = where[where[:, 2] > top - 120]
    middle = (upper.min(0) + upper.max(0)) / 2
    size, spacing = tuple(round(n / scale) for n in SIZE), tuple(step * scale for step in SPACING_MM)
    half = size[2] * spacing[2] / 2
    return Grid(size, spacing, np.eye(3), np.array([middle[0], middle[1], top + ABOVE_VERTEX_MM - half]))

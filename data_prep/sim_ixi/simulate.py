"""One simulated subject: a T1 and a PD scan named as IXI names them, and the truth about them."""

from __future__ import annotations

from dataclasses import dataclass
from pathlib import Path

import numpy as np
import SimpleITK as sitk

from xmodbench.data.simulate.head import subject_fractions
from xmodbench.data.simulate.scanner import Grid, acquire, texture
from xmodbench.data.simulate.sequences import Tissue, head_tissues, spin_echo, spoiled_gradient_echo
from xmodbench.data.volumes.io import write_volume
from xmodbench.files import write_json
from xmodbench.seeding import derive_seed

# name, share, field strength (T), T1: TR, TE (ms), PD: TR, TE (ms), as IXI's page gives them; IOP's are not published
SCANNERS = (
    ("guys", 0.50, 1.5, 9.813, 4.603, 8178.0, 8.0),
    ("hh", 0.35, 3.0, 9.6, 4.603, 5726.0, 8.0),
    ("iop", 0.15, 1.5, 9.813, 4.603, 8178.0, 8.0),
)
# the steady state at the nominal 8 degrees has next to no gray-white contrast, IXI's prepared sequence does
FLIP_DEG = (20.0, 24.0)
SNR = {"t1": 25.0, "pd": 30.0}
# axes to the back, up and to the right, as IXI stores T1
PSR = np.array([[0.0, 0.0, -1.0], [1.0, 0.0, 0.0], [0.0, 1.0, 0.0]])
MAX_TILT_DEG = 15.0
ABOVE_VERTEX_MM = 8.0


@dataclass(frozen=True)
class Subject:
    """All that is drawn of a subject before it is placed: tissue fractions [Z, Y, X] on `grid`, each tissue's signals.

    ``uneven`` is a factor on every signal; ``generator`` goes on with the positions and scans.
    """

    scanner: str
    tesla: float
    flip: float
    tissues: dict[str, Tissue]
    signals: dict[str, dict[str, float]]
    fractions: dict[str, np.ndarray]
    uneven: np.ndarray
    grid: sitk.Image
    generator: np.random.Generator


def draw_subject(subject: str, seed: int, scale: float) -> Subject:
    """Draw a subject; the same name, seed and scale give the same one."""
    generator = np.random.default_rng(derive_seed(seed, "simulated head", subject))
    name, _, tesla, tr1, te1, tr2, te2 = SCANNERS[generator.choice(len(SCANNERS), p=[s[1] for s in SCANNERS])]
    tissues, flip = head_tissues(tesla, generator), generator.uniform(*FLIP_DEG)
    fractions, grid = subject_fractions(generator, scale)
    uneven = texture(generator, grid.GetSize()[::-1], scale)
    signals = {
        "t1": {key: spoiled_gradient_echo(tissues[key], tr1, te1, flip) for key in fractions},
        "pd": {key: spin_echo(tissues[key], tr2, te2) for key in fractions},
    }
    return Subject(name, tesla, flip, tissues, signals, fractions, uneven, grid, generator)


def simulate_subject(raw_dir: Path, subject: str, seed: int, scale: float, truth: dict) -> None:
    """Write ``<subject>-T1.nii.gz``, ``-PD.nii.gz`` and, last, ``-truth.json``.

    Args:
        seed: of the run; the subject has its own stream.
        scale: voxel size relative to IXI's; the anatomy is modelled at `scale` mm.
        truth: facts to put into the truth file beside what was drawn.
    """
    drawn = draw_subject(subject, seed, scale)
    generator, grid = drawn.generator, drawn.grid
    middle, top = _extent(drawn.fractions, grid)
    offset = _offset(generator, middle)
    tilt = np.radians(generator.uniform(0, MAX_TILT_DEG))
    grids = {"t1": _t1_grid(middle, top, scale), "pd": _pd_grid(middle, top, tilt, scale)}
    for modality, values in drawn.signals.items():
        scan = acquire(
            generator, _signal_map(drawn.fractions, values, drawn.uneven, grid), grids[modality], tesla=drawn.tesla,
            reference_signal=values["wm"], snr=SNR[modality], offset=offset.GetInverse() if modality == "t1" else None,
        )  # fmt: skip
        write_volume(scan, raw_dir / f"{subject}-{modality.upper()}.nii.gz")
    write_json(raw_dir / f"{subject}-truth.json", {**truth, **_facts(drawn, tilt, offset)})


def _signal_map(fractions, values: dict[str, float], uneven: np.ndarray, grid: sitk.Image) -> sitk.Image:
    # partial volume: the signals of the tissues in a voxel add up
    image = sitk.GetImageFromArray(
        sum(fraction * np.float32(values[key]) for key, fraction in fractions.items()) * uneven
    )
    image.CopyInformation(grid)
    return image


def _extent(fractions, grid: sitk.Image) -> tuple[np.ndarray, float]:
    """Middle of the head above the neck (LPS mm) and the height of its top."""
    # in large voxels no voxel is skin by half
    skin = (
        np.argwhere(fractions["skin"] > 0.5 * fractions["skin"].max())[:, ::-1] * grid.GetSpacing() + grid.GetOrigin()
    )
    top = float(skin[:, 2].max())
    upper = skin[skin[:, 2] > top - 120]
    middle = (upper.min(0) + upper.max(0)) / 2
    return middle, top


def _offset(generator: np.random.Generator, centre: np.ndarray) -> sitk.Euler3DTransform:
    """How the head moved between PD and T1: each angle sd 1.5 degrees, each shift sd 1.5 mm."""
    angles, shift = np.radians(generator.normal(0, 1.5, 3)), generator.normal(0, 1.5, 3)
    return sitk.Euler3DTransform(centre.tolist(), *angles.tolist(), shift.tolist())


def _t1_grid(middle: np.ndarray, top: float, scale: float) -> Grid:
    spacing = (0.9375 * scale, 0.9375 * scale, 1.2 * scale)
    size = tuple(round(n / scale) for n in (256, 256, 150))
    centre = np.array([middle[0], middle[1], top + ABOVE_VERTEX_MM - size[1] * spacing[1] / 2])
    return Grid(size, spacing, PSR, centre)


def _pd_grid(middle: np.ndarray, top: float, tilt: float, scale: float) -> Grid:
    """Axial slices, tilted about the left-right axis as for the line between the commissures."""
    spacing = (0.9375 * scale, 0.9375 * scale, 1.25 * scale)
    size = tuple(round(n / scale) for n in (256, 256, 130))
    cosine, sine = np.cos(tilt), np.sin(tilt)
    direction = np.array([[1.0, 0.0, 0.0], [0.0, cosine, -sine], [0.0, sine, cosine]])
    centre = np.array([middle[0], middle[1], top + ABOVE_VERTEX_MM - size[2] * spacing[2] / 2])
    return Grid(size, spacing, direction, centre)


def _facts(drawn: Subject, tilt: float, offset: sitk.Euler3DTransform) -> dict:
    return {
        "simulated": True,
        "like_scanner": drawn.scanner,
        "tesla": drawn.tesla,
        "flip_deg": drawn.flip,
        "tilt_deg": float(np.degrees(tilt)),
        "t1_offset": {
            "centre_mm": list(offset.GetCenter()),
            "angles_rad": list(offset.GetParameters()[:3]),
            "translation_mm": list(offset.GetTranslation()),
        },
        "signals": drawn.signals,
        "tissues": {key: vars(value) for key, value in drawn.tissues.items()},
    }

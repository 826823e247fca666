"""One simulated patient: DICOM series in the layout of Gold Atlas, and the truth about them."""

from __future__ import annotations

import shutil
from dataclasses import dataclass
from pathlib import Path

import numpy as np
import SimpleITK as sitk

from xmodbench.data.simulate.ct import add_couch, ct_scan
from xmodbench.data.simulate.deform import Lattice, flow, random_velocity
from xmodbench.data.simulate.dicom import SeriesHeader, write_other, write_series
from xmodbench.data.simulate.pelvis import (
    BOX,
    HEAD_OF_FEMUR,
    Body,
    Filling,
    body_points,
    model_grid,
    places,
    tissue_maps,
)
from xmodbench.data.simulate.scanner import Grid, acquire, bias_field, texture
from xmodbench.data.simulate.sequences import PELVIS_HU, pelvis_tissues, spin_echo, spoiled_gradient_echo
from xmodbench.files import atomic_dir, write_json
from xmodbench.seeding import derive_seed

MODEL_MM = 1.75  # twice the scans' pixel: finer structure than this is drawn as partial volume
SNR = {"T1": 22.0, "T2": 20.0}
B1 = 0.2
RESIDUAL_SMOOTH_MM = 30.0
OTHER_GAS = 0.3


@dataclass(frozen=True)
class Scanner:
    """One department's machines: field strength, T1 protocol (TR, TE, flip angle of a gradient echo), noise of CT."""

    tesla: float
    t1: tuple[float, float, float | None]
    ct_noise_hu: float
    kernel: str
    t1_name: str
    t2_name: str


SITES = {
    "1": Scanner(3.0, (550, 7.2, None), 12.0, "B30f", "Ax T1 FSE GOLD ATLAS", "Ax T2 FRFSE GOLD ATLAS"),
    "2": Scanner(1.5, (550, 7.2, None), 25.0, "FC17", "t1_tse_tra gold atlas", "t2_tse_tra gold atlas"),
    "3": Scanner(3.0, (7.46, 4.77, 12), 12.0, "B30f", "Ax T1 GRE GOLD ATLAS", "Ax T2 FRFSE GOLD ATLAS"),
}
T2 = (6300.0, 97.0)


@dataclass(frozen=True)
class Patient:
    """All that is drawn of a patient before the scans, and the model: maps and labels [Z, Y, X] on `grid`.

    ``labels`` are those of `tissue_maps` in the MR scans, ``ct_labels`` in the deformed CT, which may differ by gas.
    ``generator`` goes on with the scans.
    """

    site: Scanner
    body: Body
    filling: Filling
    other: Filling
    planning: Filling
    signals: dict[str, dict[str, float]]
    grid: sitk.Image
    points: np.ndarray
    mr_maps: list[np.ndarray]
    labels: np.ndarray
    generator: np.random.Generator

    @property
    def ct_labels(self) -> np.ndarray:
        """Each voxel's tissue in the deformed CT."""
        return tissue_maps(self.body, self.other, self.points, self.grid, [])[1]


def draw_patient(patient: str, seed: int, scale: float) -> Patient:
    """Draw a patient; the same name, seed and scale give the same one."""
    generator = np.random.default_rng(derive_seed(seed, "simulated pelvis", patient))
    site = SITES[patient[0]]
    body, filling = Body.draw(generator), Filling.draw(generator)
    grid = model_grid(max(MODEL_MM, 1.4 * scale))
    points = body_points(body, grid)
    signals = _signals(site, generator)
    mr_maps, labels = tissue_maps(body, filling, points, grid, [signals[name] for name in ("T1", "T2")])
    # gas moves on within minutes: in some patients it is in one of the two scans only
    moved = generator.random() < OTHER_GAS
    other = Filling(filling.bladder, 0.0 if filling.gas > 0.2 else 0.5) if moved else filling
    planning = Filling.draw(generator)
    return Patient(site, body, filling, other, planning, signals, grid, points, mr_maps, labels, generator)


def simulate_patient(
    raw_dir: Path, patient: str, seed: int, scale: float, truth: dict, residual_mm: float = 1.0
) -> None:
    """Write the folder ``<patient>`` of DICOM files and, last, ``<patient>-truth.json``.

    Args:
        seed: of the run; the patient has an own stream.
        scale: voxel size relative to Gold Atlas'.
        truth: facts to put into the truth file beside what was drawn.
        residual_mm: by how much the deformed CT still lies beside the MR, standard deviation along each axis.
    """
    drawn = draw_patient(patient, seed, scale)
    states = {"same": drawn.other, "plan": drawn.planning}
    ct = {name: _ct_map(drawn.body, state, drawn.points, drawn.grid, drawn.generator) for name, state in states.items()}
    volumes = _scan(drawn, ct, scale, residual_mm)
    with atomic_dir(raw_dir / patient) as folder:
        _write(folder, patient, drawn.site, volumes, scale)
    write_json(
        raw_dir / f"{patient}-truth.json",
        {
            **truth,
            "simulated": True,
            "signals": drawn.signals,
            "bladder": drawn.filling.bladder,
            "gas": {"mr": drawn.filling.gas, "ct": drawn.other.gas},
            "residual_mm": residual_mm,
            "body": {key: value for key, value in vars(drawn.body).items() if isinstance(value, float)},
            "voxels": {"mixed or air": int((drawn.labels < 0).sum()), "all": int(drawn.labels.size)},
        },
    )


def _signals(site: Scanner, generator: np.random.Generator | None) -> dict[str, dict[str, float]]:
    """Signal of each tissue in T1 and T2."""
    tissues = pelvis_tissues(site.tesla, generator)
    tr, te, flip = site.t1
    t1 = {
        name: spin_echo(tissue, tr, te) if flip is None else spoiled_gradient_echo(tissue, tr, te, flip)
        for name, tissue in tissues.items()
    }
    return {
        "T1": t1 | {"air": 0.0},
        "T2": {name: spin_echo(tissue, *T2) for name, tissue in tissues.items()} | {"air": 0.0},
    }


def _ct_map(body: Body, filling: Filling, points, grid: sitk.Image, generator: np.random.Generator) -> sitk.Image:
    """Hounsfield units on the model's grid: each tissue's mean, uneven by its spread, on a couch."""
    means = {name: value[0] for name, value in PELVIS_HU.items()} | {"air": -1000.0}
    spreads = {name: value[1] for name, value in PELVIS_HU.items()} | {"air": 0.0}
    (hu, spread), _ = tissue_maps(body, filling, points, grid, [means, spreads])
    hu += spread * (texture(generator, hu.shape, grid.GetSpacing()[0], sd=1.0) - 1)
    inside = (hu > -500).any(axis=(0, 2))
    back = float(places(grid)[1][np.flatnonzero(inside)[-1]])
    image = sitk.GetImageFromArray(add_couch(hu, grid, back))
    image.CopyInformation(grid)
    return image


def _scan(patient: Patient, ct: dict[str, sitk.Image], scale: float, residual_mm: float) -> dict[str, sitk.Image]:
    """The four volumes of a patient."""
    generator, site, grid = patient.generator, patient.site, patient.grid
    centre = np.mean(BOX, axis=1)
    fine, coarse = _grid(512, 0.875, 2.5, 210, centre, scale), _grid(512, 0.875, 3.0, 210, centre, scale)
    uneven = texture(generator, patient.mr_maps[0].shape, grid.GetSpacing()[0])
    volumes = {}
    for name, values, voxels in zip(("T1", "T2"), patient.mr_maps, (coarse, fine), strict=True):
        image = sitk.GetImageFromArray(values * uneven * _transmit(generator, site, name, values.shape))
        image.CopyInformation(grid)
        level = patient.signals[name]["muscle"]
        volumes[name] = acquire(generator, image, voxels, tesla=site.tesla, reference_signal=level, snr=SNR[name])
    hips = HEAD_OF_FEMUR[1:]
    volumes["deformed"] = ct_scan(
        generator, ct["same"], fine, noise_hu=site.ct_noise_hu, hips=hips, offset=_residual(generator, residual_mm)
    )
    native = _grid(512, 0.977, 3.0, 210, centre, scale)
    volumes["native"] = ct_scan(
        generator, ct["plan"], native, noise_hu=site.ct_noise_hu, hips=hips, offset=_other_table(generator)
    )
    return volumes


def _grid(size: int, spacing: float, step: float, length: float, centre, scale: float) -> Grid:
    count = max(2, round(length / (step * scale)))
    side = round(size / scale)
    return Grid((side, side, count), (spacing * scale, spacing * scale, step * scale), np.eye(3), centre)


def _transmit(generator, site: Scanner, name: str, shape) -> np.ndarray:
    """How much signal an uneven transmit field leaves: waves in a 3 T body coil are as long as the body is wide."""
    if site.tesla < 3:
        return np.float32(1)
    b1 = bias_field(generator, shape, B1)
    gradient_echo = name == "T1" and site.t1[2] is not None
    # small flip angles: in proportion; spin echo: sin of the 90 and sin squared of half the 180 degree pulse
    return b1 if gradient_echo else np.sin(b1 * np.pi / 2) ** 3


def _residual(generator: np.random.Generator, sd_mm: float) -> sitk.Transform:
    """What a deformable registration leaves: a smooth displacement of a standard deviation along each axis."""
    extent = np.array(BOX)
    size = tuple(int(n) for n in np.ceil(np.diff(extent, axis=1)[:, 0] / 10.0) + 1)
    lattice = Lattice(tuple(extent[:, 0]), size, 10.0)
    shift = flow(lattice, random_velocity(generator, lattice, sd_mm * np.sqrt(3), RESIDUAL_SMOOTH_MM))
    field = sitk.GetImageFromArray(np.ascontiguousarray(shift.transpose(3, 2, 1, 0), dtype=np.float64), isVector=True)
    field.SetOrigin(lattice.origin)
    field.SetSpacing([lattice.spacing] * 3)
    return sitk.DisplacementFieldTransform(field)


def _other_table(generator: np.random.Generator) -> sitk.Euler3DTransform:
    return sitk.Euler3DTransform(
        (0.0, 0.0, 0.0), *np.radians(generator.normal(0, 2, 3)).tolist(), generator.normal(0, 15, 3).tolist()
    )


def _write(folder: Path, patient: str, site: Scanner, volumes: dict[str, sitk.Image], scale: float) -> None:
    ct = {"KVP": 120.0, "ConvolutionKernel": site.kernel}
    mr = {"MagneticFieldStrength": site.tesla}
    t1 = mr | {"RepetitionTime": site.t1[0], "EchoTime": site.t1[1]}
    t2 = mr | {"RepetitionTime": T2[0], "EchoTime": T2[1]}
    deformed = f"Deformed 'CT 1' using 'CTtoMR DIR site{patient[0]}'"
    headers = {
        "native": SeriesHeader(patient, "CT", f"RT p+ Buk 3.0 {site.kernel}", 2, "planning", ct),
        "deformed": SeriesHeader(patient, "CT", deformed, 501, "MR", ct),
        "T2": SeriesHeader(patient, "MR", site.t2_name, 3, "MR", t2),
        "T1": SeriesHeader(patient, "MR", site.t1_name, 4, "MR", t1),
    }
    for name, header in headers.items():
        # the deformed CT of site 2 is numbered from above
        down = name == "deformed" and patient[0] == "2"
        count = volumes[name].GetSize()[2]
        write_series(folder, volumes[name], header, range(count)[::-1] if down else None)
    for number in (601, 602):
        write_other(folder, SeriesHeader(patient, "RTSTRUCT", "organs", number, "MR"))


def remove_patient(raw_dir: Path, patient: str) -> None:
    """Take away what an earlier recipe made."""
    (raw_dir / f"{patient}-truth.json").unlink(missing_ok=True)
    shutil.rmtree(raw_dir / patient, ignore_errors=True)

"""The simulated heads look like what their literature says."""

import importlib
import json

import numpy as np
import pytest
import SimpleITK as sitk

from tests.tissues import on_grid, own_and_shuffled, unmixed
from xmodbench.data.simulate.deform import Lattice, flow, jacobian_min, random_velocity
from xmodbench.data.simulate.head import subject_fractions
from xmodbench.data.simulate.scanner import BIAS, Grid, acquire, bias_field
from xmodbench.data.simulate.sequences import head_tissues, spin_echo, spoiled_gradient_echo
from xmodbench.data.volumes.io import read_volume
from xmodbench.data.volumes.mask import head_mask
from xmodbench.data.volumes.register import register_rigid
from xmodbench.data.volumes.resample import orient
from xmodbench.files import sha256_file
from xmodbench.plugins import DATASETS, find
from xmodbench.progress import Progress

SUBJECTS = ("IXI901-SIM-0001", "IXI902-SIM-0002")


@pytest.fixture(scope="module")
def raw(tmp_path_factory):
    folder = tmp_path_factory.mktemp("raw")
    dataset(2).acquire(folder, 5, Progress(quiet=True))
    return folder


def dataset(n, scale=2.5, **settings):
    plugin = find(DATASETS, "sim_ixi")
    return plugin.cls(plugin.cls.Config(n_subjects=n, scale=scale, **settings))


# gray matter, CSF and fat relative to white matter (calibrated on the ICBM template's T1 and on proton densities)
@pytest.mark.parametrize(
    ("tesla", "signal", "expected"),
    [
        (1.5, lambda t: spoiled_gradient_echo(t, 9.8, 4.6, 22), (0.80, 0.28, 2.2)),
        (3.0, lambda t: spoiled_gradient_echo(t, 9.8, 4.6, 22), (0.77, 0.35, 2.3)),
        (1.5, lambda t: spin_echo(t, 8178, 8), (1.19, 1.35, 1.27)),
    ],
)
def test_contrast_between_tissues(tesla, signal, expected):
    tissues = head_tissues(tesla)
    ratios = [signal(tissues[name]) / signal(tissues["wm"]) for name in ("gm", "csf", "fat")]
    np.testing.assert_allclose(ratios, expected, rtol=0.1)


def test_scans_have_the_contrast_of_their_tissues():
    fractions, grid = subject_fractions(np.random.default_rng(3), 2.5)
    assert sum(fractions.values()).max() < 1.01
    assert min(part.min() for part in fractions.values()) > -0.01
    values = {name: spin_echo(tissue, 8178, 8) for name, tissue in head_tissues(1.5).items()}
    signal = sitk.GetImageFromArray(sum(part * np.float32(values[name]) for name, part in fractions.items()))
    signal.CopyInformation(grid)
    same = Grid(grid.GetSize(), grid.GetSpacing(), np.eye(3), grid.TransformContinuousIndexToPhysicalPoint(
        [(n - 1) / 2 for n in grid.GetSize()]))  # fmt: skip
    scan = acquire(np.random.default_rng(0), signal, same, tesla=1.5, reference_signal=values["wm"], snr=30)
    scan = sitk.GetArrayFromImage(scan)
    mean = {name: scan[fractions[name] > 0.9].mean() for name in ("wm", "gm", "csf")}
    assert mean["gm"] / mean["wm"] == pytest.approx(values["gm"] / values["wm"], rel=0.1)
    assert mean["csf"] / mean["wm"] == pytest.approx(values["csf"] / values["wm"], rel=0.1)


def test_deformation_does_not_fold_and_has_the_size_asked_for():
    lattice = Lattice((0.0, 0.0, 0.0), (30, 30, 30))
    velocity = random_velocity(np.random.default_rng(0), lattice, 4.0)
    assert np.sqrt((velocity**2).sum(0).mean()) == pytest.approx(4.0)
    displacement = flow(lattice, velocity)
    assert jacobian_min(lattice.points() + displacement, lattice.spacing) > 0.2
    back = flow(lattice, -velocity)
    rest = displacement + lattice.at(back, lattice.points() + displacement)
    assert np.abs(rest[:, 8:-8, 8:-8, 8:-8]).max() < 0.5


@pytest.mark.parametrize("tesla", [1.5, 3.0])
def test_bias_field_has_its_strength(tesla):
    field = bias_field(np.random.default_rng(0), (10, 12, 14), BIAS[tesla])
    assert np.abs(np.log(field)).max() == pytest.approx(np.log1p(BIAS[tesla]), rel=1e-4)


def test_a_seed_gives_the_same_files_and_another_seed_others(raw, tmp_path):
    dataset(2).acquire(tmp_path, 5, Progress(quiet=True))
    names = sorted(path.name for path in raw.glob("*.nii.gz"))
    assert names == [f"{subject}-{modality}.nii.gz" for subject in SUBJECTS for modality in ("PD", "T1")]
    assert [sha256_file(raw / name) for name in names] == [sha256_file(tmp_path / name) for name in names]
    dataset(2).acquire(tmp_path, 6, Progress(quiet=True))
    assert all(sha256_file(raw / name) != sha256_file(tmp_path / name) for name in names)


def test_finished_subjects_are_not_made_again(raw):
    before = {path: path.stat().st_mtime_ns for path in raw.iterdir()}
    dataset(2).acquire(raw, 5, Progress(quiet=True))
    assert before == {path: path.stat().st_mtime_ns for path in raw.iterdir()}


def test_t1_is_sagittal_and_pd_axial(raw):
    t1, pd = (sitk.ReadImage(str(raw / f"{SUBJECTS[0]}-{name}.nii.gz")) for name in ("T1", "PD"))
    assert sitk.DICOMOrientImageFilter.GetOrientationFromDirectionCosines(t1.GetDirection()) == "PSR"
    assert sitk.DICOMOrientImageFilter.GetOrientationFromDirectionCosines(pd.GetDirection()) == "LPS"
    assert t1.GetPixelID() == sitk.sitkInt16


def test_registration_finds_the_offset(raw):
    fixed = orient(read_volume(raw / f"{SUBJECTS[0]}-PD.nii.gz"))
    moving = read_volume(raw / f"{SUBJECTS[0]}-T1.nii.gz")
    truth = json.loads((raw / f"{SUBJECTS[0]}-truth.json").read_text())["t1_offset"]
    expected = sitk.Euler3DTransform(truth["centre_mm"], *truth["angles_rad"], truth["translation_mm"])
    mask = head_mask(fixed)
    result = register_rigid(fixed, moving, mask, head_mask(moving), seed=1)
    assert result.accepted, result.reasons
    centre = truth["centre_mm"]
    assert np.linalg.norm(np.subtract(result.transform.TransformPoint(centre), expected.TransformPoint(centre))) < 0.5
    rest = np.reshape(result.transform.GetMatrix(), (3, 3)) @ np.reshape(expected.GetMatrix(), (3, 3)).T
    assert np.degrees(np.arccos(min(1, (np.trace(rest) - 1) / 2))) < 0.5


def test_contrasts_of_one_head_belong_together(raw, tmp_path):
    own, shuffled = own_and_shuffled(dataset(2, image_size=64), raw, tmp_path / "out", "t1", "pd")
    assert own > shuffled + 0.05


@pytest.mark.parametrize("modality", ["t1", "pd"])
def test_written_scans_have_the_ratios_of_their_tissues(raw, modality):
    """Of each tissue to white matter, within 10 % of what the subject's own relaxation times give."""
    plugin = find(DATASETS, "sim_ixi")
    simulate = importlib.import_module(plugin.cls.__module__.rpartition(".")[0] + ".simulate")
    for subject in SUBJECTS:
        drawn = simulate.draw_subject(subject, 5, 2.5)
        truth = json.loads((raw / f"{subject}-truth.json").read_text())
        move, signals = truth["t1_offset"], truth["signals"][modality]
        head = sitk.Euler3DTransform(move["centre_mm"], *move["angles_rad"], move["translation_mm"]).GetInverse()
        scan = read_volume(raw / f"{subject}-{modality.upper()}.nii.gz")
        shares = on_grid(drawn.fractions, drawn.grid, scan, head if modality == "t1" else None)
        measured = unmixed(scan, shares)
        for name in ("gm", "csf", "fat"):
            ratio, expected = measured[name] / measured["wm"], signals[name] / signals["wm"]
            assert ratio == pytest.approx(expected, rel=0.1), (subject, name)

"""Simulated pelves have the values of their tissues, and the layout that the reader is made for."""

import json

import numpy as np
import pydicom
import pytest
import SimpleITK as sitk

from xmodbench.files import sha256_files
from xmodbench.plugins import DATASETS, find
from xmodbench.progress import Progress
from xmodbench.volumes.dicom import find_series
from xmodbench.volumes.mask import head_mask
from xmodbench.volumes.register import nmi
from xmodbench.volumes.resample import resample
from xmodbench.volumes.simulate.ct import ct_scan
from xmodbench.volumes.simulate.pelvis import Body, Filling, body_points, model_grid, tissue_maps, tissues
from xmodbench.volumes.simulate.scanner import Grid
from xmodbench.volumes.simulate.sequences import PELVIS_HU, pelvis_tissues, spin_echo, spoiled_gradient_echo
from xmodbench.volumes.simulate.shapes import ellipsoid, paint, plate, tube

QUIET = Progress(quiet=True)


def dataset(n=3, scale=5.0, **settings):
    plugin = find(DATASETS, "sim_goldatlas")
    return plugin.cls(plugin.cls.Config.model_validate({"n_subjects": n, "scale": scale, **settings}))


@pytest.fixture(scope="module")
def raw(tmp_path_factory):
    folder = tmp_path_factory.mktemp("pelves")
    dataset().acquire(folder, 3, QUIET)
    return folder


@pytest.fixture(scope="module")
def model():
    """Hounsfield units and tissue numbers of one body, 4 mm."""
    generator = np.random.default_rng(1)
    body, grid = Body.draw(generator), model_grid(4.0)
    values = {name: mean for name, (mean, _) in PELVIS_HU.items()} | {"air": -1000.0}
    (hu,), labels = tissue_maps(body, Filling(1.0, 0.4), body_points(body, grid), grid, [values])
    return hu, labels, grid


# relative to muscle: fat, red marrow, urine, the prostate's periphery
@pytest.mark.parametrize(
    ("signal", "expected"),
    [
        (lambda t: spin_echo(t, 550, 7.2), (2.4, 1.6, 0.57, 0.96)),
        (lambda t: spin_echo(t, 6300, 97), (5.1, 2.5, 18, 10)),
    ],
)
def test_contrast_between_tissues_of_spin_echoes(signal, expected):
    tissues_ = pelvis_tissues(3.0)
    names = ("fat", "red_marrow", "urine", "prostate_peripheral")
    ratios = [signal(tissues_[name]) / signal(tissues_["muscle"]) for name in names]
    np.testing.assert_allclose(ratios, expected, rtol=0.1)


def test_contrast_between_tissues_of_the_gradient_echo():
    signals = {name: spoiled_gradient_echo(t, 7.46, 4.77, 12) for name, t in pelvis_tissues(3.0).items()}
    ratios = [signals[name] / signals["muscle"] for name in ("fat", "red_marrow", "urine")]
    np.testing.assert_allclose(ratios, (2.5, 1.6, 0.6), rtol=0.1)


def test_tissues_lie_where_they_belong(model):
    hu, labels, _ = model
    counts = np.bincount(labels[labels >= 0], minlength=len(tissues()))
    litres = dict(zip(tissues(), counts * 0.064 / 1000, strict=True))
    assert litres["fat"] > 2 and litres["muscle"] > 2
    assert 0.03 < litres["urine"] < 0.4
    bone = hu > 300
    assert 0.2 < bone.sum() * 0.064 / 1000 < 1.5
    # about as much to the left as to the right
    half = bone.shape[2] // 2
    assert bone[:, :, :half].sum() == pytest.approx(bone[:, :, half:].sum(), rel=0.3)
    assert hu[:, :3].max() == hu[:, -3:].max() == -1000


def test_ct_keeps_the_mean_of_each_tissue(model):
    hu, labels, grid = model
    image = sitk.GetImageFromArray(hu)
    image.CopyInformation(grid)
    middle = grid.TransformContinuousIndexToPhysicalPoint([(n - 1) / 2 for n in grid.GetSize()])
    same = Grid(grid.GetSize(), grid.GetSpacing(), np.eye(3), np.array(middle))
    scan = sitk.GetArrayFromImage(ct_scan(np.random.default_rng(0), image, same, noise_hu=12, hips=(5, -30)))
    assert scan.min() == -1000
    names = tissues()
    for name in ("fat", "muscle"):
        inside = labels == names.index(name)
        inner = sitk.GetArrayFromImage(sitk.BinaryErode(sitk.GetImageFromArray(inside.astype(np.uint8)), [2, 2, 1])) > 0
        assert scan[inner].mean() + 1000 == pytest.approx(PELVIS_HU[name][0] + 1000, rel=0.05)
    far = labels == names.index("fat")
    far[10:] = False
    assert scan[far].std() > 8


def test_shapes_have_their_sizes():
    axes = [np.arange(-30.0, 31.0)] * 3
    z, y, x = np.meshgrid(*axes, indexing="ij")
    points, value = np.stack([x, y, z]).astype(np.float32), {"a": 1.0, "air": 0.0}
    volumes = {
        4 / 3 * np.pi * 20 * 15 * 10: ellipsoid("a", (1, 2, 3), (20, 15, 10)),
        np.pi * 64 * 30 + 4 / 3 * np.pi * 512: tube("a", [(0, 0, -15), (0, 0, 15)], 8),
        np.pi * 20 * 12 * 6: plate("a", (0, 0, 0), (1, 1, 0), (0, 0, 1), (20, 12), 3),
    }
    for volume, shape in volumes.items():
        (painted,), top = paint([shape], points, tuple(axes), [value], 1.0)
        assert painted.sum() == pytest.approx(volume, rel=0.05)
        assert ((painted == 1) == (top == 0)).all()


def test_series_are_those_of_the_real_layout(raw):
    series = find_series(raw / "2_51_P")
    assert sorted((s.modality, s.description) for s in series) == [
        ("CT", "Deformed 'CT 1' using 'CTtoMR DIR site2'"),
        ("CT", "RT p+ Buk 3.0 FC17"),
        ("MR", "t1_tse_tra gold atlas"),
        ("MR", "t2_tse_tra gold atlas"),
    ]
    frames = {s.description[:8]: s.frame for s in series}
    assert frames["Deformed"] == frames["t1_tse_t"] == frames["t2_tse_t"] != frames["RT p+ Bu"]
    deformed = next(s for s in series if "CTtoMR" in s.description)
    names = [item.path.name for item in deformed.slices]
    assert names == sorted(names, reverse=True)
    header = pydicom.dcmread(deformed.slices[0].path)
    assert header.RescaleIntercept == -1024
    assert header.pixel_array.min() == 24


def test_volumes_are_ct_and_mr_of_one_body(raw):
    for subject in ("1_51_P", "2_51_P", "3_51_P"):
        ct, t1, t2 = (
            sitk.ReadImage(str(raw / "volumes" / subject / f"{subject}-{name}.nii.gz"), sitk.sitkFloat32)
            for name in ("CT", "T1", "T2")
        )
        assert sitk.GetArrayFromImage(ct).min() == -1000
        assert ct.GetSpacing() == pytest.approx(t2.GetSpacing())
        mask = sitk.GetArrayFromImage(head_mask(resample(ct, t1, fill=-1000), -500, 8)) > 0
        a = sitk.GetArrayFromImage(resample(ct, t1, fill=-1000))
        b = sitk.GetArrayFromImage(t1)
        assert nmi(a[mask], b[mask], 32) > nmi(a[mask], b[:, :, ::-1][mask], 32) + 0.02
        # the couch is no body
        body_depth = np.flatnonzero(mask.any(axis=(0, 2)))
        assert (body_depth[-1] - body_depth[0]) * t1.GetSpacing()[1] < 290


def test_a_seed_gives_the_same_files(raw, tmp_path):
    dataset().acquire(tmp_path, 3, QUIET)
    one, two = (sha256_files((p for p in d.rglob("*") if p.is_file()), d) for d in (raw, tmp_path))
    assert one == two


def test_sites_and_names_are_no_real_patients():
    names = dataset(19).subjects()
    assert len(names) == len(set(names)) == 19
    assert [sum(name[0] == site for name in names) for site in "123"] == [8, 7, 4]
    assert all(int(name[2:4]) > 50 for name in names)


def test_the_truth_is_told(raw):
    truth = json.loads((raw / "1_51_P-truth.json").read_text())
    assert truth["simulated"] is True
    assert 0 <= truth["gas"]["mr"] <= 0.6

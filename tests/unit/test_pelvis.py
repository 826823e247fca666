"""Simulated pelves have the values of their tissues, and the layout that the reader is made for."""

import importlib
import json
from dataclasses import replace

import numpy as np
import pydicom
import pytest
import SimpleITK as sitk

from tests.tissues import on_grid, own_and_shuffled, unmixed
from xmodbench.data.simulate.ct import ct_scan
from xmodbench.data.simulate.pelvis import Body, Filling, body_points, model_grid, tissue_maps, tissues
from xmodbench.data.simulate.scanner import Grid
from xmodbench.data.simulate.sequences import PELVIS_HU, pelvis_tissues, spin_echo, spoiled_gradient_echo
from xmodbench.data.simulate.shapes import ellipsoid, paint, plate, tube
from xmodbench.data.volumes.dicom_series import find_series
from xmodbench.data.volumes.mask import head_mask
from xmodbench.data.volumes.resample import resample
from xmodbench.files import sha256_files
from xmodbench.plugins import DATASETS, find
from xmodbench.progress import Progress

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


def test_the_rectum_differs_between_people():
    radii = np.array([Body.draw(np.random.default_rng(seed)).rectum for seed in range(24)])
    assert radii.mean() == pytest.approx(15, abs=1.5) and radii.std() == pytest.approx(4, abs=1.2)
    assert radii.min() >= 8 and radii.max() <= 22
    grid = model_grid(5.0)
    values = {name: float(name in ("rectum_wall", "stool", "gas")) for name in (*tissues(), "air")}

    def filled(radius):
        body = replace(Body.draw(np.random.default_rng(1)), rectum=radius, bowel=np.zeros((0, 4)))
        (share,), _ = tissue_maps(body, Filling(1.0, 0.4), body_points(body, grid), grid, [values])
        return share.sum()

    # a tube's volume goes with the square of its radius
    assert filled(18.0) / filled(12.0) == pytest.approx((18 / 12) ** 2, rel=0.15)


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
        # the couch is no body
        body_depth = np.flatnonzero(mask.any(axis=(0, 2)))
        assert (body_depth[-1] - body_depth[0]) * t1.GetSpacing()[1] < 290


def test_ct_and_mr_of_one_pelvis_belong_together(raw, tmp_path):
    own, shuffled = own_and_shuffled(dataset(image_size=64), raw, tmp_path / "out", "ct", "mr")
    assert own > shuffled + 0.05


@pytest.fixture(scope="module")
def patient(tmp_path_factory):
    """One patient as DICOM, read by SimpleITK alone: the series by description, and the model it was made of."""
    folder, name = tmp_path_factory.mktemp("patient"), "1_51_P"
    plugin = find(DATASETS, "sim_goldatlas")
    simulate = importlib.import_module(plugin.cls.__module__.rpartition(".")[0] + ".simulate")
    # where CT and MR lie apart, a thin shell of bone is measured beside itself
    simulate.simulate_patient(folder, name, 3, 3.0, {}, residual_mm=0)
    reader, series = sitk.ImageSeriesReader(), {}
    for uid in reader.GetGDCMSeriesIDs(str(folder / name)):
        reader.SetFileNames(reader.GetGDCMSeriesFileNames(str(folder / name), uid))
        series[pydicom.dcmread(reader.GetFileNames()[0]).SeriesDescription] = reader.Execute()
    return series, simulate.draw_patient(name, 3, 3.0)


def shares(drawn, filling, volume, blur_mm=0.0):
    """What each voxel of a volume is made of."""
    tables = [{name: float(name == other) for name in (*tissues(), "air")} for other in tissues()]
    maps, _ = tissue_maps(drawn.body, filling, drawn.points, drawn.grid, tables)
    return on_grid(dict(zip(tissues(), maps, strict=True)), drawn.grid, volume, blur_mm=blur_mm)


def test_written_ct_has_the_hounsfield_units_of_its_tissues(patient):
    series, drawn = patient
    ct = series["Deformed 'CT 1' using 'CTtoMR DIR site1'"]
    measured = unmixed(ct, shares(drawn, drawn.other, ct, blur_mm=1.0))
    for name in ("fat", "muscle", "bone", "shaft", "red_marrow", "femoral_head", "urine"):
        # 5 %; of urine's 8 HU, which the CT's rounding alone would exceed, 1 HU
        assert measured[name] == pytest.approx(PELVIS_HU[name][0], rel=0.05, abs=1.0), name


@pytest.mark.parametrize(("name", "description"), [("T1", "Ax T1 FSE GOLD ATLAS"), ("T2", "Ax T2 FRFSE GOLD ATLAS")])
def test_written_mr_has_the_ratios_of_its_tissues(patient, name, description):
    series, drawn = patient
    measured = unmixed(series[description], shares(drawn, drawn.filling, series[description]))
    for tissue in ("fat", "red_marrow", "femoral_head", "urine"):
        ratio = measured[tissue] / measured["muscle"]
        expected = drawn.signals[name][tissue] / drawn.signals[name]["muscle"]
        assert ratio == pytest.approx(expected, rel=0.1), tissue


def test_ct_beyond_the_model_shows_more_of_the_body_not_air(patient):
    """The ends of the scan lie in the model's last voxels; a shift must not leave air in them."""
    _, drawn = patient
    uniform = sitk.Image(drawn.grid.GetSize(), sitk.sitkFloat32) + 55.0
    uniform.CopyInformation(drawn.grid)
    middle = drawn.grid.TransformContinuousIndexToPhysicalPoint([(n - 1) / 2 for n in drawn.grid.GetSize()])
    grid = Grid((40, 40, 84), (2.5, 2.5, 2.5), np.eye(3), np.array(middle))
    shift = sitk.TranslationTransform(3, (0.0, 0.0, 4.0))
    scan = ct_scan(np.random.default_rng(0), uniform, grid, noise_hu=1, hips=(5, -30), offset=shift)
    assert sitk.GetArrayFromImage(scan).min() > 40


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

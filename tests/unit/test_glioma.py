"""Simulated gliomas look like what their literature says, under EASY-RESECT's names."""

import importlib
import json
import sys

import numpy as np
import pytest
import SimpleITK as sitk

from tests.tissues import on_grid, own_and_shuffled, unmixed
from xmodbench.data.simulate.glioma import enhance, grow_glioma
from xmodbench.data.simulate.head import subject_fractions
from xmodbench.data.simulate.sequences import head_tissues, inversion_recovery, mp_rage
from xmodbench.data.volumes.io import read_volume
from xmodbench.errors import UserError
from xmodbench.files import sha256_files
from xmodbench.plugins import DATASETS, SubjectRecord, find
from xmodbench.progress import Progress

QUIET = Progress(quiet=True)
CASES = ("Case901", "Case902", "Case903")


def dataset(n=3, scale=3.0, **settings):
    plugin = find(DATASETS, "sim_curious")
    return plugin.cls(plugin.cls.Config(n_subjects=n, scale=scale, **settings))


@pytest.fixture(scope="module")
def raw(tmp_path_factory):
    folder = tmp_path_factory.mktemp("cases")
    dataset().acquire(folder, 2, QUIET)
    return folder


@pytest.fixture(scope="module")
def grown():
    before, grid = subject_fractions(np.random.default_rng(5), 3.0)
    after, uneven, facts = grow_glioma(np.random.default_rng(6), before, grid)
    return before, after, uneven, facts, grid


# relative to white matter: gray matter, fluid, fat, glioma
@pytest.mark.parametrize(
    ("tesla", "signal", "expected", "fluid"),
    [
        (1.5, lambda t: mp_rage(t, 2000, 1100, 3), (0.71, 1.8, 0.56), 0.12),
        (1.5, lambda t: inversion_recovery(t, 5000, 1800, 130), (1.17, 1.1, 1.80), 0.01),
        (3.0, lambda t: inversion_recovery(t, 5000, 1800, 130), (1.19, 1.6, 1.72), 0.04),
    ],
)
def test_contrast_between_tissues(tesla, signal, expected, fluid):
    tissues = head_tissues(tesla)
    ratios = {name: signal(tissues[name]) / signal(tissues["wm"]) for name in ("gm", "fat", "glioma", "csf")}
    np.testing.assert_allclose([ratios[name] for name in ("gm", "fat", "glioma")], expected, rtol=0.1)
    assert ratios["csf"] == pytest.approx(fluid, abs=0.03)


def test_gadolinium_lights_up_in_t1():
    tissues = head_tissues(3.0, gadolinium=True)
    assert mp_rage(tissues["enhanced"], 2000, 1100, 3) > 1.2 * mp_rage(tissues["wm"], 2000, 1100, 3)
    # and draws nothing from the stream that the other heads are made of
    first, second = (np.random.default_rng(0) for _ in range(2))
    plain, more = head_tissues(3.0, first), head_tissues(3.0, second, gadolinium=True)
    assert all(plain[name] == more[name] for name in plain)


def test_the_tumour_has_its_volume_in_the_brain(grown):
    before, after, uneven, facts, _ = grown
    assert 8 <= facts["asked_ml"] <= 90
    assert facts["volume_ml"] == pytest.approx(facts["asked_ml"], rel=0.35)
    assert max(float(part.max()) for part in after.values()) < 1.05
    assert sum(after.values()).max() < 1.05
    brain = before["gm"] + before["wm"] + before["csf"]
    assert (after["glioma"] * brain).sum() > 0.97 * after["glioma"].sum()
    assert uneven[after["glioma"] > 0.9].std() == pytest.approx(0.08, rel=0.8)
    assert uneven[after["glioma"] == 0].std() < 0.02
    # the skull stays where it was
    np.testing.assert_allclose(after["bone"].sum(), before["bone"].sum(), rtol=0.02)


def test_enhancement_is_taken_from_fluid(grown):
    _, after, _, _, grid = grown
    lit = enhance(np.random.default_rng(0), after, grid)
    np.testing.assert_allclose(lit["csf"] + lit["enhanced"], after["csf"], atol=1e-5)
    assert 0.02 < lit["enhanced"].sum() / after["csf"].sum() < 0.5


def test_files_are_named_and_shaped_like_easy_resect(raw):
    assert find(DATASETS, "sim_curious").cls.simulated
    for case in CASES:
        for name in ("T1", "FLAIR"):
            image = sitk.ReadImage(str(raw / "EASY-RESECT/NIFTI" / case / f"{case}-{name}-resize.nii"))
            assert image.GetSize() == (85, 85, 96)
            assert image.GetSpacing() == pytest.approx((1.5, 1.5, 1.5))
    names = [(r.subject, sorted(r.files)) for r in dataset().volumes(raw)]
    assert names == [(case, ["flair", "t1"]) for case in CASES]
    # the real data set's patterns find them too
    curious = find(DATASETS, "curious")
    assert len(curious.cls(curious.cls.Config()).volumes(raw)) == 3


@pytest.fixture(scope="module")
def scans(raw):
    """By case: T1 and FLAIR as written, what each voxel of them is made of, and the signals drawn."""
    plugin = find(DATASETS, "sim_curious")
    simulate = importlib.import_module(plugin.cls.__module__.rpartition(".")[0] + ".simulate")
    found = {}
    for case in CASES:
        folder, drawn = raw / "EASY-RESECT/NIFTI" / case, simulate.draw_case(case, 2, 3.0)
        volumes = {name: read_volume(folder / f"{case}-{name}-resize.nii") for name in ("T1", "FLAIR")}
        truth = json.loads((raw / f"{case}-truth.json").read_text())
        assert truth["signals"] == drawn.signals
        found[case] = volumes, on_grid(drawn.fractions, drawn.grid, volumes["T1"]), truth
    return found


def test_flair_is_dark_in_fluid_and_bright_in_the_tumour(scans):
    for volumes, shares, _ in scans.values():
        values = sitk.GetArrayFromImage(volumes["FLAIR"])
        mean = {name: values[shares[name] > 0.9].mean() for name in ("wm", "csf", "glioma")}
        assert (shares["glioma"] > 0.9).sum() > 1000 and (shares["csf"] > 0.9).sum() > 500
        assert mean["csf"] < 0.1 * mean["wm"]
        assert mean["glioma"] > 1.4 * mean["wm"]


@pytest.mark.parametrize("name", ["T1", "FLAIR"])
def test_written_scans_have_the_ratios_of_their_tissues(scans, name):
    """Of each tissue to white matter, within 10 % of what the case's own relaxation times give."""
    for volumes, shares, truth in scans.values():
        measured, signals = unmixed(volumes[name], shares), truth["signals"][name]
        for tissue in ("gm", "fat", "glioma"):
            ratio, expected = measured[tissue] / measured["wm"], signals[tissue] / signals["wm"]
            assert ratio == pytest.approx(expected, rel=0.1), tissue


def test_contrasts_of_one_head_belong_together(raw, tmp_path):
    own, shuffled = own_and_shuffled(dataset(image_size=64), raw, tmp_path / "out", "t1", "flair")
    assert own > shuffled + 0.05


def test_a_seed_gives_the_same_files(raw, tmp_path):
    dataset(2).acquire(tmp_path, 2, QUIET)
    made = [path for path in tmp_path.rglob("*.nii")]
    one, two = (sha256_files([d / p.relative_to(tmp_path) for p in made], d) for d in (raw, tmp_path))
    assert one == two


@pytest.fixture
def check():
    plugin = find(DATASETS, "curious")
    return __import__(f"{plugin.cls.__module__.rpartition('.')[0]}.contrast", fromlist=["check_contrast"])


def test_exchanged_channels_are_found(raw, check):
    records = dataset().volumes(raw)
    check.check_contrast(records, raw, QUIET)
    turned = [
        SubjectRecord(r.subject, r.site, {"t1": r.files["flair"], "flair": r.files["t1"]}) for r in records
    ]  # fmt: skip
    with pytest.raises(UserError, match="T1 and FLAIR look exchanged in 3 of 3 cases"):
        check.check_contrast(turned, raw, QUIET)
    assert check.__name__ in sys.modules


def test_cases_that_show_too_little_are_no_evidence(raw, check, tmp_path, capsys):
    """A corner of a head has no scalp or no depth: it must neither excuse nor accuse the others."""
    records, corners = dataset().volumes(raw), []
    for number in range(4):
        files = {}
        for name, path in records[0].files.items():
            corner = sitk.ReadImage(str(path))[30:42, 30:42, 30 + number : 42 + number]
            files[name] = tmp_path / f"{number}-{name}.nii"
            sitk.WriteImage(corner, str(files[name]))
        t1, flair = (read_volume(files[name]) for name in ("t1", "flair"))
        assert check.exchanged(t1, flair) is None
        corners.append(SubjectRecord(f"corner{number}", "x", files))
    turned = [
        SubjectRecord(r.subject, r.site, {"t1": r.files["flair"], "flair": r.files["t1"]}) for r in records
    ]  # fmt: skip
    # three of seven are no majority, three of the three that can be judged are
    with pytest.raises(UserError, match="exchanged in 3 of 3 cases; 4 show too little to tell"):
        check.check_contrast([*turned, *corners], raw, QUIET)
    check.check_contrast([*records, *corners], raw, Progress())
    shown = " ".join(capsys.readouterr().err.split())
    assert "cannot be told in 4 of 7 cases" in shown and "corner0, corner1, corner2, corner3" in shown
    check.check_contrast(records, raw, Progress())
    assert "cannot be told" not in capsys.readouterr().err

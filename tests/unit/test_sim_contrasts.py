"""Heads in five contrasts: what is bright in which, and that all scans of a head lie on each other."""

from __future__ import annotations

import importlib

import numpy as np
import pytest
import SimpleITK as sitk

from xmodbench.data.simulate.head import box_grid
from xmodbench.data.simulate.sequences import head_tissues
from xmodbench.files import read_json
from xmodbench.plugins import DATASETS, find

PLUGIN = find(DATASETS, "sim_contrasts")
simulate = importlib.import_module(PLUGIN.cls.__module__.rpartition(".")[0] + ".simulate")
MM = 8.0


@pytest.mark.parametrize("tesla", [1.5, 3.0])
@pytest.mark.parametrize(
    ("contrast", "from_dark"),
    [
        ("t1", ("bone", "csf", "gm", "wm", "fat")),
        ("pd", ("bone", "wm", "gm", "csf")),
        ("t2", ("bone", "muscle", "wm", "gm", "csf")),
        ("flair", ("csf", "wm", "gm")),
    ],
)
def test_tissues_have_their_order_in_each_contrast(tesla, contrast, from_dark):
    values = simulate.contrasts(head_tissues(tesla))[contrast]
    assert sorted(from_dark, key=lambda name: values[name]) == list(from_dark)


def shells(generator, spacing):
    """A ball of brain in skull and skin, in place of a head that takes seconds to make."""
    grid = box_grid(MM)
    z, y, x = (np.arange(n) for n in grid.GetSize()[::-1])
    far = MM * np.sqrt((z[:, None, None] - 20) ** 2 + (y[:, None] - 15) ** 2 + (x - 13) ** 2)
    ends = {"csf": 24, "wm": 40, "gm": 56, "bone": 72, "skin": 88}
    fractions = {name: np.zeros_like(far) for name in simulate.HU}
    for (name, end), start in zip(ends.items(), (-1, 24, 40, 56, 72), strict=True):
        fractions[name] = ((far > start) & (far <= end)).astype(float)
    return fractions, grid


def test_all_scans_of_a_head_lie_on_one_grid_and_show_the_same_tissues(tmp_path, monkeypatch):
    monkeypatch.setattr(simulate, "subject_fractions", shells)
    dataset = PLUGIN.cls(PLUGIN.cls.Config(n_subjects=2, scale=4))
    assert dataset.subjects() == ["Head001", "Head002"]
    dataset.simulate(tmp_path, "Head001", 1, {"recipe": "x"})
    scans = {path.name[8:-7].lower(): sitk.ReadImage(str(path)) for path in dataset.made(tmp_path, "Head001")}
    assert tuple(scans) == dataset.modalities() == ("t1", "pd", "t2", "flair", "ct")
    first = scans["t1"]
    for scan in scans.values():
        assert (scan.GetSize(), scan.GetOrigin(), scan.GetSpacing()) == (
            first.GetSize(),
            pytest.approx(first.GetOrigin()),
            pytest.approx(first.GetSpacing()),
        )
    fractions, model = shells(None, None)
    means = {}
    for tissue in ("csf", "wm", "gm", "bone"):
        share = sitk.GetImageFromArray(fractions[tissue])
        share.CopyInformation(model)
        inside = sitk.GetArrayFromImage(sitk.Resample(share, first)) > 0.99
        means[tissue] = {name: sitk.GetArrayFromImage(scan)[inside].mean() for name, scan in scans.items()}
    assert means["csf"]["flair"] < means["wm"]["flair"] and means["csf"]["t2"] > means["gm"]["t2"] > means["wm"]["t2"]
    for tissue, found in means.items():
        assert found["ct"] == pytest.approx(simulate.HU[tissue], abs=60 if tissue == "bone" else 12)
    assert read_json(tmp_path / "Head001-truth.json").items() >= {"recipe": "x", "simulated": True}.items()
    again = tmp_path / "again"
    again.mkdir()
    dataset.simulate(again, "Head001", 1, {})
    dataset.simulate(again, "Head002", 1, {})
    same = [(again / path.name).read_bytes() == path.read_bytes() for path in dataset.made(tmp_path, "Head001")]
    assert all(same)
    other = sitk.GetArrayFromImage(sitk.ReadImage(str(again / "Head002-T1.nii.gz")))
    assert not np.array_equal(other, sitk.GetArrayFromImage(first))

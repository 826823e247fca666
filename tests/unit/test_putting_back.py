"""Slices put back are where they were, with the values they had."""

import json
from functools import cache

import numpy as np
import pytest
import SimpleITK as sitk

from tests.phantoms import CT, LANDMARKS, OBLIQUE, PATTERNS, grid, head, landmarks_of, prepared, write
from xmodbench.data.volumes.grids import Grid, rigid, rigid_facts
from xmodbench.data.volumes.io import read_volume
from xmodbench.data.volumes.putting_back import Place, put_back, row_ends, row_index
from xmodbench.data.volumes.resample import affine_ras, same_grid
from xmodbench.errors import UserError
from xmodbench.store import SliceStore

CENTRE = np.array(OBLIQUE["centre"])


@pytest.fixture(scope="module")
def store(tmp_path_factory):
    """Test store, by settings, of heads whose MR and CT lie otherwise in their files."""
    raw = tmp_path_factory.mktemp("heads") / "raw"
    for number, code in enumerate(("LPS", "PSR")):
        for kind in PATTERNS:
            on = grid(code if kind == "mr" else "RAS", **OBLIQUE)
            write(raw / f"s{number}-{kind}.nii.gz", head(kind, on, CENTRE, number))

    @cache
    def made(**settings):
        folder = tmp_path_factory.mktemp("store")
        (folder / "raw").symlink_to(raw)
        return prepared(folder, image_size=66, **settings)

    return made


def back(slices: SliceStore, modality: str, scan: str | None):
    """The volume of the test subject, put back; and its own, as it is in the file."""
    name = slices.subjects[0]
    place = Place.read(slices.manifest["volumes"][name], slices.directory)
    ends = [row_ends(row, modality, "here") for row in slices.rows]
    found = put_back(slices.array(modality), [row_index(row, "here") for row in slices.rows], ends, place, scan)
    return found, read_volume(slices.directory.parent / "raw" / f"{name}-{modality}.nii.gz")


def voxels(image: sitk.Image) -> np.ndarray:
    return sitk.GetArrayFromImage(image).transpose(2, 1, 0)


@pytest.mark.parametrize(
    ("axis", "code", "size"),
    [
        ("axial", "PSR", (66, 66, 30)),
        ("coronal", "RAI", (66, 30, 66)),
        ("sagittal", "SAL", (30, 66, 66)),
        ("stored", "LSA", (66, 30, 66)),
    ],
)
def test_onto_its_own_voxels_with_the_values_that_were_kept(tmp_path, axis, code, size):
    # slices of as many pixels as the store's: nothing is interpolated
    on = grid(code, size=size, spacing=(2.8, 2.8, 2.8), **OBLIQUE)
    for name in ("s0", "s1"):
        for kind in PATTERNS:
            write(tmp_path / "raw" / f"{name}-{kind}.nii.gz", head(kind, on, CENTRE))
    slices = prepared(tmp_path, image_size=66, axis=axis)
    for modality in PATTERNS:
        found, own = back(slices, modality, modality)
        low, high = row_ends(slices.rows[0], modality, "here")
        inside = voxels(found.inside) > 0
        assert same_grid(found.image, own) and inside.mean() > 0.7
        wanted = np.clip(voxels(own), low, high)
        np.testing.assert_allclose(voxels(found.image)[inside], wanted[inside], atol=1e-6 * (high - low))
        assert (voxels(found.image)[~inside] == low).all()
    assert row_ends(slices.rows[0], "ct", "here") == (-1000, 1000)


@pytest.mark.parametrize(
    ("scan", "spacing"), [(None, None), ("mr", None), ("ct", None), ("mr", (2.2, 2.6, 3.3)), ("ct", (2.2, 2.6, 3.3))]
)
def test_landmarks_stay_where_they_are(store, scan, spacing):
    slices = store(fov_mm=190.0, spacing_mm=spacing)
    for modality in PATTERNS:
        found, own = back(slices, modality, scan)
        there = landmarks_of(voxels(found.image), affine_ras(found.image), CENTRE)
        assert np.abs(there - LANDMARKS - CENTRE).max() < 0.1 * min(found.image.GetSpacing())
        if scan == modality:
            assert same_grid(found.image, own)


def test_a_registration_is_undone(store):
    """The scan lies elsewhere in the world than the grid that its slices were brought to."""
    slices = store(fov_mm=190.0, spacing_mm=None)
    move = sitk.Euler3DTransform((4.0, 5.0, 6.0), *np.radians([3.0, -4.0, 5.0]).tolist(), (7.0, -5.0, 3.0))
    facts = json.loads(json.dumps(slices.manifest["volumes"][slices.subjects[0]]))
    scan = grid("SAL", centre=move.TransformPoint(CENTRE.tolist()))
    facts["scans"]["ct"] = {**Grid.of(scan).facts(), "moved": rigid_facts(move)}
    ends = [row_ends(row, "mr", "here") for row in slices.rows]
    indices = [row_index(row, "here") for row in slices.rows]
    found = put_back(slices.array("mr"), indices, ends, Place.read(facts, "here"), "ct")
    assert same_grid(found.image, scan)
    for number, mark in enumerate(LANDMARKS + CENTRE):
        wanted = np.array(move.TransformPoint(mark.tolist()))
        there = landmarks_of(voxels(found.image), affine_ras(found.image), wanted - LANDMARKS[number])[number]
        assert np.abs(there - wanted).max() < 0.1 * min(scan.GetSpacing())


def test_what_a_registration_moved_is_written_as_it_was():
    move = sitk.Euler3DTransform((4.0, 5.0, 6.0), 0.1, -0.2, 0.3, (7.0, -5.0, 3.0))
    again = rigid(json.loads(json.dumps(rigid_facts(move))))
    for point in ((0.0, 0.0, 0.0), (10.0, -20.0, 30.0)):
        np.testing.assert_allclose(again.TransformPoint(point), move.TransformPoint(point), atol=1e-9)


def test_the_way_there_is_the_way_back_of_what_prepare_registered(tmp_path):
    away = np.add(CENTRE, (3.0, -4.0, 5.0))
    for number in range(2):
        for kind, centre in (("mr", CENTRE), ("ct", away)):
            on = grid("RAS", angles=OBLIQUE["angles"], centre=centre)
            write(tmp_path / "raw" / f"s{number}-{kind}.nii.gz", head(kind, on, centre, number))
    slices = prepared(tmp_path, image_size=66, registration="rigid")
    assert "moved" in slices.manifest["volumes"]["s1"]["scans"]["ct"]
    found, own = back(slices, "ct", "ct")
    there = [landmarks_of(voxels(item), affine_ras(item), away) for item in (found.image, own)]
    # how well the registration did does not matter
    assert same_grid(found.image, own) and np.abs(there[0] - there[1]).max() < 0.1 * min(own.GetSpacing())


def test_each_slice_by_its_own_range(store, tmp_path):
    raw = store(fov_mm=190.0, spacing_mm=None).directory.parent / "raw"
    (tmp_path / "raw").symlink_to(raw)
    slices = prepared(tmp_path, image_size=66, normalise={"ct": CT, "mr": {"method": "minmax_slice"}})
    assert len({row["mr_low"] for row in slices.rows}) > 3
    found, own = back(slices, "mr", "mr")
    assert np.abs(voxels(found.image) - voxels(own))[voxels(found.inside) > 0].mean() < 15


def test_stores_of_earlier_versions_are_told_in_a_line(make_store, tmp_path):
    slices = SliceStore(make_store(tmp_path / "old"))
    for read in (
        lambda: Place.read(slices.manifest.get("volumes", {}).get("s0", {}), slices.directory),
        lambda: row_ends(slices.rows[0], "t1", slices.directory),
        lambda: row_index(slices.rows[0], slices.directory),
    ):
        with pytest.raises(UserError, match="prepare the data set again") as caught:
            read()
        assert "\n" not in str(caught.value) and "old" in str(caught.value)

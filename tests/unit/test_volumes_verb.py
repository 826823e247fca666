"""A translation of a test set as volumes: on the grid it was cut from or the scans' own, in HU."""

import shutil

import nibabel
import numpy as np
import pytest

from tests.phantoms import COPIER, LANDMARKS, landmarks_of
from tests.plugins import job_of
from xmodbench.errors import UserError
from xmodbench.files import read_json, write_json
from xmodbench.progress import Progress
from xmodbench.stages.translate import translate
from xmodbench.stages.volumes import _missing, folder_name, volumes_of, write_volumes
from xmodbench.store import SliceStore, StoreWriter


@pytest.fixture(scope="module")
def translated(tmp_path_factory, trained):
    """A folder with a test store and the translation of its MR that gives back the source."""
    folder = shutil.copytree(trained, tmp_path_factory.mktemp("heads") / "folder")
    job = job_of(folder, "copier", COPIER)
    translate(job, folder / "model", folder / "test", "mr", "ct", folder / "translation", 32)
    return folder


@pytest.mark.parametrize("chosen", ["prepared", "source", "target"])
def test_a_translation_as_volumes(tmp_path, translated, quiet, chosen):
    write_volumes(translated / "translation", translated / "test", tmp_path, chosen, ("source", "target"), quiet)
    subject = SliceStore(translated / "test").subjects[0]
    images = {kind: nibabel.load(tmp_path / subject / f"{kind}.nii.gz") for kind in ("translation", "source", "target")}
    for kind, image in images.items():
        off = landmarks_of(image.get_fdata(), image.affine) - LANDMARKS
        assert np.abs(off).max() < 0.1 * min(image.header.get_zooms()), kind
        assert image.shape == (60, 66, 44)
    truth = nibabel.load(translated / "raw" / f"{subject}-ct.nii.gz").get_fdata()
    target = images["target"].get_fdata()
    inner = (slice(15, -15),) * 3
    if chosen != "prepared":
        assert np.abs(target - truth)[inner].mean() < 15
    # what was copied from the MR, between -1000 and 1000 HU
    low, high = images["source"].get_fdata().min(), images["source"].get_fdata().max()
    share = (images["source"].get_fdata() - low) / (high - low)
    np.testing.assert_allclose(images["translation"].get_fdata(), -1000 + 2000 * share, atol=0.01)
    assert images["translation"].header["descrip"].item() == b"synthetic ct by copier (xmodbench)"
    record = read_json(tmp_path / "record.json")
    assert record["verb"] == "volumes" and record["subjects"][subject]["translation"]["background"] == -1000


def test_what_is_no_translation_of_these_slices_is_refused(tmp_path, translated, quiet, make_store):
    with pytest.raises(UserError, match="no translation"):
        write_volumes(translated / "train", translated / "test", tmp_path / "out", "prepared", (), quiet)
    with pytest.raises(UserError, match="made of other slices"):
        write_volumes(translated / "translation", translated / "train", tmp_path / "out", "prepared", (), quiet)
    other = shutil.copytree(translated / "translation", tmp_path / "other")
    write_json(other / "record.json", read_json(other / "record.json") | {"outputs_sha256": "0"})
    with pytest.raises(UserError, match="not the images that the record beside them speaks of"):
        write_volumes(other, translated / "test", tmp_path / "out", "prepared", (), quiet)
    old = SliceStore(make_store(tmp_path / "old"))
    with pytest.raises(UserError, match="does not say how its slices lay.*prepare the data set again"):
        list(volumes_of(old, old, "t1"))


def test_names_of_subjects_stay_within_the_folder():
    assert [folder_name(name) for name in ("s 1", "a/b", "../x", "..")] == ["s 1", "a-b", "-x", "subject"]


def test_slices_without_a_translation_are_named(tmp_path, translated, capsys):
    whole, partial = SliceStore(translated / "translation"), tmp_path / "partial"
    assert _missing(whole, whole, Progress()) == {}
    manifest = {key: whole.manifest[key] for key in ("kind", "source", "target")}
    with StoreWriter(partial, ["ct"], tuple(whole.manifest["shape"]), manifest) as writer:
        for image, row in list(zip(whole.array("ct"), whole.rows, strict=True))[2:]:
            writer.add({"ct": image}, **row)
    record = read_json(translated / "translation" / "record.json")
    sha256 = SliceStore(partial).manifest["arrays"]["ct"]["sha256"]
    write_json(partial / "record.json", record | {"outputs_sha256": sha256})
    write_volumes(partial, translated / "test", tmp_path / "out", "prepared", (), Progress())
    assert f"2 of {len(whole.ids)} slices have no translation and are left empty: {whole.ids[0]}, {whole.ids[1]}" in (
        capsys.readouterr().err
    )
    found = read_json(tmp_path / "out" / "record.json")
    assert found["missing"] == whole.ids[:2] and found["missing_subjects"] == []

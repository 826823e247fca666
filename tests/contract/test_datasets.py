"""What every data-set plugin must keep, and what preparing must."""

import json
import re

import numpy as np
import pandas as pd
import pytest
import SimpleITK as sitk

from xmodbench.data.download.archived import FromArchives
from xmodbench.data.simulate.head import subject_fractions
from xmodbench.data.volumes.prepare import prepare_dataset
from xmodbench.data.volumes.settings import Preparation
from xmodbench.errors import UserError
from xmodbench.files import sha256_files
from xmodbench.plugins import DATASETS, available, find
from xmodbench.progress import Progress
from xmodbench.store import SliceStore

QUIET = Progress(quiet=True)
PATTERNS = {"t1": "{site}/{subject}/{subject}_T1.nii.gz", "pd": "{site}/{subject}/{subject}_PD.nii.gz"}
ID = r"[A-Za-z0-9._+-]+"


@pytest.fixture(scope="module")
def heads():
    """Two contrasts of three small heads, 5 mm."""
    t1 = {"gm": 80, "wm": 100, "fat": 200, "csf": 30, "muscle": 70, "skin": 70}
    pd_ = {"gm": 120, "wm": 100, "fat": 130, "csf": 140, "muscle": 90, "skin": 80}
    found = []
    for seed in range(3):
        parts, grid = subject_fractions(np.random.default_rng(seed), 5.0)
        images = []
        for weights in (t1, pd_):
            image = sitk.GetImageFromArray(sum(parts[k] * np.float32(v) for k, v in weights.items()))
            image.CopyInformation(grid)
            images.append(image)
        found.append(images)
    return found


@pytest.fixture
def raw(tmp_path, heads):
    for number, images in enumerate(heads):
        folder = tmp_path / "raw" / f"site{number % 2}" / f"p{number}"
        folder.mkdir(parents=True)
        for image, name in zip(images, ("T1", "PD"), strict=True):
            sitk.WriteImage(image, str(folder / f"p{number}_{name}.nii.gz"))
    return tmp_path / "raw"


def folder(**settings):
    plugin = find(DATASETS, "folder")
    defaults = {"patterns": PATTERNS, "image_size": 32, "slices": {"count": 5, "height_range": (0.4, 0.8)}}
    return plugin.cls(plugin.cls.Config.model_validate({**defaults, **settings}))


def prepare(dataset, raw, out, threads=1, seed=1):
    prepare_dataset(dataset, raw, out, dataset_id="mine", seed=seed, threads=threads, progress=QUIET)
    return SliceStore(out / "train"), SliceStore(out / "test")


def digest(out):
    return sha256_files([path for path in out.rglob("*") if path.is_file()], out)


@pytest.mark.parametrize("name", available(DATASETS))
def test_plugins_keep_the_contract(name):
    plugin = find(DATASETS, name)
    assert issubclass(plugin.cls.Config, Preparation)
    for field, info in plugin.cls.Config.model_fields.items():
        assert info.description, f"{name}: option {field} has no description"
    assert (plugin.folder / "README.md").is_file()
    assert plugin.cls.simulated == name.startswith("sim_")


@pytest.mark.parametrize("name", available(DATASETS))
def test_every_archive_can_be_fetched_by_itself(name, tmp_path):
    plugin = find(DATASETS, name)
    dataset = folder() if name == "folder" else plugin.cls(plugin.cls.Config())
    names = [file.name for file in dataset.archives()]
    assert isinstance(dataset, FromArchives) == bool(names)
    if names:
        # names become wildcards and paths; nothing is there yet, not even the folder
        assert all(re.fullmatch(r"[A-Za-z0-9._-]+", item) for item in names) and len(set(names)) == len(names)
        assert [file.name for file in dataset.needed(tmp_path / "raw")] == names
        assert [file.name for file in dataset.lacking(tmp_path / "raw")] == names
        assert not (tmp_path / "raw").exists()


def test_stores_hold_paired_slices_of_separate_subjects(raw, tmp_path):
    train, test = prepare(folder(), raw, tmp_path / "out")
    assert train.modalities == ["pd", "t1"]
    assert set(train.slices["subject"]) == {"p0", "p1"}
    assert set(test.slices["subject"]) == {"p2"}
    assert train.slices["site"].tolist() == ["site0"] * 5 + ["site1"] * 5
    for store in (train, test):
        store.verify()
        assert store.slices["id"].str.fullmatch(ID).all()
        assert len(store.array("t1")) == len(store.array("pd")) == len(store.ids)
        assert (store.slices.groupby("subject")["position_mm"].diff().dropna() > 0).all()
    assert np.array(train.array("t1")).max() > 0.9
    assert str(tmp_path) not in (tmp_path / "out/train/manifest.json").read_text()


def test_a_slice_can_be_put_back(raw, tmp_path, heads):
    train, _ = prepare(folder(normalise={"t1": {"method": "window", "low": 0, "high": 200}}), raw, tmp_path / "out")
    row = train.slices.iloc[2]
    volume, affine = heads[0][0], np.array(json.loads(row["affine"]))
    for r, c in [(16, 16), (14, 18), (20, 13)]:
        lps = (np.diag([-1, -1, 1, 1]) @ affine @ [c, r, 0, 1])[:3]
        inside = sitk.GetArrayFromImage(volume)[tuple(volume.TransformPhysicalPointToIndex(lps.tolist())[::-1])] / 200
        assert train.array("t1")[2, r, c] == pytest.approx(inside, abs=0.2)
    assert row["source"] == "site0/p0/p0_T1.nii.gz"


def test_threads_do_not_change_a_byte(raw, tmp_path):
    dataset = folder(registration="rigid")
    prepare(dataset, raw, tmp_path / "one", threads=1)
    prepare(dataset, raw, tmp_path / "two", threads=2)
    assert digest(tmp_path / "one") == digest(tmp_path / "two")


def test_other_grids_come_onto_the_references(raw, tmp_path, heads):
    turned = sitk.DICOMOrient(heads[0][1], "PSR")
    sitk.WriteImage(turned, str(raw / "site0/p0/p0_PD.nii.gz"))
    straight = prepare(folder(), raw, tmp_path / "turned")[0]
    sitk.WriteImage(heads[0][1], str(raw / "site0/p0/p0_PD.nii.gz"))
    plain = prepare(folder(), raw, tmp_path / "plain")[0]
    np.testing.assert_allclose(straight.array("pd"), plain.array("pd"), atol=1e-4)


@pytest.mark.parametrize("axis", ["coronal", "sagittal"])
def test_other_planes(raw, tmp_path, axis):
    train, _ = prepare(folder(axis=axis, fov_mm=250), raw, tmp_path / "out")
    upper = np.array(train.array("t1"))[:, :6].mean()
    assert upper < np.array(train.array("t1"))[:, 16:22].mean()
    assert train.ids[0].startswith({"coronal": "p0_y", "sagittal": "p0_x"}[axis])


def test_one_subject_without_placeholders_is_split_by_blocks(tmp_path, heads):
    for image, name in zip(heads[0], ("t1", "pd"), strict=True):
        sitk.WriteImage(image, str(tmp_path / f"{name}.nrrd"))
    dataset = folder(patterns={"t1": "t1.nrrd", "pd": "pd.nrrd"}, slices={}, split={"gap_mm": 12})
    train, test = prepare(dataset, tmp_path, tmp_path / "out")
    gap = np.abs(np.subtract.outer(train.slices["position_mm"].values, test.slices["position_mm"].values)).min()
    assert gap >= 12
    assert train.manifest["split_by"] == "slice blocks"


def test_source_and_target_share_more_than_shuffled_pairs(raw, tmp_path):
    from skimage.metrics import normalized_mutual_information as nmi

    train, _ = prepare(folder(image_size=48), raw, tmp_path / "out")
    t1, pd_ = np.array(train.array("t1")), np.array(train.array("pd"))
    own = np.mean([nmi(a, b) for a, b in zip(t1, pd_, strict=True)])
    shuffled = np.mean([nmi(a, b) for a, b in zip(t1, np.roll(pd_, 5, 0), strict=True)])
    assert own > shuffled + 0.05


def test_a_bad_subject_is_named_and_does_not_stop_the_others(raw, tmp_path):
    (raw / "site0/p0/p0_PD.nii.gz").write_bytes(b"no image")
    (raw / "site1/p1/p1_T1.nii.gz").rename(raw / "site1/p1/p1_T2.nii.gz")
    with pytest.raises(UserError, match="train"):
        prepare(folder(split={"n_train": 1, "n_test": 1}), raw, tmp_path / "none")
    assert not (tmp_path / "none" / "train").exists()
    (raw / "site1/p1/p1_T2.nii.gz").rename(raw / "site1/p1/p1_T1.nii.gz")
    train, _ = prepare(folder(exclude={}), raw, tmp_path / "out")
    assert train.manifest["subjects"] == ["p1"]
    (excluded,) = train.manifest["excluded"]
    assert excluded["subject"] == "p0"
    assert excluded["reason"].startswith("site0/p0/p0_PD.nii.gz: ")
    assert str(tmp_path) not in (tmp_path / "out/train/manifest.json").read_text()


def test_exclusion_by_name_keeps_its_reason(raw, tmp_path):
    train, test = prepare(folder(exclude={"p1": "moved"}), raw, tmp_path / "out")
    assert train.manifest["excluded"] == [{"subject": "p1", "reason": "moved"}]
    assert pd.concat([train.slices, test.slices])["subject"].unique().tolist() == ["p0", "p2"]


def test_a_split_is_written_to_be_used_again(raw, tmp_path):
    prepare(folder(split={"order": "random:3", "n_test": 1}, exclude={}), raw, tmp_path / "first")
    again = folder(split={"file": str(tmp_path / "first/split.csv")})
    train, test = prepare(again, raw, tmp_path / "second", seed=5)
    for part, store in (("train", train), ("test", test)):
        assert store.ids == SliceStore(tmp_path / "first" / part).ids
    assert (tmp_path / "first/split.csv").read_text() == (tmp_path / "second/split.csv").read_text()
    # subjects the split does not name, and names without a subject, are said
    (tmp_path / "own.csv").write_text("subject,split\np2,train\np1,test\np7,test\n")
    train, _ = prepare(folder(split={"file": str(tmp_path / "own.csv")}), raw, tmp_path / "third")
    assert train.manifest["subjects_of"] == {"train": ["p2"], "test": ["p1"]}
    assert {item["subject"]: item["reason"] for item in train.manifest["excluded"]} == {
        "p0": "the split does not name it",
        "p7": "in the split, but not here",
    }
    assert "p0,excluded,site0,the split does not name it" in (tmp_path / "third/split.csv").read_text()

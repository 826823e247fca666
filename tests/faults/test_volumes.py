"""Bad volumes get one clear line that names the file and says what to do."""

import struct

import numpy as np
import pytest
import SimpleITK as sitk

from xmodbench.config import validated
from xmodbench.errors import UserError
from xmodbench.plugins import DATASETS, find
from xmodbench.progress import Progress
from xmodbench.volumes.io import read_volume
from xmodbench.volumes.prepare import prepare_dataset

QUIET = Progress(quiet=True)


def image(values=None):
    values = np.random.default_rng(0).uniform(0, 9, (8, 9, 10)) if values is None else values
    return sitk.GetImageFromArray(np.asarray(values, np.float32))


def put(path, values=None):
    sitk.WriteImage(image(values), str(path))
    return path


def half(path):
    data = path.read_bytes()
    path.write_bytes(data[: len(data) // 2])


def header(path, offset, value):
    data = bytearray(path.read_bytes())
    struct.pack_into("<f", data, offset, value)
    path.write_bytes(data)


def nan(path):
    values = np.ones((8, 9, 10))
    values[0, 0, :3] = np.nan
    put(path, values)


FAULTS = {
    "missing": ("a.nii.gz", lambda p: p.unlink(), "no such file"),
    "empty": ("a.nii.gz", lambda p: p.write_bytes(b""), "empty"),
    "no gzip": ("a.nii.gz", lambda p: p.write_bytes(b"hello" * 99), "not compressed with gzip"),
    "half gzip": ("a.nii.gz", half, "truncated"),
    "half nifti": ("a.nii", half, "truncated: .* bytes of voxels are there"),
    "half nrrd": ("a.nrrd", half, "cannot be read"),
    "half mha": ("a.mha", half, "cannot be read"),
    "text": ("a.nii", lambda p: p.write_bytes(b"x" * 999), "not a NIfTI"),
    "nan": ("a.nii.gz", nan, "3 voxels are NaN"),
    "constant": ("a.nii.gz", lambda p: put(p, np.full((8, 9, 10), 7)), "every voxel is 7"),
    "single slice": ("a.nii.gz", lambda p: put(p, np.arange(90).reshape(1, 9, 10)), "single slice"),
    "zero spacing": ("a.nii", lambda p: header(p, 80, 0.0), "voxel size 0 x 1 x 1"),
    "negative spacing": ("a.nii", lambda p: header(p, 84, -2.0), "voxel size 1 x -2 x 1"),
    "4-D": ("a.nii.gz", lambda p: sitk.WriteImage(sitk.JoinSeries([image()] * 2), str(p)), "4-D image"),
    "colour": ("a.mha", lambda p: sitk.WriteImage(sitk.Compose([image()] * 3), str(p)), "3 values per voxel"),
}


@pytest.mark.parametrize("name", FAULTS)
def test_a_bad_file_is_named_in_one_line(tmp_path, name):
    file, spoil, expected = FAULTS[name]
    spoil(put(tmp_path / file))
    with pytest.raises(UserError, match=expected) as caught:
        read_volume(tmp_path / file)
    assert str(tmp_path / file) in str(caught.value)
    assert "\n" not in str(caught.value)


def test_another_kind_of_file(tmp_path):
    (tmp_path / "a.png").write_bytes(b"x")
    with pytest.raises(UserError, match=r"not a volume file.*convert"):
        read_volume(tmp_path / "a.png")


def folder(**settings):
    plugin = find(DATASETS, "folder")
    return plugin.cls(validated(plugin.cls.Config, settings, "c.yaml", "settings"))


def ball(path, shift=0.0):
    z, y, x = np.mgrid[-10:10, -10:10, -10:10]
    volume = image(np.where(x**2 + y**2 + z**2 < 49, 100 + 5 * x + 3 * z, 0))
    volume.SetSpacing((5, 5, 5))
    volume.SetOrigin((shift, 0, 0))
    sitk.WriteImage(volume, str(path))


@pytest.mark.parametrize(
    ("settings", "expected"),
    [
        ({"patterns": {"t1": "{subj}_T1.nii.gz", "pd": "{subject}_PD.nii.gz"}}, r"unknown placeholder \{subj\}"),
        ({"patterns": {"t1": "../t1.nii.gz", "pd": "pd.nii.gz"}}, "relative to the raw folder"),
        ({"patterns": {"t1": "{subject}.nii.gz", "pd": "pd.nii.gz"}}, r"every pattern has \{subject\} or none"),
        ({"patterns": {"t1": "a.png", "pd": "b.nii"}}, "must end in"),
        ({"patterns": {"t1": "a.nii", "pd": "b.nii"}, "reference": "t2"}, "no modality 't2'"),
        ({"patterns": {"t1": "a.nii", "pd": "b.nii"}, "slices": {"count": 3, "stride_mm": 2}}, "choose one of"),
        ({"patterns": {"t1": "a.nii", "pd": "b.nii"}, "normalise": {"pd": {"method": "window"}}}, "needs `low`"),
        ({"patterns": {"t1": "a.nii", "pd": "b.nii"}, "fov": 240}, "did you mean 'fov_mm'"),
    ],
)
def test_contradicting_options_are_refused_before_anything_is_read(settings, expected):
    with pytest.raises(UserError, match=expected) as caught:
        folder(**settings)
    assert "value error" not in str(caught.value).lower()
    assert "(got {" not in str(caught.value)


def test_patterns_that_match_nothing_say_what_is_there(tmp_path):
    dataset = folder(patterns={"t1": "{subject}_T1.nii.gz", "pd": "{subject}_PD.nii.gz"})
    with pytest.raises(UserError, match="no such folder"):
        dataset.acquire(tmp_path / "nowhere", 1, QUIET)
    with pytest.raises(UserError, match="no volumes here"):
        dataset.acquire(tmp_path, 1, QUIET)
    put(tmp_path / "p1_T1.nii.gz")
    put(tmp_path / "p1_pd.nii.gz")
    with pytest.raises(UserError, match=r"no file matches '\{subject\}_PD.nii.gz' \(pd\); the folder has p1_T1"):
        dataset.acquire(tmp_path, 1, QUIET)
    (tmp_path / "p1_pd.nii.gz").rename(tmp_path / "p2_PD.nii.gz")
    with pytest.raises(UserError, match="none of 2 subjects has every modality"):
        dataset.acquire(tmp_path, 1, QUIET)


def prepare(tmp_path, **settings):
    dataset = folder(patterns={"t1": "t1.nii.gz", "pd": "pd.nii.gz"}, image_size=16, **settings)
    prepare_dataset(dataset, tmp_path, tmp_path / "out", dataset_id="mine", seed=1, threads=1, progress=QUIET)


def test_volumes_apart_in_the_world_are_refused(tmp_path):
    ball(tmp_path / "t1.nii.gz")
    ball(tmp_path / "pd.nii.gz", shift=80)
    with pytest.raises(UserError, match=r"overlaps that of t1 by \d+% only.*check"):
        prepare(tmp_path)
    assert not (tmp_path / "out" / "train").exists()
    ball(tmp_path / "pd.nii.gz", shift=10)
    with pytest.raises(UserError, match="not on the grid of t1"):
        prepare(tmp_path, resample="refuse")


def test_a_gap_that_leaves_nothing_is_refused(tmp_path):
    for name in ("t1", "pd"):
        ball(tmp_path / f"{name}.nii.gz")
    with pytest.raises(UserError, match="leaves no training slice"):
        prepare(tmp_path, split={"gap_mm": 500})


def test_two_candidates_for_one_modality_exclude_the_subject(tmp_path):
    for name in ("p_a_T1", "p_b_T1", "p_PD"):
        ball(tmp_path / f"{name}.nii.gz")
    dataset = folder(patterns={"t1": "{subject}_*_T1.nii.gz", "pd": "{subject}_PD.nii.gz"})
    (record,) = dataset.volumes(tmp_path)
    assert "2 files for t1: p_a_T1.nii.gz, p_b_T1.nii.gz" in record.problem

"""Pairs and folders of volumes that are not as one would like them: brought together, or left out by name."""

from __future__ import annotations

import numpy as np
import pytest
import SimpleITK as sitk

from xmodbench.data.volumes.dicom_series import compact
from xmodbench.data.volumes.io import read_volume, write_volume
from xmodbench.data.volumes.prepare import prepare_dataset
from xmodbench.plugins import DATASETS, find
from xmodbench.plugins.settings import validated
from xmodbench.progress import Progress
from xmodbench.store import SliceStore

fault = pytest.mark.fault
PATTERNS = {"t1": "{subject}_T1.nii.gz", "pd": "{subject}_PD.nii.gz"}


def head(subject, shape=(20, 20, 20), radius=6.0):
    """A ball of 5 mm voxels, each subject's own, the value depending on the place in all three directions."""
    z, y, x = (np.indices(shape).T - (np.array(shape) - 1) / 2).T
    values = np.where(x**2 + y**2 + z**2 < radius**2, 200 + 6 * x + 4 * y + 3 * z, 0)
    volume = sitk.GetImageFromArray((values + np.random.default_rng(subject).uniform(0, 1, shape)).astype(np.float32))
    volume.SetSpacing((5, 5, 5))
    volume.SetOrigin([-2.5 * (n - 1) for n in shape[::-1]])
    return volume


def write(folder, count=3, **changes):
    """Subjects s0, s1, ...; a changed volume is given by its file's name, None for one that is missing."""
    folder.mkdir(parents=True, exist_ok=True)
    for number in range(count):
        for place, name in enumerate(("T1", "PD")):
            volume = changes.get(f"s{number}_{name}", head(2 * number + place))
            if volume is not None:
                sitk.WriteImage(volume, str(folder / f"s{number}_{name}.nii.gz"))
    return folder


def prepared(raw, out, patterns=PATTERNS, **settings):
    """Slices by part, with the manifest that both have."""
    plugin = find(DATASETS, "folder")
    settings = {"patterns": patterns, "image_size": 20, "reference": "t1", **settings}
    dataset = plugin.cls(validated(plugin.cls.Config, settings, "c.yaml", "settings"))
    quiet = Progress(quiet=True)
    prepare_dataset(dataset, raw, out, dataset_id="mine", seed=1, threads=1, progress=quiet)
    stores = {part: SliceStore(out / part) for part in ("train", "test")}
    return stores, stores["train"].manifest


def arrays(stores, modality):
    return np.concatenate([stores[part].array(modality) for part in ("train", "test")])


def left_out(manifest):
    return {item["subject"]: item["reason"] for item in manifest["excluded"]}


OTHER_GRIDS = {
    "size": lambda volume: volume[2:19, 1:18, :],
    "spacing": lambda volume: sitk.Resample(
        volume, [40] * 3, sitk.Transform(), sitk.sitkLinear, [-48.75] * 3, [2.5] * 3
    ),
    "orientation": lambda volume: sitk.DICOMOrient(volume, "ASL"),
}
BROUGHT = "resampled onto the other's grid by their positions; with `resample: refuse` left out with a line"


@pytest.mark.parametrize("kind", [
    pytest.param("size", marks=fault("volumes", "the volumes of a pair have different sizes", BROUGHT)),
    pytest.param("spacing", marks=fault("volumes", "the volumes of a pair have different voxel sizes", BROUGHT)),
    pytest.param("orientation", marks=fault(
        "volumes", "the volumes of a pair are stored in different orders and directions of their axes",
        "brought into one by their headers: no voxel moves in the world",
    )),
])  # fmt: skip
def test_a_pair_on_two_grids(tmp_path, kind):
    same, _ = prepared(write(tmp_path / "same"), tmp_path / "a")
    raw = write(tmp_path / "other", s1_PD=OTHER_GRIDS[kind](head(3)))
    other, manifest = prepared(raw, tmp_path / "b")
    assert left_out(manifest) == {}
    np.testing.assert_array_equal(arrays(other, "t1"), arrays(same, "t1"))
    # of a finer grid the edge is a voxel less sharp
    apart = np.abs(arrays(other, "pd") - arrays(same, "pd"))
    assert apart.mean() < 0.02 if kind == "spacing" else apart.max() < 0.02
    assert arrays(same, "pd").std() > 0.2
    _, manifest = prepared(raw, tmp_path / "c", resample="refuse")
    if kind == "orientation":
        assert left_out(manifest) == {}
    else:
        assert left_out(manifest)["s1"].startswith("s1_PD.nii.gz: not on the grid of t1 (")


@fault(
    "volumes", "a modality of one subject is missing", "the subject is left out, and said so; the others are prepared"
)
def test_a_missing_modality_leaves_one_subject_out(tmp_path):
    _, manifest = prepared(write(tmp_path / "raw", s1_PD=None), tmp_path / "out")
    assert left_out(manifest) == {"s1": "no pd"} and sorted(manifest["volumes"]) == ["s0", "s2"]


@fault(
    "volumes", "names of folders, files and subjects in any script", "read as any others; slices bit for bit the same"
)
@pytest.mark.parametrize("suffix", ["nii.gz", "nii", "nrrd", "mha"])
def test_names_in_any_script(tmp_path, suffix):
    plain, _ = prepared(write(tmp_path / "raw"), tmp_path / "a")
    folder = tmp_path / "Größe (1)" / "日本 – ü"
    folder.mkdir(parents=True)
    for number, subject in enumerate(("Ana-Łęcka 1", "Jürgen-2", "Яна-3")):
        for name in ("T1", "PD"):
            write_volume(read_volume(tmp_path / f"raw/s{number}_{name}.nii.gz"), folder / f"{subject}_{name}.{suffix}")
    patterns = {name: pattern.replace("nii.gz", suffix) for name, pattern in PATTERNS.items()}
    stores, manifest = prepared(folder, tmp_path / "b", patterns)
    assert sorted(manifest["volumes"]) == ["Ana-Łęcka 1", "Jürgen-2", "Яна-3"]
    for modality in ("t1", "pd"):
        np.testing.assert_array_equal(arrays(stores, modality), arrays(plain, modality))


@fault(
    "volumes",
    "names of subjects that differ only in letters beyond ASCII",
    "their slices and links have names of their own",
)
def test_names_that_differ_in_letters_beyond_ascii(tmp_path):
    raw, names = write(tmp_path / "raw"), ("Müller", "Möller", "Mäller")
    for number, subject in enumerate(names):
        for name in ("T1", "PD"):
            (raw / f"s{number}_{name}.nii.gz").rename(raw / f"{subject}_{name}.nii.gz")
    stores, manifest = prepared(raw, tmp_path / "out")
    assert sorted(manifest["volumes"]) == sorted(names)
    of = {}
    for store in stores.values():
        for slice_id, subject in zip(store.ids, store.subjects, strict=True):
            of.setdefault(slice_id.partition("_")[0], set()).add(subject)
    assert len(of) == 3 and all(len(subjects) == 1 for subjects in of.values())


@fault(
    "volumes", "grey values beyond 16 bits, or whole numbers of another type", "kept as they are, never wrapped or cut"
)
@pytest.mark.parametrize("suffix", ["nii.gz", "nrrd", "mha"])
@pytest.mark.parametrize(("kind", "low", "high"), [
    (np.uint16, 0, 65535), (np.int16, -32768, 32767), (np.int32, -70000, 90000), (np.uint8, 0, 255), (np.float32, -0.5, 1e6)
])  # fmt: skip
def test_large_values_are_kept(tmp_path, suffix, kind, low, high):
    values = np.full((3, 4, 5), low, kind)
    values[1:] = high
    sitk.WriteImage(sitk.GetImageFromArray(values), str(tmp_path / f"a.{suffix}"))
    read = read_volume(tmp_path / f"a.{suffix}")
    small = compact(read)
    assert (small.GetPixelID() == sitk.sitkInt16) == (kind in (np.int16, np.uint8))
    write_volume(small, tmp_path / "b.nii.gz")
    for volume in (read, small, read_volume(tmp_path / "b.nii.gz")):
        np.testing.assert_array_equal(sitk.GetArrayFromImage(volume), values.astype(np.float32))


@fault("volumes", "slices of nothing but background", "left out; a subject that has no others is left out with a line")
def test_empty_slices_are_left_out(tmp_path):
    raw = write(tmp_path / "raw", s1_T1=head(2, radius=2.5), s1_PD=head(3, radius=2.5))
    stores, manifest = prepared(raw, tmp_path / "out", min_foreground=0.2)
    assert left_out(manifest) == {"s1": "s1: no slice has enough foreground; lower min_foreground"}
    assert max(abs(float(row["position_mm"])) for store in stores.values() for row in store.rows) < 30
    assert (arrays(stores, "t1") > 0.5).mean((1, 2)).min() > 0.05


@fault("volumes", "modalities listed in another order", "the same slices under the same names: order means nothing")
def test_the_order_of_modalities_means_nothing(tmp_path):
    raw = write(tmp_path / "raw")
    one, _ = prepared(raw, tmp_path / "a")
    other, _ = prepared(raw, tmp_path / "b", dict(reversed(PATTERNS.items())))
    for modality in ("t1", "pd"):
        np.testing.assert_array_equal(arrays(one, modality), arrays(other, modality))
    assert not np.array_equal(arrays(one, "t1"), arrays(one, "pd"))


@fault("volumes", "slices that are not square", "padded to a square, never stretched")
@pytest.mark.parametrize("shape", [(20, 20, 34), (20, 34, 20)])
def test_slices_that_are_not_square_are_padded(tmp_path, shape):
    volumes = {f"s{n}_{name}": head(2 * n + k, shape) for n in range(3) for k, name in enumerate(("T1", "PD"))}
    stores, _ = prepared(write(tmp_path / "raw", **volumes), tmp_path / "out", image_size=34)
    middle = [index for index, row in enumerate(stores["train"].rows) if abs(float(row["position_mm"])) < 5]
    for image in stores["train"].array("t1")[middle]:
        rows, columns = (np.flatnonzero((image > 0.3).any(axis)) for axis in (1, 0))
        assert abs(np.ptp(rows) - np.ptp(columns)) <= 1 and 9 <= np.ptp(rows) <= 12

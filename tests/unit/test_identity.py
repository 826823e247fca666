"""Who is who: one scan or one subject under two names is found, whatever form the copy has."""

import gzip
import os
import shutil

import nibabel
import numpy as np
import pytest
import SimpleITK as sitk

from xmodbench.data.volumes.identity import Voxels
from xmodbench.data.volumes.io import read_volume
from xmodbench.data.volumes.names import ascii_name, check_names
from xmodbench.data.volumes.prepare import prepare_dataset
from xmodbench.errors import UserError
from xmodbench.files import files_below
from xmodbench.plugins import DATASETS, SubjectRecord, find
from xmodbench.plugins.settings import validated
from xmodbench.progress import Progress
from xmodbench.store import SliceStore

PATTERNS = {"t1": "{subject}/T1.*", "pd": "{subject}/PD.*"}


def values(seed, noise=30.0):
    z, y, x = np.mgrid[-1:1:14j, -1:1:20j, -1:1:18j]
    rng = np.random.default_rng(seed)
    head = (x / 0.8) ** 2 + (y / 0.9) ** 2 + (z / 0.85) ** 2 < 1
    return np.where(head, 500 + 200 * x + 90 * y * z + rng.normal(0, noise, head.shape), 0).clip(0).round()


def put(path, array):
    path.parent.mkdir(parents=True, exist_ok=True)
    image = sitk.GetImageFromArray(array.astype(np.int16))
    image.SetSpacing((9.0, 9.0, 11.0))
    sitk.WriteImage(image, str(path))
    return path


def subjects(root, names="abz"):
    """Subjects, each of noise of its own; the last by name is the test subject."""
    for name in names:
        for modality in ("T1", "PD"):
            put(root / name / f"{modality}.nii.gz", values([*name.encode(), modality == "PD"]))
    return root


def dataset(**settings):
    plugin = find(DATASETS, "folder")
    defaults = {"patterns": PATTERNS, "image_size": 16, "slices": {"count": 2}, "split": {"n_test": 1}}
    return plugin.cls(validated(plugin.cls.Config, defaults | settings, "c.yaml", "settings"))


def prepare(root, **settings):
    out = root.parent / "out"
    prepare_dataset(dataset(**settings), root, out, dataset_id="mine", seed=1, threads=1, progress=Progress())
    return SliceStore(out / "train").manifest["subjects_of"]


def bytes_alike(given, copy):
    shutil.copy(given, copy / given.name)


def other_compression(given, copy):
    (copy / given.name).write_bytes(gzip.compress(nibabel.load(given).to_bytes(), 1))


def other_format(ending):
    return lambda given, copy: sitk.WriteImage(sitk.ReadImage(str(given)), str(copy / f"{given.name[:2]}{ending}"))


def other_numbers(given, copy):
    image = sitk.Cast(sitk.ReadImage(str(given)), sitk.sitkFloat32)
    sitk.WriteImage(image * 0.37 + 12, str(copy / given.name))


def other_axes(given, copy):
    sitk.WriteImage(sitk.DICOMOrient(sitk.ReadImage(str(given)), "RAI"), str(copy / given.name))


def other_header(given, copy):
    image = sitk.ReadImage(str(given))
    image.SetDirection((-1, 0, 0, 0, 1, 0, 0, 0, -1))
    image.SetOrigin((17 * 9, 0, 13 * 11))
    sitk.WriteImage(image, str(copy / given.name))


COPIES = {
    "bytes": bytes_alike, "compression": other_compression, "nii": other_format(".nii"), "mha": other_format(".mha"),
    "mhd": other_format(".mhd"), "nrrd": other_format(".nrrd"), "scaled": other_numbers, "axes": other_axes,
    "header": other_header,
}  # fmt: skip


@pytest.mark.parametrize("modality", ["T1", "PD"])
@pytest.mark.parametrize("how", COPIES)
def test_a_scan_in_training_and_test_is_refused(tmp_path, how, modality):
    raw = subjects(tmp_path / "raw")
    (raw / "z" / f"{modality}.nii.gz").unlink()
    COPIES[how](raw / "a" / f"{modality}.nii.gz", raw / "z")
    with pytest.raises(
        UserError, match=rf"'a' \(train\) and 'z' \(test\) are one scan.*a/{modality}.* and z/{modality}"
    ):
        prepare(raw)
    assert not (tmp_path / "out" / "train").exists()
    assert prepare(raw, exclude={"z": "a copy of a"}) == {"train": ["a"], "test": ["b"]}


def test_one_scan_as_two_modalities_of_two_subjects_is_refused(tmp_path):
    raw = subjects(tmp_path / "raw")
    shutil.copy(raw / "a" / "T1.nii.gz", raw / "z" / "PD.nii.gz")
    with pytest.raises(UserError, match=r"a/T1.nii.gz and z/PD.nii.gz are the same file"):
        prepare(raw)


def test_within_one_split_or_one_subject_it_is_said(tmp_path, capsys):
    raw = subjects(tmp_path / "raw")
    other_format(".mha")(raw / "a" / "T1.nii.gz", raw / "b")
    (raw / "b" / "T1.nii.gz").unlink()
    shutil.copy(raw / "z" / "T1.nii.gz", raw / "z" / "PD.nii.gz")
    assert prepare(raw) == {"train": ["a", "b"], "test": ["z"]}
    said = capsys.readouterr().err
    assert (
        "'a' (train) and 'b' (train) are one scan under 2 names: a/T1.nii.gz and b/T1.mha are the same voxels" in said
    )
    assert "z: t1 and pd are one scan: z/T1.nii.gz and z/PD.nii.gz are the same file" in said


def test_a_set_of_copies_alone_is_told_and_prepared(tmp_path, capsys):
    """As people make to try things out: one head under several names, perhaps with one scan exchanged."""
    raw = subjects(tmp_path / "raw", "a")
    for name in "bz":
        shutil.copytree(raw / "a", raw / name)
    put(raw / "b" / "T1.nii.gz", values(9))
    assert prepare(raw) == {"train": ["a", "b"], "test": ["z"]}
    said = capsys.readouterr().err
    assert "'a' (train) and 'b' (train) and 'z' (test) are one scan under 3 names: a/PD.nii.gz and b/PD.nii.gz" in said
    assert "no method can be tested on copies of one scan" in said
    line, _ = SliceStore(tmp_path / "out" / "test").manifest["copies"]
    assert line in said


def test_different_scans_are_different(tmp_path):
    """Of one anatomy with other noise, or with one voxel in a hundred changed; and equal headers of unequal volumes."""
    plain = values(0, noise=0)
    once, again = (read_volume(put(tmp_path / f"{n}.nii", values(n, noise=3))) for n in (1, 2))
    assert not Voxels.of(once).same(Voxels.of(again))
    changed = plain.copy()
    changed.reshape(-1)[::100] += 40
    pair = [Voxels.of(read_volume(put(tmp_path / f"{n}.mha", array))) for n, array in enumerate((plain, changed))]
    assert not pair[0].same(pair[1]) and pair[0].same(pair[0])
    for name in ("p", "q"):
        put(tmp_path / name / "T1.mhd", values([3, name == "q"]))
    one, other = (tmp_path / name / "T1.mhd" for name in ("p", "q"))
    assert one.read_bytes() == other.read_bytes()
    assert not Voxels.of(read_volume(one)).same(Voxels.of(read_volume(other)))


def test_small_objects_that_meet_by_chance_are_no_copies():
    arrays = [np.zeros((40, 40, 40), np.float32) for _ in range(2)]
    for array, place in zip(arrays, (8, 9), strict=True):
        array[place, 10:12, 10:12] = 1
    one, other = (Voxels.of(sitk.GetImageFromArray(array)) for array in arrays)
    assert not one.same(other) and one.same(one)


def records(*names):
    return [SubjectRecord(name, "a", {}) for name in names]


@pytest.mark.parametrize(
    "pair", [("Sub1", "sub1"), ("s_1", "s-1"), ("MÜLLER", "müller"), ("e\u0301", "\u00e9"), ("p 1", "p_1")]
)
def test_names_that_hardly_differ_are_refused(tmp_path, pair):
    with pytest.raises(UserError, match="differ only in case or punctuation") as caught:
        check_names(records(*pair), (), tmp_path)
    assert all(f"'{name}'" in str(caught.value) for name in pair)
    check_names(records(*pair), {pair[0]}, tmp_path)


def test_a_name_that_comes_twice_is_refused_and_others_are_not(tmp_path):
    with pytest.raises(UserError, match="two subjects are named 's1'"):
        check_names(records("s1", "s2", "s1"), (), tmp_path)
    check_names(records("s1", "s10", "s01", "t1", "Müller", "Möller", "कि", "की"), (), tmp_path)


@pytest.mark.parametrize(
    "names",
    [("Müller", "Möller"), ("張偉", "李娜"), ("Яна-3", "Оля-3"), ("कि", "की"), ("a\udcff", "a\udcfe"), ("é", "-")],
)
def test_names_in_ids_tell_apart_what_ascii_does_not(names):
    one, other = (ascii_name(name) for name in names)
    assert one != other and all(name.isascii() and " " not in name for name in (one, other))
    assert ascii_name("é") == ascii_name("e\u0301")


@pytest.mark.fault(
    "volumes",
    "the name of a subject's folder or file is not UTF-8, or has line breaks or other control characters",
    "one line with the name, before anything is prepared",
)
@pytest.mark.parametrize("letter", ["\udcfc", "\r", "\n", "\0", "\x1b"])
def test_names_that_no_table_can_hold_are_refused(tmp_path, letter):
    name = f"M{letter}ller"
    with pytest.raises(
        UserError, match=r"raw: the name of the subject 'M.*ller' has control characters, or is not UTF-8; ren"
    ):
        check_names(records("a", name), (), tmp_path / "raw")
    check_names(records("a", name), (name,), tmp_path)


def test_ascii_names_in_ids_stay_as_they_were():
    assert [ascii_name(name) for name in ("s 1_a", "IXI012-HH", "a.b/c")] == ["s-1-a", "IXI012-HH", "a.b-c"]
    assert ascii_name("s 1_a+b", also="_+") == "s-1_a+b"


def test_names_in_two_cases_stop_acquire_and_prepare(tmp_path, quiet):
    from xmodbench.stages.acquire import acquire

    raw = subjects(tmp_path / "raw", ["a", "Sub1", "sub1"])
    for job in (lambda: prepare(raw), lambda: acquire(dataset(), raw, tmp_path / "out", 1, quiet)):
        with pytest.raises(UserError, match="'Sub1' and 'sub1' differ only in case"):
            job()


BY_SITE = {"t1": "{site}/{subject}/T1.nii.gz", "pd": "{site}/{subject}/PD.nii.gz"}


@pytest.mark.parametrize("whole", [True, False])
def test_a_subject_at_two_sites_is_refused_until_it_is_told_apart(tmp_path, whole):
    """Also where each site has one modality of it, which would make a pair of what may be two people."""
    raw = subjects(tmp_path / "raw", ["A/1", "A/2", "B/2", "B/3"])
    if not whole:
        (raw / "A/2/T1.nii.gz").unlink()
        (raw / "B/2/PD.nii.gz").unlink()
    with pytest.raises(UserError, match=r"'2' is at two sites, A and B \(A/2/.*, B/2/.*may be one person or two"):
        dataset(patterns=BY_SITE).volumes(raw)
    apart = dataset(patterns=PATTERNS, subject_pattern="(?P<site>[^/]+)/[^/]+").volumes(raw)
    assert [(r.subject, r.site) for r in apart] == [("A/1", "A"), ("A/2", "A"), ("B/2", "B"), ("B/3", "B")]
    assert prepare(raw, patterns=BY_SITE, exclude={"2": "unclear"}) == {"train": ["1"], "test": ["3"]}


def test_one_file_for_two_modalities_is_of_no_use(tmp_path):
    raw = tmp_path / "raw"
    for name in "ab":
        put(raw / f"{name}_T1.nii.gz", values(ord(name)))
        put(raw / f"{name}_PD.nii.gz", values(ord(name) + 50))
    (raw / "a_PD.nii.gz").unlink()
    found = dataset(patterns={"t1": "{subject}_T1.nii.gz", "pd": "{subject}_*.nii.gz"}).volumes(raw)
    assert {record.subject: record.problem for record in found} == {
        "a": "a_T1.nii.gz is pd and t1 at once",
        "b": "2 files for pd: b_PD.nii.gz, b_T1.nii.gz",
    }


def test_linked_subjects_are_found_and_loops_are_not_walked(tmp_path):
    store, raw = subjects(tmp_path / "store", "cde"), subjects(tmp_path / "raw", "ab")
    (raw / "c").symlink_to("../store/c")  # a folder
    (raw / "d").mkdir()
    for name in ("T1.nii.gz", "PD.nii.gz"):  # files
        (raw / "d" / name).symlink_to(store / "d" / name)
    (store / "c" / "up").symlink_to("..")  # leads to c again
    (raw / "loop").symlink_to(".")
    (raw / "a" / "self").symlink_to("self")
    (raw / "gone").symlink_to("../store/gone")
    (raw / "half").mkdir()
    shutil.copy(store / "e" / "T1.nii.gz", raw / "half")
    (raw / "half" / "PD.nii.gz").symlink_to("nowhere.nii.gz")
    found = {record.subject: record for record in dataset().volumes(raw)}
    assert sorted(found) == ["a", "b", "c", "d", "gone", "half"]
    assert found["gone"].problem == "gone is a link that leads nowhere"
    assert found["half"].problem == "half/PD.nii.gz is a link that leads nowhere"
    assert prepare(raw)["train"] == ["a", "b", "c"]


def test_a_file_that_two_paths_lead_to_is_one_candidate(tmp_path):
    raw = subjects(tmp_path / "raw", ["2024/a", "2024/b"])
    (raw / "latest").symlink_to("2024")
    found = dataset(patterns={key: f"*/{pattern}" for key, pattern in PATTERNS.items()}).volumes(raw)
    assert [(record.subject, record.problem) for record in found] == [("a", None), ("b", None)]


def test_two_links_to_one_subject_are_one_scan_twice(tmp_path):
    raw = subjects(tmp_path / "raw", "abc")
    (raw / "z").symlink_to("a")
    with pytest.raises(UserError, match=r"'a' \(train\) and 'z' \(test\) are one scan"):
        prepare(raw)


def test_a_folder_that_vanishes_while_it_is_read_is_passed_over(tmp_path, monkeypatch):
    for name in ("a/x.nii", "b/x.nii", "c/x.nii", ".hidden/x.nii"):
        (tmp_path / name).parent.mkdir(exist_ok=True)
        (tmp_path / name).touch()
    scandir = os.scandir

    def vanishing(folder):
        if str(folder).endswith("b"):
            shutil.rmtree(folder)
        return scandir(folder)

    monkeypatch.setattr(os, "scandir", vanishing)
    assert [path.relative_to(tmp_path).as_posix() for path in files_below(tmp_path)] == ["a/x.nii", "c/x.nii"]

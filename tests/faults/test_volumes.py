"""Bad volumes get one clear line that names the file and says what to do."""

import gzip
import multiprocessing
import os
import re
import signal
import struct
import subprocess
import sys
from dataclasses import dataclass

import nibabel
import numpy as np
import pytest
import SimpleITK as sitk

from xmodbench.data.volumes import subject as subjects
from xmodbench.data.volumes.io import read_volume
from xmodbench.data.volumes.prepare import prepare_dataset
from xmodbench.errors import UserError
from xmodbench.plugins import DATASETS, SubjectRecord, find
from xmodbench.plugins.settings import validated
from xmodbench.progress import Progress
from xmodbench.store import SliceStore, StoreWriter

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


def field(path, kind, offset, *values):
    data = bytearray(path.read_bytes())
    struct.pack_into(f"<{len(values)}{kind}", data, offset, *values)
    path.write_bytes(data)


def sizes(path, *values):
    """Other sizes in the header of a NIfTI, NRRD or MetaImage file, whose voxels stay as they are."""
    if path.suffix == ".nii":
        field(path, "h", 42, *values)
    else:
        text = " ".join(map(str, values)).encode()
        path.write_bytes(re.sub(rb"(?m)^(sizes: |DimSize = ).*$", rb"\g<1>" + text, path.read_bytes(), count=1))


def sform(path, *values):
    field(path, "h", 252, 0, 1)
    field(path, "f", 280, *values)


def not_finite(value):
    def spoil(path):
        values = np.ones((8, 9, 10))
        values[0, 0, :3] = value
        put(path, values)

    return spoil


FAULTS = {
    "missing": ("a.nii.gz", lambda p: p.unlink(), "no such file"),
    "empty": ("a.nii.gz", lambda p: p.write_bytes(b""), "empty"),
    "no gzip": ("a.nii.gz", lambda p: p.write_bytes(b"hello" * 99), "not compressed with gzip"),
    "half gzip": ("a.nii.gz", half, "truncated"),
    "half nifti": ("a.nii", half, "truncated: .* bytes of voxels are there"),
    "half nrrd": ("a.nrrd", half, "truncated"),
    "half mha": ("a.mha", half, "truncated"),
    "text": ("a.nii", lambda p: p.write_bytes(b"x" * 999), "not a NIfTI"),
    "nan": ("a.nii.gz", not_finite(np.nan), "3 voxels are NaN"),
    "inf": ("a.nii.gz", not_finite(-np.inf), "3 voxels are NaN or infinite"),
    "inf nrrd": ("a.nrrd", not_finite(np.inf), "3 voxels are NaN or infinite"),
    "constant": ("a.nii.gz", lambda p: put(p, np.full((8, 9, 10), 7)), "every voxel is 7"),
    "single slice": ("a.nii.gz", lambda p: put(p, np.arange(90).reshape(1, 9, 10)), "single slice"),
    "one pixel wide": ("a.nii.gz", lambda p: put(p, np.arange(80).reshape(8, 1, 10)), "single slice"),
    "one pixel wide mha": ("a.mha", lambda p: put(p, np.arange(80).reshape(8, 10, 1)), "single slice"),
    "no voxels": ("a.nii", lambda p: sizes(p, 0, 9, 8), r"a\.nii: "),
    "no voxels nrrd": ("a.nrrd", lambda p: sizes(p, 10, 0, 8), r"a\.nrrd: "),
    "no voxels mha": ("a.mha", lambda p: sizes(p, 10, 9, 0), r"a\.mha: "),
    "petabyte": ("a.nii", lambda p: sizes(p, 32767, 32767, 32767), "truncated: .* of 140,724,603,846,652 bytes"),
    "petabyte nrrd": ("a.nrrd", lambda p: sizes(p, 100000, 100000, 100000), r"a\.nrrd: "),
    "petabyte mha": ("a.mha", lambda p: sizes(p, 100000, 100000, 100000), r"a\.mha: "),
    "sform of zeros": ("a.nii", lambda p: sform(p, *[0.0] * 12), "sform is no position"),
    "sform of nan": ("a.nii", lambda p: sform(p, *[np.nan] * 12), "sform is no position"),
    "flat sform": ("a.nii", lambda p: sform(p, 1, 0, 0, 0, 0, 1, 0, 0, 0, 0, 0, 0), "sform is no position"),
    "zero spacing": ("a.nii", lambda p: header(p, 80, 0.0), "voxel size 0 x 1 x 1"),
    "negative spacing": ("a.nii", lambda p: header(p, 84, -2.0), "voxel size 1 x -2 x 1"),
    "4-D": ("a.nii.gz", lambda p: sitk.WriteImage(sitk.JoinSeries([image()] * 2), str(p)), "4-D image"),
    "colour": ("a.mha", lambda p: sitk.WriteImage(sitk.Compose([image()] * 3), str(p)), "3 values per voxel"),
}

NAMED = "one line with the file, what is wrong and what to do; its subject is left out, the others go on"
CASES = {
    "a file is truncated, compressed or not": ("half gzip", "half nifti", "half nrrd", "half mha"),
    "a file is empty": ("empty",),
    "a file is not what its name says": ("no gzip", "text"),
    "voxels are NaN or infinite": ("nan", "inf", "inf nrrd"),
    "every voxel has the same value": ("constant",),
    "a volume of a single slice": ("single slice",),
    "a volume one pixel wide": ("one pixel wide", "one pixel wide mha"),
    "a volume without voxels": ("no voxels", "no voxels nrrd", "no voxels mha"),
    "a header claims more voxels than any memory holds": ("petabyte", "petabyte nrrd", "petabyte mha"),
    "a position in space that is none (zeros, NaN, flat)": ("sform of zeros", "sform of nan", "flat sform"),
    "a voxel size of zero or below": ("zero spacing", "negative spacing"),
    "a 4-D volume": ("4-D",),
    "a volume in colour": ("colour",),
}
MARKS = {name: pytest.mark.fault("volumes", case, NAMED) for case, names in CASES.items() for name in names}


@pytest.mark.parametrize("name", [pytest.param(name, marks=MARKS.get(name, ())) for name in FAULTS])
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


def ball(path, shift=0.0, tilt=0.0):
    z, y, x = np.mgrid[-10:10, -10:10, -10:10]
    volume = image(np.where(x**2 + y**2 + z**2 < 49, 100 + 5 * x + 3 * z + tilt * y, 0))
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


@pytest.mark.fault(
    "volumes",
    "the volumes of a pair lie apart in space",
    "one line with the share that overlaps; never shown as a pair",
)
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


@pytest.mark.fault(
    "volumes", "two files of a subject may be the same modality", "the subject is left out with a line that names both"
)
def test_two_candidates_for_one_modality_exclude_the_subject(tmp_path):
    for name in ("p_a_T1", "p_b_T1", "p_PD"):
        ball(tmp_path / f"{name}.nii.gz")
    dataset = folder(patterns={"t1": "{subject}_*_T1.nii.gz", "pd": "{subject}_PD.nii.gz"})
    (record,) = dataset.volumes(tmp_path)
    assert "2 files for t1: p_a_T1.nii.gz, p_b_T1.nii.gz" in record.problem


def group(tmp_path, count=3, **settings):
    """A data set of the subjects s0, s1, ... and what prepares it."""
    for number in range(count):
        for name in ("T1", "PD"):
            ball(tmp_path / f"s{number}_{name}.nii.gz", tilt=number)
    names = {"t1": "{subject}_T1.nii.gz", "pd": "{subject}_PD.nii.gz"}
    dataset = folder(patterns=names, image_size=16, **settings)

    def run(threads=1):
        prepare_dataset(
            dataset, tmp_path, tmp_path / "out", dataset_id="mine", seed=1, threads=threads, progress=Progress()
        )
        return SliceStore(tmp_path / "out" / "train").manifest

    return dataset, run


@pytest.mark.parametrize("error", [IndexError("index 0"), KeyError("x"), TypeError("no"), OSError(5, "I/O error")])
def test_whatever_fails_in_one_subject_names_it_and_spares_the_others(tmp_path, monkeypatch, capsys, error):
    _, run = group(tmp_path)
    aligned = subjects._aligned

    def failing(task, outcome):
        if task.record.subject == "s1":
            raise error
        return aligned(task, outcome)

    monkeypatch.setattr(subjects, "_aligned", failing)
    manifest = run()
    ((name, reason),) = ((item["subject"], item["reason"]) for item in manifest["excluded"])
    assert name == "s1" and type(error).__name__ in reason and "test_volumes.py, line" in reason
    assert sorted(manifest["volumes"]) == ["s0", "s2"]
    assert f"s1 left out: {reason}" in capsys.readouterr().err


def test_a_mask_without_a_voxel_is_said_so(tmp_path):
    # everything in s1 is thinner than what is taken off
    _, run = group(tmp_path, normalise={"t1": {"mask_above": 20, "mask_opening_mm": 20}})
    z, y, x = np.mgrid[-10:10, -10:10, -10:10]
    for name in ("T1", "PD"):
        plate = image(np.where((np.abs(y) < 2) & (np.abs(x) < 8) & (np.abs(z) < 8), 100 + x, 0))
        plate.SetSpacing((5, 5, 5))
        sitk.WriteImage(plate, str(tmp_path / f"s1_{name}.nii.gz"))
    (left_out,) = run()["excluded"]
    assert left_out["subject"] == "s1"
    assert left_out["reason"].startswith("s1_T1.nii.gz: no head or body found")
    assert "thinner than 40 mm; check the volume, or set mask_above" in left_out["reason"]


def test_an_empty_mask_is_found_before_anything_is_measured_in_it(tmp_path, monkeypatch):
    _, run = group(tmp_path)
    monkeypatch.setattr(subjects, "head_mask", lambda volume, *_: sitk.Image(volume.GetSize(), sitk.sitkUInt8))
    with pytest.raises(UserError, match=r"s0: .*s0_T1.nii.gz: no head or body in the volume; check the volume"):
        run()


@dataclass(frozen=True)
class Deadly(SubjectRecord):
    """Kills the worker process that looks at its files, as the system does when memory runs out."""

    def __getattribute__(self, name):
        if name == "files" and multiprocessing.parent_process() is not None:
            os.kill(os.getpid(), signal.SIGKILL)
        return super().__getattribute__(name)


@pytest.mark.fault(
    "volumes",
    "a worker process is killed for want of memory",
    "one line that names the subject; nothing is left behind",
)
def test_a_killed_worker_names_whom_it_worked_on(tmp_path, monkeypatch):
    dataset, run = group(tmp_path, count=6)
    records = dataset.volumes(tmp_path)
    records[4] = Deadly(**vars(records[4]))
    monkeypatch.setattr(type(dataset), "volumes", lambda *_: records)
    with pytest.raises(UserError, match="was killed, probably for its memory, over .*; use fewer than 2 thr") as caught:
        run(threads=2)
    named = str(caught.value).partition("over ")[2].partition(";")[0].split(" or ")
    assert "s4" in named and len(named) <= 2
    assert not [path for path in (tmp_path / "out").rglob("*") if path.is_file()]


def test_a_preparation_that_stops_between_its_stores_leaves_no_record(tmp_path, monkeypatch):
    _, run = group(tmp_path)
    run()
    record = tmp_path / "out" / "record.json"
    record.write_text('{"status": "complete"}')
    leave, left = StoreWriter.__exit__, []

    def stopping(self, *raised):
        left.append(self.directory.name)
        if len(left) == 2:
            raise KeyboardInterrupt
        return leave(self, *raised)

    monkeypatch.setattr(StoreWriter, "__exit__", stopping)
    with pytest.raises(KeyboardInterrupt):
        run()
    assert sorted(left) == ["test", "train"]
    assert not record.exists()
    # one that never came to write leaves the earlier result as it was
    monkeypatch.undo()
    record.write_text('{"status": "complete"}')
    for path in tmp_path.glob("*.nii.gz"):
        path.write_bytes(b"")
    with pytest.raises(UserError):
        run()
    assert record.exists() and SliceStore(tmp_path / "out" / "test").ids


STOPPED = """
import sys, time
from xmodbench.data.volumes import subject
subject._prepare = lambda task: (print("working", flush=True), time.sleep(60))
from xmodbench.cli import main
main()
"""


@pytest.mark.parametrize("number", [signal.SIGTERM, signal.SIGINT, signal.SIGKILL])
def test_a_preparation_that_is_stopped_leaves_no_spool_behind(tmp_path, number):
    """At once, or where it was killed, when the next one begins."""
    _, run = group(tmp_path)
    words = ["prepare", "mine", "--plugin", "folder", "--raw", str(tmp_path), "--out", str(tmp_path / "out")]
    settings = '{"patterns": {"t1": "{subject}_T1.nii.gz", "pd": "{subject}_PD.nii.gz"}}'
    command = [sys.executable, "-c", STOPPED, *words, "--settings", settings]
    job = subprocess.Popen(command, stdout=subprocess.PIPE, stderr=subprocess.DEVNULL, text=True)
    assert job.stdout.readline().strip() == "working"
    assert [path.name.startswith(".spool") for path in (tmp_path / "out").iterdir()] == [True]
    job.send_signal(number)
    assert job.wait(90) != 0
    if number != signal.SIGKILL:
        assert list((tmp_path / "out").iterdir()) == []
    run()
    assert not [path for path in (tmp_path / "out").rglob("*") if path.name.startswith(".")]


def test_a_header_that_contradicts_itself_is_told_and_kept(tmp_path, capsys):
    _, run = group(tmp_path)
    file = nibabel.load(tmp_path / "s2_PD.nii.gz")
    elsewhere = file.affine.copy()
    elsewhere[0, 3] += 7
    file.header.set_sform(file.affine, 2)
    file.header.set_qform(elsewhere, 1)
    nibabel.save(file, tmp_path / "s2_PD.nii.gz")
    run()
    assert "s2, pd: sform and qform place the volume's corners up to 7.0 mm apart" in capsys.readouterr().err
    volumes = SliceStore(tmp_path / "out" / "test").manifest["volumes"]
    assert volumes["s2"]["headers"] == {
        "pd": "sform and qform place the volume's corners up to 7.0 mm apart; the sform is used"
    }
    assert "headers" not in volumes["s0"]
    # by its sform the pair is on one grid, as the others are
    assert volumes["s2"]["slices"] == volumes["s0"]["slices"]


def without_orientation(path):
    data = bytearray(gzip.decompress(path.read_bytes()))
    data[252:256] = bytes(4)  # qform_code, sform_code
    path.write_bytes(gzip.compress(data))


@pytest.mark.fault(
    "volumes",
    "a file does not say how it lies (no affine)",
    "its subject is left out with a line, unless `assume_orientation` says it; then recorded",
)
def test_a_file_that_does_not_say_how_it_lies_is_left_out_unless_a_setting_does(tmp_path, capsys):
    _, run = group(tmp_path)
    for name in ("s1_T1.nii.gz", "s1_PD.nii.gz"):
        without_orientation(tmp_path / name)
    (left_out,) = run()["excluded"]
    assert left_out["reason"].startswith(
        "s1_T1.nii.gz: its orientation is not known (qform_code and sform_code are 0); set"
    )
    _, run = group(tmp_path, assume_orientation="LPS")
    for name in ("s1_T1.nii.gz", "s1_PD.nii.gz"):
        without_orientation(tmp_path / name)
    manifest = run()
    assert manifest["excluded"] == [] and manifest["settings"]["assume_orientation"] == "LPS"
    assert "its axes are taken to run to LPS" in manifest["volumes"]["s1"]["headers"]["t1"]
    assert "s1, t1: its orientation is not known" in capsys.readouterr().err


@pytest.mark.parametrize("code", ["LPX", "LLS", "lps", "LP"])
def test_an_orientation_that_is_none(code):
    with pytest.raises(UserError, match="assume_orientation"):
        folder(patterns={"t1": "a.nii", "pd": "b.nii"}, assume_orientation=code)


def test_what_is_assumed_of_many_is_one_line(tmp_path, capsys):
    _, run = group(tmp_path, count=5)
    for path in tmp_path.glob("*_PD.nii.gz"):
        file = nibabel.load(path)
        file.header.set_xyzt_units("unknown")
        nibabel.save(file, path)
    run()
    lines = [line for line in capsys.readouterr().err.splitlines() if "not stated" in line]
    assert len(lines) == 1 and "s0, s1, s2 and 2 more, pd: its unit of length is not stated (xyzt_units 0)" in lines[0]


def test_values_that_are_no_hu_are_said(tmp_path, capsys):
    _, run = group(tmp_path, normalise={"pd": {"method": "window", "low": -1000, "high": 1000, "mask_above": 50}})
    run()
    assert (
        "pd: no value is below 0, though its window begins at -1000: check that these are HU" in capsys.readouterr().err
    )

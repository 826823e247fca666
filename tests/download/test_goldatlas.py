"""Gold Atlas' zips, in their layout, by token or by hand; series chosen and put in order by what their headers say."""

import hashlib
import io
import json
import os
import shutil
import sys
import zipfile

import numpy as np
import pydicom
import pytest
import SimpleITK as sitk

from xmodbench.data.volumes.dicom_series import choose_series, find_series, read_series
from xmodbench.data.volumes.prepare import prepare_dataset
from xmodbench.errors import UserError
from xmodbench.plugins import DATASETS, find
from xmodbench.progress import Progress

QUIET = Progress(quiet=True)
RECORD = "/zenodo.org/api/records/583096"
IDS = {"1_51_P": "1_01_P", "2_51_P": "2_03_P", "3_51_P": "3_03_P"}
NAMES = {"1_01_P": "1_01_P.zip", "2_03_P": "2_03_P.zip", "3_03_P": "3_03_P (1).zip"}


@pytest.fixture(scope="module")
def simulated(tmp_path_factory):
    plugin, folder = find(DATASETS, "sim_goldatlas"), tmp_path_factory.mktemp("pelves")
    plugin.cls(plugin.cls.Config(n_subjects=3, scale=5)).acquire(folder, 1, QUIET)
    return folder


@pytest.fixture(scope="module")
def zips(simulated):
    """By archive name, flat as they are handed out."""
    made = {}
    for ours, theirs in IDS.items():
        buffer = io.BytesIO()
        with zipfile.ZipFile(buffer, "w", zipfile.ZIP_DEFLATED) as file:
            for path in sorted((simulated / ours).iterdir()):
                file.write(path, path.name)
        made[NAMES[theirs]] = buffer.getvalue()
    return made


@pytest.fixture
def goldatlas(monkeypatch):
    plugin = find(DATASETS, "goldatlas")
    monkeypatch.setattr(sys.modules[plugin.cls.__module__], "PATIENTS", tuple(NAMES))
    return plugin.cls(plugin.cls.Config())


@pytest.fixture
def zenodo(server, zips):
    """The record as Zenodo shows it to those with the share token ``good``."""
    entries = [
        {"key": name, "size": len(body), "checksum": "md5:" + hashlib.md5(body).hexdigest()}
        for name, body in zips.items()
    ]
    server.files[RECORD] = json.dumps({"files": entries}).encode()
    for name, body in zips.items():
        quoted = name.replace(" ", "%20").replace("(", "%28").replace(")", "%29")
        server.files[f"{RECORD}/files/{quoted}/content"] = body
    server.allowed = lambda path, query, headers: query.get("token") == "good"
    return server


def test_there_are_nineteen_patients():
    plugin = find(DATASETS, "goldatlas")
    names = [file.name for file in plugin.cls(plugin.cls.Config()).archives()]
    assert len(names) == 19
    assert [sum(name[0] == site for name in names) for site in "123"] == [8, 7, 4]
    split = plugin.cls.Config().split
    assert [*split.train_subjects, *split.test_subjects] == [name.removesuffix(".zip") for name in names]
    assert [name[0] for name in split.test_subjects] == ["3"] * 4


def test_without_token_or_zips_it_says_where_to_get_them(goldatlas, tmp_path):
    with pytest.raises(UserError, match=r"none of the 3 patients is here; request access at https://zenodo.org/rec"):
        goldatlas.acquire(tmp_path, 1, QUIET)


def test_zips_are_fetched_with_a_token_and_made_into_volumes(goldatlas, zenodo, tmp_path, monkeypatch):
    monkeypatch.setenv("ZENODO_SHARE_TOKEN", "good")
    goldatlas.acquire(tmp_path, 1, QUIET)
    found = goldatlas.volumes(tmp_path)
    assert [(r.subject, r.site, sorted(r.files), r.problem) for r in found] == [
        (name, name[0], ["ct", "mr"], None) for name in NAMES
    ]
    for path in tmp_path.rglob("*.json"):
        assert "good" not in path.read_text()
    lock = json.loads((tmp_path / "download.lock.json").read_text())
    assert lock["files"]["3_03_P (1).zip"]["url"].endswith("/583096/files/3_03_P%20%281%29.zip/content")
    # zips and DICOM folders may go once the volumes are there
    asked = len(zenodo.requests)
    for name, archive in NAMES.items():
        shutil.rmtree(tmp_path / name)
        (tmp_path / archive).unlink()
    goldatlas.acquire(tmp_path, 1, QUIET)
    assert len(zenodo.requests) == asked


def test_an_expired_token_is_one_line(goldatlas, zenodo, tmp_path, monkeypatch):
    monkeypatch.setenv("ZENODO_SHARE_TOKEN", "st4le")
    with pytest.raises(UserError, match="check that ZENODO_TOKEN or ZENODO_SHARE_TOKEN has not expired") as caught:
        goldatlas.acquire(tmp_path, 1, QUIET)
    assert "st4le" not in str(caught.value)


def test_zips_put_there_by_hand_are_taken_as_they_are(goldatlas, zips, tmp_path, capsys):
    for name in list(zips)[1:]:
        (tmp_path / name).write_bytes(zips[name])
    goldatlas.acquire(tmp_path, 1, Progress())
    assert [record.subject for record in goldatlas.volumes(tmp_path)] == ["2_03_P", "3_03_P"]
    assert "not here: 1_01_P; request access at" in capsys.readouterr().err


@pytest.fixture
def patient(simulated, tmp_path):
    shutil.copytree(simulated / "2_51_P", tmp_path / "2_03_P")
    return tmp_path / "2_03_P"


def headers(folder, pattern):
    for path in sorted(folder.glob("*.dcm")):
        header = pydicom.dcmread(path)
        if pattern in str(header.get("SeriesDescription")):
            yield path, header


def problem(goldatlas, folder):
    goldatlas.convert(folder.parent, QUIET)
    return json.loads((folder.parent / "volumes" / folder.name / "series.json").read_text()).get("problem")


def test_slices_are_in_order_of_position_whatever_their_names(patient):
    image = read_series(choose_series(find_series(patient), "CT", "CTtoMR"))
    positions = {}
    for _, header in headers(patient, "CTtoMR"):
        positions[float(header.ImagePositionPatient[2])] = header.pixel_array.astype(np.int32) - 1024
    expected = np.stack([positions[z] for z in sorted(positions)])
    np.testing.assert_array_equal(sitk.GetArrayFromImage(image), expected)
    assert image.GetOrigin()[2] == pytest.approx(min(positions))
    assert image.GetSpacing()[2] == pytest.approx(np.diff(sorted(positions)).mean(), rel=1e-5)
    # the planning CT has the other frame of reference, and is not what was chosen
    assert len(list(headers(patient, "RT p+"))) > 0


def test_volumes_agree_with_the_scans_they_were_written_from(goldatlas, patient, simulated):
    assert problem(goldatlas, patient) is None
    ours = sitk.ReadImage(str(patient.parent / "volumes/2_03_P/2_03_P-T1.nii.gz"))
    theirs = sitk.ReadImage(str(simulated / "volumes/2_51_P/2_51_P-T1.nii.gz"))
    np.testing.assert_array_equal(sitk.GetArrayFromImage(ours), sitk.GetArrayFromImage(theirs))
    assert ours.GetPixelID() == sitk.sitkInt16
    facts = json.loads((patient.parent / "volumes/2_03_P/series.json").read_text())
    assert facts["series"]["T1"]["MagneticFieldStrength"] == 1.5
    assert "2_51_P" not in json.dumps(facts)


def lose_a_slice(folder):
    path, _ = list(headers(folder, "t1_tse"))[5]
    path.unlink()


def double_a_slice(folder):
    _, header = list(headers(folder, "t1_tse"))[5]
    header.SOPInstanceUID = "1.2.3"
    header.save_as(folder / "copy.dcm")


def lose_the_deformed(folder):
    for path, _ in headers(folder, "CTtoMR"):
        path.unlink()


def another_frame(folder):
    for path, header in headers(folder, "t1_tse"):
        header.FrameOfReferenceUID = "1.2.3"
        header.save_as(path)


def second_t1(folder):
    for number, (_, header) in enumerate(list(headers(folder, "t1_tse"))):
        header.SeriesInstanceUID = "1.2.3"
        header.save_as(folder / f"again{number}.dcm")


def cut_a_file(folder):
    path, _ = list(headers(folder, "t1_tse"))[5]
    path.write_bytes(path.read_bytes()[:-2000])


def set_tags(folder, **tags):
    for path, header in headers(folder, "t1_tse"):
        for name, value in tags.items():
            setattr(header, name, value)
        header.save_as(path)


def empty_the_spacing(folder):
    set_tags(folder, PixelSpacing=None)


def spoil_the_position(folder):
    set_tags(folder, ImagePositionPatient=[1, 2])


def unforeseen(folder):
    (folder / "unforeseen").touch()


FAULTS = {
    lose_a_slice: r"has a gap of .* mm after .*a slice is missing",
    double_a_slice: "two slices in one place",
    lose_the_deformed: r"no series like 'CTtoMR' among its CT series \('RT p\+ Buk 3.0 FC17'\)",
    another_frame: "not in one frame of reference",
    second_t1: "2 series like 'T1' among its MR series",
    cut_a_file: "",
    empty_the_spacing: r"damaged DICOM file \(no usable PixelSpacing\)",
    spoil_the_position: r"damaged DICOM file \(no usable ImagePositionPatient\)",
    unforeseen: r"2_03_P: its series cannot be read \(odd\)",
}


@pytest.mark.parametrize("harm", FAULTS)
def test_a_patient_that_cannot_be_used_is_named_with_the_reason(goldatlas, patient, simulated, harm, monkeypatch):
    import re

    from xmodbench.data.volumes import dicom_volumes

    def find_or_stumble(folder):
        if (folder / "unforeseen").exists():
            raise TypeError("odd")
        return find_series(folder)

    monkeypatch.setattr(dicom_volumes, "find_series", find_or_stumble)
    shutil.copytree(simulated / "1_51_P", patient.parent / "1_01_P")
    harm(patient)
    reason = problem(goldatlas, patient)
    assert reason and re.search(FAULTS[harm], reason), reason
    assert str(patient.parent) not in reason
    first, second = goldatlas.volumes(patient.parent)
    assert (first.subject, first.problem) == ("1_01_P", None)
    assert (second.subject, second.problem, second.files) == ("2_03_P", reason, {})


def test_a_scanner_that_says_several_things_at_once_is_no_problem(goldatlas, patient):
    set_tags(patient, ConvolutionKernel=["Br38f", "3"], FlipAngle=None, SliceThickness=[3.0, 2.0])
    assert problem(goldatlas, patient) is None
    facts = json.loads((patient.parent / "volumes/2_03_P/series.json").read_text())["series"]["T1"]
    assert (facts["ConvolutionKernel"], facts["SliceThickness"]) == ("Br38f\\3", "3.0\\2.0")
    assert "FlipAngle" not in facts


def without(body, pattern):
    """A zip that lacks a DICOM file, but is no less a zip."""
    buffer = io.BytesIO()
    with zipfile.ZipFile(io.BytesIO(body)) as old, zipfile.ZipFile(buffer, "w") as new:
        left_out = sorted(name for name in old.namelist() if pattern in name)[5]
        for name in old.namelist():
            if name != left_out:
                new.writestr(name, old.read(name))
    return buffer.getvalue()


def replace_the_zip(raw, good, monkeypatch):
    (raw / "2_03_P.zip").write_bytes(good)


def unpack_by_hand(raw, good, monkeypatch):
    (raw / "2_03_P.zip").unlink()
    with zipfile.ZipFile(io.BytesIO(good)) as file:
        file.extractall(raw / "2_03_P")


def delete_folder_and_zip(raw, good, monkeypatch):
    (raw / "2_03_P.zip").unlink()
    shutil.rmtree(raw / "2_03_P")
    monkeypatch.setenv("ZENODO_SHARE_TOKEN", "good")


@pytest.mark.parametrize("mend", [replace_the_zip, unpack_by_hand, delete_folder_and_zip])
def test_a_patient_is_mended_as_the_message_says(goldatlas, zenodo, zips, tmp_path, monkeypatch, mend):
    for name, body in zips.items():
        (tmp_path / name).write_bytes(without(body, "MR.04.") if name == "2_03_P.zip" else body)
    goldatlas.acquire(tmp_path, 1, QUIET)
    before = [record.problem for record in goldatlas.volumes(tmp_path)]
    assert "a slice is missing: delete the folder, then unpack the archive again or let `acquire` do it" in before[1]
    mend(tmp_path, zips["2_03_P.zip"], monkeypatch)
    goldatlas.acquire(tmp_path, 1, QUIET)
    assert [record.problem for record in goldatlas.volumes(tmp_path)] == [None] * 3


def test_a_file_of_the_same_size_and_time_is_read_again(goldatlas, patient):
    assert problem(goldatlas, patient) is None
    volume = patient.parent / "volumes/2_03_P/2_03_P-T1.nii.gz"
    before = volume.read_bytes()
    path, header = list(headers(patient, "t1_tse"))[5]
    times = path.stat()
    header.PixelData = bytes(len(header.PixelData))
    header.save_as(path)
    os.utime(path, ns=(times.st_atime_ns, times.st_mtime_ns))
    assert path.stat().st_size == times.st_size
    assert problem(goldatlas, patient) is None
    assert volume.read_bytes() != before


def test_other_code_makes_the_volumes_again(goldatlas, patient, monkeypatch, capsys):
    from xmodbench.data.volumes import dicom_volumes
    from xmodbench.plugins import code_hash

    calls, convert = [], dicom_volumes.convert_patient
    monkeypatch.setattr(dicom_volumes, "convert_patient", lambda *args: calls.append(1) or convert(*args))
    problem(goldatlas, patient)
    problem(goldatlas, patient)
    assert len(calls) == 1
    monkeypatch.setattr(code_hash, "files_hash", lambda *files: "other")
    problem(goldatlas, patient)
    assert len(calls) == 2
    monkeypatch.undo()
    shutil.rmtree(patient)
    goldatlas.convert(patient.parent, Progress())
    assert "2_03_P: volumes made by other code are kept" in capsys.readouterr().err


def test_one_zip_of_no_use_does_not_stop_the_others(goldatlas, zips, tmp_path):
    from xmodbench.stages.acquire import acquire

    for name, body in zips.items():
        (tmp_path / "raw").mkdir(exist_ok=True)
        (tmp_path / "raw" / name).write_bytes(body[: len(body) // 2] if name == "1_01_P.zip" else body)
    acquire(goldatlas, tmp_path / "raw", tmp_path / "data", 1, QUIET, name="goldatlas")
    found = {record.subject: record.problem for record in goldatlas.volumes(tmp_path / "raw")}
    assert found["1_01_P"].startswith("1_01_P.zip: cannot be unpacked")
    assert [found["2_03_P"], found["3_03_P"]] == [None, None]
    record = json.loads((tmp_path / "data/acquire.record.json").read_text())
    assert record["problems"] == {"1_01_P": found["1_01_P"]}
    for name, body in zips.items():
        (tmp_path / "raw" / name).write_bytes(body)
    goldatlas.acquire(tmp_path / "raw", 1, QUIET)
    assert [record.problem for record in goldatlas.volumes(tmp_path / "raw")] == [None] * 3


def test_where_no_zip_is_of_use_it_is_one_line(goldatlas, zips, tmp_path):
    for name, body in zips.items():
        (tmp_path / name).write_bytes(body[: len(body) // 2])
    with pytest.raises(UserError, match=r"none of 3 patients can be used, 1_01_P.zip: cannot be unpacked"):
        goldatlas.acquire(tmp_path, 1, QUIET)


def test_half_an_unpacked_patient_is_not_read(goldatlas, patient, zips):
    from xmodbench.data.download.lockfile import LockFile

    (patient.parent / "1_01_P.zip").write_bytes(zips["1_01_P.zip"])
    LockFile(patient.parent).begin_unpacking("2_03_P.zip")
    goldatlas.acquire(patient.parent, 1, QUIET)
    assert [record.problem for record in goldatlas.volumes(patient.parent)] == [
        None, "2_03_P: its zip was unpacked only in part; put it there again",
    ]  # fmt: skip


def test_zips_put_there_by_hand_are_held_against_the_record(goldatlas, zenodo, zips, tmp_path, monkeypatch):
    for name, body in zips.items():
        # a slice of the planning CT is missing, which nobody would notice
        (tmp_path / name).write_bytes(without(body, "CT.02.") if name == "1_01_P.zip" else body)
    monkeypatch.setenv("ZENODO_SHARE_TOKEN", "good")
    goldatlas.acquire(tmp_path, 1, QUIET)
    found = {record.subject: record.problem for record in goldatlas.volumes(tmp_path)}
    assert "bytes, " in found["1_01_P"] and "were published" in found["1_01_P"]
    assert [found["2_03_P"], found["3_03_P"]] == [None, None]
    assert [path for path, _ in zenodo.requests if "/files/" in path] == []


def test_a_token_that_comes_later_tells_which_unpacked_zip_is_wrong(goldatlas, zenodo, zips, tmp_path, monkeypatch):
    for name, body in zips.items():
        (tmp_path / name).write_bytes(without(body, "MR.04.") if name == "1_01_P.zip" else body)
    goldatlas.acquire(tmp_path, 1, QUIET)
    assert "a slice is missing" in goldatlas.volumes(tmp_path)[0].problem
    monkeypatch.setenv("ZENODO_SHARE_TOKEN", "good")
    goldatlas.acquire(tmp_path, 1, QUIET)
    assert "were published; delete it" in goldatlas.volumes(tmp_path)[0].problem


def test_an_expired_token_does_not_stop_the_zips_that_are_here(goldatlas, zenodo, zips, tmp_path, monkeypatch, capsys):
    (tmp_path / "3_03_P (1).zip").write_bytes(zips["3_03_P (1).zip"])
    monkeypatch.setenv("ZENODO_SHARE_TOKEN", "st4le")
    goldatlas.acquire(tmp_path, 1, Progress())
    assert [record.subject for record in goldatlas.volumes(tmp_path)] == ["3_03_P"]
    shown = capsys.readouterr().err
    assert "has not expired" in shown and "going on with what is here" in shown and "st4le" not in shown
    assert "not here: 1_01_P, 2_03_P" in shown


def test_stores_have_hounsfield_windows_and_both_sequences(goldatlas, zips, tmp_path):
    for name, body in zips.items():
        (tmp_path / name).write_bytes(body)
    plugin = find(DATASETS, "goldatlas")
    for sequence in ("T1", "T2"):
        settings = {"mr_sequence": sequence, "spacing_mm": None, "image_size": 48, "split": {"n_train": 2, "n_test": 1}}
        dataset = plugin.cls(plugin.cls.Config.model_validate(settings))
        assert dataset.settings.patterns["mr"].endswith(f"-{sequence}.nii.gz")
        dataset.acquire(tmp_path, 1, QUIET)
        prepare_dataset(dataset, tmp_path, tmp_path / sequence, dataset_id="g", seed=1, threads=1, progress=QUIET)
        ct, mr = (np.load(tmp_path / sequence / "test" / f"{name}.npy") for name in ("ct", "mr"))
        manifest = json.loads((tmp_path / sequence / "test" / "manifest.json").read_text())
        assert manifest["subjects"] == ["3_03_P"]
        assert ct.shape == mr.shape
        # air is 0, fat and muscle near the middle of the window, bone above
        assert np.percentile(ct, 5) < 0.01
        assert 0.4 < np.median(ct[ct > 0.2]) < 0.55
        assert ct.max() > 0.7
    assert not np.array_equal(np.load(tmp_path / "T1/test/mr.npy").shape, np.load(tmp_path / "T2/test/mr.npy").shape)


def test_a_killed_conversion_is_done_again(goldatlas, patient, monkeypatch):
    from xmodbench.data.volumes import dicom_volumes

    written, write = [], dicom_volumes.write_volume

    def killed(image, path):
        written.append(path)
        if len(written) == 2:
            raise KeyboardInterrupt
        write(image, path)

    monkeypatch.setattr(dicom_volumes, "write_volume", killed)
    with pytest.raises(KeyboardInterrupt):
        goldatlas.convert(patient.parent, QUIET)
    volumes = patient.parent / "volumes" / patient.name
    assert [path.name for path in volumes.iterdir()] == ["2_03_P-CT.nii.gz"]
    monkeypatch.setattr(dicom_volumes, "write_volume", write)
    goldatlas.convert(patient.parent, QUIET)
    assert sorted(path.name for path in volumes.glob("*.nii.gz")) == [
        f"2_03_P-{name}.nii.gz" for name in ("CT", "T1", "T2")
    ]
    assert goldatlas.volumes(patient.parent)[0].problem is None

"""A DICOM series in: a NIfTI file or a derived series out, which lies where the given one does."""

import nibabel
import numpy as np
import pydicom
import pytest
import SimpleITK as sitk

from tests.phantoms import COPIER, LANDMARKS, OBLIQUE, grid, head, landmarks_of
from tests.plugins import job_of
from xmodbench.data.simulate.dicom import SeriesHeader, write_series
from xmodbench.data.volumes.dicom_series import find_series, read_series
from xmodbench.data.volumes.dicom_writing import write_derived
from xmodbench.data.volumes.resample import affine_ras, same_grid
from xmodbench.errors import UserError
from xmodbench.files import read_json
from xmodbench.stages.apply import apply
from xmodbench.stages.apply_model import Wish, read_model

CENTRE = np.array(OBLIQUE["centre"])


def series(folder, code="LPS", description="T1 tra", kind="mr", number=3):
    """A series whose slices lie across the third axis of `code`; of numbers that run against each other."""
    folder.mkdir(parents=True, exist_ok=True)
    image = sitk.Cast(head(kind, grid(code, **OBLIQUE), CENTRE, seed=9), sitk.sitkInt16)
    header = SeriesHeader("anon", kind.upper(), description, number, "here")
    order = np.random.default_rng(1).permutation(image.GetSize()[2]).tolist()
    write_series(folder, image, header, order)
    return folder


def run(trained, tmp_path, given, out, model=None, body=COPIER, **wish):
    job = job_of(tmp_path / "plugins", "copier", body)
    volumes = given if isinstance(given, dict) else {"": given}
    return apply(job, read_model(model or trained / "model"), volumes, tmp_path / out, Wish(**wish))


def test_a_derived_series_lies_on_the_given_one(tmp_path, trained):
    given = series(tmp_path / "scan", "PSR")
    run(trained, tmp_path, given, "made")
    (before,), (after,) = find_series(given), find_series(tmp_path / "made")
    one, other = read_series(before), read_series(after)
    assert same_grid(one, other)
    voxels = sitk.GetArrayFromImage(other).transpose(2, 1, 0)
    off = landmarks_of(voxels, affine_ras(other), CENTRE) - LANDMARKS - CENTRE
    assert np.abs(off).max() < 0.1 * min(other.GetSpacing())
    # the same in HU as in a NIfTI file, but for their fractions
    run(trained, tmp_path, given, "out.nii.gz")
    np.testing.assert_allclose(voxels, nibabel.load(tmp_path / "out.nii.gz").get_fdata(), atol=0.51)


def test_what_a_derived_series_says_of_itself(tmp_path, trained):
    given = series(tmp_path / "scan")
    run(trained, tmp_path, given, "made", samples=2)
    (before,), (after,) = find_series(given), find_series(tmp_path / "made")
    source, made = (pydicom.dcmread(item.slices[7].path) for item in (before, after))
    for word in ("PatientID", "StudyInstanceUID", "FrameOfReferenceUID", "ImagePositionPatient", "PixelSpacing"):
        assert source[word].value == made[word].value
    for word in ("SeriesInstanceUID", "SOPInstanceUID", "SOPClassUID", "SeriesNumber"):
        assert source[word].value != made[word].value
    assert (
        made.ImageType[:2] == ["DERIVED", "SECONDARY"]
        and made.SeriesDescription == "synthetic ct by copier (xmodbench)"
    )
    assert (made.Modality, made.RescaleType, made.RescaleSlope, made.RescaleIntercept) == ("CT", "HU", 1, -1024)
    assert made.SourceImageSequence[0].ReferencedSOPInstanceUID == source.SOPInstanceUID
    uids = {pydicom.dcmread(path).SOPInstanceUID for path in (tmp_path / "made").iterdir()}
    assert len(uids) == len(before.slices)
    record = read_json(tmp_path / "made.record.json")
    assert record["series"]["description"] == "T1 tra" and nibabel.load(tmp_path / "made_std.nii.gz").shape == (
        60,
        66,
        44,
    )
    # the same again is the same, another seed's another
    run(trained, tmp_path, given, "made", samples=2)
    assert uids == {pydicom.dcmread(path).SOPInstanceUID for path in (tmp_path / "made").iterdir()}


def test_an_mr_of_a_ct_keeps_its_values_to_a_fraction(tmp_path, trained):
    given = series(tmp_path / "scan", kind="ct", description="CT")
    for out in ("made", "out.nii.gz"):
        run(trained, tmp_path, given, out, model=trained / "model-mr")
    (after,) = find_series(tmp_path / "made")
    voxels = sitk.GetArrayFromImage(read_series(after)).transpose(2, 1, 0)
    values = nibabel.load(tmp_path / "out.nii.gz").get_fdata()
    np.testing.assert_allclose(voxels, values, atol=1e-4 * np.ptp(values))
    assert after.modality == "MR"
    for item in after.slices:
        made = pydicom.dcmread(item.path)
        assert (made.ScanningSequence, made.SequenceVariant) == ("RM", "NONE")
        for word in ("ScanOptions", "MRAcquisitionType", "EchoTime", "EchoTrainLength", "RepetitionTime"):
            assert word in made and made[word].is_empty, word


@pytest.mark.parametrize("kind", ["MR", "CT"])
def test_what_every_image_has_to_say_is_there_if_only_empty(tmp_path, kind):
    """Attributes of types 1 and 2 of the modules of CT and MR images, of a source that says as little as it may."""
    (found,) = find_series(series(tmp_path / "scan"))
    for item in found.slices:
        del item.header.SliceThickness
    write_derived(tmp_path / "made", read_series(found), found, kind, "a test", [])
    made = pydicom.dcmread(tmp_path / "made" / "0001.dcm")
    filled = ["ImageType", "SamplesPerPixel", "PhotometricInterpretation", "BitsAllocated", "BitsStored", "HighBit",
              "PixelSpacing", "ImageOrientationPatient", "ImagePositionPatient", "StudyInstanceUID", "SeriesInstanceUID",
              "FrameOfReferenceUID", "Modality"]  # fmt: skip
    empty = ["PatientName", "PatientID", "PatientBirthDate", "PatientSex", "StudyDate", "StudyTime", "StudyID",
             "AccessionNumber", "ReferringPhysicianName", "PositionReferenceIndicator", "SeriesNumber", "InstanceNumber",
             "Manufacturer", "SliceThickness"]  # fmt: skip
    filled += ["RescaleIntercept", "RescaleSlope"] if kind == "CT" else ["ScanningSequence", "SequenceVariant"]
    empty += ["KVP", "AcquisitionNumber"] if kind == "CT" else ["ScanOptions", "MRAcquisitionType", "EchoTime"]
    assert [word for word in filled + empty if word not in made] == []
    assert [word for word in filled if made[word].is_empty] == []
    others = {"CT": ("ScanningSequence", "EchoTime"), "MR": ("KVP",)}[kind]
    assert not [word for word in others if word in made]


def test_which_series_is_asked_where_there_are_several(tmp_path, trained):
    given = series(tmp_path / "scan")
    series(given, description="T1 tra late", number=4)
    with pytest.raises(UserError, match=r"2 series, where one .*'T1 tra'.*'T1 tra late'.*name it with --series"):
        run(trained, tmp_path, given, "out.nii.gz")
    with pytest.raises(UserError, match=r"--series: '\(' is no regular expression"):
        run(trained, tmp_path, given, "out.nii.gz", series={"": "("})
    run(trained, tmp_path, given, "out.nii.gz", series={"": "late$"})
    assert read_json(tmp_path / "out.record.json")["series"]["description"] == "T1 tra late"


def test_no_folder_of_anything_else_is_replaced(tmp_path, trained):
    given = series(tmp_path / "scan")
    for name in ("0001.dcm", "notes.txt"):
        (tmp_path / name / "mine").mkdir(parents=True)
        (tmp_path / name / "mine" / name).touch()
        with pytest.raises(UserError, match="is there already, and no result of this command; name a new folder"):
            run(trained, tmp_path, given, f"{name}/mine")
        assert (tmp_path / name / "mine" / name).is_file()
    with pytest.raises(UserError, match="is there already"):
        run(trained, tmp_path, given, "")


def test_messages_name_what_was_given(tmp_path, trained):
    given = series(tmp_path / "scan", kind="ct", description="CT")
    with pytest.raises(UserError, match=rf"^{given}: values go down to -1"):
        run(trained, tmp_path, given, "out.nii.gz")


def test_a_folder_of_patients(tmp_path, trained):
    series(tmp_path / "scans" / "one")
    (tmp_path / "scans" / "two").mkdir()
    (tmp_path / "scans" / "two" / "notes.txt").write_text("no image")
    failed = run(trained, tmp_path, tmp_path / "scans", "made", dicom=True)
    assert [path.name for path, _ in failed] == ["two"] and "no DICOM images here" in failed[0][1]
    assert len(list((tmp_path / "made" / "one").iterdir())) == 44 and (tmp_path / "made" / "one.record.json").is_file()

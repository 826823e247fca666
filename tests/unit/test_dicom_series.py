"""DICOM series: enhanced images, files that are not whole, other files beside them, compressed pixels."""

import numpy as np
import pydicom
import pytest
import SimpleITK as sitk
from pydicom.uid import MPEG2MPML, ExplicitVRBigEndian, JPEG2000Lossless, RLELossless

from tests.dicom import (
    ACROSS,
    DOWN,
    ORIGIN,
    SLICES,
    STEP,
    STORED,
    edit,
    group,
    position,
    read,
    refused,
    tags,
    write_enhanced,
    write_plain,
)  # fmt: skip
from xmodbench.data.volumes.dicom_pixels import read_file, stored_values
from xmodbench.data.volumes.dicom_volumes import convert_patient
from xmodbench.errors import UserError

RAMP = STORED.astype(np.float32)


@pytest.mark.parametrize("modality", ["CT", "MR"])
def test_an_enhanced_image_is_read_by_its_functional_groups(tmp_path, modality):
    write_enhanced(tmp_path / "enhanced.dcm", modality, order=[3, 0, 4, 2, 1])
    voxels, image, said = read(tmp_path, modality)
    expected = RAMP * np.arange(1, 6)[:, None, None] - (1024 if modality == "CT" else 0)
    np.testing.assert_array_equal(voxels, expected)
    assert image.GetSpacing() == (ACROSS, DOWN, STEP) and image.GetOrigin() == tuple(ORIGIN) and not said


def frame(number, sequence, **given):
    def tweak(item):
        of = item.PerFrameFunctionalGroupsSequence[number]
        if sequence not in of:
            setattr(of, sequence, [group()])
        for name, value in given.items():
            setattr(getattr(of, sequence)[0], name, value)

    return tweak


ENHANCED = {
    "shared": (lambda item: delattr(item, "SharedFunctionalGroupsSequence"), "frame 1 has no ImageOrientationPatient"),
    "stacks": (frame(4, "FrameContentSequence", StackID="2"), "mixes stacks: 1 in .* and 2 in"),
    "times": (frame(4, "FrameContentSequence", TemporalPositionIndex=2), "mixes points in time"),
    "components": (lambda item: [
        frame(0, "MRImageFrameTypeSequence", ComplexImageComponent="MAGNITUDE")(item),
        frame(4, "MRImageFrameTypeSequence", ComplexImageComponent="PHASE")(item)], "mixes components: magnitude"),
    "echoes": (lambda item: [
        frame(n, "MREchoSequence", EffectiveEchoTime=4.0 + 10 * (n > 2))(item) for n in range(SLICES)], "mixes echo times"),
    "measures": (frame(4, "PixelMeasuresSequence", PixelSpacing=[1, 1]), "slices of different size"),
    "one place": (frame(4, "PlanePositionSequence", ImagePositionPatient=position(3)), "two slices in one place"),
    "number": (lambda item: setattr(item, "NumberOfFrames", 4), "it holds 4 frames, but describes 5"),
    "position": (frame(4, "PlanePositionSequence", ImagePositionPatient=None), "no usable ImagePositionPatient"),
    "part": (lambda item: setattr(item, "InConcatenationTotalNumber", 2), "one of 2 parts, and not all are here"),
    "short": (lambda item: setattr(item, "PixelData", STORED[:4].tobytes()), "truncated: 336 of 420"),
}  # fmt: skip


@pytest.mark.parametrize("name", ENHANCED)
def test_an_enhanced_image_that_is_not_one_volume(tmp_path, name):
    tweak, expected = ENHANCED[name]
    write_enhanced(tmp_path / "enhanced.dcm", "MR", tweak)
    refused(tmp_path, expected)


def test_parts_of_one_enhanced_image_are_put_together(tmp_path):
    for number, order in enumerate(([0, 1, 4], [2, 3])):
        path = write_enhanced(tmp_path / f"enhanced{number}.dcm", "MR", order=order)
        edit(path, InConcatenationNumber=number + 1, InConcatenationTotalNumber=2)
    np.testing.assert_array_equal(read(tmp_path)[0], RAMP * np.arange(1, 6)[:, None, None])


@pytest.mark.parametrize("spoil", [
    lambda path: path.write_bytes(b""),
    lambda path: path.write_bytes(b"hello"),
    lambda path: path.write_bytes(path.read_bytes()[:140]),
    lambda path: path.write_bytes(path.read_bytes()[:400]),
    lambda path: path.write_bytes(path.read_bytes()[:-300]),
    lambda path: path.write_bytes(path.read_bytes()[:-20]),
])  # fmt: skip
@pytest.mark.parametrize("number", [0, 2, 4])
def test_a_file_that_is_not_whole_is_named_wherever_it_stands(tmp_path, spoil, number):
    spoil(write_plain(tmp_path)[number])
    refused(tmp_path, f"IM{number:03d}.dcm")


def test_other_files_beside_a_series_are_no_part_of_it(tmp_path):
    paths = write_plain(tmp_path / "t1")
    for name, content in {"readme.txt": b"", "notes.pdf": b"x", "Thumbs.db": b"x", ".DS_Store": b""}.items():
        (tmp_path / "t1" / name).write_bytes(content)
    # a file that is empty beside another series takes nothing from this one
    write_plain(tmp_path / "t2", description="T2 tra")[4].write_bytes(b"")
    assert read(tmp_path)[0].shape[0] == len(paths)


def test_a_folder_of_empty_files_is_named_where_a_series_is_missed(tmp_path):
    for path in write_plain(tmp_path / "t1"):
        path.write_bytes(b"")
    write_plain(tmp_path / "t2", description="T2 tra")
    with pytest.raises(UserError, match=r"no series like 'T1'.*empty: IM000.dcm, IM001.dcm"):
        read(tmp_path)


def test_pictures_without_a_place_do_not_stand_for_a_series(tmp_path):
    nowhere = tags(ImagePositionPatient=None, ImageOrientationPatient=None, PixelSpacing=None, SeriesInstanceUID="1.9")
    write_plain(tmp_path / "screen", tweak=nowhere)
    with pytest.raises(UserError, match="no DICOM images here that say where they lie"):
        read(tmp_path)
    write_plain(tmp_path / "t1")
    assert read(tmp_path)[0].shape == STORED.shape


def test_series_in_one_folder_are_told_apart_by_their_uid_and_chosen_by_their_description(tmp_path):
    for path in write_plain(tmp_path / "t2", description="T2 tra"):
        path.rename(tmp_path / f"other{path.name}")
    write_plain(tmp_path)
    np.testing.assert_array_equal(read(tmp_path)[0], RAMP)
    for path in tmp_path.glob("IM*"):
        edit(path, SeriesDescription="T1 again")
    assert read(tmp_path)[0].shape == STORED.shape


@pytest.mark.parametrize("syntax", [RLELossless])
def test_compressed_without_loss(tmp_path, syntax):
    for path in write_plain(tmp_path):
        item = pydicom.dcmread(path)
        item.compress(syntax)
        item.save_as(path)
    np.testing.assert_array_equal(read(tmp_path)[0], RAMP)


def jpeg2000(path, scratch):
    """Compress a file by GDCM, which pydicom has no encoder beside."""
    item = pydicom.dcmread(path)
    image = sitk.GetImageFromArray(item.pixel_array[None].astype(np.uint16))
    writer = sitk.ImageFileWriter()
    writer.SetFileName(str(scratch / "scratch.dcm"))
    writer.SetUseCompression(True)
    writer.SetCompressor("JPEG2000")
    writer.Execute(image)
    packed = pydicom.dcmread(scratch / "scratch.dcm")
    item.PixelData, item.file_meta.TransferSyntaxUID = packed.PixelData, packed.file_meta.TransferSyntaxUID
    item["PixelData"].VR, item["PixelData"].is_undefined_length = "OB", True
    item.save_as(path)
    return packed.file_meta.TransferSyntaxUID


def test_jpeg_2000_and_its_end(tmp_path, tmp_path_factory):
    scratch = tmp_path_factory.mktemp("scratch")
    paths = write_plain(tmp_path, "CT", tags(RescaleSlope=2))
    assert {jpeg2000(path, scratch) for path in paths} == {JPEG2000Lossless}
    np.testing.assert_array_equal(read(tmp_path, "CT")[0], RAMP * 2 - 1024)
    item = pydicom.dcmread(paths[3])
    (frame_bytes,) = pydicom.encaps.generate_frames(item.PixelData, number_of_frames=1)
    item.PixelData = pydicom.encaps.encapsulate([frame_bytes[: len(frame_bytes) // 2]])
    item["PixelData"].VR, item["PixelData"].is_undefined_length = "OB", True
    item.save_as(paths[3])
    refused(tmp_path, "IM003.dcm: truncated: its compressed pixels end early", "CT")


def test_an_enhanced_image_in_jpeg_2000(tmp_path, tmp_path_factory):
    scratch = tmp_path_factory.mktemp("scratch")
    packed = []
    for path in write_plain(scratch / "plain"):
        jpeg2000(path, scratch)
        packed += pydicom.encaps.generate_frames(pydicom.dcmread(path).PixelData, number_of_frames=1)
    for number in (1, SLICES):
        path = write_enhanced(tmp_path / f"{number}" / "enhanced.dcm", order=range(number))
        item = pydicom.dcmread(path)
        item.file_meta.TransferSyntaxUID, item.PixelData = JPEG2000Lossless, pydicom.encaps.encapsulate(packed[:number])
        item["PixelData"].VR, item["PixelData"].is_undefined_length = "OB", True
        item.save_as(path)
    np.testing.assert_array_equal(read(tmp_path / f"{SLICES}")[0], RAMP * np.arange(1, 6)[:, None, None])
    single = stored_values(read_file(tmp_path / "1" / "enhanced.dcm"), tmp_path)
    np.testing.assert_array_equal(single, STORED[:1])


def test_a_compression_that_is_not_read_is_named(tmp_path):
    for path in write_plain(tmp_path):
        item = pydicom.dcmread(path)
        item.file_meta.TransferSyntaxUID = MPEG2MPML
        item.PixelData = pydicom.encaps.encapsulate([b"\x00\x00\x01\xb3 no film \xff\xd9"])
        item["PixelData"].VR, item["PixelData"].is_undefined_length = "OB", True
        item.save_as(path)
    refused(tmp_path, "IM000.dcm: its pixels are compressed .MPEG2.*decompress it")


def test_the_other_byte_order(tmp_path):
    def swapped(index, item):
        item.file_meta.TransferSyntaxUID = ExplicitVRBigEndian
        item.PixelData = STORED[index].astype(">u2").tobytes()

    write_plain(tmp_path, tweak=swapped)
    np.testing.assert_array_equal(read(tmp_path)[0], RAMP)


def test_what_was_assumed_is_in_the_facts_and_a_frame_of_reference_is_not(tmp_path):
    rules = {"CT": ("CT", "T1"), "T1": ("MR", "T1")}
    write_plain(tmp_path / "p" / "ct", "CT", tags(RescaleType="US", SeriesInstanceUID="1.7"))
    write_plain(tmp_path / "p" / "t1")
    facts = convert_patient(tmp_path / "p", tmp_path, rules)
    assert facts["CT"]["remarks"] == ["its values are of no stated unit (RescaleType US) and taken as HU"]
    assert "remarks" not in facts["T1"]
    for path in (tmp_path / "p" / "t1").iterdir():
        edit(path, FrameOfReferenceUID=None)
    with pytest.raises(UserError, match=r"IM000.dcm: T1: no FrameOfReferenceUID says"):
        convert_patient(tmp_path / "p", tmp_path, rules)

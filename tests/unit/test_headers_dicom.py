"""DICOM CT and MR: every tag of the table in docs/data.md, read right, said or refused."""

import re

import numpy as np
import pydicom
import pytest
import SimpleITK as sitk
from pydicom.uid import MPEG2MPML, ExplicitVRBigEndian, JPEG2000Lossless, RLELossless, SecondaryCaptureImageStorage

from tests.dicom import (
    ACROSS,
    COLUMNS,
    DOWN,
    ORIGIN,
    ROWS,
    SLICES,
    STEP,
    STORED,
    edit,
    group,
    position,
    write_enhanced,
    write_plain,
)  # fmt: skip
from xmodbench.data.volumes.dicom import choose_series, find_series, read_series
from xmodbench.data.volumes.dicom_volumes import convert_patient
from xmodbench.errors import UserError


def read(folder, modality="MR"):
    """Voxels, image, and what was said."""
    said = []
    image = read_series(choose_series(find_series(folder), modality, "T1"), said.append)
    return sitk.GetArrayFromImage(image), image, "; ".join(said)


def refused(folder, expected, modality="MR"):
    with pytest.raises(UserError, match=expected) as caught:
        read(folder, modality)
    text = str(caught.value)
    assert "\n" not in text and "Traceback" not in text and not re.search(r"\w+Error", text)
    assert "IM" in text or "enhanced" in text


def tags(**given):
    """A tweak that sets tags of every slice; what is callable is given the slice's number; None deletes one."""

    def tweak(index, item):
        for name, value in given.items():
            value = value(index) if callable(value) else value
            if value is not None:
                setattr(item, name, value)
            elif name in item:
                delattr(item, name)

    return tweak


def only(number, **given):
    return lambda index, item: tags(**given)(index, item) if index == number else None


def table(first=0, entries=1500, vr="US"):
    """A Modality LUT that is not linear, and its grey values."""
    values = np.round(np.sqrt(np.arange(entries)) * 20).astype("<u2")
    item = group(ModalityLUTType="US")
    item.add_new("LUTDescriptor", "SS" if first < 0 else "US", [entries, first, 16])
    item.add_new("LUTData", vr, values.tobytes() if vr == "OW" else [int(value) for value in values])
    return [item], values


def real_world(slope, intercept, unit):
    code = group(CodeValue=unit, CodingSchemeDesignator="UCUM", CodeMeaning=unit)
    return group(RealWorldValueSlope=slope, RealWorldValueIntercept=intercept, MeasurementUnitsCodeSequence=[code])


NO_RESCALE = {"RescaleSlope": None, "RescaleIntercept": None}
LUT, LUT_VALUES = table()
RAMP = STORED.astype(np.float32)


def overlaid(index, item):
    """A picture in the bits that are not used, as older scanners wrote it."""
    tags(BitsStored=12, HighBit=11, PixelData=(STORED[index] | 0x8000).tobytes())(index, item)
    item.add_new(0x60000010, "US", ROWS)


READ = {
    # modality, tweak, grey values, what is said
    "plain MR": ("MR", None, RAMP, ""),
    "plain CT": ("CT", None, RAMP - 1024, ""),
    "RescaleSlope of each slice": ("MR", tags(RescaleSlope=lambda i: i + 1), RAMP * np.arange(1, 6)[:, None, None], ""),
    "RescaleSlope with digits": (
        "MR",
        tags(RescaleSlope="0.37", RescaleIntercept="-1.5"),
        np.float32(STORED * 0.37 - 1.5),
        "",
    ),
    "RescaleSlope none, MR": ("MR", tags(**NO_RESCALE), RAMP, ""),
    "RescaleType HU": ("CT", tags(RescaleType="HU"), RAMP - 1024, ""),
    "RescaleType US": ("CT", tags(RescaleType="US"), RAMP - 1024, "RescaleType US"),
    "RescaleType US, MR": ("MR", tags(RescaleType="US"), RAMP, ""),
    "ModalityLUTSequence": ("MR", tags(**NO_RESCALE, ModalityLUTSequence=LUT), np.float32(LUT_VALUES[STORED]), ""),
    "ModalityLUTSequence as words": (
        "MR",
        tags(**NO_RESCALE, ModalityLUTSequence=table(vr="OW")[0]),
        np.float32(LUT_VALUES[STORED]),
        "",
    ),
    "ModalityLUTSequence and slope": (
        "MR",
        tags(ModalityLUTSequence=LUT),
        np.float32(LUT_VALUES[STORED]),
        "the table is used",
    ),
    "RealWorldValueMapping": (
        "MR",
        tags(**NO_RESCALE, RealWorldValueMappingSequence=[real_world(0.5, 3, "ms")]),
        RAMP / 2 + 3,
        "Mapping, in ms",
    ),
    "RealWorldValueMapping, CT": (
        "CT",
        tags(**NO_RESCALE, RealWorldValueMappingSequence=[real_world(1, -1000, "[hnsf'U]")]),
        RAMP - 1000,
        "hnsf",
    ),
    "RealWorldValueMapping beside Rescale": (
        "CT",
        tags(RealWorldValueMappingSequence=[real_world(9, 9, "ms")]),
        RAMP - 1024,
        "",
    ),
    "PixelRepresentation": (
        "MR",
        tags(PixelRepresentation=1, PixelData=lambda i: (STORED[i].astype(np.int16) - 700).tobytes()),
        RAMP - 700,
        "",
    ),
    "BitsStored, no sign above": (
        "MR",
        tags(
            PixelRepresentation=1,
            BitsStored=12,
            HighBit=11,
            PixelData=lambda i: ((STORED[i].astype(np.int16) - 700) & 0xFFF).astype(np.uint16).tobytes(),
        ),
        RAMP - 700,
        "",
    ),
    "BitsStored, sign above": (
        "MR",
        tags(
            PixelRepresentation=1,
            BitsStored=12,
            HighBit=11,
            PixelData=lambda i: (STORED[i].astype(np.int16) - 700).tobytes(),
        ),
        RAMP - 700,
        "",
    ),
    "HighBit": ("MR", tags(BitsStored=12, HighBit=15, PixelData=lambda i: (STORED[i] << 4).tobytes()), RAMP, ""),
    "BitsStored below an overlay": (
        "MR",
        overlaid,
        RAMP,
        "",
    ),
    "BitsAllocated 8": (
        "MR",
        tags(BitsAllocated=8, BitsStored=8, HighBit=7, PixelData=lambda i: (STORED[i] % 250).astype("u1").tobytes()),
        RAMP % 250,
        "",
    ),
    "PixelPaddingValue": (
        "CT",
        tags(PixelPaddingValue=21),
        np.where(STORED == 21, -1000, RAMP - 1024),
        "padding .* -1000",
    ),
    "PixelPaddingRangeLimit": (
        "MR",
        tags(PixelPaddingValue=700, PixelPaddingRangeLimit=1500),
        np.where(STORED >= 700, 0, RAMP),
        "padding .* as 0",
    ),
    "ImageOrientationPatient rounded": (
        "MR",
        tags(ImageOrientationPatient=[1, 3e-4, 0, 3e-4, 1, 0]),
        RAMP,
        "not quite perp",
    ),
    "EchoTime measured": ("MR", tags(EchoTime=lambda i: 4.649 + 0.002 * i), RAMP, ""),
    "InstanceNumber": (
        "MR",
        tags(InstanceNumber=lambda i: i + 4),
        RAMP,
        "instance numbers run from 4 to 8 for 5 files",
    ),
    "ImagesInAcquisition": ("MR", tags(ImagesInAcquisition=9), RAMP, "9 images, 5 are here"),
    "LossyImageCompression": ("MR", tags(LossyImageCompression="01"), RAMP, "compressed with loss"),
    "SOPClassUID": ("MR", tags(SOPClassUID=SecondaryCaptureImageStorage), RAMP, "secondary captures"),
}


@pytest.mark.parametrize("name", READ)
def test_read_right(tmp_path, name):
    modality, tweak, expected, clause = READ[name]
    write_plain(tmp_path, modality, tweak)
    voxels, image, said = read(tmp_path, modality)
    np.testing.assert_array_equal(voxels, np.float32(expected))
    assert image.GetSpacing() == (ACROSS, DOWN, STEP) and image.GetOrigin() == tuple(ORIGIN)
    assert re.search(clause, said) if clause else not said


REFUSED = {
    "RescaleIntercept": ("CT", tags(**NO_RESCALE), "IM000.dcm: it does not say how its values become HU"),
    "RescaleIntercept alone": ("MR", tags(RescaleSlope=None), "its RescaleSlope is None, its RescaleIntercept 0"),
    "RescaleSlope": ("MR", only(2, RescaleSlope=0), "IM002.dcm: its RescaleSlope is 0"),
    "RescaleType": ("CT", tags(RescaleType="Z_EFF"), "its values are Z_EFF, not HU"),
    "ModalityLUTType": (
        "CT",
        tags(**NO_RESCALE, ModalityLUTSequence=[group(ModalityLUTType="OD")]),
        "its values are OD, not HU",
    ),
    "ModalityLUTSequence": (
        "MR",
        tags(ModalityLUTSequence=[group(ModalityLUTType="US")]),
        "its Modality LUT Sequence cannot",
    ),
    "RealWorldValueMapping": (
        "CT",
        tags(**NO_RESCALE, RealWorldValueMappingSequence=[real_world(1, 0, "ms")]),
        "in ms, not HU",
    ),
    "RealWorldValueMapping, two": (
        "MR",
        tags(**NO_RESCALE, RealWorldValueMappingSequence=[real_world(1, 0, "ms"), real_world(2, 0, "ms")]),
        "not one slope and intercept",
    ),
    "BitsStored": ("MR", tags(BitsStored=8, HighBit=7), "more than the 8 bits that it states"),
    "HighBit": ("MR", tags(BitsStored=12, HighBit=5), "BitsStored 12 and HighBit 5 contradict"),
    "PixelData short": ("MR", only(1, PixelData=STORED[1].tobytes()[:-9]), "IM001.dcm: truncated: 76 of 84 bytes"),
    "PixelData long": (
        "MR",
        only(1, PixelData=STORED[:2].tobytes()),
        "IM001.dcm: holds 168 bytes of pixels where its header",
    ),
    "PixelData none": ("MR", only(1, PixelData=None), r"IM001.dcm: damaged DICOM file \(no PixelData"),
    "PhotometricInterpretation": (
        "MR",
        tags(PhotometricInterpretation="MONOCHROME1"),
        "its greys are inverted .MONOCHROME1",
    ),
    "colour": (
        "MR",
        tags(
            PhotometricInterpretation="RGB",
            SamplesPerPixel=3,
            PlanarConfiguration=0,
            BitsAllocated=8,
            BitsStored=8,
            HighBit=7,
            PixelData=bytes(3 * ROWS * COLUMNS),
        ),
        "it is in colour .RGB",
    ),
    "palette": ("MR", tags(PhotometricInterpretation="PALETTE COLOR"), "it is in colour .PALETTE"),
    "PixelSpacing": ("MR", only(3, PixelSpacing=None), r"IM003.dcm: damaged DICOM file \(no usable PixelSpacing"),
    "PixelSpacing 0": ("MR", tags(PixelSpacing=[0, 1]), "its PixelSpacing is 0 x 1 mm"),
    "ImagePositionPatient": ("MR", only(3, ImagePositionPatient=None), r"IM003.dcm: .*no usable ImagePositionPatient"),
    "ImageOrientationPatient": (
        "MR",
        only(3, ImageOrientationPatient=None),
        r"IM003.dcm: .*no usable ImageOrientation",
    ),
    "ImageOrientationPatient skewed": (
        "MR",
        tags(ImageOrientationPatient=[1, 0.1, 0, 0, 1, 0]),
        "no two perpendicular",
    ),
    "another direction": (
        "MR",
        only(4, ImageOrientationPatient=[1, 0, 0, 0, 0, -1]),
        "slices of different size or direction",
    ),
    "gap": ("MR", only(4, ImagePositionPatient=position(5)), r"a gap of 6.00 mm after -21.0 mm \(IM003.dcm\)"),
    "uneven": ("MR", only(2, ImagePositionPatient=position(2.2)), "has a gap of"),
    "one place": (
        "MR",
        only(2, ImagePositionPatient=position(1), AcquisitionNumber=2),
        "two slices in one place, IM001.dcm and IM002.dcm, which differ in AcquisitionNumber",
    ),
    "gantry": (
        "MR",
        tags(ImagePositionPatient=lambda i: [-10, -20 + i, -30 + 3 * i]),
        "leans by 4.0 mm .* tilted gantry.*dcm2niix",
    ),
    "NumberOfFrames": (
        "MR",
        tags(NumberOfFrames=2, PixelData=lambda i: STORED[:2].tobytes()),
        "IM000.dcm: it holds 2 frames",
    ),
    "EchoTime": (
        "MR",
        tags(EchoTime=lambda i: 4 + 20 * (i > 2)),
        "mixes echo times: 4.0 in IM000.dcm and 24.0 in IM003.dcm",
    ),
    "EchoNumbers": ("MR", tags(EchoNumbers=lambda i: 1 + (i > 2)), "mixes echoes"),
    "TemporalPositionIdentifier": (
        "MR",
        tags(TemporalPositionIdentifier=lambda i: 1 + (i > 2)),
        "mixes points in time",
    ),
    "ImageType": (
        "MR",
        only(4, ImageType=["ORIGINAL", "PRIMARY", "P"]),
        "mixes components: magnitude in .* phase in IM004",
    ),
    "FrameOfReferenceUID": ("MR", only(4, FrameOfReferenceUID="9.9"), "mixes frames of reference"),
    "SOPClassUID": (
        "MR",
        tags(
            SOPClassUID=SecondaryCaptureImageStorage,
            BitsAllocated=8,
            BitsStored=8,
            HighBit=7,
            PixelData=lambda i: bytes(ROWS * COLUMNS),
        ),
        "secondary capture of 8 bits",
    ),
}


@pytest.mark.parametrize("name", REFUSED)
def test_refused_in_a_line_that_names_a_file(tmp_path, name):
    modality, tweak, expected = REFUSED[name]
    write_plain(tmp_path, modality, tweak)
    refused(tmp_path, expected, modality)


def test_values_below_the_table_and_a_signed_first_value(tmp_path):
    lut, values = table(first=-100)
    shifted = {"PixelRepresentation": 1, "PixelData": lambda i: (STORED[i].astype(np.int16) - 150).tobytes()}
    write_plain(tmp_path, "MR", tags(**shifted, **NO_RESCALE, ModalityLUTSequence=lut))
    expected = values[np.clip(STORED.astype(int) - 150 + 100, 0, len(values) - 1)]
    np.testing.assert_array_equal(read(tmp_path)[0], np.float32(expected))


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


def test_series_in_one_folder_are_told_apart_by_their_uid(tmp_path):
    for path in write_plain(tmp_path / "t2", description="T2 tra"):
        path.rename(tmp_path / f"other{path.name}")
    write_plain(tmp_path)
    np.testing.assert_array_equal(read(tmp_path)[0], RAMP)


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

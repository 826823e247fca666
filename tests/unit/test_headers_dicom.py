"""DICOM CT and MR: every tag of the table in docs/data.md, read right, said or refused."""

import re

import numpy as np
import pytest
from pydicom.uid import SecondaryCaptureImageStorage

from tests.dicom import (
    ACROSS,
    COLUMNS,
    DOWN,
    ORIGIN,
    ROWS,
    STEP,
    STORED,
    group,
    only,
    position,
    read,
    refused,
    tags,
    write_plain,
)  # fmt: skip


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
    "Rows": (
        "MR",
        only(2, Rows=ROWS - 1, PixelData=STORED[2, 1:].tobytes()),
        "different size or direction, IM000.dcm and IM002",
    ),
    "Columns": (
        "MR",
        only(2, Columns=COLUMNS - 1, PixelData=STORED[2, :, 1:].tobytes()),
        "different size or direction",
    ),
    "Rows, none": ("MR", only(2, Rows=None), "may not be whole: cut short in the header: IM002.dcm"),
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


LINE = "one line with the file, what is wrong and what to do; its subject is left out, the others go on"
CASES = {
    "colour": "a DICOM series in colour",
    "palette": "a DICOM series in colour",
    "PhotometricInterpretation": "a DICOM series with inverted greys (MONOCHROME1)",
    "PixelData short": "a DICOM image whose pixels are fewer or more than its header says",
    "PixelData none": "a DICOM image whose pixels are fewer or more than its header says",
}
MARKS = {name: pytest.mark.fault("volumes", case, LINE) for name, case in CASES.items()}


@pytest.mark.parametrize("name", [pytest.param(name, marks=MARKS.get(name, ())) for name in REFUSED])
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

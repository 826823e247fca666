"""The tables of docs/data.md on headers have a row for each field that is tested, and a test for each row."""

import re
from pathlib import Path

import pytest

from tests.unit.test_headers_metaimage import ROWS as METAIMAGE
from tests.unit.test_headers_nifti import ROWS as NIFTI
from tests.unit.test_headers_nrrd import ROWS as NRRD
from xmodbench.files import REPOSITORY

TESTS = Path(__file__).parent


def rows(title):
    """The first cells of the table below a heading."""
    text = (REPOSITORY / "docs" / "data.md").read_text(encoding="utf-8")
    table = text.partition(f"### {title}")[2].partition("\n#")[0]
    return [cell.replace("`", "").strip() for cell in re.findall(r"^\| (`.*?) \|", table, re.MULTILINE)]


@pytest.mark.parametrize(
    ("title", "tested"), [("NIfTI-1", NIFTI), ("NRRD", [*NRRD, "data file"]), ("MetaImage", METAIMAGE)]
)
def test_every_field_is_in_the_table_and_tested(title, tested):
    assert sorted(rows(title)) == sorted(tested)


def test_every_dicom_tag_of_the_table_is_tested():
    tests = "".join(
        (TESTS / name).read_text(encoding="utf-8") for name in ("test_headers_dicom.py", "test_dicom_series.py")
    )
    tags = {tag for row in rows("DICOM") for tag in row.split(", ")}
    assert len(tags) > 30
    assert {tag for tag in tags if tag not in tests} == set()

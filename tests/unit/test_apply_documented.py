"""docs/apply.md is true: its commands, as printed there, do what the page says."""

import re
import shlex
import shutil

import nibabel
import pytest
from typer.testing import CliRunner

from tests.phantoms import COPIER, grid, head, two_copier, write
from tests.plugins import job_of, write_method
from tests.unit.test_apply_dicom import series
from xmodbench.cli.app import app
from xmodbench.data.volumes import doubts, subject
from xmodbench.files import REPOSITORY
from xmodbench.stages.translate import translate

PAGE = (REPOSITORY / "docs" / "apply.md").read_text()
COMMANDS = [
    line for block in re.findall(r"^```sh\n(.*?)^```", PAGE, flags=re.S | re.M) for line in block.splitlines() if line
]


@pytest.fixture(scope="module")
def folder(tmp_path_factory, trained, trained_of_two):
    """A working folder with all that the page speaks of."""
    made = shutil.copytree(trained, tmp_path_factory.mktemp("documented") / "folder")
    run = made / "results" / "gold"
    shutil.copytree(made / "model", run / "models" / "midiffusion" / "goldatlas" / "ct")
    (made / "data" / "goldatlas").mkdir(parents=True)
    (made / "test").rename(made / "data" / "goldatlas" / "test")
    test, out = made / "data" / "goldatlas" / "test", run / "translations" / "midiffusion" / "goldatlas" / "mr-to-ct"
    translate(job_of(made, "copier", COPIER), made / "model", test, "mr", "ct", out, 32)
    for name in ("mr.nii.gz", "scans/a.nii.gz"):
        write(made / name, head("mr", grid(), seed=9))
    write(made / "thick.nii.gz", head("mr", grid(size=(60, 66, 20), spacing=(2.8, 3.1, 9)), seed=9))
    series(made / "dicom" / "patient1")
    write_method(made, "copier", COPIER)
    shutil.copytree(trained_of_two / "model", made / "results/heads/models/two_sources/heads/ct-from-mr+t2")
    shutil.copy(trained_of_two / "raw" / "s0-t2.nii.gz", made / "t2.nii.gz")
    write_method(made, "two", two_copier())
    return made


EXPECTED = {
    "ct.nii.gz": ["ct.nii.gz", "ct.record.json"],
    "from-two.nii.gz": ["from-two.nii.gz", "from-two.record.json"],
    "translated": ["translated/a.nii.gz", "translated/a.record.json"],
    "synthetic-ct": ["synthetic-ct/0044.dcm", "synthetic-ct.record.json"],
    "translated-dicom": ["translated-dicom/patient1/0044.dcm"],
    "--samples": ["ct_std.nii.gz"],
    "--with-target": ["volumes/s2/translation.nii.gz", "volumes/s2/target.nii.gz"],
    "--grid": ["on-ct/s2/translation.nii.gz"],
}


@pytest.mark.parametrize("command", COMMANDS)
def test_the_page_s_commands_work(folder, monkeypatch, command):
    monkeypatch.chdir(folder)
    program, *words = shlex.split(command)
    done = CliRunner().invoke(app, words)
    assert program == "xmodbench" and done.exit_code == 0, (done.output, done.exception)
    for word, files in EXPECTED.items():
        assert word not in words or all((folder / file).is_file() for file in files)
    if words[-1] == "--force":
        assert "slices are 9 mm apart" in (folder / "ct.record.json").read_text()
        assert nibabel.load("ct.nii.gz").shape == (60, 66, 20)


def test_the_page_s_limits_are_the_code_s():
    rows = {row.split("|")[1].strip(): row for row in PAGE.splitlines() if row.startswith("| ")}
    assert f"{doubts.COARSER} times" in rows["voxels within slices"]
    assert doubts.THICKNESS == 2 and "half of the least or above twice the most" in rows["distance of slices"]
    assert f"{doubts.TILT_DEG:g} degrees" in rows["direction"] and f"below {doubts.IN_AIR_HU:g}" in rows["modality"]
    assert (
        f"{doubts.PIXEL:.0%}".replace("%", " %") in rows["field of view"]
        and f"{doubts.COVERAGE}" in rows["field of view"]
    )
    assert f"{doubts.CUT_OFF:.0%}".replace("%", " %") in rows["field of view"] and doubts.NEARER == 0.8
    assert f"covers less than {doubts.MIN_COVERAGE:.0%}".replace("%", " %") in PAGE and subject.MIN_OVERLAP == 0.5


def test_one_of_many_that_fails_is_told_and_the_exit_code_says_so(folder, monkeypatch, tmp_path):
    monkeypatch.chdir(folder)
    (tmp_path / "scans").mkdir()
    (tmp_path / "scans" / "bad.nii").write_bytes(b"no volume")
    done = CliRunner().invoke(app, ["apply", "model", str(tmp_path / "scans"), str(tmp_path / "out")])
    assert (
        done.exit_code == 1 and "FAILED bad.nii: " in done.output and "1 of its volumes failed" in str(done.exception)
    )

"""fetch as a job of its own, what a dry run announces, and what makes acquire run again."""

import hashlib
import io
import json
import re
import sys
import tarfile

import pytest
from typer.testing import CliRunner

from tests.download.server import cut, status
from xmodbench.cli.app import app
from xmodbench.data.download.fetch import ATTEMPTS
from xmodbench.data.download.fetched import forget_not_fetched
from xmodbench.data.download.lockfile import given_archives
from xmodbench.errors import UserError
from xmodbench.plan.config import parse_config
from xmodbench.plan.jobs import Jobs
from xmodbench.plan.plan import Plan
from xmodbench.plugins import DATASETS, find
from xmodbench.progress import Progress
from xmodbench.stages.acquire import acquire, announce
from xmodbench.stages.fetch import fetch

QUIET = Progress(quiet=True)
BASE = "/biomedic.doc.ic.ac.uk/brain-development/downloads/IXI"


def archive(modality):
    buffer = io.BytesIO()
    with tarfile.open(fileobj=buffer, mode="w") as file:
        info = tarfile.TarInfo(f"IXI002-Guys-0828-{modality}.nii.gz")
        info.size = 20_000
        file.addfile(info, io.BytesIO(modality.encode() * 10_000))
    return buffer.getvalue()


@pytest.fixture
def ixi(monkeypatch, server):
    plugin = find(DATASETS, "ixi")
    small = {f"IXI-{name}.tar": archive(name) for name in ("T1", "PD")}
    server.files = {f"{BASE}/{name}": body for name, body in small.items()}
    facts = {name: (len(body), hashlib.md5(body).hexdigest()) for name, body in small.items()}
    monkeypatch.setattr(sys.modules[plugin.cls.__module__], "ARCHIVES", facts)
    return plugin.cls(plugin.cls.Config())


def of(name):
    plugin = find(DATASETS, name)
    return plugin.cls(plugin.cls.Config())


def fetched(folder, archive="IXI-T1.tar"):
    return json.loads((folder / "data" / "fetch" / f"{archive}.record.json").read_text())["not_fetched"]


def run_fetch(dataset, folder, archive="IXI-T1.tar"):
    fetch(dataset, archive, folder / "raw", folder / "data", QUIET, name="ixi")
    return fetched(folder, archive)


def test_each_archive_is_fetched_by_itself_and_unpacked_by_acquire(ixi, server, tmp_path):
    assert run_fetch(ixi, tmp_path) is None
    assert [path for path, _ in server.requests] == [f"{BASE}/IXI-T1.tar"]
    assert not list((tmp_path / "raw").glob("*.nii.gz"))
    assert run_fetch(ixi, tmp_path, "IXI-PD.tar") is None
    asked = len(server.requests)
    acquire(ixi, tmp_path / "raw", tmp_path / "data", 1, QUIET, name="ixi")
    assert len(ixi.volumes(tmp_path / "raw")) == 1 and len(server.requests) == asked
    # what is unpacked is not fetched again, when the archives and the records are gone
    (tmp_path / "raw" / "IXI-T1.tar").unlink()
    assert run_fetch(ixi, tmp_path) is None
    assert len(server.requests) == asked


def test_what_cannot_be_had_is_recorded_and_left_to_acquire(ixi, server, tmp_path):
    place = f"{BASE}/IXI-T1.tar"
    server.faults[place] = [cut(5000), *[status(503)] * ATTEMPTS]
    assert "answers 503" in run_fetch(ixi, tmp_path)
    assert not list(tmp_path.rglob("*failure.json"))
    # acquire goes on with what came
    acquire(ixi, tmp_path / "raw", tmp_path / "data", 1, QUIET, name="ixi")
    assert server.ranges_asked()[-2:] == ["bytes=5000-", None]
    # a run that ended well without an archive keeps its record, or everything behind it would be made again
    forget_not_fetched(tmp_path / "data")
    assert "answers 503" in fetched(tmp_path)
    (tmp_path / "data" / "acquire.record.json").unlink()
    run_fetch(ixi, tmp_path, "IXI-PD.tar")
    forget_not_fetched(tmp_path / "data")
    assert [path.name for path in (tmp_path / "data" / "fetch").iterdir()] == ["IXI-PD.tar.record.json"]


def test_a_wrong_archive_put_there_by_hand_is_found_by_fetch(ixi, tmp_path):
    (tmp_path / "raw").mkdir()
    (tmp_path / "raw" / "IXI-T1.tar").write_bytes(b"half")
    assert "has 4 bytes" in run_fetch(ixi, tmp_path)
    with pytest.raises(UserError, match="has 4 bytes"):
        acquire(ixi, tmp_path / "raw", tmp_path / "data", 1, QUIET, name="ixi")


@pytest.mark.parametrize(("name", "archive", "expected"), [
    ("ixi", "IXI-T2.tar", "no archive 'IXI-T2.tar'; did you mean 'IXI-T1.tar'"),
    ("sim_ixi", "IXI-T1.tar", "no archive 'IXI-T1.tar'; it has none to fetch"),
])  # fmt: skip
def test_an_unknown_archive_is_named(tmp_path, monkeypatch, name, archive, expected):
    monkeypatch.chdir(tmp_path)
    done = CliRunner().invoke(app, ["fetch", name, archive])
    assert isinstance(done.exception, UserError) and expected in str(done.exception)


def lines(dataset, folder):
    return announce(dataset, {"label": "L", "summary": "S"}, folder)


def test_a_dry_run_knows_partial_and_unpacked_archives(ixi, server, tmp_path):
    size = len(archive("T1"))
    (tmp_path / "IXI-T1.tar.part").write_bytes(bytes(size - 1000))
    shown = "\n".join(lines(ixi, tmp_path))
    assert re.search(r"IXI-T1.tar +29.7 kB of 30.7 kB ", shown)
    assert f"to fetch: 2 of 2 files, {(size + 1000) / 1000:.1f} kB" in shown
    (tmp_path / "IXI-T1.tar.part").unlink()
    (tmp_path / "IXI-T1.tar").write_bytes(archive("T1"))
    assert re.search(r"IXI-T1.tar +there already", "\n".join(lines(ixi, tmp_path)))
    ixi.acquire(tmp_path, 1, QUIET)
    for path in tmp_path.glob("*.tar"):
        path.unlink()
    shown = "\n".join(lines(ixi, tmp_path))
    assert len(re.findall("not needed", shown)) == 2 and "to fetch: 0 of 2 files, 0 B" in shown


def test_a_dry_run_knows_what_stands_for_gold_atlas_zips(tmp_path):
    (tmp_path / "3_03_P (1).zip").write_bytes(b"x")
    (tmp_path / "1_01_P").mkdir()
    (tmp_path / "1_01_P" / "slice.dcm").touch()
    (tmp_path / "volumes" / "1_02_P").mkdir(parents=True)
    (tmp_path / "volumes" / "1_02_P" / "series.json").write_text('{"series": {}}')
    (tmp_path / "volumes" / "1_03_P").mkdir(parents=True)
    (tmp_path / "volumes" / "1_03_P" / "series.json").write_text('{"problem": "a slice is missing"}')
    shown = "\n".join(lines(of("goldatlas"), tmp_path))
    assert re.search(r"3_03_P.zip +there already", shown)
    assert re.search(r"1_01_P.zip +not needed", shown) and re.search(r"1_02_P.zip +not needed", shown)
    assert re.search(r"1_03_P.zip +size unknown", shown)
    assert "to fetch: 16 of 19 files" in shown


def test_a_dry_run_says_what_stands_in_for_easy_resect(tmp_path):
    assert "the like of it is made from RESECT" in "\n".join(lines(of("curious"), tmp_path))
    (tmp_path / "RESECT-resized" / "NIFTI").mkdir(parents=True)
    (tmp_path / "RESECT-resized" / "NIFTI" / "a.nii").touch()
    assert "to fetch: 0 of 1 files" in "\n".join(lines(of("curious"), tmp_path))


class Wildcards:
    dataset = "ixi"


@pytest.fixture
def jobs(tmp_path, monkeypatch):
    monkeypatch.chdir(tmp_path)
    names = ("ixi", "curious", "goldatlas", "sim_ixi")
    values = {"run": "r", "datasets": {name: {} for name in names}, "methods": {"copy_source": {}}}
    return Jobs(Plan(parse_config(values, "c"), "c"), lambda: True)


def test_every_archive_has_a_job_and_only_archives_have(jobs):
    constraint = re.compile(jobs.archives())
    names = {"ixi": 2, "curious": 1, "goldatlas": 19, "sim_ixi": 0}
    for name, count in names.items():
        records = jobs.fetch_records(type("Wildcards", (), {"dataset": name}))
        assert len(records) == count
        for record in records:
            match = re.fullmatch(rf"data/{name}/fetch/(.*)\.record\.json", record)
            assert match and constraint.fullmatch(match[1])
    assert not constraint.fullmatch("IXI-T1xtar")


def test_archives_added_by_hand_start_acquire_again_and_nothing_else_does(jobs, ixi, server, tmp_path):
    raw = tmp_path / "raw" / "ixi"
    assert jobs.raw_listing(Wildcards) == ""
    raw.mkdir(parents=True)
    (raw / "IXI-PD.tar").write_bytes(archive("PD"))
    given = jobs.raw_listing(Wildcards)
    assert "IXI-PD.tar" in given
    # one is fetched, one unpacked as it is, and both deleted
    ixi.acquire(raw, 1, QUIET)
    assert jobs.raw_listing(Wildcards) == given
    for name in ("IXI-T1.tar", "IXI-PD.tar"):
        (raw / name).unlink()
        assert jobs.raw_listing(Wildcards) == given
    (raw / "4_01_P.zip").write_bytes(b"new")
    assert given_archives(raw)[0][:2] == ("4_01_P.zip", 3) and jobs.raw_listing(Wildcards) != given

"""The two IXI archives, in their layout, from their addresses' paths."""

import gzip
import hashlib
import io
import json
import sys
import tarfile

import pytest

from tests.download.server import cut, html
from xmodbench.errors import UserError
from xmodbench.plugins import DATASETS, find
from xmodbench.progress import Progress

QUIET = Progress(quiet=True)
BASE = "/biomedic.doc.ic.ac.uk/brain-development/downloads/IXI"
SUBJECTS = ("IXI002-Guys-0828", "IXI012-HH-1211", "IXI035-IOP-0873")


def archive(modality, subjects=SUBJECTS):
    buffer = io.BytesIO()
    with tarfile.open(fileobj=buffer, mode="w") as file:
        for subject in subjects:
            content = gzip.compress(f"{subject} {modality}".encode() * 200, mtime=0)
            info = tarfile.TarInfo(f"{subject}-{modality}.nii.gz")
            info.size = len(content)
            file.addfile(info, io.BytesIO(content))
    return buffer.getvalue()


@pytest.fixture
def ixi(monkeypatch):
    """The data set, told the sizes and digests of the small archives."""
    plugin = find(DATASETS, "ixi")
    module = sys.modules[plugin.cls.__module__]
    small = {f"IXI-{name}.tar": archive(name) for name in ("T1", "PD")}
    facts = {name: (len(body), hashlib.md5(body).hexdigest()) for name, body in small.items()}
    monkeypatch.setattr(module, "ARCHIVES", facts)
    return plugin.cls(plugin.cls.Config())


@pytest.fixture
def served(server):
    for name in ("T1", "PD"):
        server.files[f"{BASE}/IXI-{name}.tar"] = archive(name)
    return server


def test_published_sizes_and_digests():
    plugin = find(DATASETS, "ixi")
    files = plugin.cls(plugin.cls.Config()).archives()
    assert [(f.urls[0], f.size, f.md5) for f in files] == [
        ("https://biomedic.doc.ic.ac.uk/brain-development/downloads/IXI/IXI-T1.tar", 4_840_816_640,
         "34901a0593b41dd19c1a1f746eac2d58"),
        ("https://biomedic.doc.ic.ac.uk/brain-development/downloads/IXI/IXI-PD.tar", 4_068_966_400,
         "88ecd9d1fa33cb4a2278183b42ffd749"),
    ]  # fmt: skip


def test_archives_are_fetched_and_unpacked_once(ixi, served, tmp_path):
    served.faults[f"{BASE}/IXI-PD.tar"] = [cut(3000)]
    ixi.acquire(tmp_path, 1, QUIET)
    found = ixi.volumes(tmp_path)
    assert [(r.subject, r.site, sorted(r.files)) for r in found] == [
        ("IXI002-Guys-0828", "Guys", ["pd", "t1"]),
        ("IXI012-HH-1211", "HH", ["pd", "t1"]),
        ("IXI035-IOP-0873", "IOP", ["pd", "t1"]),
    ]
    asked = len(served.requests)
    ixi.acquire(tmp_path, 1, QUIET)
    # the archives may go once they are unpacked
    for file in ixi.archives():
        (tmp_path / file.name).unlink()
    ixi.acquire(tmp_path, 1, QUIET)
    assert len(served.requests) == asked


def test_a_lost_volume_is_unpacked_again(ixi, served, tmp_path):
    ixi.acquire(tmp_path, 1, QUIET)
    lost = tmp_path / f"{SUBJECTS[1]}-PD.nii.gz"
    lost.unlink()
    ixi.acquire(tmp_path, 1, QUIET)
    assert lost.is_file()


def test_half_an_unpacking_does_not_pose_as_a_whole_one(ixi, served, tmp_path, monkeypatch):
    from xmodbench.data.download import archive as module

    copy, count = module._copy, []

    def killed(*args):
        count.append(1)
        if len(count) == 3:
            raise KeyboardInterrupt
        copy(*args)

    monkeypatch.setattr(module, "_copy", killed)
    with pytest.raises(KeyboardInterrupt):
        ixi.acquire(tmp_path, 1, QUIET)
    assert len(list(tmp_path.glob("*-T1.nii.gz"))) == 2
    monkeypatch.setattr(module, "_copy", copy)
    ixi.acquire(tmp_path, 1, QUIET)
    assert len(ixi.volumes(tmp_path)) == 3


def test_volumes_of_ones_own_need_no_archive(ixi, server, tmp_path):
    for subject in SUBJECTS[:2]:
        for modality in ("T1", "PD"):
            (tmp_path / f"{subject}-{modality}.nii.gz").write_bytes(b"x")
    ixi.acquire(tmp_path, 1, QUIET)
    assert server.requests == []


def test_a_damaged_archive_is_named(ixi, served, tmp_path):
    (tmp_path / "IXI-T1.tar").write_bytes(b"half")
    with pytest.raises(UserError, match=r"IXI-T1\.tar: has 4 bytes, .* were published; delete it"):
        ixi.acquire(tmp_path, 1, QUIET)
    (tmp_path / "IXI-T1.tar").unlink()
    served.faults[f"{BASE}/IXI-T1.tar"] = [html]
    with pytest.raises(UserError, match="web page instead"):
        ixi.acquire(tmp_path, 1, QUIET)
    assert not list(tmp_path.glob("*.nii.gz"))


def test_a_dry_run_says_what_and_how_much(tmp_path, monkeypatch):
    from typer.testing import CliRunner

    from xmodbench.cli.app import app

    monkeypatch.chdir(tmp_path)
    done = CliRunner().invoke(app, ["acquire", "ixi", "--dry-run"])
    assert done.exit_code == 0, done.output
    assert "licence: CC BY-SA 3.0" in done.output
    assert "to fetch: 2 of 2 files, 8.9 GB, into raw/ixi" in done.output
    assert "4.8 GB  https://biomedic.doc.ic.ac.uk/brain-development/downloads/IXI/IXI-T1.tar" in done.output
    assert list(tmp_path.iterdir()) == []


def test_the_record_names_the_subjects(ixi, served, tmp_path):
    from xmodbench.stages.acquire import acquire

    acquire(ixi, tmp_path / "raw", tmp_path / "data", 1, QUIET, name="ixi")
    record = json.loads((tmp_path / "data" / "acquire.record.json").read_text())
    assert sorted(record["subjects"]) == list(SUBJECTS)

"""Downloads end whole and checked, or with one line that says why not."""

import hashlib
import json
import logging
import multiprocessing
import os
import subprocess
import sys
import zipfile
from pathlib import Path

import numpy as np
import pytest

from tests.download.server import cut, disguised_html, endless, html, redirect, reset, silent, status
from xmodbench.data.download.access import Access
from xmodbench.data.download.disk import disk_errors
from xmodbench.data.download.errors import Damaged, NotFetched
from xmodbench.data.download.fetch import ATTEMPTS, fetch
from xmodbench.data.download.lockfile import LOCK, LockFile
from xmodbench.data.download.obtain import obtain, unpack
from xmodbench.data.download.remote import human_size, mirrored, public
from xmodbench.errors import UserError
from xmodbench.plugins import RemoteFile
from xmodbench.progress import Progress

QUIET = Progress(quiet=True)
fault = pytest.mark.fault
BODY = np.random.default_rng(0).bytes(3_000_001)
MD5, SHA256 = hashlib.md5(BODY).hexdigest(), hashlib.sha256(BODY).hexdigest()
PATH = "/data.org/set/volumes.bin"


def remote(**facts):
    return RemoteFile("volumes.bin", ("https://data.org/set/volumes.bin",), **facts)


@pytest.fixture
def served(server):
    server.files[PATH] = BODY
    return server


def names(folder):
    return sorted(path.name for path in folder.iterdir())


def test_a_file_arrives_whole_and_is_described(served, tmp_path):
    facts = fetch(remote(size=len(BODY), md5=MD5), tmp_path / "volumes.bin", QUIET)
    assert (tmp_path / "volumes.bin").read_bytes() == BODY
    assert facts["sha256"] == SHA256
    assert facts["url"] == f"{served.url}/data.org/set/volumes.bin", "not where the bytes came from"
    assert names(tmp_path) == ["volumes.bin"]


@fault(
    "download",
    "the connection is reset in the middle",
    "the same call goes on from there, however often; bytes as published",
)
@pytest.mark.parametrize("etags", [True, False])
@pytest.mark.parametrize("broken", [cut, reset])
def test_a_broken_connection_is_resumed(served, tmp_path, etags, broken):
    served.etags = etags
    served.faults[PATH] = [broken(1_200_000, tag=etags), status(503)]
    fetch(remote(md5=MD5), tmp_path / "volumes.bin", QUIET)
    assert (tmp_path / "volumes.bin").read_bytes() == BODY
    first, second, third = served.ranges_asked()
    assert first is None
    assert second == third
    assert int(second.removeprefix("bytes=").rstrip("-")) >= 1_000_000


@fault(
    "download",
    "a download that was given up is begun again",
    "goes on where it stopped (Range), and keeps no trace of it",
)
def test_a_later_call_goes_on_where_the_first_gave_up(served, tmp_path):
    served.faults[PATH] = [cut(1_200_000), *[status(500)] * ATTEMPTS]
    with pytest.raises(UserError, match=r"data.org.*answers 500, 5 times in a row.*run again"):
        fetch(remote(), tmp_path / "volumes.bin", QUIET)
    assert names(tmp_path) == ["volumes.bin.part", "volumes.bin.part.json"]
    assert "data.org" in (tmp_path / "volumes.bin.part.json").read_text()
    fetch(remote(), tmp_path / "volumes.bin", QUIET)
    assert served.ranges_asked()[-1].startswith("bytes=")
    assert (tmp_path / "volumes.bin").read_bytes() == BODY
    assert names(tmp_path) == ["volumes.bin"]


@fault("download", "the server takes no notice of Range", "starts over; bytes as published")
def test_a_server_without_ranges_starts_over(served, tmp_path):
    served.ranges = False
    served.faults[PATH] = [cut(1_200_000)]
    fetch(remote(), tmp_path / "volumes.bin", QUIET)
    assert (tmp_path / "volumes.bin").read_bytes() == BODY


@fault(
    "download",
    "the file there has changed since the first half came (another ETag)",
    "fetched anew; halves are never mixed",
)
def test_a_file_that_changed_between_is_fetched_anew(served, tmp_path):
    served.faults[PATH] = [cut(1_200_000), *[status(500)] * ATTEMPTS]
    with pytest.raises(UserError):
        fetch(remote(), tmp_path / "volumes.bin", QUIET)
    served.files[PATH] = BODY[::-1]
    fetch(remote(), tmp_path / "volumes.bin", QUIET)
    assert (tmp_path / "volumes.bin").read_bytes() == BODY[::-1]


def test_a_partial_file_without_proof_is_not_continued(served, tmp_path):
    (tmp_path / "volumes.bin.part").write_bytes(b"x" * 500)
    fetch(remote(), tmp_path / "volumes.bin", QUIET)
    assert served.ranges_asked() == [None]


def test_wrong_bytes_in_a_partial_file_are_found_by_the_digest(served, tmp_path):
    (tmp_path / "volumes.bin.part").write_bytes(b"x" * 500)
    (tmp_path / "volumes.bin.part.json").write_text(json.dumps({"url": "https://old.org/x", "total": len(BODY)}))
    fetch(remote(md5=MD5), tmp_path / "volumes.bin", QUIET)
    assert served.ranges_asked() == ["bytes=500-", None]
    assert (tmp_path / "volumes.bin").read_bytes() == BODY


def test_a_download_killed_before_the_check_is_only_checked(served, tmp_path):
    (tmp_path / "volumes.bin.part").write_bytes(BODY)
    (tmp_path / "volumes.bin.part.json").write_text(json.dumps({"url": "", "total": len(BODY)}))
    fetch(remote(sha256=SHA256), tmp_path / "volumes.bin", QUIET)
    assert served.requests == []
    assert (tmp_path / "volumes.bin").read_bytes() == BODY


def test_a_partial_file_longer_than_the_servers_is_dropped(served, tmp_path):
    (tmp_path / "volumes.bin.part").write_bytes(BODY + b"more")
    (tmp_path / "volumes.bin.part.json").write_text(json.dumps({"url": "", "total": None}))
    fetch(remote(md5=MD5), tmp_path / "volumes.bin", QUIET)
    assert (tmp_path / "volumes.bin").read_bytes() == BODY


FAILURES = {
    "missing": ([status(404)], {}, r"no such file \(404\)"),
    "refused": ([status(403)], {}, r"access refused \(403\)"),
    "always 500": ([status(500)] * 9, {}, "answers 500, 5 times"),
    "always short": ([cut(0)] * 9, {}, "broke off, 5 times"),
    "silent": ([silent(0.8)] * 9, {}, "timed out, 5 times"),
    "login page": ([html], {}, "web page instead"),
    "web page in disguise": ([disguised_html], {}, "web page instead"),
    "wrong md5": ([], {"md5": "0" * 32}, f"md5 is {MD5}, 0{{32}} was expected"),
    "wrong sha256": ([], {"sha256": "0" * 64}, "sha256 is"),
    "wrong size": ([], {"size": 17}, "offers 3,000,001 bytes, 17 were published"),
    "redirected to a file": ([redirect("file:///etc/passwd")], {}, r"not http\(s\)"),
    "redirected for ever": ([redirect(PATH)] * 20, {}, "redirects without end"),
}

CASES = {
    "missing": "there is no such file (404)",
    "refused": "access is refused (403)",
    "silent": "the server never answers",
    "always short": "the body is always shorter than announced",
    "wrong md5": "other bytes than published (size, MD5, SHA-256)",
    "wrong sha256": "other bytes than published (size, MD5, SHA-256)",
    "wrong size": "other bytes than published (size, MD5, SHA-256)",
    "redirected to a file": "a redirect leads to file://",
    "redirected for ever": "redirects without end",
    "login page": "a web page comes in place of the file",
    "web page in disguise": "a web page comes in place of the file",
}
REFUSED = "one line with the address, the reason and what to do; nothing is left behind"


@pytest.mark.parametrize(
    "name",
    [pytest.param(name, marks=fault("download", CASES[name], REFUSED) if name in CASES else ()) for name in FAILURES],
)
def test_what_cannot_be_fetched_says_why_and_leaves_nothing(served, tmp_path, name):
    faults, facts, expected = FAILURES[name]
    served.faults[PATH] = list(faults)
    with pytest.raises(UserError, match=expected) as caught:
        fetch(remote(**facts), tmp_path / "volumes.bin", QUIET)
    assert type(caught.value) is (Damaged if name.startswith("wrong") else NotFetched)
    assert getattr(caught.value, "gone", False) == (name == "missing")
    assert "\n" not in str(caught.value)
    assert "https://data.org/set/volumes.bin: " in str(caught.value)
    assert "put volumes.bin there by hand" in str(caught.value)
    assert names(tmp_path) == []


@fault(
    "download",
    "the server answers 500 or 429, times out, breaks off, and is well again",
    "tried again; bytes as published",
)
def test_passing_troubles_are_ridden_out(served, tmp_path):
    served.faults[PATH] = [
        status(500),
        silent(0.8),
        status(429, Retry_After="0"),
        cut(0),
        endless(1000),
        redirect(PATH),
    ]
    fetch(remote(size=len(BODY)), tmp_path / "volumes.bin", QUIET)
    assert (tmp_path / "volumes.bin").read_bytes() == BODY


def test_no_network_is_one_line(tmp_path, monkeypatch):
    monkeypatch.setenv("XMODBENCH_MIRROR", "http://127.0.0.1:9")
    with pytest.raises(UserError, match=r"connection refused, 5 times in a row\); run again later, or put"):
        fetch(remote(), tmp_path / "volumes.bin", QUIET)


def test_mirrors_are_tried_in_turn(served, tmp_path):
    file = RemoteFile("volumes.bin", ("https://gone.org/v.bin", "https://data.org/set/volumes.bin"), md5=MD5)
    assert fetch(file, tmp_path / "volumes.bin", QUIET)["url"] == f"{served.url}/data.org/set/volumes.bin"
    # the second continues what the first began, as the digest can tell whether the pieces fit
    served.files["/gone.org/v.bin"] = BODY
    served.faults["/gone.org/v.bin"] = [cut(1_200_000), status(404)]
    fetch(file, tmp_path / "again.bin", QUIET)
    assert served.ranges_asked()[-1].startswith("bytes=")
    assert (tmp_path / "again.bin").read_bytes() == BODY


def test_a_body_packed_on_the_way_is_not_unpacked(served, tmp_path):
    def labelled(handler, body):
        handler.send_response(200)
        handler.send_header("Content-Encoding", "gzip")
        handler.send_header("Content-Length", str(len(body)))
        handler.end_headers()
        handler.wfile.write(body)
        return True

    served.faults[PATH] = [labelled]
    fetch(remote(md5=MD5), tmp_path / "volumes.bin", QUIET)


FULL_DISK = """
import resource, sys
from pathlib import Path
from xmodbench.data.download.fetch import fetch
from xmodbench.plugins import RemoteFile
from xmodbench.errors import UserError
from xmodbench.progress import Progress
resource.setrlimit(resource.RLIMIT_FSIZE, (int(sys.argv[2]), resource.RLIM_INFINITY))
try:
    fetch(RemoteFile("volumes.bin", ("https://data.org/set/volumes.bin",)), Path(sys.argv[1]), Progress(quiet=True))
except UserError as error:
    sys.exit(str(error))
"""


@fault("download", "the disk fills up", "one line; what came is kept, and the next call goes on from it")
def test_a_full_disk_is_one_line_and_loses_nothing(served, tmp_path):
    command = [sys.executable, "-c", FULL_DISK, str(tmp_path / "volumes.bin")]
    done = subprocess.run([*command, "2000000"], capture_output=True, text=True, check=False)
    assert done.returncode == 1
    assert "no space is left for it; free some space" in done.stderr
    assert len(done.stderr.splitlines()) == 1
    assert 0 < (tmp_path / "volumes.bin.part").stat().st_size <= 2_000_000
    assert subprocess.run([*command, "9000000"], capture_output=True, check=False).returncode == 0
    assert (tmp_path / "volumes.bin").read_bytes() == BODY
    assert served.ranges_asked()[-1].startswith("bytes=")


def test_space_is_asked_for_beforehand(served, tmp_path, monkeypatch):
    monkeypatch.setattr("shutil.disk_usage", lambda path: type("Usage", (), {"free": 1_000_000})())
    with pytest.raises(UserError, match=r"3.0 MB are needed, 1.0 MB are free"):
        fetch(remote(), tmp_path / "volumes.bin", QUIET)


@pytest.fixture
def closed(tmp_path):
    """A folder that may not be written, by root neither."""
    if os.geteuid() == 0:
        return Path("/sys/kernel")
    (tmp_path / "closed").mkdir(mode=0o500)
    return tmp_path / "closed"


@fault("download", "the raw folder may not be written", "one line that names it, before anything is fetched")
@pytest.mark.parametrize("inner", ["", "new"])
def test_a_read_only_folder_is_named(served, closed, inner):
    with pytest.raises(UserError, match=f"{closed}.*: cannot be written here; change the folder's rights"):
        fetch(remote(), closed / inner / "volumes.bin", QUIET)
    assert served.requests == []


def test_what_may_not_be_read_is_not_called_unwritable(tmp_path, monkeypatch):
    (tmp_path / "scan").touch()
    rights = {tmp_path: True, tmp_path / "scan": False}
    monkeypatch.setattr("os.access", lambda path, mode: rights[path])
    with pytest.raises(UserError, match=r"scan: may not be read; change its rights"), disk_errors(tmp_path):
        raise PermissionError(13, "Permission denied", str(tmp_path / "scan"))
    rights[tmp_path / "scan"] = True
    for name in ("scan", "new"):
        with pytest.raises(UserError, match="cannot be written here"), disk_errors(tmp_path):
            raise PermissionError(13, "Permission denied", str(tmp_path / name))


def hold(path, ready, done):
    from xmodbench.data.download.disk import exclusive

    with exclusive(path):
        ready.set()
        done.wait(20)


def test_two_processes_do_not_write_one_file(served, tmp_path):
    context = multiprocessing.get_context("fork")
    ready, done = context.Event(), context.Event()
    other = context.Process(target=hold, args=(tmp_path / "volumes.bin.part", ready, done))
    other.start()
    assert ready.wait(20)
    with pytest.raises(UserError, match="another process is fetching it"):
        fetch(remote(), tmp_path / "volumes.bin", QUIET)
    done.set()
    other.join()
    fetch(remote(), tmp_path / "volumes.bin", QUIET)


def test_progress_shows_size_and_time_left(served, tmp_path, capsys):
    fetch(remote(), tmp_path / "volumes.bin", Progress(every_s=0))
    shown = capsys.readouterr().err
    assert "volumes.bin: 100%" in shown
    assert "3.00M/3.00M" in shown
    assert "<" in shown


def test_the_lock_file_says_what_was_fetched_and_holds_it_to_that(served, tmp_path):
    obtain(remote(), tmp_path, QUIET)
    known = json.loads((tmp_path / LOCK).read_text())["files"]["volumes.bin"]
    assert known["sha256"] == SHA256
    assert known["url"] == f"{served.url}/data.org/set/volumes.bin"
    asked = len(served.requests)
    obtain(remote(), tmp_path, QUIET)
    assert len(served.requests) == asked
    # another file under the same name is no longer the same data
    (tmp_path / "volumes.bin").unlink()
    served.files[PATH] = BODY[::-1]
    with pytest.raises(UserError, match=f"{SHA256} was expected"):
        obtain(remote(), tmp_path, QUIET)


def add_files(folder, names):
    lock = LockFile(folder)
    for name in names:
        lock.add_file(name, {"url": None, "size": 0, "md5": "", "sha256": "", "fetched": None})


def test_two_processes_write_one_lock_file(tmp_path):
    context = multiprocessing.get_context("fork")
    names = [f"{letter}{number}" for letter in "abc" for number in range(40)]
    for name in names:
        (tmp_path / name).touch()
    others = [context.Process(target=add_files, args=(tmp_path, names[start::3])) for start in range(3)]
    for other in others:
        other.start()
    for other in others:
        other.join(60)
    assert sorted(json.loads((tmp_path / LOCK).read_text())["files"]) == sorted(names)


def test_a_digest_published_later_is_held_against_what_was_written_down(served, tmp_path):
    (tmp_path / "volumes.bin").write_bytes(BODY)
    obtain(remote(), tmp_path, QUIET)
    obtain(remote(md5=MD5), tmp_path, QUIET)
    with pytest.raises(Damaged, match=f"md5 is {MD5}, 0* was expected"):
        obtain(remote(md5="0" * 32), tmp_path, QUIET)


def test_a_bad_archive_does_not_bind_the_good_one_that_replaces_it(tmp_path):
    file, path = RemoteFile("a.zip", note="by hand"), tmp_path / "a.zip"
    with zipfile.ZipFile(path, "w") as archive:
        archive.writestr("scan", bytes(5000))
    good = path.read_bytes()
    path.write_bytes(good[:3000])
    with pytest.raises(Damaged, match="cannot be unpacked"):
        unpack(file, tmp_path, QUIET)
    path.write_bytes(good)
    unpack(file, tmp_path, QUIET)
    assert (tmp_path / "scan").read_bytes() == bytes(5000)
    # a good one does bind: the archive may go, and another in its place is another data set
    with zipfile.ZipFile(path, "w") as archive:
        archive.writestr("scan", bytes(4000))
    with pytest.raises(Damaged, match="sha256 is"):
        unpack(file, tmp_path, QUIET)


def test_files_of_an_earlier_archive_do_not_stay_among_the_new_ones(tmp_path):
    file, path = RemoteFile("a.zip", note="by hand"), tmp_path / "a.zip"
    for name in ("old", "new"):
        with zipfile.ZipFile(path, "w") as archive:
            archive.writestr(name, b"x")
        LockFile(tmp_path).forget_file("a.zip")
        obtain(file, tmp_path, QUIET)  # as a job of its own may have done
        unpack(file, tmp_path, QUIET, into="in")
    assert names(tmp_path / "in") == ["new"]


def test_a_file_put_there_by_hand_is_checked_and_written_down(served, tmp_path):
    (tmp_path / "volumes.bin").write_bytes(BODY[:-1])
    with pytest.raises(UserError, match=r"has 3,000,000 bytes, 3,000,001 were published; delete it"):
        obtain(remote(size=len(BODY)), tmp_path, QUIET)
    (tmp_path / "volumes.bin").write_bytes(BODY)
    obtain(remote(size=len(BODY), md5=MD5), tmp_path, QUIET)
    assert LockFile(tmp_path).file("volumes.bin")["url"] is None
    assert served.requests == []


def test_addresses_are_shown_without_secrets(monkeypatch):
    assert public("https://me:pw@zenodo.org:8/r/1?token=x#y") == "https://zenodo.org:8/r/1"
    monkeypatch.setenv("XMODBENCH_MIRROR", "http://here/m/")
    assert mirrored("https://a.org/b/c?d=e") == "http://here/m/a.org/b/c?d=e"
    monkeypatch.delenv("XMODBENCH_MIRROR")
    assert mirrored("https://a.org/b") == "https://a.org/b"
    assert [human_size(n) for n in (12, 999_600, 4_840_816_640, None)] == ["12 B", "1.0 MB", "4.8 GB", "size unknown"]


def test_debug_logs_hold_no_address_with_a_query(served, tmp_path, caplog):
    caplog.set_level(logging.DEBUG)
    logging.getLogger("urllib3.connectionpool").setLevel(logging.DEBUG)
    served.allowed = lambda path, query, headers: query.get("token") == "s3cret"
    fetch(remote(), tmp_path / "volumes.bin", QUIET, Access(query={"token": "s3cret"}))
    assert "s3cret" not in caplog.text


@pytest.mark.parametrize("access", [Access(bearer="s3cret"), Access(query={"token": "s3cret"})])
def test_tokens_do_not_go_unencrypted_to_another_machine(served, tmp_path, monkeypatch, access):
    asked = []
    monkeypatch.setattr("requests.Session.get", lambda self, url, **options: asked.append(url))
    monkeypatch.setenv("XMODBENCH_MIRROR", "http://mirror.example")
    with pytest.raises(NotFetched, match="a token would go unencrypted to mirror.example") as caught:
        fetch(remote(), tmp_path / "volumes.bin", QUIET, access)
    assert "s3cret" not in str(caught.value)
    assert asked == []
    monkeypatch.undo()
    monkeypatch.setenv("XMODBENCH_MIRROR", served.url)
    fetch(remote(), tmp_path / "volumes.bin", QUIET, access)

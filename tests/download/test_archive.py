"""Archives are unpacked whole, or refused with one line; nothing lands outside."""

import gzip
import io
import subprocess
import sys
import tarfile
import zipfile

import numpy as np
import pytest

from xmodbench.data.download import archive as module
from xmodbench.data.download.archive import check_file, extract
from xmodbench.data.download.tar_headers import MAX_HEADER_BYTES
from xmodbench.errors import UserError
from xmodbench.progress import Progress

fault = pytest.mark.fault
REFUSED = "one line that names archive and member; nothing is written outside its folder, nor of that member"


def faulty(table, cases):
    """The names of a table as parameters; those of `cases` are rows of the reliability page."""
    return [
        pytest.param(name, marks=fault("archives", cases[name], REFUSED) if name in cases else ()) for name in table
    ]


def tar(path, *members, mode="w"):
    with tarfile.open(path, mode) as file:
        for name, content, kind in members:
            info = tarfile.TarInfo(name)
            info.type, info.size, info.linkname, info.mode = kind, len(content), "/etc/passwd", 0o6777
            file.addfile(info, io.BytesIO(content))
    return path


def zipped(path, *members, compression=zipfile.ZIP_DEFLATED):
    with zipfile.ZipFile(path, "w", compression) as file:
        for name, content, mode in members:
            info = zipfile.ZipInfo(name)
            info.filename = info.orig_filename = name  # ZipInfo itself would mend some names
            info.external_attr, info.compress_type = mode << 16, compression
            file.writestr(info, content)
    return path


FILE = tarfile.REGTYPE
CASES = {
    "parent": "a member's name climbs out of the folder (`../`)",
    "hidden parent": "a member's name climbs out of the folder (`../`)",
    "absolute": "a member has an absolute path",
    "symlink": "a member is a symbolic link that leads out",
    "hardlink": "a member is a hard link that leads out",
    "symlink, then through it": "a symbolic link, then a file written through it",
    "device": "a member is a device or a named pipe",
    "fifo": "a member is a device or a named pipe",
    "twice": "two members have the same name",
    "case": "two members' names differ only in case, or in how accents are written",
    "accents": "two members' names differ only in case, or in how accents are written",
}
TARS = {
    "parent": ([("../evil", b"x", FILE)], "outside the folder"),
    "hidden parent": ([("a/../../evil", b"x", FILE)], "outside the folder"),
    "absolute": ([("/tmp/evil", b"x", FILE)], "outside the folder"),
    "drive": ([("C:\\evil", b"x", FILE)], "outside the folder"),
    "backslash": ([("..\\evil", b"x", FILE)], "outside the folder"),
    "symlink": ([("evil", b"", tarfile.SYMTYPE)], "is a link or device"),
    "hardlink": ([("evil", b"", tarfile.LNKTYPE)], "is a link or device"),
    "symlink, then through it": ([("d", b"", tarfile.SYMTYPE), ("d/evil", b"x", FILE)], "is a link or device"),
    "fifo": ([("evil", b"", tarfile.FIFOTYPE)], "is a link or device"),
    "device": ([("evil", b"", tarfile.CHRTYPE)], "is a link or device"),
    "sparse": ([("evil", b"", tarfile.GNUTYPE_SPARSE)], "is a link or device"),
    "twice": ([("a", b"x", FILE), ("a", b"evil", FILE)], "two files named 'a'"),
    "case": ([("a", b"x", FILE), ("A", b"evil", FILE)], "two files named 'A'"),
    "accents": ([("\u00e9", b"x", FILE), ("e\u0301", b"evil", FILE)], "two files named"),
    "control": ([("a\nevil", b"x", FILE)], "control characters"),
}


@pytest.mark.parametrize("name", faulty(TARS, CASES))
def test_hostile_tars_are_refused(tmp_path, name):
    members, expected = TARS[name]
    with pytest.raises(UserError, match=expected) as caught:
        extract(tar(tmp_path / "a.tar", *members), tmp_path / "out", flat=False)
    assert "\n" not in str(caught.value)
    assert not list(tmp_path.rglob("*evil*"))


ZIPS = {
    "parent": ([("../evil", b"x", 0)], "outside the folder"),
    "absolute": ([("/evil", b"x", 0)], "outside the folder"),
    "nul": ([("evil\0.dcm", b"x", 0)], "control characters"),
    "symlink": ([("evil", b"/etc/passwd", 0o120777)], "is a link or device"),
    "device": ([("evil", b"", 0o020666)], "is a link or device"),
    "twice": ([("a", b"x", 0), ("a", b"evil", 0)], "two files named 'a'"),
    "case": ([("a", b"x", 0), ("A", b"evil", 0)], "two files named 'A'"),
}


@pytest.mark.filterwarnings("ignore:Duplicate name")
@pytest.mark.parametrize("name", faulty(ZIPS, CASES))
def test_hostile_zips_are_refused(tmp_path, name):
    members, expected = ZIPS[name]
    with pytest.raises(UserError, match=expected):
        extract(zipped(tmp_path / "a.zip", *members), tmp_path / "out", flat=False)
    assert not list(tmp_path.rglob("*evil*"))


def test_an_encrypted_zip_is_named(tmp_path):
    path = zipped(tmp_path / "a.zip", ("x", b"x", 0))
    data = bytearray(path.read_bytes())
    for signature, offset in ((b"PK\x03\x04", 6), (b"PK\x01\x02", 8)):
        data[data.index(signature) + offset] |= 1
    path.write_bytes(data)
    with pytest.raises(UserError, match="is encrypted; unpack it by hand"):
        extract(path, tmp_path / "out")


BOMB = fault(
    "archives",
    "a bomb: files of many times the archive's size, or a header that claims a gigabyte",
    "one line before it is on the disk or in memory",
)


@BOMB
def test_bombs_are_stopped_before_they_are_on_the_disk(tmp_path, monkeypatch):
    zeros = ("zeros", bytes(2_000_000), 0)
    bomb = zipped(tmp_path / "a.zip", zeros)
    monkeypatch.setattr(module, "RATIO_FREE_BYTES", 1_000_000)
    with pytest.raises(UserError, match="'zeros' is too large"):
        extract(bomb, tmp_path / "out")
    packed = tar(tmp_path / "a.tar.gz", ("zeros", bytes(2_000_000), FILE), mode="w:gz")
    with pytest.raises(UserError, match="'zeros' is too large"):
        extract(packed, tmp_path / "out")
    assert not (tmp_path / "out").exists()
    monkeypatch.setattr(module, "RATIO_FREE_BYTES", 10_000_000)
    assert extract(bomb, tmp_path / "out")[0].stat().st_size == 2_000_000


@pytest.mark.parametrize("kind", [tarfile.GNUTYPE_LONGNAME, tarfile.XHDTYPE, tarfile.XGLTYPE])
@pytest.mark.parametrize("first", [True, False])
@BOMB
def test_a_header_is_not_read_into_memory_whatever_its_length(tmp_path, kind, first):
    huge = ("header", bytes(MAX_HEADER_BYTES + 1), kind)
    path = tar(tmp_path / "a.tar.gz", *([] if first else [("a", b"x", FILE)]), huge, mode="w:gz")
    with pytest.raises(UserError, match="a header of 1,048,577 bytes"):
        extract(path, tmp_path / "out")


@fault("archives", "more files and folders, or larger ones, than any data set has", "one line; unpacking stops")
def test_too_many_or_too_large_files_are_refused(tmp_path, monkeypatch):
    path = tar(tmp_path / "a.tar", *((f"f{number}", b"abc", FILE) for number in range(5)))
    monkeypatch.setattr(module, "MAX_MEMBERS", 4)
    with pytest.raises(UserError, match="more than 4 files"):
        extract(path, tmp_path / "out")
    folders = (*((f"d{number}", b"", tarfile.DIRTYPE) for number in range(5)), ("f", b"abc", FILE))
    zipped(tmp_path / "a.zip", *((f"d{number}/", b"", 0) for number in range(5)))
    for other in (tar(tmp_path / "b.tar", *folders), tmp_path / "a.zip"):
        with pytest.raises(UserError, match="more than 4 files and folders"):
            extract(other, tmp_path / "out")
    monkeypatch.setattr(module, "MAX_MEMBERS", 9)
    monkeypatch.setattr(module, "MAX_FILE_BYTES", 2)
    with pytest.raises(UserError, match="'f0' is too large"):
        extract(path, tmp_path / "other")


@fault(
    "archives", "members are marked setuid, setgid or executable", "unpacked as plain files with the user's own rights"
)
@pytest.mark.parametrize("kind", ["tar", "zip"])
def test_files_are_unpacked_by_name(tmp_path, kind):
    contents = {"in/x-T1.nii.gz": b"abc", "in/note.txt": b"n", "__MACOSX/in/._x-T1.nii.gz": b"m", "in/.DS_Store": b"s"}
    if kind == "tar":
        path = tar(tmp_path / "a.tar", ("in", b"", tarfile.DIRTYPE), *((n, c, FILE) for n, c in contents.items()))
    else:
        path = zipped(tmp_path / "a.zip", *((name, content, 0o106777) for name, content in contents.items()))
    (written,) = extract(path, tmp_path / "flat", endings=("-T1.nii.gz",))
    assert written == tmp_path / "flat" / "x-T1.nii.gz"
    assert written.read_bytes() == b"abc"
    deep = extract(path, tmp_path / "deep", flat=False)
    assert [p.relative_to(tmp_path).as_posix() for p in deep] == ["deep/in/x-T1.nii.gz", "deep/in/note.txt"]
    # rights come from here, not from the archive
    assert written.stat().st_mode & 0o7111 == 0


@fault("archives", "an archive is truncated (tar, tar.gz, zip)", "one line that names it; no half file")
@pytest.mark.parametrize("kind", ["tar", "tar.gz", "zip"])
def test_truncated_archives_are_named(tmp_path, kind):
    path = tmp_path / f"a.{kind}"
    body = bytes(range(256)) * 200
    if kind == "zip":
        zipped(path, ("x", body, 0), compression=zipfile.ZIP_STORED)
    else:
        tar(path, ("x", body, FILE), mode="w:gz" if kind.endswith("gz") else "w")
    path.write_bytes(path.read_bytes()[: path.stat().st_size // 2])
    with pytest.raises(UserError, match=r"cannot be unpacked|shorter than the archive says"):
        extract(path, tmp_path / "out")
    assert not list((tmp_path / "out").glob("*"))


SECOND = 3 * 512  # where the second member of the next test's archive begins


@fault(
    "archives",
    "a tar's header is damaged, or its end is cut off between two members",
    "one line; no file is lost in silence",
)
@pytest.mark.parametrize("damage", [
    lambda data: data[:SECOND], lambda data: data[: SECOND + 200], lambda data: data[:SECOND] + b"\1" + data[SECOND + 1 :]
])  # fmt: skip
@pytest.mark.parametrize("packed", [bytes, gzip.compress])
def test_a_tar_that_ends_early_is_not_taken_for_whole(tmp_path, damage, packed):
    path = tar(tmp_path / "a.tar", ("x", bytes(600), FILE), ("y", bytes(600), FILE))
    assert len(extract(path, tmp_path / "whole")) == 2
    path.write_bytes(packed(damage(path.read_bytes())))
    with pytest.raises(UserError, match=r"a\.tar: cannot be unpacked \(.* at byte 1,536\)"):
        extract(path, tmp_path / "out")


def test_a_spoilt_xz_archive_is_named(tmp_path):
    path = tar(
        tmp_path / "a.tar.xz",
        ("x", np.random.default_rng(0).integers(0, 4, 300_000, np.uint8).tobytes(), FILE),
        mode="w:xz",
    )
    data = bytearray(path.read_bytes())
    data[40_000:40_400] = bytes(400)
    path.write_bytes(data)
    with pytest.raises(UserError, match="cannot be unpacked"):
        extract(path, tmp_path / "out")


@pytest.mark.parametrize("kind", ["tar", "zip"])
def test_unpacking_shows_how_much_is_left(tmp_path, capsys, kind):
    contents = {f"{number}-T1.nii.gz": np.random.default_rng(number).bytes(1 << 20) for number in range(4)}
    contents["note.txt"] = bytes(1 << 20)
    make, sort = (tar, FILE) if kind == "tar" else (zipped, 0)
    path = make(tmp_path / f"a.{kind}", *((name, body, sort) for name, body in contents.items()))
    extract(path, tmp_path / "out", endings=("-T1.nii.gz",), progress=Progress(every_s=0))
    shown = capsys.readouterr().err.splitlines()
    assert " 20%" in shown[0] and "<" in shown[0]
    assert ("100%" in shown[-1]) or (" 99%" in shown[-1])


@fault("archives", "a bit of a member has flipped", "one line that names the archive; no file")
def test_a_flipped_bit_in_a_zip_is_found(tmp_path):
    path = zipped(tmp_path / "a.zip", ("x", b"abcdefgh" * 50, 0), compression=zipfile.ZIP_STORED)
    data = bytearray(path.read_bytes())
    data[100] ^= 1
    path.write_bytes(data)
    with pytest.raises(UserError, match="cannot be unpacked"):
        extract(path, tmp_path / "out")
    assert not (tmp_path / "out" / "x").exists()


def test_a_full_disk_while_unpacking_is_told_as_such(tmp_path, monkeypatch):
    path = tar(tmp_path / "a.tar", ("x", b"abc", FILE))

    def full(*args):
        raise OSError(28, "No space left on device")

    monkeypatch.setattr(module, "_copy", full)
    with pytest.raises(UserError, match="no space is left"):
        extract(path, tmp_path / "out")


def test_digests_and_sizes_are_compared(tmp_path):
    (tmp_path / "a").write_bytes(b"abc")
    check_file(tmp_path / "a", size=3, md5="900150983cd24fb0d6963f7d28e17f72")
    with pytest.raises(UserError, match="has 3 bytes, 4 were published"):
        check_file(tmp_path / "a", size=4)
    with pytest.raises(UserError, match="md5 is"):
        check_file(tmp_path / "a", md5="0" * 32)


FULL_DISK = """
import resource, sys
from pathlib import Path
from xmodbench.data.download.archive import extract
from xmodbench.errors import UserError
resource.setrlimit(resource.RLIMIT_FSIZE, (int(sys.argv[3]), resource.RLIM_INFINITY))
try:
    extract(Path(sys.argv[1]), Path(sys.argv[2]))
except UserError as error:
    sys.exit(str(error))
"""


def test_a_disk_that_fills_up_leaves_no_half_file(tmp_path):
    path = tar(tmp_path / "a.tar", ("small", b"abc", FILE), ("large", b"x" * 300_000, FILE))
    command = [sys.executable, "-c", FULL_DISK, str(path), str(tmp_path / "out")]
    done = subprocess.run([*command, "100000"], capture_output=True, text=True, check=False)
    assert done.returncode == 1
    assert "no space is left for it" in done.stderr and len(done.stderr.splitlines()) == 1
    assert [item.name for item in (tmp_path / "out").iterdir()] == ["small"]
    assert subprocess.run([*command, "900000"], check=False).returncode == 0
    assert (tmp_path / "out" / "large").stat().st_size == 300_000


@fault(
    "archives",
    "the process that unpacked an archive was killed",
    "the archive is unpacked again; what was half-written is removed",
)
def test_what_a_killed_process_left_half_written_is_removed(tmp_path):
    archive = tar(tmp_path / "a.tar", ("site/T1.nii", b"one", FILE), ("site/.hidden", b"two", FILE))
    folder = tmp_path / "out" / "site"
    folder.mkdir(parents=True)
    for name in (".T1.nii.tmp-4711", "..hidden.tmp-4711", ".PD.nii.tmp-4711", "T1.nii.tmp-4711"):
        (folder / name).write_bytes(b"half")
    extract(archive, tmp_path / "out", flat=False)
    left = {path.name for path in folder.iterdir()}
    assert left == {"T1.nii", ".hidden", ".PD.nii.tmp-4711", "T1.nii.tmp-4711"}  # what is of other files is not ours

"""Whatever an archive's members are called, whatever they are: nothing lands outside its folder."""

from __future__ import annotations

import io
import tarfile
import zipfile
from pathlib import Path
from tempfile import TemporaryDirectory

import pytest
from hypothesis import example, given
from hypothesis import strategies as st

from tests.properties.lines import check_line, hostile
from xmodbench.data.download.archive import extract
from xmodbench.errors import UserError

CONTENT = b"voxels"
part = st.sampled_from(
    ["..", ".", "", "a", "b.nii", "~", "C:", "con", "aux.nii", "..\\..", "a\0b", "a\nb", "ü", "u\u0308", "\u202e", " ",
     ". .", "x" * 255, "x" * 300, "victim", "__MACOSX", ".DS_Store", "\\\\server", "%2e%2e", "…", "\uff0e\uff0e"]
)  # fmt: skip
names = st.one_of(
    hostile.filter(bool),
    st.builds(
        "{}{}".format,
        st.sampled_from(["", "/", "//", "./", "\\"]),
        st.lists(part, min_size=1, max_size=4).map("/".join),
    ),
)
kinds = st.sampled_from([b"0", b"\0", b"1", b"2", b"3", b"5", b"6", b"7", b"S"])
members = st.lists(
    st.tuples(names, kinds, st.sampled_from(["victim", "../victim", "/etc/passwd", "a"])), min_size=1, max_size=4
)


def tar(path: Path, items, form: int) -> None:
    with tarfile.open(path, "w", format=form) as file:
        for name, kind, link in items:
            info = tarfile.TarInfo(name)
            info.type, info.linkname, info.mode = kind, link, 0o6777
            info.size = len(CONTENT) if kind in (b"0", b"\0", b"7", b"S") else 0
            file.addfile(info, io.BytesIO(CONTENT))


def zipped(path: Path, items) -> None:
    modes = {b"2": 0o120777, b"3": 0o020666, b"5": 0o040755, b"6": 0o010666}
    with zipfile.ZipFile(path, "w") as file:
        for name, kind, _ in items:
            info = zipfile.ZipInfo("x")
            info.filename = info.orig_filename = name  # ZipInfo itself would mend some names
            info.external_attr = modes.get(kind, 0o100644) << 16
            file.writestr(info, CONTENT)


@pytest.mark.fault("archives", "members of any name and kind at all", "unpacked inside the folder, or one line")
@pytest.mark.filterwarnings("ignore:Duplicate name")
@given(members, st.sampled_from(["zip", tarfile.GNU_FORMAT, tarfile.PAX_FORMAT]), st.booleans())
@example([("../victim", b"0", "")], "zip", False)
@example([("", b"0", "")], "zip", False)
@example([("\0a", b"0", "")], "zip", True)
@example([("a", b"2", ".."), ("a/victim", b"0", "")], tarfile.PAX_FORMAT, False)
def test_nothing_lands_outside(items, form, flat):
    with TemporaryDirectory(prefix="xmodbench-test-") as folder:
        root = Path(folder)
        archive, inside, victim = root / "archive", root / "below" / "inside", root / "below" / "victim"
        inside.mkdir(parents=True)
        victim.write_bytes(b"own")
        try:
            zipped(archive, items) if form == "zip" else tar(archive, items, form)
        except (ValueError, UnicodeError, zipfile.LargeZipFile):
            return  # no archive can hold such a name
        try:
            written = extract(archive, inside, flat=flat)
        except UserError as error:
            check_line(error)
        else:
            assert all(path.is_file() and path.read_bytes() == CONTENT for path in written)
        there = {path for path in root.rglob("*") if not path.is_relative_to(inside)}
        assert there == {archive, root / "below", inside, victim} - {inside} and victim.read_bytes() == b"own"
        for path in inside.rglob("*"):
            assert not path.is_symlink() and path.resolve().is_relative_to(inside.resolve())
            assert path.is_dir() or (path.read_bytes() == CONTENT and ".tmp-" not in path.name)


@pytest.mark.fault("archives", "any damage to its bytes", "unpacked whole, or one line")
@given(st.data(), st.sampled_from(["zip", "tar", "gz"]))
def test_a_damaged_archive(data, form):
    with TemporaryDirectory(prefix="xmodbench-test-") as folder:
        archive, inside = Path(folder) / "archive", Path(folder) / "inside"
        items = [("a/one.nii", b"0", ""), ("a/two.nii", b"0", "")]
        zipped(archive, items) if form == "zip" else tar(archive, items, tarfile.GNU_FORMAT)
        if form == "gz":
            with tarfile.open(archive) as plain, tarfile.open(archive.with_name("packed"), "w:gz") as packed:
                for member in plain:
                    packed.addfile(member, plain.extractfile(member))
            archive = archive.with_name("packed")
        content = bytearray(archive.read_bytes())
        for _ in range(data.draw(st.integers(1, 3))):
            # a tar is mostly padding: look where something stands
            place = data.draw(st.sampled_from([index for index, byte in enumerate(content) if byte] or [0]))
            content[place] = data.draw(st.integers(0, 255))
        archive.write_bytes(content[: data.draw(st.sampled_from([len(content), len(content) // 2, 10]))])
        try:
            extract(archive, inside, flat=False)
        except UserError as error:
            check_line(error)
        assert {path.name for path in Path(folder).iterdir()} <= {"archive", "packed", "inside"}

"""Volumes whose voxels are in other files than their header: all of them are what the volume is known by."""

import os

import pytest

from tests.headers import VOXELS, Case, write_metaimage, write_nifti, write_nrrd, write_pair
from xmodbench.data.raw_state import RawState, seen
from xmodbench.data.volumes.elsewhere import volume_files, volume_sha256
from xmodbench.data.volumes.io import read_volume
from xmodbench.errors import UserError
from xmodbench.files import sha256_file
from xmodbench.plugins import DATASETS, find
from xmodbench.plugins.settings import validated
from xmodbench.stages.acquire import acquire
from xmodbench.stages.prepare import check_acquired

DATA = VOXELS.astype("<i2").tobytes()
HALVES = (DATA[: len(DATA) // 2], DATA[len(DATA) // 2 :])


def metaimage(path, where, body=b""):
    return write_metaimage(path, Case({"ElementDataFile": where}, body=lambda _: body))


def nrrd(path, where):
    return write_nrrd(path, Case({"data file": where}, body=lambda _: b""))


MADE = {
    "mhd": (lambda at: metaimage(at / "t1.mhd", "t1.raw"), ["t1.raw"]),
    "mhd, text": (lambda at: metaimage(at / "t1.mhd", "t1.txt"), ["t1.txt"]),
    "mhd, hidden": (lambda at: metaimage(at / "t1.mhd", ".t1.raw"), [".t1.raw"]),
    "mhd, list": (lambda at: metaimage(at / "t1.mhd", "LIST", b"b.npy\na.npy\n"), ["b.npy", "a.npy"]),
    "mha, pattern": (lambda at: metaimage(at / "t1.mha", "s%d.csv 1 2 1"), ["s1.csv", "s2.csv"]),
    "nhdr": (lambda at: nrrd(at / "t1.nhdr", "t1.raw"), ["t1.raw"]),
    "nhdr, outside": (lambda at: nrrd(at / "t1.nhdr", "../../t1.raw"), ["../../t1.raw"]),
    "nrrd, list": (lambda at: nrrd(at / "t1.nrrd", "LIST\nb.txt\na.txt"), ["b.txt", "a.txt"]),
    "nrrd, absolute": (lambda at: nrrd(at / "t1.nrrd", at.parents[1] / "x" / "t1.raw"), ["../../x/t1.raw"]),
    "hdr": (lambda at: write_pair(at / "t1.hdr", Case({})), ["t1.img"]),
}


@pytest.fixture(params=MADE)
def volume(request, tmp_path):
    """A header in a folder of its own below ``raw``, and the files of its voxels."""
    make, names = MADE[request.param]
    folder = tmp_path / "raw" / "s1"
    folder.mkdir(parents=True)
    header = make(folder)
    files = [folder / name for name in names]
    for file, part in zip(files, [DATA] if len(files) == 1 else HALVES, strict=True):
        file.parent.mkdir(exist_ok=True)
        file.write_bytes(part)
    read_volume(header)
    return header, files


def change(file):
    """Another content of the same size, with the same times."""
    status = file.stat()
    file.write_bytes(bytes([file.read_bytes()[0] ^ 1]) + file.read_bytes()[1:])
    os.utime(file, ns=(status.st_atime_ns, status.st_mtime_ns))


def test_the_digest_covers_every_file(volume):
    header, files = volume
    assert [file.resolve() for file in volume_files(header)] == [file.resolve() for file in (header, *files)]
    digests = {volume_sha256(header)}
    for file in (header, *files):
        kept = file.read_bytes()
        file.write_bytes(kept + (b"\n" if file == header else b"\0"))
        digests.add(volume_sha256(header))
        file.write_bytes(kept)
    assert len(digests) == 2 + len(files) and volume_sha256(header) in digests


def test_a_changed_file_of_voxels_is_noticed(volume, tmp_path):
    _, files = volume
    raw, out = tmp_path / "raw", tmp_path / "out"
    RawState.of(raw, None, "asked").write(out)
    assert seen(raw, out) == "asked"
    change(files[-1])
    assert files[-1].name in RawState.read(out).difference(raw)
    assert seen(raw, out) != "asked"
    RawState.of(raw, RawState.read(out), "again").write(out)
    assert seen(raw, out) == "again"
    files[-1].unlink()
    assert RawState.read(out).difference(raw).endswith("has gone")


@pytest.mark.fault(
    "volumes",
    "the file that a header leaves its voxels to is changed or removed, the header is not",
    "the next run begins again at `acquire`; `prepare` by hand refuses it in one line",
)
def test_preparing_a_volume_whose_voxels_have_changed_is_refused(volume, tmp_path, quiet):
    header, files = volume
    write_nifti(header.parent / "pd.nii", Case({}))
    plugin = find(DATASETS, "folder")
    settings = {"patterns": {"t1": "{subject}/t1.*", "pd": "{subject}/pd.nii"}}
    dataset = plugin.cls(validated(plugin.cls.Config, settings, "c.yaml", "settings"))
    raw, out = tmp_path / "raw", tmp_path / "out"
    acquire(dataset, raw, out, 1, quiet)
    check_acquired(dataset, raw, out, 1)
    change(files[0])
    with pytest.raises(UserError, match=rf"raw: .*{files[0].name} has changed since it was acquired; run"):
        check_acquired(dataset, raw, out, 1)
    files[0].unlink()
    with pytest.raises(UserError, match=rf"raw: .*{files[0].name} has gone since it was acquired; run"):
        check_acquired(dataset, raw, out, 1)


@pytest.mark.parametrize("name", ["a.nii", "a.nii.gz", "a.nrrd", "a.mha"])
def test_a_volume_of_one_file_keeps_its_digest(tmp_path, name):
    write = {"nrrd": write_nrrd, "mha": write_metaimage}.get(name[2:], write_nifti)
    path = write(tmp_path / name, Case({}))
    assert volume_files(path) == [path] and volume_sha256(path) == sha256_file(path)


@pytest.mark.fault(
    "volumes",
    "a header names a device, a folder, nothing, or more files than any memory holds, for its voxels",
    "one line with the file; nothing is read without end",
)
@pytest.mark.parametrize("where", ["", "/dev/zero", ".", "\0", "x" * 300, "s%d 1 99999999999 1", "nowhere.raw"])
def test_a_header_that_names_no_file_does_not_stop_the_others(tmp_path, where):
    (tmp_path / "raw").mkdir()
    metaimage(tmp_path / "raw" / "a.mhd", where)
    nrrd(tmp_path / "raw" / "a.nhdr", where)
    state = RawState.of(tmp_path / "raw", None, None)
    assert sorted(state.files) == ["a.mhd", "a.nhdr"]
    for name in ("a.mhd", "a.nhdr"):
        with pytest.raises(UserError, match=name):
            read_volume(tmp_path / "raw" / name)


def test_a_long_list_is_read_to_its_end(tmp_path):
    names = [f"slice-{number:0100d}.raw" for number in range(300)]
    path = metaimage(tmp_path / "a.mhd", "LIST", "\n".join(names).encode())
    assert [file.name for file in volume_files(path)[1:]] == names

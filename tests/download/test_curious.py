"""EASY-RESECT's zip, or the like of it made from RESECT's files, from their addresses' paths."""

import io
import json
import shutil
import sys
import zipfile

import numpy as np
import pytest
import SimpleITK as sitk

from tests.download.server import cut
from xmodbench.data.download.disk import exclusive
from xmodbench.data.download.lockfile import LockFile
from xmodbench.errors import UserError
from xmodbench.plugins import DATASETS, find
from xmodbench.progress import Progress

QUIET = Progress(quiet=True)
EASY = "/ns9999k.webs.sigma2.no/10.11582_2020.00025/EASY-RESECT.zip"
RESECT = "/data.archive.sigma2.no/dataset/5686d8fa-2003-4837-8e66-8e887fabe21e/download/RESECT/NIFTI"  # and a case


@pytest.fixture
def curious(monkeypatch):
    plugin = find(DATASETS, "curious")
    module = sys.modules[plugin.cls.__module__]
    monkeypatch.setattr(module, "CASES", (1, 2, 4))
    monkeypatch.setattr(module, "KNOWN", {})
    return plugin.cls(plugin.cls.Config())


def volume(seed, size=(24, 26, 28), spacing=5.0, turn=0.0):
    image = sitk.GetImageFromArray(np.random.default_rng(seed).uniform(1, 900, size[::-1]).astype(np.float32))
    image = sitk.SmoothingRecursiveGaussian(image, 12.0) if spacing == 5.0 else image
    image.SetSpacing([spacing] * 3)
    image.SetOrigin((-60.0, -65.0, -70.0))
    image.SetDirection(sitk.Euler3DTransform((0, 0, 0), 0, 0, turn).GetMatrix())
    return image


def written(image, tmp_path, name):
    sitk.WriteImage(image, str(tmp_path / name))
    return (tmp_path / name).read_bytes()


@pytest.fixture
def easy(server, tmp_path_factory):
    folder, buffer = tmp_path_factory.mktemp("easy"), io.BytesIO()
    with zipfile.ZipFile(buffer, "w", zipfile.ZIP_DEFLATED) as file:
        file.writestr("EASY-RESECT/.DS_Store", b"x")
        for case in (1, 2):
            for name in ("T1", "FLAIR", "US-before"):
                inner = f"EASY-RESECT/NIFTI/Case{case}/Case{case}-{name}-resize.nii"
                file.writestr(inner, written(volume(case), folder, "a.nii"))
                file.writestr(f"__MACOSX/{inner.replace('Case1-', '._Case1-')}", b"x")
    server.files[EASY] = buffer.getvalue()
    return server


@pytest.fixture
def resect(server, tmp_path_factory):
    folder = tmp_path_factory.mktemp("resect")
    for case in (1, 2):
        for name, place in (("T1", "MRI"), ("FLAIR", "MRI"), ("US-before", "US")):
            image = volume(case) if place == "MRI" else volume(9, (40, 40, 40), 1.0, turn=0.3)
            body = written(image, folder, f"{case}{name}.nii.gz")
            server.files[f"{RESECT}/Case{case}/{place}/Case{case}-{name}.nii.gz"] = body
    return server


def test_the_zip_is_fetched_and_unpacked_in_its_layout(curious, easy, tmp_path):
    easy.faults[EASY] = [cut(len(easy.files[EASY]) // 2)]
    curious.acquire(tmp_path, 1, QUIET)
    found = curious.volumes(tmp_path)
    assert [(r.subject, sorted(r.files), r.problem) for r in found] == [
        ("Case1", ["flair", "t1"], None),
        ("Case2", ["flair", "t1"], None),
    ]
    # neither ultrasound nor what a Mac left behind
    assert not list(tmp_path.rglob("*US-before*")) and not (tmp_path / "__MACOSX").exists()
    asked = len(easy.requests)
    (tmp_path / "EASY-RESECT.zip").unlink()
    curious.acquire(tmp_path, 1, QUIET)
    assert len(easy.requests) == asked


def test_offline_it_is_made_from_resect(curious, resect, tmp_path, capsys):
    curious.acquire(tmp_path, 1, Progress())
    shown = capsys.readouterr().err
    assert "no such file (404)" in shown and "making the like of it from RESECT" in shown
    assert "to go back to EASY-RESECT, delete RESECT-resized" in shown
    assert "Case4 is left out: " in shown
    found = curious.volumes(tmp_path)
    assert [r.subject for r in found] == ["Case1", "Case2"]
    image = sitk.ReadImage(str(found[0].files["t1"]))
    assert image.GetSize() == (256, 256, 288)
    assert image.GetSpacing() == pytest.approx((0.5, 0.5, 0.5))
    # around the ultrasound's middle, along its axes
    frame = volume(9, (40, 40, 40), 1.0, turn=0.3)
    assert image.GetDirection() == pytest.approx(frame.GetDirection(), abs=1e-4)
    middle = image.TransformContinuousIndexToPhysicalPoint([127.5, 127.5, 143.5])
    assert middle == pytest.approx(frame.TransformContinuousIndexToPhysicalPoint([19.5] * 3), abs=1e-2)
    # and with the values of the scan
    original = volume(1)
    point = image.TransformIndexToPhysicalPoint((120, 140, 150))
    sample = sitk.Resample(original, [1, 1, 1], sitk.Transform(), sitk.sitkLinear, point, (1, 1, 1))
    assert image[120, 140, 150] == pytest.approx(sample[0, 0, 0], rel=1e-3)
    # a second call goes on with it, and mixes nothing
    asked = len(resect.requests)
    curious.acquire(tmp_path, 1, QUIET)
    assert [path for path, _ in resect.requests[asked:] if "Case4" not in path] == []
    (tmp_path / "EASY-RESECT").mkdir()
    with pytest.raises(UserError, match="are both here; delete one"):
        curious.acquire(tmp_path, 1, QUIET)


def test_with_neither_it_says_what_to_do(curious, tmp_path, monkeypatch):
    monkeypatch.setenv("XMODBENCH_MIRROR", "http://127.0.0.1:9")
    with pytest.raises(
        UserError, match=r"neither EASY-RESECT nor all of RESECT.*connection refused.*doi 10.11582/2020.00025"
    ):
        curious.acquire(tmp_path, 1, QUIET)


def test_a_damaged_zip_is_named_and_not_passed_over(curious, resect, tmp_path):
    (tmp_path / "EASY-RESECT.zip").write_bytes(b"PK\x03\x04 broken")
    with pytest.raises(UserError, match=r"EASY-RESECT.zip: cannot be unpacked"):
        curious.acquire(tmp_path, 1, QUIET)


def test_one_damaged_original_does_not_stop_the_others(curious, resect, tmp_path, capsys):
    place = f"{RESECT}/Case1/MRI/Case1-FLAIR.nii.gz"
    sound = resect.files[place]
    resect.files[place] = sound[:2000]
    curious.acquire(tmp_path, 1, Progress())
    assert "Case1 is left out: " in capsys.readouterr().err
    assert [r.subject for r in curious.volumes(tmp_path)] == ["Case2"]
    about = json.loads((tmp_path / "RESECT-resized/about.json").read_text())
    assert sorted(about["left_out"]) == ["Case1", "Case4"]
    assert "Case1-FLAIR.nii.gz" in about["left_out"]["Case1"] and "delete it" in about["left_out"]["Case1"]
    resect.files[place] = sound
    (tmp_path / "NIFTI/Case1/MRI/Case1-FLAIR.nii.gz").unlink()
    curious.acquire(tmp_path, 1, QUIET)
    assert [r.subject for r in curious.volumes(tmp_path)] == ["Case1", "Case2"]


def full_disk(folder, easy, monkeypatch):
    monkeypatch.setattr("shutil.disk_usage", lambda path: type("Usage", (), {"free": 10})())


def another_process(folder, easy, monkeypatch):
    held = exclusive(folder / "EASY-RESECT.zip.part")
    held.__enter__()
    monkeypatch.setattr(easy, "held", held, raising=False)


def another_file(folder, easy, monkeypatch):
    (folder / "EASY-RESECT.zip").write_bytes(b"before")
    facts = {"url": "https://x", "size": 6, "md5": "0" * 32, "sha256": "0" * 64, "fetched": None}
    LockFile(folder).add_file("EASY-RESECT.zip", facts)
    (folder / "EASY-RESECT.zip").unlink()


@pytest.mark.parametrize(
    ("trouble", "line"),
    [
        (full_disk, "are needed, 10 B are free"),
        (another_process, "another process is fetching it"),
        (another_file, "0{64} was expected"),
    ],
)
def test_only_what_cannot_be_had_is_replaced(curious, easy, resect, tmp_path, monkeypatch, trouble, line):
    trouble(tmp_path, easy, monkeypatch)
    with pytest.raises(UserError, match=line):
        curious.acquire(tmp_path, 1, QUIET)
    assert [path for path, _ in resect.requests if path.startswith(RESECT)] == []
    assert not (tmp_path / "RESECT-resized").exists()


def test_easy_resect_is_asked_for_again_where_nothing_was_made(curious, easy, tmp_path):
    body = easy.files.pop(EASY)
    with pytest.raises(UserError, match=r"no case of RESECT can be used .*404.*; put EASY-RESECT.zip"):
        curious.acquire(tmp_path, 1, QUIET)
    easy.files[EASY] = body
    curious.acquire(tmp_path, 1, QUIET)
    assert (tmp_path / "EASY-RESECT").is_dir() and not (tmp_path / "RESECT-resized").exists()


def test_other_code_makes_the_volumes_again(curious, resect, tmp_path, monkeypatch, capsys):
    curious.acquire(tmp_path, 1, QUIET)
    module = sys.modules[type(curious).__module__.replace(".dataset", ".rebuild")]
    volumes = sorted((tmp_path / "RESECT-resized").rglob("*.nii"))
    before = [path.stat().st_mtime_ns for path in volumes]
    curious.acquire(tmp_path, 1, QUIET)
    assert [path.stat().st_mtime_ns for path in volumes] == before
    monkeypatch.setattr(module, "files_hash", lambda *files: "other")
    curious.acquire(tmp_path, 1, QUIET)
    assert all(new.stat().st_mtime_ns > old for new, old in zip(volumes, before, strict=True))
    # the originals are gone and there is no network: what is there stays
    monkeypatch.setattr(module, "files_hash", lambda *files: "third")
    monkeypatch.setenv("XMODBENCH_MIRROR", "http://127.0.0.1:9")
    monkeypatch.setattr(sys.modules[type(curious).__module__], "CASES", (1, 2))
    shutil.rmtree(tmp_path / "NIFTI")
    curious.acquire(tmp_path, 1, Progress())
    assert "Case1: kept as it is, made by other code" in capsys.readouterr().err
    assert len(curious.volumes(tmp_path)) == 2


def test_known_digests_and_cases():
    plugin = find(DATASETS, "curious")
    module = sys.modules[plugin.cls.__module__]
    assert len(module.CASES) == 23
    split = plugin.cls.Config().split
    assert [*split.train_subjects, *split.test_subjects] == [f"Case{number}" for number in module.CASES]
    assert (split.n_train, split.n_test, len(split.test_subjects)) == (17, 5, 5)
    scan = plugin.cls._originals(4)["T1"]
    assert (scan.size, scan.md5) == (8_763_797, "e2db363c6ce57e83663b4de2f95c2ed0")
    assert scan.urls[0].endswith("/RESECT/NIFTI/Case4/MRI/Case4-T1.nii.gz")

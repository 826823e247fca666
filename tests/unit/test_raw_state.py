"""Whatever changes which file is whose in a raw folder starts `acquire` again, and nothing else does."""

import os
import shutil
import time

import pytest

from tests.plugins import write_dataset
from xmodbench.data.raw_state import RawState, seen
from xmodbench.errors import UserError
from xmodbench.plugins import DATASETS, find
from xmodbench.stages.acquire import acquire
from xmodbench.stages.prepare import prepare

TOY = """
from pathlib import Path
from xmodbench.data.volumes.settings import Preparation
from xmodbench.plugins import SubjectRecord
class Toy(Dataset):
    simulated = {simulated}
    Config = Preparation
    def modalities(self): return ("t1", "pd")
    def acquire(self, raw_dir, seed, progress):
        for name in {made}:
            path = Path(raw_dir) / name
            path.parent.mkdir(parents=True, exist_ok=True)
            if not path.exists(): path.write_text(name)
    def volumes(self, raw_dir):
        found = sorted(path for path in Path(raw_dir).iterdir() if path.is_dir())
        there = lambda p: {{m: p / f"{{m}}.nii" for m in self.modalities() if (p / f"{{m}}.nii").exists()}}
        return [SubjectRecord(p.name, "x", there(p)) for p in found]
"""
FILES = [f"{subject}/{modality}.nii" for subject in "abc" for modality in ("t1", "pd")]


class Raw:
    """A raw folder, which a data set of the user's own finds and another makes, and the plan that looks at it."""

    def __init__(self, root, quiet, made):
        self.raw, self.out, self.quiet, self.count = root / "raw", root / "data", quiet, 0
        name = "making" if made else "given"  # plugins of one name are loaded once
        write_dataset(root, name, TOY.format(simulated=made, made=FILES if made else []))
        self.plugin = find(DATASETS, name).cls
        for name in FILES:
            if not made:
                self.write(self.raw / name, name)
        self.other = root / "elsewhere"
        for name in FILES:
            self.write(self.other / name, f"another {name}")
        self.run()

    def write(self, path, text):
        path.parent.mkdir(parents=True, exist_ok=True)
        path.write_text(text)
        os.utime(path, (1e9, 1e9))

    @property
    def dataset(self):
        return self.plugin(self.plugin.Config())

    def run(self):
        """What a workflow does: the job is told what the plan saw, which is what its next runs are compared with."""
        self.asked = seen(self.raw, self.out)
        acquire(self.dataset, self.raw, self.out, 1, self.quiet, self.asked)

    @property
    def waiting(self):
        return seen(self.raw, self.out) != self.asked


@pytest.fixture(params=[False, True], ids=["given", "made"])
def raw(request, tmp_path, monkeypatch, quiet):
    monkeypatch.chdir(tmp_path)
    return Raw(tmp_path, quiet, request.param)


def exchange(one, other):
    spare = one.with_name("spare")
    one.rename(spare), other.rename(one), spare.rename(other)


def rewrite(path):
    """Other contents of the same size and time."""
    path.write_text(path.read_text().upper())
    os.utime(path, (1e9, 1e9))


def relink(raw):
    (raw.raw / "c").unlink()
    (raw.raw / "c").symlink_to(raw.other / "b")


CHANGES = {
    "a subject renamed": lambda raw: (raw.raw / "a").rename(raw.raw / "d"),
    "a subject added": lambda raw: raw.write(raw.raw / "d" / "t1.nii", "d"),
    "a subject removed": lambda raw: shutil.rmtree(raw.raw / "b"),
    "a file removed": lambda raw: (raw.raw / "b" / "pd.nii").unlink(),
    "files exchanged": lambda raw: exchange(raw.raw / "a" / "t1.nii", raw.raw / "b" / "t1.nii"),
    "modalities exchanged": lambda raw: exchange(raw.raw / "a" / "t1.nii", raw.raw / "a" / "pd.nii"),
    "subjects exchanged": lambda raw: exchange(raw.raw / "a", raw.raw / "b"),
    "contents": lambda raw: rewrite(raw.raw / "a" / "t1.nii"),
    "a data file of .mhd": lambda raw: raw.write(raw.raw / "a" / "t1.raw", "x"),
    "no suffix": lambda raw: raw.write(raw.raw / "a" / "IM0001", "x"),
}


@pytest.mark.parametrize("change", CHANGES)
def test_a_change_starts_it_again_once(raw, change):
    assert not raw.waiting
    CHANGES[change](raw)
    assert raw.waiting
    raw.run()
    assert not raw.waiting


def test_a_link_that_leads_elsewhere_is_a_change(raw):
    shutil.rmtree(raw.raw / "c")
    (raw.raw / "c").symlink_to(raw.other / "c")
    raw.run()
    assert not raw.waiting
    relink(raw)
    assert raw.waiting
    raw.run()
    assert not raw.waiting
    shutil.move(raw.other, raw.raw.parent / "again")
    assert raw.waiting


def test_going_back_to_what_was_there_before_is_a_change(tmp_path, monkeypatch, quiet):
    monkeypatch.chdir(tmp_path)
    raw = Raw(tmp_path, quiet, True)
    shutil.rmtree(raw.raw)
    assert raw.waiting
    raw.run()
    assert not raw.waiting


@pytest.mark.parametrize(
    "name", ["notes.txt", "archive.zip", "a/.hidden", "results/x/t1.npy", ".snakemake/log", "report.json"]
)
def test_what_is_no_scan_is_no_change(raw, name):
    raw.write(raw.raw / name, "x")
    assert not raw.waiting


def test_times_and_places_alone_are_no_change(raw, tmp_path):
    for name in FILES:
        (raw.raw / name).touch()
    assert not raw.waiting
    shutil.copytree(raw.raw, tmp_path / "copy")
    shutil.rmtree(raw.raw)
    (tmp_path / "copy").rename(raw.raw)
    assert not raw.waiting


def test_files_are_read_again_only_where_they_may_have_changed(raw, monkeypatch):
    read = []
    monkeypatch.setattr("xmodbench.data.raw_state.sha256_file", lambda path: read.append(path.name) or "other")
    time.sleep(0.01)
    (raw.raw / "a" / "t1.nii").touch()
    raw.run()
    assert set(read) == {"t1.nii"} and len(read) <= 2


def test_by_hand_the_plan_is_not_forgotten(raw, quiet):
    (raw.raw / "a").rename(raw.raw / "d")
    acquire(raw.dataset, raw.raw, raw.out, 1, quiet)
    assert not raw.waiting
    assert RawState.read(raw.out).seen == raw.asked


@pytest.mark.parametrize(
    ("change", "said"),
    [
        ("a subject renamed", "a/pd.nii has gone"),
        ("a file removed", "b/pd.nii has gone"),
        ("files exchanged", "a/t1.nii has changed"),
        ("contents", "a/t1.nii has changed"),
    ],
)
def test_preparing_what_has_changed_since_is_refused(raw, quiet, change, said):
    CHANGES[change](raw)
    with pytest.raises(UserError, match=f"raw: {said} since it was acquired; run `.*acquire"):
        prepare(raw.dataset, raw.raw, raw.out, name="toy", seed=1, threads=1, progress=quiet)


def test_simulated_scans_of_another_seed_or_recipe_are_not_prepared(tmp_path, monkeypatch, quiet):
    monkeypatch.chdir(tmp_path)
    plugin = find(DATASETS, "sim_ixi").cls
    made = plugin(plugin.Config(n_subjects=2, scale=4))
    made.acquire(tmp_path / "raw", 1, quiet)
    smaller = plugin(plugin.Config(n_subjects=2, scale=4, image_size=16))
    assert made.outdated(tmp_path / "raw", 1) is smaller.outdated(tmp_path / "raw", 1) is None
    other = plugin(plugin.Config(n_subjects=2, scale=3.5))
    for dataset, seed in ((made, 2), (other, 1)):
        with pytest.raises(
            UserError, match="IXI901-SIM-0001 was not simulated with these settings, this seed and this code"
        ):
            prepare(dataset, tmp_path / "raw", tmp_path / "out", name="x", seed=seed, threads=1, progress=quiet)

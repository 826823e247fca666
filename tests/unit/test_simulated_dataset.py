"""Simulated subjects are made once, and anew when a job was killed over them, a file is gone or the recipe changed."""

import json

import pytest
from pydantic import Field

from xmodbench.data.simulate.dataset import SimulatedDataset
from xmodbench.data.volumes.pattern import PatternConfig, PatternDataset


class ToyConfig(PatternConfig):
    patterns: dict[str, str] = Field({"a": "{subject}-a.nii", "b": "{subject}-b.nii"})
    n_subjects: int = 3
    scale: float = 1.0


class Toy(SimulatedDataset, PatternDataset):
    Config = ToyConfig

    def __init__(self, settings):
        super().__init__(settings)
        self.calls = []

    def subjects(self):
        return [f"s{number}" for number in range(self.settings.n_subjects)]

    def simulate(self, raw_dir, subject, seed, truth):
        self.calls.append(subject)
        for path in self.made(raw_dir, subject):
            path.write_text(str(seed))
        (raw_dir / f"{subject}-truth.json").write_text(json.dumps(truth))

    def made(self, raw_dir, subject):
        return [raw_dir / f"{subject}-{name}.nii" for name in "ab"]


def made(folder, quiet, seed=1, **settings):
    toy = Toy(ToyConfig(**settings))
    toy.acquire(folder, seed, quiet)
    return toy.calls


def test_what_is_there_is_kept(tmp_path, quiet):
    assert made(tmp_path, quiet) == ["s0", "s1", "s2"]
    assert made(tmp_path, quiet) == []
    assert made(tmp_path, quiet, n_subjects=4) == ["s3"]
    # more subjects may lie there from another run
    assert [record.subject for record in Toy(ToyConfig(n_subjects=2)).volumes(tmp_path)] == ["s0", "s1"]


@pytest.mark.parametrize("lost", ["s1-a.nii", "s1-truth.json"])
def test_what_is_not_whole_is_made_again(tmp_path, quiet, lost):
    made(tmp_path, quiet)
    (tmp_path / lost).unlink()
    assert made(tmp_path, quiet) == ["s1"]


@pytest.mark.parametrize("change", [{"seed": 2}, {"scale": 2.0}])
def test_another_recipe_makes_everything_anew(tmp_path, quiet, change):
    made(tmp_path, quiet)
    assert made(tmp_path, quiet, **change) == ["s0", "s1", "s2"]


def test_a_job_killed_over_a_remake_leaves_no_truth(tmp_path, quiet, monkeypatch):
    made(tmp_path, quiet)

    def killed(self, *args):
        raise KeyboardInterrupt

    monkeypatch.setattr(Toy, "simulate", killed)
    with pytest.raises(KeyboardInterrupt):
        made(tmp_path, quiet, seed=2)
    monkeypatch.undo()
    # going back to the first seed must not take the half-replaced subject for its own
    assert made(tmp_path, quiet) == ["s0"]
    assert Toy(ToyConfig()).simulated


def test_only_code_that_can_change_the_scans_makes_them_anew(tmp_path, monkeypatch):
    from xmodbench.files import PACKAGE_ROOT
    from xmodbench.plugins import DATASETS, code_hash, find

    plugin = find(DATASETS, "sim_ixi")
    dataset, hashed = plugin.cls(plugin.cls.Config()), []
    code_hash.files_hash.cache_clear()
    monkeypatch.setattr(code_hash, "sha256_file", lambda path: hashed.append(path) or "own")
    monkeypatch.setattr(code_hash, "sha256_files", lambda paths, root: hashed.extend(paths) or "shared")
    dataset._recipe(1)
    code_hash.files_hash.cache_clear()
    roots = (PACKAGE_ROOT, plugin.folder)
    names = {path.relative_to(root).as_posix() for path in hashed for root in roots if path.is_relative_to(root)}
    assert {
        "simulate.py",
        "data/volumes/io.py",
        "data/volumes/resample.py",
        "data/simulate/head.py",
        "seeding.py",
    } <= names
    assert not {"dataset.py", "data/volumes/prepare.py", "data/volumes/register.py", "data/simulate/pelvis.py"} & names

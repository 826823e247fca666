"""Splits by name, by site and by a seed of their own; the committed ones of the real data sets."""

import json
from collections import Counter
from pathlib import Path

import pytest

from xmodbench.data.volumes.settings import Split
from xmodbench.data.volumes.split import split_subjects
from xmodbench.data.volumes.split_file import read_split, write_split
from xmodbench.errors import UserError
from xmodbench.plugins import DATASETS, find
from xmodbench.plugins.settings import validated

NAMES = [f"s{i:02d}" for i in range(20)]


def by_site(**sizes):
    return {f"{site}{i:02d}": site for site, size in sizes.items() for i in range(size)}


@pytest.mark.parametrize(
    ("sizes", "how", "train", "test"),
    [
        ({"a": 8, "b": 7, "c": 4}, {"n_test": 4}, {"a": 6, "b": 6, "c": 3}, {"a": 2, "b": 1, "c": 1}),
        ({"a": 10, "b": 10}, {"test_fraction": 0.2}, {"a": 8, "b": 8}, {"a": 2, "b": 2}),
        ({"a": 30, "b": 1}, {"n_test": 3}, {"a": 27, "b": 1}, {"a": 3}),
        (
            {"a": 60, "b": 30, "c": 10},
            {"n_train": 10, "n_test": 10},
            {"a": 6, "b": 3, "c": 1},
            {"a": 6, "b": 3, "c": 1},
        ),
    ],
)
def test_every_site_gives_its_share(sizes, how, train, test):
    sites = by_site(**sizes)
    parts = split_subjects(list(sites), Split(order="site_stratified", **how), 1, sites)
    assert [Counter(sites[name] for name in part) for part in parts] == [train, test]
    assert not set(parts[0]) & set(parts[1])
    assert split_subjects(list(sites)[::-1], Split(order="site_stratified", **how), 2, sites) == parts


def test_a_random_split_may_have_a_seed_of_its_own():
    own = split_subjects(NAMES, Split(order="random:7"), 1)
    assert own == split_subjects(NAMES, Split(order="random:7"), 2) == split_subjects(NAMES, Split(order="random"), 7)
    assert own != split_subjects(NAMES, Split(order="random:8"), 1)
    with pytest.raises(UserError, match="settings.order: 'shuffled' must match"):
        validated(Split, {"order": "shuffled"}, "config.yaml", prefix="settings")


def test_a_split_is_written_and_read_again(tmp_path):
    path = tmp_path / "split.csv"
    write_split(
        path,
        [("b", "train", "x", ""), ("a", "train", "y", ""), ("d", "excluded", "", "no, pd"), ("c", "test", "x", "")],
    )
    assert read_split(path) == (("b", "a"), ("c",))
    split = Split(file=str(path))
    assert (split.train_subjects, split.test_subjects) == (("b", "a"), ("c",))
    # what reaches a job and its record are the names: the file may change or go
    path.unlink()
    assert Split.model_validate_json(split.model_dump_json()) == split


@pytest.mark.parametrize("wrap", [lambda lists: lists, lambda lists: {"format": 1, "subjects_of": lists}])
def test_json_and_manifests_are_splits_too(tmp_path, wrap):
    (tmp_path / "manifest.json").write_text(json.dumps(wrap({"train": ["a"], "test": ["b"]})))
    assert read_split(tmp_path / "manifest.json") == (("a",), ("b",))


def test_a_relative_file_may_be_the_repositorys(tmp_path, monkeypatch):
    monkeypatch.chdir(tmp_path)
    assert len(read_split("data_prep/goldatlas/split.csv")[0]) == 15


FAULTS = {
    "missing.csv": (None, "no such file: .*missing.csv"),
    "columns.csv": ("name,part\na,train\n", "columns subject and split"),
    "empty.csv": ("", "columns subject and split"),
    "one.csv": ("subject,split\na,train\n", "names no test subjects"),
    "twice.csv": ("subject,split\na,train\na,train\nb,test\n", "names a twice"),
    "both.csv": ("subject,split\na,train\na,test\n", "a is to train and to test"),
    "broken.json": ("{", "holds no split"),
    "shape.json": ('{"train": "a", "test": ["b"]}', "lists train and test"),
    "list.json": ("[1]", "holds no split"),
    "bytes.csv": (b"\xff\xfe\x00", "holds no split"),
}


@pytest.mark.fault(
    "volumes", "a split file names a patient twice or in both parts, or is none", "one line with file, name and reason"
)
@pytest.mark.parametrize("name", FAULTS)
def test_a_file_that_is_no_split_is_named(tmp_path, name):
    content, expected = FAULTS[name]
    if content is not None:
        (tmp_path / name).write_bytes(content if isinstance(content, bytes) else content.encode())
    with pytest.raises(UserError, match=expected) as caught:
        validated(Split, {"file": str(tmp_path / name)}, "config.yaml", prefix="split")
    assert "\n" not in str(caught.value) and "split" in str(caught.value)


def test_file_and_names_together_are_refused():
    with pytest.raises(UserError, match="give `file`, or the subjects by name, not both"):
        validated(Split, {"file": "x.csv", "test_subjects": ["a"]}, "c")
    with pytest.raises(UserError, match="needs `test_subjects`"):
        validated(Split, {"train_subjects": ["a"]}, "c")


def test_named_subjects_that_are_not_here_are_passed_over():
    how = Split(train_subjects=("s03", "gone", "s01", "s05"), test_subjects=("s02", "away"), n_train=2)
    assert split_subjects(NAMES, how, 1) == (["s01", "s03"], ["s02"])
    with pytest.raises(UserError, match="none of the test subjects it names can be used"):
        split_subjects(NAMES, Split(train_subjects=("s03",), test_subjects=("away",)), 1)


@pytest.mark.parametrize(("plugin", "train", "test"), [("goldatlas", 15, 4), ("curious", 17, 5)])
def test_the_committed_splits_have_the_papers_size(plugin, train, test):
    found = find(DATASETS, plugin)
    how = found.cls.Config().split
    everyone = [*how.train_subjects, *how.test_subjects]
    parts = split_subjects(everyone, how, 1)
    assert tuple(map(len, parts)) == (train, test)
    # one case fewer, as in EASY-RESECT, still leaves the paper's number to train
    fewer = split_subjects([name for name in everyone if name != everyone[3]], how, 1)
    assert len(fewer[0]) == (train if plugin == "curious" else train - 1)
    assert read_split(Path(found.folder) / "split.csv") == (how.train_subjects, how.test_subjects)


def test_gold_atlas_tests_on_a_site_it_does_not_train_on():
    how = find(DATASETS, "goldatlas").cls.Config().split
    assert {name[0] for name in how.train_subjects} == {"1", "2"}
    assert {name[0] for name in how.test_subjects} == {"3"}

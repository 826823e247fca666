"""A method is handed exactly what it declares: channels for sources and neighbours, whole volumes; nothing of others."""

import json

import numpy as np
import pytest

from tests.plugins import few_shot, job_of, write_method
from xmodbench.errors import UserError
from xmodbench.plugins import METHODS, find
from xmodbench.plugins.shape import Shape
from xmodbench.records import read_record
from xmodbench.stages.gather import gather
from xmodbench.stages.parts import Part
from xmodbench.stages.train import train
from xmodbench.stages.translate import translate
from xmodbench.stages.wall.staging import beside, stacks
from xmodbench.store import SliceStore, StoreWriter

TOY = """
import json
class Toy(Method):
    supervision = Supervision.PAIRED
    {declares}
    def fit(self, train, run):
        found = {{"target": train.target, "source": train.source}}
        self.saw = {{key: value if value is None else [part.tolist() for part in value] for key, value in found.items()}}
    def save(self, directory): (directory / "saw.json").write_text(json.dumps(self.saw))
    def load(self, directory, run): pass
    def translate(self, source, generators):
        noise = np.stack([item.numpy.random(source.shape[2:], dtype=np.float32) for item in generators])[:, None]
        assert source.flags.c_contiguous and len(generators) == len(source)
        return (source.mean(axis=1, keepdims=True) + noise) / 2
"""
"""Keeps what it was handed, and answers with the mean of the channels and its own noise."""
HEIGHTS = {"b": [3.0, 1.0, 2.0], "a": [0.0, 4.0], "c": [0.0, 1.0, 2.0, 9.0, 10.0, 11.0], "d": [5.0]}
STACKS = [[1, 2, 0], [3, 4], [5, 6, 7], [8, 9, 10], [11]]
"""Rows of the stacks of `HEIGHTS`, from below to above: those of c are cut by a gap."""


@pytest.fixture(scope="module")
def store(tmp_path_factory):
    folder, rng = tmp_path_factory.mktemp("shapes") / "store", np.random.default_rng(0)
    with StoreWriter(folder, ("pd", "t1", "t2"), (4, 5), {"dataset": "toy"}) as writer:
        for subject, heights in HEIGHTS.items():
            for number, height in enumerate(heights):
                images = {name: rng.random((4, 5), dtype=np.float32) for name in ("pd", "t1", "t2")}
                writer.add(images, id=f"{subject}_{number}", subject=subject, site="", position_mm=height)
    return SliceStore(folder)


@pytest.fixture
def fit(tmp_path, store):
    """Train a method that declares something; what it saw, as arrays, and the record."""

    def trained(declares, source="t1", supervision="PAIRED", name="toy"):
        body = TOY.format(declares=declares).replace("PAIRED", supervision)
        job = job_of(tmp_path, name, few_shot(body) if supervision == "FEW_SHOT" else body)
        train(job, store.directory, "pd", source, tmp_path / name, tmp_path / "state")
        saw = json.loads((tmp_path / name / "saw.json").read_text())
        return job, {key: value and [np.array(part, np.float32) for part in value] for key, value in saw.items()}

    return trained


def test_slices_lie_beside_those_of_their_subject(store):
    assert stacks(store) == STACKS
    table = beside(stacks(store), 2)
    # by height, not by row; the ends repeated, of a stack of one slice that slice
    assert table.tolist()[:5] == [[1, 2, 0, 0, 0], [1, 1, 1, 2, 0], [1, 1, 2, 0, 0], [3, 3, 3, 4, 4], [3, 3, 4, 4, 4]]
    assert table[11].tolist() == [11] * 5
    owner = np.array(store.subjects)
    assert (owner[table] == owner[:, None]).all()
    np.testing.assert_array_equal(beside(stacks(store), 0), np.arange(12)[:, None])


def test_steps_that_were_rounded_are_no_gaps(tmp_path):
    with StoreWriter(tmp_path / "s", ["t1"], (2, 2), {}) as writer:
        for number, height in enumerate([0, 1, 3, 4, 6, 7, 9]):  # every 1.5 slices
            writer.add({"t1": np.zeros((2, 2))}, id=f"a{number}", subject="a", site="", position_mm=height)
    assert stacks(SliceStore(tmp_path / "s")) == [[0, 1, 2, 3, 4, 5, 6]]


def test_a_position_that_is_no_number_is_told(tmp_path):
    with StoreWriter(tmp_path / "s", ["t1"], (2, 2), {}) as writer:
        writer.add({"t1": np.zeros((2, 2))}, id="a", subject="a", site="", position_mm="top")
    with pytest.raises(UserError, match="slice a is at 'top', which is no position"):
        stacks(SliceStore(tmp_path / "s"))


def test_neighbours_of_a_slice_are_channels_and_parts_change_nothing(tmp_path, store, fit):
    job, saw = fit("neighbours = 1")
    table = beside(STACKS, 1)
    np.testing.assert_array_equal(saw["source"], store.array("t1")[table])
    np.testing.assert_array_equal(np.array(saw["target"])[:, 0], store.array("pd"))
    assert read_record(tmp_path / "toy")["handed"] == {"sources": [1, 1], "neighbours": 1, "volumes": False}
    same(tmp_path, store, job, "t1")


def test_several_sources_are_channels_in_the_order_of_the_direction(tmp_path, store, fit):
    job, saw = fit("sources = (2, 2); neighbours = 1", "t2+t1")
    table, record = beside(STACKS, 1), read_record(tmp_path / "toy")
    expected = np.concatenate([store.array("t2")[table], store.array("t1")[table]], axis=1)
    np.testing.assert_array_equal(saw["source"], expected)
    assert (record["source"], set(record["data_sha256"])) == ("t2+t1", {"pd", "t1", "t2"})
    translated = same(tmp_path, store, job, "t2+t1")
    assert translated["data_sha256"] == store.sha256("t2+t1") != store.sha256("t1+t2")
    with pytest.raises(UserError, match="takes 2 source modalities, and 't1' is 1"):
        train(job, store.directory, "pd", "t1", tmp_path / "x", tmp_path / "state")
    with pytest.raises(UserError, match=r"was trained from 't2\+t1', not 't1\+t2'"):
        translate(job, tmp_path / "toy", store.directory, "t1+t2", "pd", tmp_path / "y", 4)


def test_volumes_are_handed_whole(tmp_path, store, fit):
    job, saw = fit("volumes = True; sources = (1, 2)", "t1+t2")
    for rows, source, target in zip(STACKS, saw["source"], saw["target"], strict=True):
        np.testing.assert_array_equal(source, np.stack([store.array("t1")[rows], store.array("t2")[rows]]))
        np.testing.assert_array_equal(target, store.array("pd")[None, rows])
    same(tmp_path, store, job, "t1+t2")
    images, both = SliceStore(tmp_path / "whole").array("pd"), (store.array("t1") + store.array("t2")) / 2
    assert (np.abs(2 * images - both - 0.5) <= 0.5 + 1e-6).all()  # each slice came back to its place
    with pytest.raises(UserError, match="part 1 of 6 of 5 volumes is empty"):
        translate(job, tmp_path / "toy", store.directory, "t1+t2", "pd", tmp_path / "y", 4, Part(1, 6))


def same(tmp_path, store, job, source):
    """Translate at once and in parts with other batches; the same bits, and the record."""
    given = (job, tmp_path / "toy", store.directory, source, "pd")
    translate(*given, tmp_path / "whole", 64)
    parts = [tmp_path / f"part{number}" for number in (1, 2)]
    for number, part in enumerate(parts, 1):
        translate(*given, part, 2, Part(number, 2))
    gather(parts, store.directory, tmp_path / "gathered")
    found = [SliceStore(tmp_path / name) for name in ("whole", "gathered")]
    np.testing.assert_array_equal(*(one.array("pd") for one in found))
    assert found[0].ids == found[1].ids == store.ids
    assert read_record(tmp_path / "gathered")["handed"] == read_record(tmp_path / "whole")["handed"]
    return read_record(tmp_path / "whole")


def test_a_zero_shot_method_gets_its_targets_neighbours_and_still_no_source(store, fit):
    _, saw = fit("neighbours = 1", None, "ZERO_SHOT")
    assert saw["source"] is None
    np.testing.assert_array_equal(saw["target"], store.array("pd")[beside(STACKS, 1)])


def test_few_shot_sees_the_same_slices_of_each_source(store, fit):
    _, saw = fit("sources = (2, 2)", "t1+t2", "FEW_SHOT")
    (one,) = saw["source"]  # it asks for a single slice
    rows = [row for row in range(12) if np.array_equal(store.array("t1")[row], one[0])]
    np.testing.assert_array_equal(store.array("t2")[rows], one[1:])


def test_a_control_is_handed_the_first_of_several(tmp_path, store):
    translate(job_of(tmp_path, "copy", CONTROL), None, store.directory, "t2+t1", "pd", tmp_path / "copies", 4)
    np.testing.assert_array_equal(SliceStore(tmp_path / "copies").array("pd"), store.array("t2"))
    assert read_record(tmp_path / "copies")["source"] == "t2+t1"


CONTROL = """
from xmodbench.plugins import Control
class Toy(Control):
    def answer(self, source, target, subjects, seed): return np.array(source)
"""


@pytest.mark.parametrize(
    ("declares", "supervision", "expected"),
    [
        ("sources = 2", "PAIRED", r"sources is 2, no least and most of source modalities; write \(2, 2\)"),
        ("sources = (2, 1)", "PAIRED", r"sources is \(2, 1\), no least"),
        ("sources = (0, 1)", "PAIRED", r"sources is \(0, 1\), no least"),
        ("sources = (1, 99)", "PAIRED", "at most 16"),
        ("neighbours = -1", "PAIRED", "neighbours is -1, no number of slices on each side"),
        ("neighbours = 1.0", "PAIRED", "neighbours is 1.0, no number"),
        ("neighbours = True", "PAIRED", "neighbours is True, no number"),
        ("volumes = 1", "PAIRED", "volumes is 1, neither True nor False"),
        ("volumes = True; neighbours = 1", "PAIRED", "neighbours are of no use to a method that is handed volumes"),
        ("neighbours = 1", "FEW_SHOT", "is few-shot and declares neighbours: its share is counted in single slices"),
        ("volumes = True", "FEW_SHOT", "is few-shot and declares volumes"),
        ("volumes = True", "CONTROL", "is a control and declares volumes: it is asked about a whole test set at once"),
    ],
)
def test_what_cannot_be_handed_out_is_refused(tmp_path, monkeypatch, declares, supervision, expected):
    body = CONTROL.replace("(Control):\n", f"(Control):\n    {declares}\n")
    if supervision != "CONTROL":
        body = TOY.format(declares=declares).replace("PAIRED", supervision)
    write_method(tmp_path, "odd", few_shot(body) if supervision == "FEW_SHOT" else body)
    monkeypatch.chdir(tmp_path)
    with pytest.raises(UserError, match=expected) as caught:
        find(METHODS, "odd")
    assert str(caught.value.where).endswith("methods/odd/method.py")


def test_the_settings_may_say_how_many_neighbours(tmp_path, store, fit):
    declares = "\n    ".join(
        [
            "class Config(Settings):",
            "    around: int = 2",
            "@property",
            "def neighbours(self): return self.settings.around",
        ]
    )
    _, saw = fit(declares)
    assert saw["source"][0].shape == (5, 4, 5)


def test_the_settings_may_say_whether_volumes_are_wanted(tmp_path, store, fit):
    """Of an object, while its class says nothing; without, slices."""
    declares = "\n    ".join(
        [
            "class Config(Settings):",
            "    guided: bool = GUIDED",
            "def __init__(self, settings):",
            "    super().__init__(settings)",
            "    self.volumes = settings.guided",
        ]
    )
    job, saw = fit(declares.replace("GUIDED", "True"))
    assert [part.shape for part in saw["source"]] == [(1, len(rows), 4, 5) for rows in STACKS]
    same(tmp_path, store, job, "t1")
    _, saw = fit(declares.replace("GUIDED", "False"), name="slices")
    assert [part.shape for part in saw["source"]] == [(1, 4, 5)] * 12


def test_most_methods_are_handed_single_slices_and_their_records_say_nothing_of_it():
    assert Shape().facts() == {} and Shape().plain and Shape().serves("t1") and not Shape().serves("t1+t2")

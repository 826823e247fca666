"""Every stage refuses what is not what the plan, or the record beside it, says: in one line that says what to do."""

import json
import shutil

import numpy as np
import pytest

from tests.plugins import SEEING, job_of
from tests.unit.test_stages import PHASES
from xmodbench.errors import UserError
from xmodbench.files import read_json, sha256_file, write_json
from xmodbench.plan.config import Scoring
from xmodbench.records import other_than, recorded
from xmodbench.stages.gather import gather
from xmodbench.stages.parts import Part
from xmodbench.stages.score import score
from xmodbench.stages.train import pretrain, train
from xmodbench.stages.translate import translate
from xmodbench.store import SliceStore, StoreWriter

SETTINGS = {"image_size": 16, "split": {"n_test": 2}, "patterns": {"t1": "a", "pd": "b"}}
PREPARED = {"seed": 1, "settings": SETTINGS}
OTHER = {
    "image_size 16, not 48": PREPARED | {"settings": SETTINGS | {"image_size": 48}},
    "split.n_test 2, not 3": PREPARED | {"settings": SETTINGS | {"split": {"n_test": 3}}},
    "seed 1, not 2": PREPARED | {"seed": 2},
    "n4 null, not true": PREPARED | {"settings": SETTINGS | {"n4": True}},
}


def write(folder, part, seed, n=4, **manifest):
    """A store as a preparation leaves it, with the record beside it."""
    rng = np.random.default_rng(seed)
    manifest = {"dataset": "heads", "seed": 1, "settings": SETTINGS, "split": part, "volumes": {"v": 1}} | manifest
    with StoreWriter(folder / part, ["pd", "t1"], (16, 16), manifest) as writer:
        for index in range(n):
            row = {"id": f"{part}_{index}", "subject": f"{part}{index}", "site": "a", "position_mm": float(index)}
            writer.add({name: rng.random((16, 16), dtype=np.float32) for name in ("pd", "t1")}, **row)
    return folder / part


def prepare(folder, seed=0, **manifest):
    for number, part in enumerate(("train", "test")):
        write(folder, part, 10 * seed + number, **manifest)
    with recorded(folder, "prepare", seed=1, settings=SETTINGS, raw="raw") as record:
        parts = ("train", "test")
        record["stores_sha256"] = {part: sha256_file(folder / part / "manifest.json") for part in parts}
    return folder


@pytest.fixture
def run(tmp_path, monkeypatch):
    monkeypatch.chdir(tmp_path)
    monkeypatch.delenv("FID_WEIGHTS", raising=False)
    prepare(tmp_path / "data")
    return Run(tmp_path)


class Run:
    """A direction of a run, stage by stage as by hand."""

    def __init__(self, root):
        self.root, self.test, self.training = root, root / "data" / "test", root / "data" / "train"
        self.model, self.translation, self.first = root / "model", root / "t1", root / "first"
        self.job, self.phases = job_of(root, "toy", SEEING), job_of(root, "phases", PHASES)

    def train(self, **expect):
        train(self.job, self.training, "t1", None, self.model, self.root / "state", None, expect)

    def pretrain(self, **expect):
        pretrain(self.phases, self.training, "t1", None, self.first, self.root / "state", expect)

    def second(self, **expect):
        train(self.phases, self.training, "t1", None, self.root / "two", self.root / "state", self.first, expect)

    def translate(self, **expect):
        translate(self.job, self.model, self.test, "pd", "t1", self.translation, 4, Part(), expect)

    def score(self, **expect):
        out = self.root / "scores" / "x.csv"
        score(self.translation, self.test, self.training, "pd", "t1", out, Scoring(), seed=1, expect=expect)

    def parts(self):
        for k in (1, 2):
            translate(self.job, self.model, self.test, "pd", "t1", self.root / f"part{k}", 4, Part(k, 2))

    def gather(self):
        gather([self.root / "part1", self.root / "part2"], self.test, self.translation)

    def up_to(self, verb):
        verbs = {"train": [], "translate": ["train"], "score": ["train", "translate"], "second": ["pretrain"]}
        for earlier in {**verbs, "pretrain": [], "gather": ["train", "parts"]}[verb]:
            getattr(self, earlier)()


def edit(path, change):
    values = read_json(path)
    change(values)
    write_json(path, values)


def test_what_fits_is_taken(run):
    made = {"plugin": "toy", "seed": 5, "settings": {}}
    run.train(prepared=PREPARED)
    run.translate(prepared=PREPARED, trained=made)
    run.score(prepared=PREPARED, translated=made)
    run.pretrain(prepared=PREPARED)
    run.second(prepared=PREPARED, pretrained=made | {"plugin": "phases"})
    run.parts()
    run.gather()


@pytest.mark.parametrize("difference", OTHER)
@pytest.mark.parametrize("verb", ["pretrain", "train", "translate", "score"])
def test_a_store_prepared_otherwise_than_the_plan_asks_for(run, verb, difference):
    run.up_to(verb)
    with pytest.raises(UserError, match=rf"data/t\w+: prepared with {difference}; prepare the data set again"):
        getattr(run, verb)(prepared=OTHER[difference])


@pytest.mark.parametrize("verb", ["train", "translate", "score"])
def test_a_store_of_another_raw_folder(run, verb):
    run.up_to(verb)
    with pytest.raises(UserError, match="prepared from raw, not elsewhere; prepare the data set again"):
        getattr(run, verb)(prepared=PREPARED | {"raw": "elsewhere"})
    getattr(run, verb)(prepared=PREPARED | {"raw": str(run.root / "raw")})


@pytest.mark.parametrize(("wanted", "said"), [
    ({"plugin": "toy", "seed": 6}, "seed 5, not 6"),
    ({"plugin": "other", "seed": 5}, "plugin toy, not other"),
    ({"plugin": "toy", "seed": 5, "settings": {"steps": 9}}, "steps null, not 9"),
])  # fmt: skip
@pytest.mark.parametrize(
    ("verb", "done"), [("translate", "trained"), ("score", "translated"), ("second", "pretrained")]
)
def test_a_result_made_otherwise_than_the_plan_asks_for(run, verb, done, wanted, said):
    run.up_to(verb)
    if verb == "second":
        wanted, said = ({k: v.replace("toy", "phases") if k == "plugin" else v for k, v in wanted.items()},
                        said.replace("toy", "phases"))  # fmt: skip
    with pytest.raises(UserError, match=rf"{done} with {said}; have it {done} again"):
        getattr(run, verb)(**{done: wanted})


@pytest.mark.parametrize("verb", ["pretrain", "train", "translate", "score"])
def test_slices_that_are_not_those_of_the_manifest(run, verb):
    run.up_to(verb)
    for part in (run.training, run.test):
        np.save(part / "pd.npy", np.load(part / "pd.npy")[::-1].copy())
        np.save(part / "t1.npy", np.load(part / "t1.npy")[::-1].copy())
    with pytest.raises(UserError, match=r"data/t\w+/\w+.npy: changed since it was prepared"):
        getattr(run, verb)()


@pytest.mark.parametrize("verb", ["train", "translate", "score"])
def test_rows_that_are_not_those_of_the_manifest(run, verb):
    run.up_to(verb)
    for part in (run.training, run.test):
        text = (part / "slices.csv").read_text()
        (part / "slices.csv").write_text(text.replace("train1", "trainX").replace("test1", "testX"))
    with pytest.raises(UserError, match=r"slices.csv: changed since it was prepared|not the test slices"):
        getattr(run, verb)()


@pytest.mark.parametrize("verb", ["train", "translate", "score"])
def test_a_store_that_is_not_the_one_of_the_record_beside_it(run, verb):
    """As a preparation that was cut leaves it, or somebody who copied one store of another."""
    run.up_to(verb)
    record = (run.root / "data" / "record.json").read_text()
    prepare(run.root / "data", seed=0, remark="made again")
    (run.root / "data" / "record.json").write_text(record)
    with pytest.raises(
        UserError, match="not the store that the record of its preparation speaks of|another preparation"
    ):
        getattr(run, verb)()


def test_stores_of_two_preparations(run):
    """One of them left over where a preparation was cut: no record says so, the stores themselves do."""
    run.train()
    run.translate()
    (run.root / "data" / "record.json").unlink()
    write(run.root / "data", "train", 0, volumes={"v": 2})
    with pytest.raises(
        UserError, match="data/test: not of the same preparation as .*data/train; prepare the data set again"
    ):
        run.score()


def test_a_model_of_data_that_were_prepared_again(run):
    """In a run it is trained again; by hand other volumes of the same kind may be translated, prepared alike."""
    run.train()
    prepare(run.root / "data", volumes={"v": 2})
    run.translate()
    with pytest.raises(
        UserError, match="model: trained on another preparation of the data than .*data/test; train it again"
    ):
        run.translate(prepared=PREPARED)
    shutil.rmtree(run.root / "data")
    prepare(run.root / "data", settings=SETTINGS | {"image_size": 48})
    with pytest.raises(UserError, match="data/test: prepared with image_size 48, not 16 as the model's data were"):
        run.translate()
    prepare(run.root / "data", settings=SETTINGS | {"image_size": 48}, dataset="others")
    run.translate()


def test_a_first_phase_of_data_that_were_prepared_again(run):
    run.pretrain()
    prepare(run.root / "data", volumes={"v": 2})
    with pytest.raises(
        UserError, match="first: pretrained on another preparation of the data than .*data/train; pretrain it again"
    ):
        run.second()


@pytest.mark.parametrize(("verb", "name"), [("translate", "model"), ("second", "first")])
def test_a_model_whose_files_were_exchanged(run, verb, name):
    run.up_to(verb)
    (run.root / name / "extra.txt").write_text("x")
    with pytest.raises(UserError, match=rf"{name}: its files are not those that were trained .*train the model again"):
        getattr(run, verb)()


def test_a_model_towards_another_target(run):
    run.train()
    with pytest.raises(UserError, match="model: was trained towards 't1', not 'pd'; give the model of that target"):
        translate(run.job, run.model, run.test, "t1", "pd", run.translation, 4)
    edit(run.model / "record.json", lambda record: record.update(source="flair"))
    with pytest.raises(UserError, match="model: was trained from 'flair', not 'pd'"):
        run.translate()


def test_translations_of_other_slices(run):
    run.train()
    run.translate()
    run.parts()
    prepare(run.root / "data", seed=1)
    with pytest.raises(UserError, match="t1: made of other slices than those of .*data/test; translate again"):
        run.score()
    with pytest.raises(UserError, match="part1: made of other slices than those of .*data/test; translate it again"):
        run.gather()


@pytest.mark.parametrize("verb", ["score", "gather"])
def test_translations_that_are_not_those_of_the_record_beside_them(run, verb):
    run.up_to(verb)
    folder = run.translation if verb == "score" else run.root / "part2"
    edit(folder / "record.json", lambda record: record.update(outputs_sha256="0" * 64))
    with pytest.raises(UserError, match="not the images that the record beside them speaks of"):
        getattr(run, verb)()
    np.save(folder / "t1.npy", np.load(folder / "t1.npy")[::-1].copy())
    with pytest.raises(UserError):
        getattr(run, verb)()


def test_translations_without_a_record_are_scored_by_hand_alone(run):
    run.train()
    run.translate()
    (run.translation / "record.json").unlink()
    run.score()
    with pytest.raises(UserError, match="record.json: no such file"):
        run.score(prepared=PREPARED)


def test_a_refusal_is_recorded_as_a_failure(run):
    with pytest.raises(UserError):
        run.train(prepared=OTHER["image_size 16, not 48"])
    assert "image_size 16, not 48" in json.loads((run.model / "failure.json").read_text())["error"]


def test_differences_are_told_by_their_key():
    wanted = {"plugin": "a", "seed": 1, "settings": {"x": {"y": [1, 2], "z": None}, "w": 1.5}}
    assert other_than(wanted, wanted) is None
    assert other_than({}, wanted) is None
    assert other_than({"settings": {"x": {"y": [1], "z": None}, "w": 1.5, "more": 3}}, wanted) == "x.y [1], not [1, 2]"
    assert other_than({"settings": {"x": {"y": [1, 2], "z": None, "new": 1}, "w": 1.5}}, wanted) == "x.new 1, not null"
    long = other_than({"settings": {"x": "a" * 500, "w": 1.5}}, wanted)
    assert len(long) < 160


def test_a_store_knows_its_preparation_whatever_its_split(tmp_path):
    prepare(tmp_path / "one"), prepare(tmp_path / "two", volumes={"v": 3})
    one, test, two = (SliceStore(tmp_path / name) for name in ("one/train", "one/test", "two/train"))
    assert one.preparation_sha256 == test.preparation_sha256 != two.preparation_sha256

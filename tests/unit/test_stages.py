"""Training sees only what the supervision allows; translation checks what comes back."""

import os
from dataclasses import replace
from pathlib import Path

import numpy as np
import pytest

from xmodbench.errors import UserError
from xmodbench.plugins import FewShot, Method, Run, Settings, Supervision, TwoPhase
from xmodbench.records import read_record
from xmodbench.stages.gather import gather
from xmodbench.stages.train import pretrain, train
from xmodbench.stages.translate import Part, translate
from xmodbench.store import SliceStore


class Toy(Method):
    """Keeps what it saw; translates by adding its own noise per image."""

    supervision = Supervision.ZERO_SHOT

    def __init__(self, settings=None):
        super().__init__(settings or Settings())

    def fit(self, train, run):
        self.target, self.source = train.target, train.source
        self.neighbours = sorted(os.listdir(Path(train.target.base.filename).parent))
        self.copied = np.array(train.target)

    def save(self, directory):
        (directory / "w.txt").write_text("weights")

    def load(self, directory, run):
        assert (directory / "w.txt").read_text() == "weights"

    def translate(self, source, generators):
        noise = [item.numpy.random(source.shape[1:], dtype=np.float32) for item in generators]
        return (source + np.stack(noise)) / 2


class Paired(Toy):
    supervision = Supervision.PAIRED


@pytest.fixture
def run(tmp_path, quiet):
    return Run(seed=5, device="cpu", state_dir=tmp_path / "state", progress=quiet)


def test_zero_shot_training_finds_no_source(tmp_path, make_store, run):
    store, method = make_store(tmp_path / "train"), Toy()
    train(method, store, "t1", None, tmp_path / "model", run)
    assert method.source is None
    assert method.neighbours == ["t1.npy"]
    np.testing.assert_array_equal(method.copied[:, 0], SliceStore(store).array("t1"))
    # not a link that would lead back to the other modality, and gone when training is over
    staged = Path(method.target.base.filename)
    assert tmp_path not in staged.resolve().parents
    assert not staged.exists()


def test_paired_training_gets_both_in_order(tmp_path, make_store, run):
    store, method = make_store(tmp_path / "train"), Paired()
    train(method, store, "t1", "pd", tmp_path / "model", run)
    np.testing.assert_array_equal(method.source[:, 0], SliceStore(store).array("pd"))
    np.testing.assert_array_equal(method.target[:, 0], SliceStore(store).array("t1"))
    assert method.neighbours == ["pd.npy", "t1.npy"]
    record = read_record(tmp_path / "model")
    assert set(record["data_sha256"]) == {"pd", "t1"}
    assert record["supervision"] == "paired"


class Phases(TwoPhase):
    """Takes the mean, then adds the minimum."""

    supervision = Supervision.ZERO_SHOT

    def __init__(self):
        super().__init__(Settings())

    def pretrain(self, train, run):
        self.mean = float(train.target.mean())

    def save_pretrained(self, directory):
        (directory / "mean.txt").write_text(repr(self.mean))

    def load_pretrained(self, directory, run):
        self.mean = float((directory / "mean.txt").read_text())

    def fit_pretrained(self, train, run):
        self.sum = self.mean + float(train.target.min())

    def save(self, directory):
        (directory / "sum.txt").write_text(repr(self.sum))

    def load(self, directory, run):
        self.sum = float((directory / "sum.txt").read_text())

    def translate(self, source, generators):
        return source


def test_phases_in_jobs_of_their_own_give_the_same_model(tmp_path, make_store, run):
    store, first, apart, whole = (tmp_path / name for name in ("train", "first", "apart", "whole"))
    make_store(store)
    pretrain(Phases(), store, "t1", None, first, run)
    train(Phases(), store, "t1", None, apart, replace(run, facts={}), first)
    train(Phases(), store, "t1", None, whole, replace(run, facts={}, pretrained=None))
    assert (apart / "sum.txt").read_text() == (whole / "sum.txt").read_text()
    assert read_record(first)["verb"] == "pretrain"
    assert read_record(apart)["pretrained_sha256"] == read_record(first)["outputs_sha256"]
    assert "pretrained_sha256" not in read_record(whole)


def test_a_pretrained_model_must_be_finished_and_of_that_target(tmp_path, make_store, run):
    store, first = make_store(tmp_path / "train"), tmp_path / "first"
    with pytest.raises(UserError, match=r"first/record.json"):
        train(Phases(), store, "t1", None, tmp_path / "model", run, first)
    pretrain(Phases(), store, "pd", None, first, run)
    with pytest.raises(UserError, match="was pretrained towards 'pd', not 't1'"):
        train(Phases(), store, "t1", None, tmp_path / "model", run, first)
    for refused in (
        lambda out: pretrain(Toy(), store, "t1", None, out, run),
        lambda out: train(Toy(), store, "t1", None, out, run, first),
    ):
        with pytest.raises(UserError, match="this method is trained in one phase"):
            refused(tmp_path / "other")


def test_a_few_shot_method_is_handed_its_share_and_no_more(tmp_path, make_store, run):
    class Few(Toy, FewShot):
        supervision = Supervision.FEW_SHOT

        def source_slices(self, available):
            return share(available)

    store, method, share = make_store(tmp_path / "train"), Few(), lambda available: available // 3
    train(method, store, "t1", "pd", tmp_path / "model", run)
    record, slices = read_record(tmp_path / "model"), SliceStore(store)
    rows = [slices.ids.index(name) for name in record["source_ids"]]
    assert record["source_slices"] == len(set(rows)) == 2
    np.testing.assert_array_equal(method.source[:, 0], slices.array("pd")[rows])
    assert method.target.shape[0] == 6 and method.neighbours == ["pd.npy", "t1.npy"]
    for wanted, problem in ((7, "asks for 7 source slices, there are 6; ask for fewer"), (0, "ask for one at least")):
        share = lambda available, wanted=wanted: wanted  # noqa: E731
        with pytest.raises(UserError, match=problem):
            train(method, store, "t1", "pd", tmp_path / "other", run)


@pytest.mark.parametrize(
    ("method", "source", "expected"), [(Toy(), "pd", "must not be given"), (Paired(), None, "needs")]
)
def test_supervision_is_enforced(tmp_path, make_store, run, method, source, expected):
    with pytest.raises(UserError, match=expected):
        train(method, make_store(tmp_path / "train"), "t1", source, tmp_path / "model", run)


@pytest.fixture
def model(tmp_path, make_store, run):
    train(Toy(), make_store(tmp_path / "train"), "t1", None, tmp_path / "model", run)
    return tmp_path / "model"


def test_batches_change_nothing(tmp_path, make_store, run, model):
    store = make_store(tmp_path / "test", n=7, seed=1)
    images = []
    for batch_size in (1, 3, 7):
        translate(Toy(), model, store, "pd", "t1", tmp_path / f"out{batch_size}", run, batch_size)
        images.append(SliceStore(tmp_path / f"out{batch_size}").array("t1"))
    np.testing.assert_array_equal(images[0], images[1])
    np.testing.assert_array_equal(images[0], images[2])
    assert len(np.unique(images[0] - SliceStore(store).array("pd") / 2)) > 100
    assert SliceStore(tmp_path / "out1").ids == SliceStore(store).ids


@pytest.mark.parametrize(
    ("result", "expected"),
    [
        (lambda x: None, "returned NoneType"),
        (lambda x: x[:, :, :-1], r"returned shape \(6, 1, 15, 16\)"),
        (lambda x: x * np.nan, "6 of 6 images hold NaN"),
        (lambda x: x + 1, r"expected \[0, 1\]"),
        (lambda x: 1 / 0, "ZeroDivisionError"),
    ],
)
def test_broken_translations_are_refused(tmp_path, make_store, run, model, result, expected, capsys):
    class Broken(Toy):
        def translate(self, source, generators):
            return result(source)

    with pytest.raises(UserError, match=expected):
        translate(Broken(), model, make_store(tmp_path / "test"), "pd", "t1", tmp_path / "out", run, 8)
    assert [path.name for path in (tmp_path / "out").iterdir()] == ["failure.json"]


class TwoStage(Toy):
    """Leaves an image on the way."""

    def intermediates(self):
        return ("halfway",)

    def translate(self, source, generators):
        self.intermediate_images = {"halfway": source / 2}
        return super().translate(source, generators)


def test_parts_put_together_are_the_whole(tmp_path, make_store, run, model):
    store = make_store(tmp_path / "test", n=7, seed=1)
    translate(TwoStage(), model, store, "pd", "t1", tmp_path / "whole", run, 2, name="m")
    folders = [tmp_path / f"part{k}" for k in (1, 2, 3)]
    for k, folder in enumerate(folders, 1):
        translate(TwoStage(), model, store, "pd", "t1", folder, run, 2, Part(k, 3), name="m")
    gather(folders, store, tmp_path / "joined")
    for name in ("t1.npy", "halfway.npy", "slices.csv", "manifest.json"):
        assert (tmp_path / "whole" / name).read_bytes() == (tmp_path / "joined" / name).read_bytes(), name
    whole, joined = (read_record(tmp_path / name) for name in ("whole", "joined"))
    for name in ("outputs_sha256", "model_sha256", "seed", "n_test", "name"):
        assert whole[name] == joined[name], name
    np.testing.assert_array_equal(SliceStore(tmp_path / "joined").array("halfway"), SliceStore(store).array("pd") / 2)


def test_parts_that_do_not_make_the_test_set_are_refused(tmp_path, make_store, run, model):
    store = make_store(tmp_path / "test", n=4, seed=1)
    translate(Toy(), model, store, "pd", "t1", tmp_path / "a", run, 2, Part(1, 2), name="m")
    translate(Toy(), model, store, "pd", "t1", tmp_path / "b", run, 2, Part(2, 2), name="other")
    with pytest.raises(UserError, match="another name than the first part"):
        gather([tmp_path / "a", tmp_path / "b"], store, tmp_path / "out")
    with pytest.raises(UserError, match="the parts together are not the test slices"):
        gather([tmp_path / "a"], store, tmp_path / "out")
    with pytest.raises(UserError, match="part 1 of 9 of 4 slices is empty"):
        translate(Toy(), model, store, "pd", "t1", tmp_path / "c", run, 2, Part(1, 9))


@pytest.mark.parametrize("text", ["0/2", "3/2", "2", "a/b", "-1/2"])
def test_parts_that_mean_nothing_are_refused(text):
    with pytest.raises(UserError, match="give K/N"):
        Part.parse(text)


def test_no_model_no_translation(tmp_path, make_store, run):
    with pytest.raises(UserError, match="no such file"):
        translate(Toy(), tmp_path / "none", make_store(tmp_path / "test"), "pd", "t1", tmp_path / "out", run, 8)


def test_failed_training_leaves_no_model(tmp_path, make_store, run, capsys):
    class Failing(Toy):
        def fit(self, train, run):
            raise MemoryError("out of memory")

    with pytest.raises(UserError, match="out of memory"):
        train(Failing(), make_store(tmp_path / "train"), "t1", None, tmp_path / "model", run)
    assert [path.name for path in (tmp_path / "model").iterdir()] == ["failure.json"]

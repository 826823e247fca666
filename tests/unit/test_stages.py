"""Training sees only what the supervision allows; translation checks what comes back."""

import json
from pathlib import Path

import numpy as np
import pytest

from tests.plugins import SEEING, few_shot, job_of
from xmodbench.errors import UserError
from xmodbench.plugins.contract import unpaired
from xmodbench.records import read_record
from xmodbench.stages.gather import gather
from xmodbench.stages.parts import Part
from xmodbench.stages.train import pretrain, train
from xmodbench.stages.translate import translate
from xmodbench.store import SliceStore

PAIRED = SEEING.replace("ZERO_SHOT", "PAIRED")


def saw(model: Path) -> dict:
    return json.loads((model / "saw.json").read_text())


@pytest.fixture
def fit(tmp_path, make_store):
    """Train a method given as source text on a small store; returns the model folder."""
    store = make_store(tmp_path / "train")

    def trained(body: str = SEEING, source: str | None = None, name: str = "toy", out: str = "model") -> Path:
        train(job_of(tmp_path, name, body), store, "t1", source, tmp_path / out, tmp_path / "state")
        return tmp_path / out

    trained.store = store
    return trained


def test_zero_shot_training_finds_no_source(tmp_path, fit):
    found = saw(fit())
    assert found["source"] is None
    assert found["neighbours"] == ["t1.npy"]
    np.testing.assert_array_equal(found["target"], SliceStore(fit.store).array("t1"))
    # not a link that would lead back to the other modality, and gone when training is over
    assert tmp_path not in Path(found["file"]).resolve().parents
    assert not Path(found["file"]).exists()


def test_paired_training_gets_both_in_order(fit):
    model = fit(PAIRED, source="pd")
    found, record = saw(model), read_record(model)
    np.testing.assert_array_equal(found["source"], SliceStore(fit.store).array("pd"))
    np.testing.assert_array_equal(found["target"], SliceStore(fit.store).array("t1"))
    assert found["neighbours"] == ["pd.npy", "t1.npy"]
    assert set(record["data_sha256"]) == {"pd", "t1"}
    assert record["supervision"] == "paired"


PHASES = """
from xmodbench.plugins import TwoPhase
class Phases(TwoPhase):
    supervision = Supervision.ZERO_SHOT
    pretraining_settings = frozenset()
    def pretrain(self, train, run): self.mean = float(train.target.mean())
    def save_pretrained(self, directory): (directory / "mean.txt").write_text(repr(self.mean))
    def load_pretrained(self, directory, run): self.mean = float((directory / "mean.txt").read_text())
    def fit_pretrained(self, train, run): self.sum = self.mean + float(train.target.min())
    def save(self, directory): (directory / "sum.txt").write_text(repr(self.sum))
    def load(self, directory, run): self.sum = float((directory / "sum.txt").read_text())
    def translate(self, source, generators): return source
"""


def test_phases_in_jobs_of_their_own_give_the_same_model(tmp_path, make_store):
    store, first, apart, whole, state = (tmp_path / name for name in ("train", "first", "apart", "whole", "state"))
    make_store(store)
    job = job_of(tmp_path, "phases", PHASES)
    pretrain(job, store, "t1", None, first, state)
    train(job, store, "t1", None, apart, state, first)
    train(job, store, "t1", None, whole, state)
    assert (apart / "sum.txt").read_text() == (whole / "sum.txt").read_text()
    assert read_record(first)["verb"] == "pretrain"
    assert read_record(apart)["pretrained_sha256"] == read_record(first)["outputs_sha256"]
    assert "pretrained_sha256" not in read_record(whole)


def test_a_pretrained_model_must_be_finished_and_of_that_target(tmp_path, make_store):
    store, first, state = make_store(tmp_path / "train"), tmp_path / "first", tmp_path / "state"
    job, toy = job_of(tmp_path, "phases", PHASES), job_of(tmp_path, "toy")
    with pytest.raises(UserError, match=r"first/record.json"):
        train(job, store, "t1", None, tmp_path / "model", state, first)
    pretrain(job, store, "pd", None, first, state)
    with pytest.raises(UserError, match="was pretrained towards 'pd', not 't1'"):
        train(job, store, "t1", None, tmp_path / "model", state, first)
    for refused in (
        lambda out: pretrain(toy, store, "t1", None, out, state),
        lambda out: train(toy, store, "pd", None, out, state, first),
    ):
        with pytest.raises(UserError, match="this method is trained in one phase"):
            refused(tmp_path / "other")


def test_a_few_shot_method_is_handed_its_share_and_no_more(fit):
    model = fit(few_shot(SEEING).replace("return 1", "return available // 3"), source="pd")
    record, slices, found = read_record(model), SliceStore(fit.store), saw(model)
    rows = [slices.ids.index(name) for name in record["source_ids"]]
    assert record["source_slices"] == len(set(rows)) == 2
    np.testing.assert_array_equal(found["source"], slices.array("pd")[unpaired(rows, record["seed"])])
    assert len(found["target"]) == 6 and found["neighbours"] == ["pd.npy", "t1.npy"]
    for wanted, problem in ((7, "asks for 7 source slices, there are 6; ask for fewer"), (0, "ask for one at least")):
        with pytest.raises(UserError, match=problem):
            fit(few_shot(SEEING).replace("return 1", f"return {wanted}"), source="pd", name=f"few{wanted}")


def test_all_slices_of_the_source_are_not_handed_out_as_pairs(fit):
    model = fit(few_shot(SEEING).replace("return 1", "return available"), source="pd")
    slices, given = SliceStore(fit.store), saw(model)["source"]
    places = [int(np.abs(slices.array("pd") - image).sum((1, 2)).argmin()) for image in given]
    assert sorted(places) == list(range(6)) != places
    assert read_record(model)["source_ids"] == slices.ids


@pytest.mark.parametrize(("body", "source", "expected"), [(SEEING, "pd", "must not be given"), (PAIRED, None, "needs")])
def test_supervision_is_enforced(fit, body, source, expected):
    with pytest.raises(UserError, match=expected):
        fit(body, source=source)


def test_batches_change_nothing(tmp_path, make_store, fit):
    store, model = make_store(tmp_path / "test", n=7, seed=1), fit()
    images = []
    for batch_size in (1, 3, 7):
        translate(job_of(tmp_path, "toy"), model, store, "pd", "t1", tmp_path / f"out{batch_size}", batch_size)
        images.append(SliceStore(tmp_path / f"out{batch_size}").array("t1"))
    np.testing.assert_array_equal(images[0], images[1])
    np.testing.assert_array_equal(images[0], images[2])
    assert len(np.unique(images[0] - SliceStore(store).array("pd") / 2)) > 100
    assert SliceStore(tmp_path / "out1").ids == SliceStore(store).ids


def fault(case, outcome="one line; only the record of the failure is left"):
    return pytest.mark.fault("plugin", case, outcome)


@pytest.mark.parametrize(
    ("result", "expected"),
    [
        pytest.param("None", "returned NoneType", marks=fault("translates to nothing (`None`)")),
        pytest.param(
            "source[:, :, :-1]",
            r"returned shape \(6, 1, 15, 16\)",
            marks=fault("translates to images of another shape"),
        ),
        pytest.param(
            "source > 0.5", "returned bool values, expected float32", marks=fault("translates to another type")
        ),
        ("source.astype(complex)", "returned complex128 values, expected float32"),
        ("source.astype(object)", "returned object values, expected float32"),
        pytest.param("source * np.nan", "6 of 6 images hold NaN", marks=fault("translates to NaN")),
        ("source / 0 + 1", "6 of 6 images hold NaN or infinite"),
        pytest.param("source + 1", r"expected \[0, 1\]", marks=fault("translates to values outside [0, 1]")),
        pytest.param(
            "1 / 0",
            "method 'broken', translate: ZeroDivisionError: division by zero",
            marks=fault("raises in `translate`"),
        ),
        pytest.param(
            "__import__('os')._exit(0)",
            "its process ended by itself with exit code 0",
            marks=fault("ends its process with exit code 0, without a result"),
        ),
        ("__import__('sys').exit(0)", r"method 'broken', translate: called sys.exit\(0\); return when it is done"),
        pytest.param(
            "__import__('os').kill(__import__('os').getpid(), 9)",
            r"was killed \(SIGKILL\); most likely for want of memory",
            marks=fault("is killed for the memory it takes"),
        ),
    ],
)
def test_broken_translations_are_refused(tmp_path, make_store, fit, result, expected):
    body = SEEING[: SEEING.index("        noise =")] + f"        return {result}\n"
    with pytest.raises(UserError, match=expected):
        translate(
            job_of(tmp_path, "broken", body), fit(), make_store(tmp_path / "test"), "pd", "t1", tmp_path / "out", 8
        )
    assert [path.name for path in (tmp_path / "out").iterdir()] == ["failure.json"]


TWO_STAGE = (
    SEEING.replace("        noise =", '        self.intermediate_images = {"halfway_1": source / 2}\n        noise =')
    + '\n    def intermediates(self): return ("halfway_1",)\n'
)


def test_parts_put_together_are_the_whole(tmp_path, make_store, fit):
    store, model = make_store(tmp_path / "test", n=7, seed=1), fit()
    job = job_of(tmp_path, "staged", TWO_STAGE)
    translate(job, model, store, "pd", "t1", tmp_path / "whole", 2)
    folders = [tmp_path / f"part{k}" for k in (1, 2, 3)]
    for k, folder in enumerate(folders, 1):
        translate(job, model, store, "pd", "t1", folder, 2, Part(k, 3))
    gather(folders, store, tmp_path / "joined")
    for name in ("t1.npy", "halfway_1.npy", "slices.csv", "manifest.json"):
        assert (tmp_path / "whole" / name).read_bytes() == (tmp_path / "joined" / name).read_bytes(), name
    whole, joined = (read_record(tmp_path / name) for name in ("whole", "joined"))
    for name in ("outputs_sha256", "model_sha256", "seed", "n_test", "name", "isolation"):
        assert whole[name] == joined[name], name
    np.testing.assert_array_equal(SliceStore(tmp_path / "joined").array("halfway_1"), SliceStore(store).array("pd") / 2)


def test_parts_that_do_not_make_the_test_set_are_refused(tmp_path, make_store, fit):
    store, model = make_store(tmp_path / "test", n=4, seed=1), fit()
    job, other = job_of(tmp_path, "toy"), job_of(tmp_path, "other")
    translate(job, model, store, "pd", "t1", tmp_path / "a", 2, Part(1, 2))
    translate(other, model, store, "pd", "t1", tmp_path / "b", 2, Part(2, 2))
    with pytest.raises(UserError, match="another name than the first part"):
        gather([tmp_path / "a", tmp_path / "b"], store, tmp_path / "out")
    with pytest.raises(UserError, match="the parts together are not the test slices"):
        gather([tmp_path / "a"], store, tmp_path / "out")
    with pytest.raises(UserError, match="part 1 of 9 of 4 slices is empty"):
        translate(other, model, store, "pd", "t1", tmp_path / "c", 2, Part(1, 9))


@pytest.mark.parametrize("text", ["0/2", "3/2", "2", "a/b", "-1/2"])
def test_parts_that_mean_nothing_are_refused(text):
    with pytest.raises(UserError, match="give K/N"):
        Part.parse(text)


def test_no_model_no_translation(tmp_path, make_store):
    job, store = job_of(tmp_path, "toy"), make_store(tmp_path / "test")
    with pytest.raises(UserError, match="no such file"):
        translate(job, tmp_path / "none", store, "pd", "t1", tmp_path / "out", 8)


@fault("raises in `fit`, out of memory say")
def test_failed_training_leaves_no_model(tmp_path, fit):
    with pytest.raises(UserError, match="method 'failing', fit: MemoryError: out of memory"):
        body = SEEING.replace("        arrays =", '        raise MemoryError("out of memory")\n        arrays =')
        fit(body, name="failing")
    assert [path.name for path in (tmp_path / "model").iterdir()] == ["failure.json"]

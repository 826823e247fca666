"""Scores that cannot be, sets that are empty or too small, and names that mean nothing to pandas."""

import json

import numpy as np
import pandas as pd
import pytest

from tests.plugins import SEEING, job_of
from xmodbench.errors import UserError
from xmodbench.files import read_json, write_json
from xmodbench.metrics import distribution, paired, stats
from xmodbench.metrics.registry import METRICS, PAIRED
from xmodbench.plan.config import Scoring
from xmodbench.progress import Progress
from xmodbench.report.inspection.page import inspect_dataset
from xmodbench.stages.gather import gather
from xmodbench.stages.given import model_sha256
from xmodbench.stages.score import score
from xmodbench.stages.train import train
from xmodbench.stages.translate import translate
from xmodbench.store import SliceStore, StoreWriter


def fault(case, outcome):
    return pytest.mark.fault("metrics and statistics", case, outcome)


def images(n=4, size=16, seed=0):
    return np.random.default_rng(seed).random((n, size, size), dtype=np.float32)


@fault("a score outside its metric's bounds while scoring", "one line; no score is written")
def test_a_score_that_cannot_be_is_not_written(tmp_path, make_store, monkeypatch):
    monkeypatch.setattr(paired, "ssim_uint8", lambda a, b: np.full(len(a), 1.2))
    store = make_store(tmp_path / "test")
    with StoreWriter(tmp_path / "made", ["t1"], (16, 16), {}) as writer:
        for row, image in zip(SliceStore(store).rows, images(6), strict=True):
            writer.add({"t1": image}, **row)
    out = tmp_path / "scores/cell.csv"
    with pytest.raises(UserError, match=r"scoring: paper.ssim_uint8 is 1.2, outside its bounds \[-1, 1\]"):
        score(tmp_path / "made", store, store, "pd", "t1", out, Scoring())
    assert [path.name for path in out.parent.iterdir()] == ["cell.failure.json"]


def test_rounding_is_not_outside():
    ssim, mi = METRICS["standard.ssim_tar"], METRICS["standard.mi"]
    assert ssim.problem(1 + 1e-9) is None and ssim.problem(-1 - 1e-9) is None and mi.problem(1e9) is None
    for bad in (float("nan"), float("inf"), None, "1", True):
        assert ssim.problem(bad)


# -- nothing, and next to nothing -------------------------------------------------------------------------------------------
@pytest.fixture
def empty(tmp_path, make_store):
    """A store whose slices are gone, but for the files that held them."""
    folder = make_store(tmp_path / "empty")
    for name in ("pd", "t1"):
        np.save(folder / f"{name}.npy", np.zeros((0, 16, 16), np.float32))
    (folder / "slices.csv").write_text((folder / "slices.csv").read_text().splitlines()[0] + "\n")
    write_json(folder / "manifest.json", read_json(folder / "manifest.json") | {"count": 0, "subjects": []})
    return folder


@fault("a slice store without slices, at any stage", "one line names the store")
@pytest.mark.parametrize("stage", ["train", "translate", "gather", "score", "real", "inspect"])
def test_nothing_to_work_on(tmp_path, make_store, empty, stage):
    job, full = job_of(tmp_path, "toy", SEEING), make_store(tmp_path / "full")
    facts = {"status": "complete", "verb": "train", "outputs_sha256": model_sha256(tmp_path / "model")}
    write_json(tmp_path / "model/record.json", facts)
    write_json(empty / "record.json", {"status": "complete"})
    out = tmp_path / "out"
    stages = {
        "train": lambda: train(job, empty, "t1", None, out, tmp_path / "state"),
        "translate": lambda: translate(job, tmp_path / "model", empty, "pd", "t1", out, 8),
        "gather": lambda: gather([empty], full, out),
        "score": lambda: score(full, empty, full, "pd", "t1", out / "a.csv", Scoring()),
        "real": lambda: score(full, full, empty, "pd", "t1", out / "a.csv", Scoring()),
        "inspect": lambda: inspect_dataset(tmp_path, out, Progress(quiet=True)),
    }
    if stage == "inspect":
        for split in ("train", "test"):
            (tmp_path / split).symlink_to(empty)
    with pytest.raises(UserError, match="a slice store without slices; prepare it again"):
        stages[stage]()
    assert {path.name for path in out.rglob("*")} <= {"failure.json", "a.failure.json"}


@pytest.mark.parametrize(
    ("harm", "expected"),
    [
        (lambda folder: (folder / "slices.csv").unlink(), "slices.csv: cannot be read"),
        (lambda folder: (folder / "slices.csv").write_bytes(b"\xff\xfe"), "slices.csv: cannot be read"),
        (lambda folder: (folder / "manifest.json").write_text("[]"), "no manifest of a slice store"),
        (
            lambda folder: (folder / "manifest.json").write_text('{"format": 1, "count": 6}'),
            "no manifest of a slice store .arrays, shape missing",
        ),
        (lambda folder: (folder / "manifest.json").write_text("{"), "manifest.json: not valid JSON"),
    ],
)
@fault("a slice store whose manifest or list is damaged", "one line names the file")
def test_a_damaged_store(tmp_path, make_store, harm, expected):
    folder = make_store(tmp_path / "store")
    harm(folder)
    with pytest.raises(UserError, match=expected):
        SliceStore(folder)


@fault("one test slice, or two", "scores; distances from two slices on")
@pytest.mark.parametrize("n", [1, 2])
def test_hardly_anything_to_score(tmp_path, make_store, n):
    store, out = make_store(tmp_path / "test", n=n), tmp_path / "scores/a.csv"
    with StoreWriter(tmp_path / "made", ["t1"], (16, 16), {}) as writer:
        for row, image in zip(SliceStore(store).rows, images(n), strict=True):
            writer.add({"t1": image}, **row)
    score(tmp_path / "made", store, make_store(tmp_path / "train"), "pd", "t1", out, Scoring())
    scores, summary = pd.read_csv(out), json.loads(out.with_suffix(".json").read_text())
    assert len(scores) == n and np.isfinite(scores[list(PAIRED)]).all(axis=None)
    found = summary["distances"]["standard.frechet_hog"]
    assert (found["value"] is None) == (n == 1) and found["reason"]


@fault("fewer images than the distance has features", "the distance, with a remark that it is biased upwards")
def test_a_biased_distance_says_so():
    found = distribution.distances(images(4), images(4, seed=1), images(6, seed=2), None)["standard.frechet_hog"]
    assert found["value"] > 0
    assert found["reason"] == "4 images for 1600 features: biased upwards, compare within this data set only"
    enough = np.random.default_rng(0).random((3, 9, 4))
    assert "reason" not in distribution._measured(distribution.frechet_distance, enough, [])


@fault("scores without variance", "an interval of no width")
def test_equal_scores_have_a_narrow_interval():
    mean, effects = stats.subject_effects(np.full((6, 1), 0.25), list("aabbcc"))
    assert mean == 0.25 and (stats.t_interval(mean, stats.between_subjects(effects)) == 0.25).all()
    with pytest.raises(ValueError, match="there must be some"):
        stats.subject_effects(np.zeros((0, 2)), [])


@fault("a subject called NA, a site called None", "they are names like others")
def test_names_that_pandas_takes_for_nothing(tmp_path):
    with StoreWriter(tmp_path / "test", ["pd", "t1"], (16, 16), {}) as writer:
        for name in ("NA", "nan", "null", "007"):
            writer.add({"pd": images(1)[0], "t1": images(1)[0]}, id=name, subject=name, site="None", position_mm=1.0)
    with StoreWriter(tmp_path / "made", ["t1"], (16, 16), {}) as writer:
        for row in SliceStore(tmp_path / "test").rows:
            writer.add({"t1": images(1, seed=1)[0]}, **row)
    out = tmp_path / "scores/a.csv"
    score(tmp_path / "made", tmp_path / "test", tmp_path / "test", "pd", "t1", out, Scoring())
    scores = pd.read_csv(out, dtype=str, keep_default_na=False)
    assert scores["subject"].tolist() == ["NA", "nan", "null", "007"] and set(scores["site"]) == {"None"}
    assert json.loads(out.with_suffix(".json").read_text())["counts"]["subjects"] == 4


@fault("8-bit images handed over as floats", "the scores that their grey levels have")
def test_grey_levels_survive_as_floats():
    levels = np.arange(256, dtype=np.uint8).reshape(1, 16, 16)
    floats = (levels / np.float32(255)).astype(np.float32)
    assert (paired.to_8bit(floats) == levels).all()
    other = np.roll(levels, 3, axis=2)
    found = paired.score_images((other / 255).astype(np.float32), floats, floats)
    assert found["paper.mse"][0] == np.square(other.astype(float) - levels).mean()
    np.testing.assert_allclose(found["standard.mse"] * 255**2, found["paper.mse"], rtol=1e-6)
    np.testing.assert_allclose(found["standard.psnr"], found["paper.psnr"], rtol=1e-6)

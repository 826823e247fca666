"""The score stage: what it writes, and what it refuses."""

from __future__ import annotations

import json

import numpy as np
import pandas as pd
import pytest

from xmodbench.errors import UserError
from xmodbench.metrics.registry import DISTANCES, PAIRED
from xmodbench.plan.config import Scoring
from xmodbench.stages import score as stage
from xmodbench.stages.score_table import write_columns
from xmodbench.store import SliceStore, StoreWriter


@pytest.fixture
def stores(make_store, tmp_path, monkeypatch):
    monkeypatch.delenv("FID_WEIGHTS", raising=False)
    test, train = make_store(tmp_path / "test", n=6), make_store(tmp_path / "train", n=8, seed=1)
    return test, train, tmp_path / "scores" / "toy.csv"


def translate(test, folder, *, modality="t1", rows=None, change=lambda image: 1 - image):
    """A translation store: the changed targets of the given rows."""
    store = SliceStore(test)
    with StoreWriter(folder, [modality], store.array("t1").shape[1:], {}) as writer:
        for index in range(len(store.ids)) if rows is None else rows:
            writer.add({modality: change(store.array("t1")[index])}, **store.slices.iloc[index].to_dict())
    return folder


def run(stores, translation, **facts):
    test, train, out = stores
    stage.score(translation, test, train, "pd", "t1", out, Scoring(), **facts)
    return pd.read_csv(out), json.loads(out.with_suffix(".json").read_text())


def test_writes_scores_summary_and_record(stores, tmp_path):
    scores, summary = run(stores, translate(stores[0], tmp_path / "x"), seed=3)
    assert scores.columns.tolist() == ["id", "subject", "site", *PAIRED]
    assert scores["id"].tolist() == SliceStore(stores[0]).ids
    target = np.asarray(SliceStore(stores[0]).array("t1"), np.float64)
    np.testing.assert_allclose(scores["standard.mse"], np.square(1 - 2 * target).mean((1, 2)), rtol=1e-5)
    assert set(summary["distances"]) == set(DISTANCES)
    assert summary["distances"]["paper.fid"]["value"] is None
    assert summary["counts"]["images"] == 6
    assert summary["counts"]["subjects"] == 3
    record = json.loads((stores[2].parent / "toy.record.json").read_text())
    assert (record["status"], record["seed"], record["n_test"]) == ("complete", 3, 6)
    assert record["translation_sha256"] == SliceStore(tmp_path / "x").manifest["arrays"]["t1"]["sha256"]


@pytest.mark.fault(
    "plugin", "translates to constant images", "scores within their bounds, and a count of such images beside them"
)
def test_special_cases_are_counted(stores, tmp_path):
    same = translate(stores[0], tmp_path / "same", change=lambda image: image)
    flat = translate(stores[0], tmp_path / "flat", change=lambda image: np.full_like(image, 0.5))
    assert run(stores, same)[1]["counts"]["identical"] == 6
    scores, summary = run(stores, flat)
    assert summary["counts"]["constant_translation"] == 6
    assert np.isfinite(scores[list(PAIRED)]).all(axis=None)


def test_how_the_work_is_cut_changes_nothing(stores, tmp_path, monkeypatch):
    translation = translate(stores[0], tmp_path / "x")
    run(stores, translation)
    whole = stores[2].read_bytes()
    monkeypatch.setattr(stage, "CHUNK", 4)
    run(stores, translation)
    assert stores[2].read_bytes() == whole


@pytest.mark.parametrize(
    ("options", "message"),
    [
        ({"rows": [0, 1, 2]}, "not the test slices: 3 missing, 0 unknown"),
        ({"rows": [1, 0, 2, 3, 4, 5]}, "another order"),
        ({"modality": "pd"}, "expected only 't1'"),
    ],
)
def test_translations_of_something_else_are_refused(stores, tmp_path, options, message):
    with pytest.raises(UserError, match=message):
        run(stores, translate(stores[0], tmp_path / "x", **options))
    failure = json.loads((stores[2].parent / "toy.failure.json").read_text())
    assert message in failure["error"]
    assert not stores[2].exists()


def test_images_of_another_size_are_refused(stores, make_store, tmp_path):
    with pytest.raises(UserError, match="pixels"):
        run(stores, make_store(tmp_path / "x", n=6, size=20, modalities=("t1",)))


def test_translations_changed_on_disk_are_refused(stores, tmp_path):
    folder = translate(stores[0], tmp_path / "x")
    array = np.load(folder / "t1.npy")
    array[0, 0, 0] = np.nan
    np.save(folder / "t1.npy", array)
    with pytest.raises(UserError, match="changed since"):
        run(stores, folder)


def test_a_failed_rescore_leaves_no_record_of_the_old_scores(stores, tmp_path):
    run(stores, translate(stores[0], tmp_path / "good"))
    with pytest.raises(UserError):
        run(stores, translate(stores[0], tmp_path / "bad", rows=[0]))
    assert not (stores[2].parent / "toy.record.json").exists()
    run(stores, tmp_path / "good")
    assert not (stores[2].parent / "toy.failure.json").exists()


def test_the_table_is_written_as_pandas_would(tmp_path):
    rng = np.random.default_rng(0)
    numbers = np.concatenate([[0.0, -0.0, np.nan, 1e-300, 1e22, 100.0, 1 / 3, np.inf], rng.random(92) ** 9])
    texts = ["NA", "", 'a "b", c', "Röntgen", "1.0", " x", "two\nlines", "'"]
    columns = {"id": [texts[n % 8] for n in range(100)], "a,b": numbers, "c": numbers.astype(np.float32).astype(float)}
    write_columns(tmp_path / "own.csv", columns)
    pd.DataFrame(columns).to_csv(tmp_path / "pandas.csv", index=False)
    assert (tmp_path / "own.csv").read_bytes() == (tmp_path / "pandas.csv").read_bytes()

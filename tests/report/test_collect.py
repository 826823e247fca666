"""What counts as a finished cell, and what is said of the others."""

from __future__ import annotations

import json
import shutil

import pandas as pd
import pytest

from tests.report.synthetic import run_score, write_store
from xmodbench.files import sha256_file, write_json
from xmodbench.report.collect import collect, collect_cell
from xmodbench.report.model import Report
from xmodbench.store import SliceStore


@pytest.fixture
def cell(copied):
    return copied.cells[0]


def test_a_finished_run_is_complete_with_all_records(copied):
    results = collect(copied)
    assert [item.cell for item in results] == copied.cells
    assert {item.status for item in results} == {"complete"}
    assert set(results[0].records) == {"acquire", "prepare", "train", "translate", "score"}
    assert results[0].counts["images"] == 14


def test_a_cell_without_scores_was_not_run(copied, cell):
    copied.scores_file(cell).unlink()
    found = collect_cell(copied, cell)
    assert (found.status, found.scores) == ("not run", None)


@pytest.mark.parametrize("verb", ["acquire", "prepare", "train", "translate", "score"])
def test_a_failure_on_the_way_is_told_even_where_older_scores_lie(copied, cell, verb):
    scores = copied.scores_file(cell)
    place = {
        "acquire": copied.data_dir(cell.dataset) / "acquire.failure.json",
        "prepare": copied.data_dir(cell.dataset) / "failure.json",
        "train": copied.model_dir(cell) / "failure.json",
        "translate": copied.translation_dir(cell) / "failure.json",
        "score": scores.with_name(f"{scores.stem}.failure.json"),
    }[verb]
    write_json(place, {"status": "failed", "error": "out of memory"})
    found = collect_cell(copied, cell)
    assert (found.status, found.reason, found.scores) == ("failed", f"{verb}: out of memory", None)


def test_the_first_failure_on_the_way_is_the_reason(copied, cell):
    write_json(copied.model_dir(cell) / "failure.json", {"error": "diverged"})
    write_json(copied.translation_dir(cell) / "failure.json", {"error": "no model"})
    assert collect_cell(copied, cell).reason == "train: diverged"


def test_scores_without_their_record_are_not_shown(copied, cell):
    scores = copied.scores_file(cell)
    scores.with_name(f"{scores.stem}.record.json").unlink()
    found = collect_cell(copied, cell)
    assert found.status == "failed"
    assert "record.json: no such file" in found.reason


def test_scores_changed_by_hand_are_not_shown(copied, cell):
    scores = copied.scores_file(cell)
    scores.write_text(scores.read_text().replace("sub00", "sub99"))
    assert "not the scores of the record" in collect_cell(copied, cell).reason


@pytest.mark.fault(
    "config",
    "two configs in one directory prepare one data set differently",
    "the report shows the first one's cells as failed, not beside the other's slices",
)
def test_scores_of_other_slices_are_not_shown(copied, cell):
    store = copied.data_dir(cell.dataset) / "test"
    subjects = SliceStore(store).subjects
    images = {name: 1 - SliceStore(store).array(name) for name in ("pd", "t1")}
    write_store(store, images, subjects)
    found = collect_cell(copied, cell)
    assert (found.status, found.scores) == ("failed", None)
    assert found.reason.startswith("score: done with a test store that is no longer there; ")
    shutil.rmtree(store)  # results may be read where the data are not
    assert collect_cell(copied, cell).complete


def with_hash(scores):
    """Make the record agree with scores that were tampered with."""
    path = scores.with_name(f"{scores.stem}.record.json")
    path.write_text(json.dumps(json.loads(path.read_text()) | {"scores_sha256": sha256_file(scores)}))


OUTSIDE = pytest.mark.fault(
    "metrics and statistics",
    "a score, or a distance, that its metric cannot have",
    "a failed cell that names the value; it is not shown",
)


@pytest.mark.parametrize(
    ("damage", "message"),
    [
        (lambda frame: frame.assign(**{"paper.mse": float("inf")}), "not finite"),
        (lambda frame: frame.assign(**{"paper.mse": float("nan")}), "not a table of scores"),
        (lambda frame: frame.drop(columns="paper.mi"), "not a table of scores"),
        (lambda frame: frame.assign(**{"paper.mse": "much"}), "not a table of scores"),
        (lambda frame: frame.iloc[:0], "holds no scores"),
        pytest.param(
            lambda frame: frame.assign(**{"paper.mse": [*frame["paper.mse"][:-1], -1.0]}),
            r"paper.mse is -1, outside its bounds [0, 65025]",
            marks=OUTSIDE,
        ),
        (lambda frame: frame.assign(**{"paper.mi": 2.1}), "paper.mi is 2.1, outside its bounds [1, 2]"),
        (lambda frame: frame.assign(**{"standard.mi": -0.1}), "standard.mi is -0.1, outside its bounds [0, ]"),
        (lambda frame: frame.assign(**{"standard.psnr": 100.1}), "standard.psnr is 100.1, outside its bounds"),
        (lambda frame: frame.assign(**{"paper.ssim_src": -1.01}), "paper.ssim_src is -1.01, outside its bounds"),
    ],
)
def test_damaged_scores_are_a_failed_cell(copied, cell, damage, message):
    scores = copied.scores_file(cell)
    damage(pd.read_csv(scores)).to_csv(scores, index=False)
    with_hash(scores)
    assert message in collect_cell(copied, cell).reason


@pytest.mark.parametrize(
    ("place", "value", "message"),
    [
        pytest.param("value", -0.5, "standard.frechet_hog is -0.5, outside its bounds [0, ]", marks=OUTSIDE),
        ("value", "3", "standard.frechet_hog is '3', which is not finite"),
        ("real_to_real", -0.5, "standard.frechet_hog is -0.5, outside its bounds"),
        ("value", True, "is True"),
        ("without", [0.1, -0.5], "standard.frechet_hog is -0.5, outside its bounds"),
    ],
)
def test_distances_that_cannot_be_are_a_failed_cell(copied, cell, place, value, message):
    path = copied.scores_file(cell).with_suffix(".json")
    summary = json.loads(path.read_text())
    summary["distances"]["standard.frechet_hog"][place] = value
    write_json(path, summary)
    found = collect_cell(copied, cell)
    assert found.status == "failed" and found.scores is None and message in found.reason


@pytest.mark.parametrize(
    "change",
    [
        lambda summary: summary["counts"].update(subjects=0),
        lambda summary: summary.update(intermediates={"after_1": {"mse_target": 2.0}}),
        lambda summary: summary.update(intermediates={"after_1": {"mse_target": float("nan")}}),
        lambda summary: summary["distances"].update({"paper.fid": 3}),
        lambda summary: summary["counts"].pop("images"),
    ],
)
def test_a_summary_that_cannot_be_is_a_failed_cell(copied, cell, change):
    path = copied.scores_file(cell).with_suffix(".json")
    summary = json.loads(path.read_text())
    change(summary)
    path.write_text(json.dumps(summary))
    found = collect_cell(copied, cell)
    assert found.status == "failed" and str(path) in found.reason


@pytest.mark.fault(
    "metrics and statistics", "methods scored on different slices", "failed cells that say so; nothing is compared"
)
def test_cells_of_other_slices_are_not_compared(copied, cell):
    scores = copied.scores_file(cell)
    pd.read_csv(scores).iloc[2:].to_csv(scores, index=False)
    with_hash(scores)
    shutil.rmtree(copied.data_dir(cell.dataset))
    results = {item.cell: item for item in collect(copied) if item.cell.dataset == cell.dataset}
    # the first is taken for the measure: which of them is right, nobody knows
    assert results.pop(cell).complete
    assert {item.reason for item in results.values()} == {f"scored on other slices than '{cell.method}'; run again"}
    assert Report.read(copied, True).comparisons is not None


@pytest.mark.parametrize("text", ["{", "[]", "{}", '{"distances": {}, "counts": {}}', ""])
def test_a_damaged_summary_is_a_failed_cell(copied, cell, text):
    copied.scores_file(cell).with_suffix(".json").write_text(text)
    found = collect_cell(copied, cell)
    assert found.status == "failed"
    assert ".json: not" in found.reason


@pytest.mark.fault(
    "report and command line",
    "a record that is no JSON, or not a record",
    "it counts as none: scores without theirs are not shown",
)
@pytest.mark.parametrize("text", ["{", "[]", '"x"', '{"status": "failed"}', ""])
def test_damaged_records_are_a_failed_cell_or_left_out(copied, cell, text):
    scores = copied.scores_file(cell)
    (copied.model_dir(cell) / "record.json").write_text(text)
    assert "train" not in collect_cell(copied, cell).records
    scores.with_name(f"{scores.stem}.record.json").write_text(text)
    assert collect_cell(copied, cell).status == "failed"


@pytest.mark.parametrize("text", ["{", "[]", '{"status": "failed"}'])
def test_a_damaged_failure_file_is_still_a_failure(copied, cell, text):
    (copied.model_dir(cell) / "failure.json").write_text(text)
    assert collect_cell(copied, cell).reason.startswith("train: ")


def test_scoring_again_mends_a_cell(copied, cell):
    copied.scores_file(cell).write_text("nonsense")
    assert collect_cell(copied, cell).status == "failed"
    run_score(copied, cell)
    assert collect_cell(copied, cell).status == "complete"

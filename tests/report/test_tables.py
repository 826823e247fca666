"""The tables say what the scores say, and hide nothing."""

from __future__ import annotations

import json

import numpy as np
import pandas as pd
import pytest
from scipy.stats import t

from xmodbench.files import write_json
from xmodbench.metrics.registry import METRICS
from xmodbench.report import build_report
from xmodbench.report.markdown import write_markdown
from xmodbench.report.model import Report
from xmodbench.report.tables import long_table, write_csv, write_table_json


@pytest.fixture
def table(report, tmp_path):
    write_csv(report, tmp_path / "table.csv")
    return pd.read_csv(tmp_path / "table.csv")


def test_there_is_a_row_for_every_cell_and_metric(report, table):
    assert len(table) == len(report.plan.cells) * len(METRICS)
    assert not table.duplicated(["dataset", "source", "target", "method", "metric"]).any()


def test_means_are_those_of_the_scores_within_their_intervals(report, table):
    for cell in report.plan.cells:
        scores = pd.read_csv(report.plan.scores_file(cell))
        rows = table[(table.dataset == cell.dataset) & (table.method == cell.method)].set_index("metric")
        for name in ("paper.mse", "standard.ssim_tar"):
            assert rows.loc[name, "mean"] == pytest.approx(scores[name].mean())
            assert rows.loc[name, "ci_low"] <= rows.loc[name, "mean"] <= rows.loc[name, "ci_high"]
            by_subject = scores.groupby("subject")[name].mean()  # all have two images
            half = t.ppf(0.975, 6) * by_subject.std() / np.sqrt(7)
            low, high = METRICS[name].bounds
            assert rows.loc[name, "ci_low"] == pytest.approx(max(low, scores[name].mean() - half))
            assert rows.loc[name, "ci_high"] == pytest.approx(min(high, scores[name].mean() + half))
        assert (rows.n_images == 14).all()
        assert (rows.n_subjects == 7).all()


def test_best_is_recomputed_among_methods_that_are_no_controls(table):
    methods = table[table.supervision != "control"]
    for (_, name), rows in methods.groupby(["dataset", "metric"]):
        if not METRICS[name].ranked or rows["mean"].isna().all():
            assert not rows.best.any()
            continue
        target = rows["mean"].max() if METRICS[name].higher_is_better else rows["mean"].min()
        assert set(rows[rows.best].method) == set(rows[rows["mean"] == target].method)
        assert sorted(rows["rank"]) == [1, 2, 3]
        ranked = rows.dropna(subset="rank_low")
        assert ((ranked.rank_low <= ranked["rank"]) & (ranked["rank"] <= ranked.rank_high)).all()
    controls = table[table.supervision == "control"]
    assert not controls.best.any()
    assert controls["rank"].isna().all()


def test_the_known_structure_of_the_toy_methods_shows(table):
    rows = table[(table.dataset == "heads")].set_index(["method", "metric"])["mean"]
    assert rows["good", "paper.psnr"] > rows["blurry", "paper.psnr"]
    assert rows["blurry", "standard.frechet_hog"] > rows["good", "standard.frechet_hog"]
    assert rows["oracle", "paper.mi"] == 2


def test_published_numbers_have_a_column_of_their_own_and_never_meet_simulated_data(table):
    assert table[table.simulated]["published"].isna().all()
    rows = table[(table.dataset == "heads") & (table.method == "good")].set_index("metric")["published"].dropna()
    assert rows.to_dict() == {  # Table 1, IXI, MIDiffusion, PD->T1
        "paper.ssim_tar": 0.11,
        "paper.ssim_src": 0.19,
        "paper.mse": 1652.81,
        "paper.mi": 1.17,
        "paper.psnr": 16.35,
        "paper.fid": 129.12,
    }
    assert table[table.method != "good"]["published"].isna().all()


def test_fid_without_weights_is_empty_with_its_reason_never_a_number(report, table):
    rows = table[table.metric == "paper.fid"]
    assert rows["mean"].isna().all()
    assert rows.reason.str.contains("FID_WEIGHTS").all()
    assert table[table.metric == "standard.frechet_hog"]["mean"].notna().all()


def test_intervals_do_not_depend_on_the_other_methods_and_follow_the_seed(report):
    again = long_table(Report.read(report.plan, False))
    pd.testing.assert_frame_equal(long_table(report), again)
    del report.plan.methods["noisy"]
    report.plan.__dict__.pop("cells", None)
    fewer = long_table(Report.read(report.plan, False))
    keep = again[again.method != "noisy"].reset_index(drop=True)
    columns = ["mean", "ci_low", "ci_high"]
    pd.testing.assert_frame_equal(fewer[columns], keep[columns])


@pytest.fixture
def broken(copied):
    """A run in which one cell failed and one was not run."""
    failed = next(cell for cell in copied.cells if cell.method == "blurry")
    missing = next(cell for cell in copied.cells if cell.method == "noisy")
    write_json(copied.model_dir(failed) / "failure.json", {"error": "CUDA out of | memory <b>now</b>"})
    copied.scores_file(missing).unlink()
    return copied, failed, missing


@pytest.mark.fault(
    "metrics and statistics",
    "cells without scores",
    "they stay in the tables with their reason, and are never 0",
)
def test_failed_cells_stay_visible_and_are_never_zero(broken, tmp_path):
    plan, failed, missing = broken
    report = Report.read(plan, partial=True)
    write_csv(report, tmp_path / "t.csv")
    table = pd.read_csv(tmp_path / "t.csv")
    assert len(table) == len(plan.cells) * len(METRICS)
    for cell, status in ((failed, "failed"), (missing, "not run")):
        rows = table[(table.method == cell.method) & (table.dataset == cell.dataset)]
        assert set(rows.status) == {status}
        assert rows["mean"].isna().all()
        assert rows.reason.notna().all()
    write_markdown(report, tmp_path / "t.md")
    text = (tmp_path / "t.md").read_text()
    assert "Incomplete: 12 of 14 cells" in text
    assert "| Blurry | failed: train: CUDA out of \\| memory &lt;b&gt;now&lt;/b&gt; |" in text
    assert "| Noisy | not run |" in text
    # one method left in that direction: nothing to be best of
    section = text.split("## Sim Heads")[0]
    assert "**0." not in section


def test_markdown_keeps_definitions_controls_and_published_numbers_apart(report, tmp_path):
    write_markdown(report, tmp_path / "t.md")
    real, simulated = (tmp_path / "t.md").read_text().split("## Sim Heads")
    assert real.index("### The paper's definition") < real.index("*Controls*") < real.index("### Standard definition")
    table = real.split("### The paper's definition")[1].split("### Standard")[0]
    assert [line.split("|")[1].strip() for line in table.splitlines() if line.startswith("|")] == [
        "Method", "---", "Good &amp; &lt;careful&gt;", "Blurry", "Noisy",
        "*Controls*", "Oracle", "Copy Source", "Mean Image", "Shuffled Target",
    ]  # fmt: skip
    assert "1652.81" in real.split("### Published")[1]
    assert "1652.81" not in real.split("### Published")[0]
    assert "Simulated data" not in real
    assert "**Simulated data" in simulated
    assert "### Published" not in simulated


def test_json_is_strict_and_carries_everything(broken, tmp_path):
    plan, failed, _ = broken
    write_table_json(Report.read(plan, True), tmp_path / "t.json")
    text = (tmp_path / "t.json").read_text()
    value = json.loads(text, parse_constant=lambda name: pytest.fail(f"{name} is not JSON"))
    assert (value["complete"], value["cells"]) == (12, 14)
    assert value["simulated"] == ["Sim Heads"]
    assert value["banner"].startswith("Simulated")
    assert value["provenance"][failed.name]["score"]["versions"]["numpy"] == np.__version__
    assert {row["status"] for row in value["rows"]} == {"complete", "failed", "not run"}
    row = value["comparisons"][0]
    assert row["low"] < row["difference"] < row["high"]
    assert (row["p"], row["reason"]) == (None, "7 subjects: a test needs 8")


@pytest.mark.fault(
    "metrics and statistics",
    "one subject",
    "means without intervals, and it is said",
)
def test_one_subject_has_means_without_intervals_and_says_so(tmp_path, monkeypatch):
    from tests.report import synthetic

    monkeypatch.chdir(tmp_path)
    synthetic.write_plugins(tmp_path)
    plan = synthetic.make_plan(tmp_path, datasets=("heads",), directions=["pd->t1"])
    synthetic.finish(plan, subjects=1, size=32, skip=("noisy", "blurry", "mean_image"))
    build_report(plan, tmp_path / "out", True)
    table = pd.read_csv(tmp_path / "out" / "table.csv")
    assert table["ci_low"].isna().all()
    assert table[table.method == "good"]["mean"].notna().sum() > 10
    assert "one subject says nothing about others" in (tmp_path / "out" / "table.md").read_text()
    assert "one subject says nothing about others" in (tmp_path / "out" / "report.html").read_text()


@pytest.mark.fault("report and command line", "no results at all", "a report that says so")
def test_a_run_without_any_result_still_has_a_report(tmp_path, monkeypatch):
    from tests.report import synthetic

    monkeypatch.chdir(tmp_path)
    synthetic.write_plugins(tmp_path)
    build_report(synthetic.make_plan(tmp_path), tmp_path / "out", True)
    assert set(pd.read_csv(tmp_path / "out" / "table.csv")["status"]) == {"not run"}
    assert "0 of 28 cells" in (tmp_path / "out" / "report.html").read_text()
    assert (tmp_path / "out" / "figure.png").stat().st_size > 500

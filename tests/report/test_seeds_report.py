"""Replicates with several seeds in tables, intervals, differences and plots."""

from __future__ import annotations

import json
import shutil
from dataclasses import replace

import numpy as np
import pandas as pd
import pytest
from scipy import stats as scipy_stats

from tests.report import synthetic
from xmodbench.files import write_json
from xmodbench.metrics import stats
from xmodbench.plan.plan import Cell, Plan
from xmodbench.report import build_report, text
from xmodbench.report.model import Report
from xmodbench.report.page import write_page
from xmodbench.report.plots import dot_plot
from xmodbench.report.sweep_plots import sweep_plots

SEEDS = [1, 2, 3]


@pytest.fixture
def report(seeded, monkeypatch):
    monkeypatch.chdir(seeded)
    return Report.read(synthetic.seeded_plan(seeded), partial=False)


def item_of(report, method):
    return next(item for item in report.results if item.cell.method == method)


def entry_of(report, method, metric):
    found = report.entries[report.groups[0].key]
    return next(entry for entry in found if (entry.cell.method, entry.metric.id) == (method, metric))


def test_a_method_is_one_row_and_its_seeds_are_counted(report):
    assert [item.cell.method for item in report.results] == [*synthetic.METHODS, *synthetic.CONTROLS]
    assert {item.cell.method: len(item.runs) for item in report.results} == {
        "good": 3, "blurry": 3, "noisy": 3, "shuffled_target": 3, "oracle": 1, "copy_source": 1, "mean_image": 1,
    }  # fmt: skip
    assert report.complete == len(report.runs) == 4 * 3 + 3
    assert all(check.passed for check in report.checks)


def test_the_mean_is_that_of_all_seeds_and_the_interval_has_both_parts(report):
    scores = [pd.read_csv(report.plan.scores_file(Cell("noisy", "heads", "pd", "t1", seed))) for seed in (None, 2, 3)]
    values = np.stack([frame["paper.psnr"].to_numpy() for frame in scores])
    entry = entry_of(report, "noisy", "paper.psnr")
    assert entry.value == pytest.approx(values.mean())
    assert entry.seeds == pytest.approx(tuple(values.mean(1)))
    assert entry.seed_sd == pytest.approx(values.mean(1).std(ddof=1))
    by_subject = pd.Series(values.mean(0)).groupby(scores[0]["subject"]).mean()
    one, two = scipy_stats.sem(by_subject) ** 2, entry.seed_sd**2 / 3
    df = (one + two) ** 2 / (one**2 / 3 + two**2 / 2)
    half = scipy_stats.t.ppf(0.975, df) * np.sqrt(one + two)
    assert (entry.low, entry.high) == pytest.approx((entry.value - half, entry.value + half))
    assert entry.subject_high - entry.value == pytest.approx(scipy_stats.t.ppf(0.975, 3) * np.sqrt(one))


def test_a_method_with_fewer_seeds_of_its_own_is_said(report):
    config = report.plan.config.model_copy(deep=True)
    config.methods["blurry"].seeds = [1]
    config.methods["good"].seeds = [2, 1]
    fewer = Report.read(Plan(config, "toy.yaml"), partial=False)
    assert {name: len(entry_of(fewer, name, "paper.psnr").seeds) for name in ("good", "blurry", "noisy", "oracle")} == {
        "good": 2, "blurry": 1, "noisy": 3, "oracle": 1,
    }  # fmt: skip
    note = text.seeds_note(fewer.plan, fewer.groups[0])
    assert note.startswith("Means of 3 seeds") and "with 1 seed: Blurry;" in note + ";"
    assert "with 2 seeds: Good" in note and "Oracle" not in note
    row = next(r for r in fewer.comparisons if (r["a"], r["b"], r["metric"]) == ("blurry", "noisy", "paper.psnr"))
    assert row["low"] < row["difference"] < row["high"]


def test_without_chance_there_is_no_spread_of_seeds(report):
    entry = entry_of(report, "copy_source", "paper.psnr")
    assert entry.seed_sd is None and len(entry.seeds) == 1
    assert (entry.low, entry.high) == (entry.subject_low, entry.subject_high)


def test_a_distance_is_the_mean_of_the_seeds_distances(report):
    entry = entry_of(report, "noisy", "standard.frechet_hog")
    values = [run.distances["standard.frechet_hog"]["value"] for run in item_of(report, "noisy").runs]
    assert entry.value == pytest.approx(np.mean(values)) and entry.seed_sd == pytest.approx(np.std(values, ddof=1))


def test_differences_allow_for_the_seeds_of_both(report):
    row = next(r for r in report.comparisons if (r["a"], r["b"], r["metric"]) == ("good", "noisy", "paper.psnr"))
    good, noisy = (entry_of(report, name, "paper.psnr") for name in ("good", "noisy"))
    assert row["difference"] == pytest.approx(good.value - noisy.value)
    numbers = [report.measured[report.groups[0].key][e.cell].numbers["paper.psnr"] for e in (good, noisy)]
    spreads = [
        stats.between_subjects(numbers[0].effects - numbers[1].effects),
        *(stats.between_seeds(np.array(number.seeds)) for number in numbers),
    ]
    np.testing.assert_allclose([row["low"], row["high"]], stats.t_interval(row["difference"], *spreads))


def test_tables_and_page_say_how_many_seeds_there_are_and_how_they_spread(report, tmp_path):
    build_report(report.plan, tmp_path, False)
    table = pd.read_csv(tmp_path / "table.csv").set_index(["method", "metric"])
    row = table.loc["noisy", "paper.psnr"]
    assert row["n_seeds"] == 3 and row["sd_seeds"] > 0
    assert row["ci_low"] < row["ci_subjects_low"] < row["mean"]
    assert np.isnan(table.loc["oracle", "paper.psnr"]["sd_seeds"])
    value = json.loads((tmp_path / "table.json").read_text())
    assert (value["seed"], value["seeds"]) == (1, SEEDS)
    assert {"noisy.heads.pd-to-t1", "noisy.seed-3.heads.pd-to-t1"} <= value["provenance"].keys()
    for page in ((tmp_path / "report.html").read_text(), (tmp_path / "table.md").read_text()):
        assert "Means of 3 seeds" in page
    assert "seeds ±" in (tmp_path / "report.html").read_text()


def test_the_plot_has_a_tick_for_each_seed(report):
    figure, choices = dot_plot(report)
    ticks = [trace for trace in figure.data if trace.marker.symbol == "line-ns-open"]
    assert len(ticks) == len(choices)
    assert len(ticks[0].x) == 4 * 3
    assert all(len(choice["visible"]) == len(figure.data) and sum(choice["visible"]) == 2 for choice in choices)


def test_a_curve_has_a_tick_for_each_seed_and_one_name_in_the_legend(report):
    for name, start in {"good": 0.6, "blurry": 0.2, "noisy": 0.4}.items():
        report.plan.methods[name] = replace(report.plan.methods[name], family="toy", point={"start": start})
    figure = sweep_plots(Report.read(report.plan, False))["start"]
    ticks = [trace for trace in figure.data if trace.marker.symbol == "line-ew-open"]
    assert len(ticks) == 3 and not any(trace.showlegend for trace in ticks)
    assert sorted(ticks[0].x) == [0.2] * 3 + [0.4] * 3 + [0.6] * 3
    assert set(entry_of(report, "noisy", "standard.psnr").seeds) < set(ticks[0].y)


@pytest.mark.fault(
    "metrics and statistics",
    "a seed that failed among several",
    "the mean of the others, and it is said; the failed one is listed",
)
def test_a_seed_that_failed_is_left_out_and_said(seeded, report, tmp_path, monkeypatch):
    shutil.copytree(seeded, tmp_path / "copy")
    monkeypatch.chdir(tmp_path / "copy")
    plan = synthetic.seeded_plan(tmp_path / "copy")
    write_json(plan.model_dir(Cell("noisy", "heads", "pd", "t1", 2)) / "failure.json", {"error": "diverged"})
    again = Report.read(plan, partial=True)
    item = item_of(again, "noisy")
    assert item.complete and len(item.runs) == 2
    assert item.reason == "2 of 3 seeds (seed 2 failed)"
    assert entry_of(again, "noisy", "paper.psnr").seeds == pytest.approx(
        tuple(entry_of(report, "noisy", "paper.psnr").seeds[i] for i in (0, 2))
    )
    write_page(again, {}, tmp_path / "report.html")
    page = (tmp_path / "report.html").read_text()
    assert "Incomplete: 14 of 15 cells." in page
    assert "Noisy: 2 of 3 seeds (seed 2 failed)" in page
    assert "<strong>Noisy, seed 2</strong>" in page and "diverged" in page

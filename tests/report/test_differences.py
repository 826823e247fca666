"""Differences and ranks against brute force, on scores made here."""

from __future__ import annotations

from itertools import combinations

import numpy as np
import pandas as pd
import pytest
from scipy import stats as scipy_stats

from xmodbench.metrics.differences import compared
from xmodbench.metrics.registry import METRICS, PAIRED
from xmodbench.metrics.uncertainty import Measured
from xmodbench.plan.plan import Cell
from xmodbench.report.collect import CellResult
from xmodbench.report.rank_plot import rank_plot
from xmodbench.report.ranking import COUNTED, MeanRank

COUNTS = (1, 2, 3, 4, 5, 6, 7, 8)


def cell(method: str, shift, counts=COUNTS, seed: int = 0) -> CellResult:
    """A cell with scores that are `shift` (one, or one per subject) above a noise that all methods share but for a bit."""
    index = np.repeat(np.arange(len(counts)), counts)
    noise = np.random.default_rng(9).standard_normal(len(index))
    own = 0.1 * np.random.default_rng(seed).standard_normal(len(index))
    scores = {name: noise + own + np.broadcast_to(shift, len(counts))[index] for name in PAIRED}
    frame = pd.DataFrame(
        {"id": [f"i{n:03d}" for n in range(len(index))], "subject": [f"s{n}" for n in index], **scores}
    )
    distance = {"value": 5.0 + np.mean(shift), "without": list(4.0 + np.arange(len(counts)) / 10 + np.mean(shift))}
    missing = {"value": None, "reason": "none"}
    distances = {m.id: missing for m in METRICS.values() if m.level == "direction"} | {"standard.frechet_hog": distance}
    return CellResult(Cell(method, "toy", "a", "b"), "complete", scores=frame, distances=distances)


def rows_of(*cells, metric="paper.psnr"):
    return {(row["a"], row["b"]): row for row in compared([Measured(item, METRICS) for item in cells], METRICS[metric])}


def test_every_pair_has_its_difference_of_means_over_images_with_an_interval():
    cells = [cell(name, shift, seed=n) for n, (name, shift) in enumerate((("x", 0), ("y", 1), ("z", 0.0)))]
    rows = rows_of(*cells)
    assert list(rows) == list(combinations("xyz", 2))
    for (a, b), row in rows.items():
        one, other = (next(item for item in cells if item.cell.method == name).scores for name in (a, b))
        assert row["difference"] == pytest.approx(one["paper.psnr"].mean() - other["paper.psnr"].mean())
        assert row["low"] < row["difference"] < row["high"]
    assert rows["x", "y"]["high"] < 0
    assert rows["x", "z"]["low"] < 0 < rows["x", "z"]["high"]
    assert rows["x", "y"]["high"] - rows["x", "y"]["low"] < 0.3, "what methods share cancels out"


@pytest.mark.reference("interval of a difference", "SciPy's paired t test", "to 1e-6 of the value")
def test_with_equal_counts_it_is_the_paired_t_interval():
    a, b = cell("x", 0, counts=(2,) * 5, seed=1), cell("y", 0.3, counts=(2,) * 5, seed=2)
    means = [item.scores.groupby("subject")["paper.psnr"].mean() for item in (a, b)]
    wanted = scipy_stats.ttest_rel(*means).confidence_interval()
    row = rows_of(a, b)["x", "y"]
    assert (row["low"], row["high"]) == pytest.approx((wanted.low, wanted.high))
    assert (row["p"], row["p_holm"]) == (None, None)
    assert row["reason"] == "5 subjects: a test needs 8"


def test_who_is_better_is_the_same_in_table_interval_and_test():
    # most subjects are better by a little, those with most images worse by much: ranks would say the opposite
    shift = np.array([0.2] * 6 + [-3.0] * 2)
    row = rows_of(cell("x", shift), cell("y", 0, seed=1))["x", "y"]
    assert row["difference"] < 0 and np.median(shift) > 0
    sums = np.repeat(1.0, 8) * shift * COUNTS
    flips = np.array([(np.array([int(bit) for bit in f"{n:08b}"]) * 2 - 1) @ sums for n in range(256)])
    assert row["p"] == pytest.approx(np.mean(np.abs(flips) >= abs(sums.sum()) - 1e-9), abs=0.03)


def test_a_distance_has_the_jackknife_of_differences_and_no_test():
    a, b = cell("x", 0), cell("y", 0.5)
    without = np.array(b.distances["standard.frechet_hog"]["without"])
    b.distances["standard.frechet_hog"]["without"] = list(without + 0.1 * np.arange(8) ** 2)
    row = rows_of(a, b, metric="standard.frechet_hog")["x", "y"]
    assert row["difference"] == pytest.approx(-0.5)
    half = scipy_stats.t.ppf(0.975, 7) * np.sqrt(7 / 8 * np.square(0.1 * np.arange(8) ** 2 - 1.75).sum())
    assert (row["low"], row["high"]) == pytest.approx((-0.5 - half, -0.5 + half))
    assert row["p"] is None and "distance" in row["reason"]
    del a.distances["standard.frechet_hog"]["without"]
    assert rows_of(a, b, metric="standard.frechet_hog")["x", "y"]["low"] is None


def test_one_subject_has_differences_without_intervals():
    row = rows_of(cell("x", 0, counts=(4,)), cell("y", 1, counts=(4,)))["x", "y"]
    assert (row["low"], row["high"], row["reason"]) == (None, None, "1 subject: a test needs 8")


# -- ranks ----------------------------------------------------------------------------------------------------
def test_mse_and_psnr_count_once_in_the_mean_rank():
    assert [metric.id for metric in COUNTED] == ["paper.ssim_tar", "paper.mi", "paper.psnr", "paper.fid"]


def test_mean_ranks_are_those_of_the_table_and_places_are_shares(report):
    for group in report.groups:
        found = report.mean_ranks[group.key]
        assert set(found) == {"good", "blurry", "noisy"}
        assert [metric.id for metric in report.counted(group)] == ["paper.ssim_tar", "paper.mi", "paper.psnr"]
        for entry_of in (item.cell for item in group.results if item.cell.method in found):
            ranks = [entry.rank for entry in report.cell_entries(entry_of, report.counted(group))]
            rank = found[entry_of.method]
            assert rank.value == pytest.approx(np.mean(ranks))
            assert 1 <= rank.low <= rank.high <= 3
        np.testing.assert_allclose(np.sum([rank.places for rank in found.values()], axis=0), 1)
        np.testing.assert_allclose([sum(rank.places) for rank in found.values()], 1)


def test_the_stability_plot_has_the_shares_best_first(report):
    figure = rank_plot(report)
    first = report.mean_ranks[report.groups[0].key]
    bars = [bar for bar in figure.data if bar.xaxis == "x"]
    assert [bar.name for bar in bars] == ["place 1", "place 2", "place 3"]
    order = sorted(first.values(), key=lambda rank: rank.value)
    np.testing.assert_allclose(bars[0].x, [100 * rank.places[0] for rank in order])
    assert sum(bar.showlegend for bar in figure.data) == 3


def test_without_resamples_there_is_no_stability_plot(report):
    report.__dict__["mean_ranks"] = {group.key: {"good": MeanRank(1.0)} for group in report.groups}
    assert rank_plot(report) is None

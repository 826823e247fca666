"""Plots of sweeps, of their quality, and of images on the way."""

from dataclasses import replace

import pytest

from tests.report.conftest import DIRECTIONS
from tests.report.synthetic import make_plan
from xmodbench.report.model import Report
from xmodbench.report.page import write_page
from xmodbench.report.plots import way_plot
from xmodbench.report.scatter_plots import tradeoff_plot
from xmodbench.report.sweep_plots import sweep_plots

STARTS = {"good": 0.6, "blurry": 0.2, "noisy": 0.4}


def swept(report, points=STARTS, families=None, option="start"):
    """The toy run as if its three methods were the points of a sweep, or of one of each of `families`."""
    plan = make_plan(report.plan.results.parents[1], directions=DIRECTIONS)
    for name, value in points.items():
        family = (families or {}).get(name, "toy")
        plan.methods[name] = replace(plan.methods[name], family=family, point={option: value})
    return Report.read(plan, partial=False)


def test_points_of_a_sweep_are_joined_in_the_order_of_their_values(report):
    again = swept(report)
    figure = tradeoff_plot(again)
    line = next(trace for trace in figure.data if trace.mode == "lines")
    dots = next(trace for trace in figure.data if trace.mode == "markers+text")
    by_label = dict(zip(dots.text, zip(dots.x, dots.y, strict=True), strict=True))
    wanted = [
        by_label[label] for label in ("0.2", "Noisy, start 0.4", "Good &amp; &lt;careful&gt;…") if label in by_label
    ]
    assert len(line.x) == 3
    assert (line.x[0], line.y[0]) == by_label["0.2"]
    assert wanted[0] == by_label["0.2"]
    assert "Noisy, start 0.4" in by_label, "the ends of a sweep are named in full"
    assert not any(trace.mode == "lines" for trace in tradeoff_plot(report).data)


def test_errors_on_the_way_are_drawn_in_the_order_of_steps(report):
    assert way_plot(report) is None
    errors = {f"after_{n}": {"mse_target": 1 / (n + 1), "mse_source": float(n)} for n in (100, 0, 20)}
    results = [replace(report.results[0], intermediates=errors), *report.results[1:]]
    figure = way_plot(Report(report.plan, results, False))
    target, source = figure.data
    assert list(target.x) == ["0", "20", "100"]
    assert list(source.y) == [0, 20, 100]
    assert target.name.endswith("to the target")


def scores(report, method):
    """Of the first direction."""
    return next(item for item in report.groups[0].results if item.cell.method == method)


def curve(figure, name, metric=0):
    """The line of a name in the first direction's panel of a metric, counted from 0."""
    axis = f"x{metric + 1}" if metric else "x"
    return next(trace for trace in figure.data if trace.xaxis == axis and trace.name == name)


def test_a_sweep_is_a_line_of_means_with_their_intervals(report):
    assert sweep_plots(report) == {}
    again = swept(report)
    figure = sweep_plots(again)["start"]
    methods = ["blurry", "noisy", "good"]
    for place, metric in enumerate(("standard.psnr", "standard.ssim_tar")):
        line = curve(figure, "Blurry", place)
        assert list(line.x) == [0.2, 0.4, 0.6]
        assert list(line.y) == pytest.approx([scores(again, name).scores[metric].mean() for name in methods])
        entries = {(e.cell.method, e.metric.id): e for e in again.entries[again.groups[0].key]}
        low = [y - side for y, side in zip(line.y, line.error_y.arrayminus, strict=True)]
        assert low == pytest.approx([entries[name, metric].low for name in methods])
    distance = curve(figure, "Blurry", 2)
    found = [scores(again, name).distances["standard.frechet_hog"]["value"] for name in methods]
    assert list(distance.y) == pytest.approx(found)
    assert all(side > 0 for side in distance.error_y.array), "of a jackknife"
    assert figure.layout.xaxis.type == "linear"


def test_what_is_not_swept_is_level_and_the_oracle_is_left_out(report):
    figure = sweep_plots(swept(report))["start"]
    names = {trace.name for trace in figure.data}
    assert names == {"Blurry", "Copy Source", "Mean Image", "Shuffled Target"}
    level = curve(figure, "Copy Source")
    assert list(level.x) == [0.2, 0.6]
    assert level.y[0] == level.y[1] == pytest.approx(scores(report, "copy_source").scores["standard.psnr"].mean())


def test_entries_that_sweep_the_same_option_share_a_figure(report):
    families = {"good": "one", "blurry": "one", "noisy": "two"}
    names = {trace.name for trace in sweep_plots(swept(report, families=families))["start"].data}
    assert "Blurry" in names, "the first of its entry"
    assert "Noisy" not in names, "a single value is no sweep"
    points = {**STARTS, "mean_image": 0.8}
    figure = sweep_plots(swept(report, points, {**families, "mean_image": "two"}))["start"]
    assert (list(curve(figure, "Blurry").x), list(curve(figure, "Noisy").x)) == ([0.2, 0.6], [0.4, 0.8])
    assert curve(figure, "Blurry").line.color != curve(figure, "Noisy").line.color
    assert curve(figure, "Blurry").marker.symbol != curve(figure, "Noisy").marker.symbol
    words = {"good": "a", "blurry": "b", "noisy": True}
    assert sweep_plots(swept(report, words)) == {}, "no numbers"


def test_more_than_a_decade_is_shown_logarithmically(report):
    figure = sweep_plots(swept(report, {"good": 0.02, "blurry": 1.0, "noisy": 0.11}, option="share"))["share"]
    assert figure.layout.xaxis.type == figure.layout.xaxis6.type == "log"
    assert list(figure.layout.xaxis.ticktext) == ["0.02", "0.11", "1.0"]


def test_a_cell_without_a_score_is_a_gap_and_the_page_shows_the_sweep(copied, report, tmp_path):
    lost = next(cell for cell in copied.cells if cell.method == "noisy")
    copied.scores_file(lost).unlink()
    again = swept(Report.read(copied, False))
    line = curve(sweep_plots(again)["start"], "Blurry")
    assert line.y[1] is None and line.error_y.array[1] is None
    assert line.y[0] is not None and line.error_y.array[2] > 0
    write_page(again, {}, tmp_path / "report.html")
    page = (tmp_path / "report.html").read_text(encoding="utf-8")
    assert "Quality against <code>start</code>" in page
    assert 'id="sweep-start"' in page

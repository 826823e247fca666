"""Plots of sweeps and of images on the way."""

from dataclasses import replace

from tests.report.conftest import DIRECTIONS
from tests.report.synthetic import make_plan
from xmodbench.report.model import Report
from xmodbench.report.plots import tradeoff_plot, way_plot


def swept(report):
    """The toy run as if its three methods were the points of a sweep."""
    plan = make_plan(report.plan.results.parents[1], directions=DIRECTIONS)
    for name, value in {"good": 0.6, "blurry": 0.2, "noisy": 0.4}.items():
        plan.methods[name] = replace(plan.methods[name], family="toy", point={"start": value})
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

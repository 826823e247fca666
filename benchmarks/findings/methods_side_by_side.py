"""What several questions need: methods in a few metrics, beside one of them, as rows, as a table, and as a figure."""

from __future__ import annotations

from collections.abc import Callable, Iterator, Sequence

import pandas as pd
from finished import Finished, Pair
from page import WIDTH, dress, heading, legend, with_interval
from results_page import SHOWN

METRICS = {**SHOWN, "standard.ssim_src": ("SSIM-Src", 3)}
MAIN = "standard.psnr"


def rows(run: Finished, methods: Sequence[str], against: str) -> Iterator[dict]:
    """A row for each direction, method and metric, with its interval and its difference from the method `against`.

    Controls have no difference.
    """
    for pair in run.pairs:
        for method in methods:
            for metric in METRICS:
                found, less = run.value(pair, method, metric), run.less(pair, method, against, metric)
                if found is None:
                    continue
                row = run.row(pair, method, metric) or {}
                yield {
                    "direction": "->".join(pair), "method": method, "label": row["label"], "metric": metric,
                    "value": found.value, "low": found.low, "high": found.high,
                    "less": less and less.value, "less_low": less and less.low, "less_high": less and less.high,
                    "seeds": row["n_seeds"] or 1, "sd_seeds": row["sd_seeds"], "subjects": row["n_subjects"],
                }  # fmt: skip


def table(run: Finished, methods: Sequence[str], against: str, metrics: Sequence[str] = tuple(SHOWN)) -> str:
    """A table for each direction."""
    parts = []
    title = f"PSNR less {run.plan.method_label(against)}'s"
    for pair in run.pairs:
        head = ["method", "seeds", *(METRICS[metric][0] for metric in metrics), title]
        lines = [
            f"#### {heading('->'.join(pair))}",
            "",
            f"| {' | '.join(head)} |",
            f"|---|---:|{'---:|' * (len(head) - 2)}",
        ]
        for method in methods:
            first = run.row(pair, method, MAIN)
            if first is None:
                continue
            cells = [first["label"], str(first["n_seeds"] or 1)]
            cells += [with_interval(run.value(pair, method, metric), METRICS[metric][1]) for metric in metrics]
            less = run.less(pair, method, against, MAIN)
            lines.append(f"| {' | '.join([*cells, '' if less is None else with_interval(less, 1, signed=True)])} |")
        parts.append("\n".join(lines))
    return "\n\n".join(parts)


def differences(plt, run: Finished, methods: Sequence[str], against: str, metrics: Sequence[str]):
    """What each method has less than `against`, a panel for each direction and metric: better lies to the right."""
    shown, axes = plt.subplots(
        1, len(run.pairs) * len(metrics), figsize=(WIDTH, 0.22 * len(methods) + 0.8), layout="constrained", sharey=True
    )
    panels = [(pair, metric) for metric in metrics for pair in run.pairs]
    for axis, (pair, metric) in zip(axes if len(panels) > 1 else [axes], panels, strict=True):
        for place, method in enumerate(methods):
            less = run.less(pair, method, against, metric)
            if less is None:
                continue
            colour = "#0072b2" if less.sign else "#777777"
            if less.low is not None:
                axis.plot([less.low, less.high], [place, place], color=colour, linewidth=1.2)
            axis.plot(less.value, place, "o", color=colour, markersize=4)
        axis.axvline(0, color="black", linewidth=0.6)
        axis.set_title(f"{METRICS[metric][0][:-2]}\n{heading('->'.join(pair))}", fontsize=7)
        dress(axis, "x")
        if not run.metrics[metric].higher_is_better:
            axis.invert_xaxis()
        axis.set_yticks(range(len(methods)), [run.plan.method_label(name) for name in methods], fontsize=6.5)
        axis.set_ylim(len(methods) - 0.4, -0.6)
    shown.supxlabel(f"less {run.plan.method_label(against)}'s, 95 % interval; better to the right", fontsize=7)
    return shown


def frame(run: Finished, methods: Sequence[str], against: str) -> pd.DataFrame:
    """`rows` as a table."""
    return pd.DataFrame(rows(run, methods, against))


def swept(
    plt, run: Finished, metrics: Sequence[str], height: float, across: str, draw: Callable, columns: int | None = None
):
    """A panel for each metric, a row for each direction, over a swept number, and a legend below.

    Args:
        height: of the figure, inches.
        across: says what is swept.
        draw: draws on an axis, which is logarithmic, what there is in a direction and a metric.
        columns: of the legend; None: one row.
    """
    shown, axes = plt.subplots(
        len(run.pairs), len(metrics), figsize=(WIDTH, height), layout="constrained", squeeze=False
    )
    for row, pair in zip(axes, run.pairs, strict=True):
        for axis, metric in zip(row, metrics, strict=True):
            axis.set_xscale("log")
            draw(axis, pair, metric)
            axis.set_title(f"{METRICS[metric][0]}, {heading('->'.join(pair))}", fontsize=7)
            axis.set_xlabel(across, fontsize=6.5)
            dress(axis)
    legend(shown, axes[0][0].get_legend_handles_labels()[0], columns)
    return shown


def curve(axis, run: Finished, pair: Pair, metric: str, points: dict[float, str], **look) -> None:
    """Values with their intervals over a swept number."""
    known = {x: found for x, name in sorted(points.items()) if (found := run.value(pair, name, metric)) is not None}
    lower = [found.value - (found.value if found.low is None else found.low) for found in known.values()]
    upper = [(found.value if found.high is None else found.high) - found.value for found in known.values()]
    values = [found.value for found in known.values()]
    axis.errorbar(list(known), values, [lower, upper], marker="o", markersize=3, linewidth=1, elinewidth=0.7, **look)


def level(axis, run: Finished, pair: Pair, metric: str, method: str, colour: str) -> None:
    """A value that nothing is swept of, as a level line in its interval."""
    found = run.value(pair, method, metric)
    if found is not None:
        axis.axhline(found.value, color=colour, linewidth=1, linestyle="--", label=run.plan.method_label(method))
        if found.low is not None:
            axis.axhspan(found.low, found.high, color=colour, alpha=0.12, linewidth=0)

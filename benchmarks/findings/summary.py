"""What the committed numbers of the run of all methods say of two questions, without the run.

    python benchmarks/findings/summary.py

Does it need t0? SDEdit, EGSDE and ILVR beside MIDiffusion, nearness to the true target against realism. What do
metrics reward? How far the orders of the methods agree, and where each metric puts the controls without skill. Means
and intervals are all that the summary has: the range of an order is that of numbers drawn anew within their
intervals, each by itself, though all methods translate the same heads. It is no confidence interval: what is added
can only blur an order, so it reaches further down than up.
"""

from __future__ import annotations

import numpy as np
import pandas as pd
from finished import Estimate
from methods_side_by_side import METRICS
from page import WIDTH, Answer, arguments, dress, heading, legend, pyplot, with_interval
from rewards import tau_b
from scipy.stats import norm

from xmodbench.files import REPOSITORY
from xmodbench.metrics import stats

SUMMARY = REPOSITORY / "docs/results-simulated.csv"
COLUMNS = [name for name in METRICS if name != "standard.ssim_src"]
FAITHFUL, REAL = "standard.psnr", "standard.frechet_hog"
STARTS = {"midiffusion": "#000000", "sdedit": "#0072b2", "egsde_zero_shot": "#d55e00", "egsde": "#e69f00",
          "ilvr": "#009e73", "energy_guidance": "#cc79a7"}  # fmt: skip
SKILLESS = ("mean_image", "copy_source", "shuffled_target")
DRAWS = 4000


def main() -> None:
    """Both questions."""
    given = arguments(__doc__ or "")
    rows = pd.read_csv(SUMMARY)
    plt = pyplot()
    start = Answer("start_part", given.page)
    kept = rows[rows["method"].isin([*STARTS, *SKILLESS])]
    start.numbers(kept)
    start.figure(plane(plt, kept))
    start.table(beside(kept), "Realism against nearness to the true target, both directions")
    order = Answer("orders", given.page)
    agreement = {str(name): taus(part) for name, part in rows.groupby("direction", sort=False)}
    order.numbers(pd.DataFrame([row for name, found in agreement.items() for row in pairs(name, found)]))
    order.figure(figure(plt, rows, agreement))
    order.table(places(rows), "Agreement of the orders of 22 methods by five metrics, and places of three controls")


def values(rows: pd.DataFrame, column: str = "mean") -> pd.DataFrame:
    """Numbers by method and metric, in the order of the summary."""
    wide = rows.pivot_table(column, "method", "metric", sort=False)
    return wide.loc[list(dict.fromkeys(rows["method"])), COLUMNS]


def signs() -> np.ndarray:
    """1 where more is better, by metric."""
    return np.array([1 if METRICS[name][0].endswith("↑") else -1 for name in COLUMNS])


# -- does it need t0? ------------------------------------------------------------------------------------------------------
def beside(rows: pd.DataFrame) -> str:
    """A line for each method and direction."""
    lines = [f"| direction | method | {' | '.join(METRICS[name][0] for name in COLUMNS)} |"]
    lines.append(f"|---|---|{'---:|' * len(COLUMNS)}")
    for direction, part in rows.groupby("direction", sort=False):
        numbers = part.set_index(["method", "metric"])
        for method in (*STARTS, *SKILLESS):
            cells = [heading(str(direction)), numbers.loc[(method, FAITHFUL), "label"]]
            for name in COLUMNS:
                one = numbers.loc[(method, name)]
                cells.append(with_interval(Estimate(one["mean"], one["ci_low"], one["ci_high"]), METRICS[name][1]))
            lines.append(f"| {' | '.join(cells)} |")
    return "\n".join(lines)


def plane(plt, rows: pd.DataFrame):
    """A panel for each direction: the best lies above on the right."""
    directions = list(dict.fromkeys(rows["direction"]))
    shown, axes = plt.subplots(1, len(directions), figsize=(WIDTH, 3.3), layout="constrained", sharey=True)
    for axis, direction in zip(axes, directions, strict=True):
        numbers = rows[rows["direction"] == direction].set_index(["method", "metric"])
        for method in (*STARTS, *SKILLESS):
            x, y = numbers.loc[(method, FAITHFUL)], numbers.loc[(method, REAL)]
            look = {"color": STARTS.get(method, "#777777")}
            axis.plot([x["ci_low"], x["ci_high"]], [y["mean"]] * 2, linewidth=0.8, **look)
            axis.plot([x["mean"]] * 2, [y["ci_low"], y["ci_high"]], linewidth=0.8, **look)
            axis.plot(
                x["mean"],
                y["mean"],
                "o" if method in STARTS else "s",
                markersize=4,
                label=x["label"] if method in STARTS else None,
                **look,
            )
            if method in SKILLESS:
                axis.annotate(
                    x["label"], (x["mean"], y["mean"]), (0, -11), textcoords="offset points", fontsize=6, ha="center"
                )
        axis.set_xlabel(f"nearness to the true target: {METRICS[FAITHFUL][0]}", fontsize=7)
        axis.set_title(heading(direction), fontsize=8)
        axis.margins(0.1, 0.08)
        dress(axis, size=6.5)
    axes[0].set_ylabel(f"realism: {METRICS[REAL][0]}", fontsize=7)
    axes[0].invert_yaxis()
    legend(shown, axes[0].get_legend_handles_labels()[0], columnspacing=1, handletextpad=0.2)
    return shown


# -- what do metrics reward? -----------------------------------------------------------------------------------------------
def taus(rows: pd.DataFrame) -> np.ndarray:
    """Kendall's tau-b between the methods' orders, ``[3, metrics, metrics]``: its value and the ends of its range."""
    methods = rows[rows["supervision"] != "control"]
    mean, low, high = (values(methods, name).to_numpy() for name in ("mean", "ci_low", "ci_high"))
    error = (high - low) / (2 * norm.ppf(0.975))
    drawn = mean + error * np.random.default_rng(1).standard_normal((DRAWS, *mean.shape))
    return np.concatenate([tau_b(mean[None] * signs()), stats.percentiles(tau_b(drawn * signs()))])


def pairs(direction: str, found: np.ndarray) -> list[dict]:
    """A row for each two metrics."""
    return [
        {
            "direction": direction, "metric": one, "other": COLUMNS[b],
            **dict(zip(("tau", "low", "high"), found[:, a, b], strict=True)),
        }
        for a, one in enumerate(COLUMNS) for b in range(a + 1, len(COLUMNS))
    ]  # fmt: skip


def place(rows: pd.DataFrame, control: str, metric: str) -> int:
    """A control's place among all methods in a metric, 1 being the best."""
    methods = values(rows[rows["supervision"] != "control"])[metric]
    own = values(rows[rows["method"] == control])[metric].iloc[0]
    way = signs()[COLUMNS.index(metric)]
    return 1 + int((way * methods > way * own).sum())


def places(rows: pd.DataFrame) -> str:
    """A line for each metric: where it puts the controls."""
    label = dict(zip(rows["method"], rows["label"], strict=True))
    directions = list(dict.fromkeys(rows["direction"]))
    lines = [f"| metric | {' | '.join(label[name] for name in SKILLESS)} |", f"|---|{'---:|' * len(SKILLESS)}"]
    for metric in COLUMNS:
        cells = [METRICS[metric][0]]
        for name in SKILLESS:
            found = [place(rows[rows["direction"] == direction], name, metric) for direction in directions]
            cells.append(" and ".join(map(str, found)))
        lines.append(f"| {' | '.join(cells)} |")
    return "\n".join(lines)


def figure(plt, rows: pd.DataFrame, agreement: dict[str, np.ndarray]):
    """Agreement of every two metrics in each direction, with its range."""
    names = [METRICS[name][0][:-2].replace(", dB", "") for name in COLUMNS]
    shown, axes = plt.subplots(1, len(agreement), figsize=(WIDTH, 2.9), layout="constrained", sharey=True)
    for axis, (direction, found) in zip(axes, agreement.items(), strict=True):
        axis.imshow(np.where(np.eye(len(names)), np.nan, found[0]), vmin=0, vmax=1, cmap="Blues", aspect="auto")
        for a in range(len(names)):
            for b in range(len(names)):
                text = "" if a == b else f"{found[0, a, b]:.2f}\n[{found[1, a, b]:.2f}, {found[2, a, b]:.2f}]"
                axis.text(b, a, text, ha="center", va="center", fontsize=6, color=shade(found[0, a, b]))
        axis.set_xticks(range(len(names)), names, fontsize=6)
        axis.set_yticks(range(len(names)), names, fontsize=6.5)
        axis.set_title(f"Kendall's τ between orders of methods, {heading(direction)}", fontsize=7)
    return shown


def shade(value: float) -> str:
    """A colour that can be read on that of a value."""
    return "white" if value > 0.65 else "black"


if __name__ == "__main__":
    main()

"""Is one model for every source true? Models of T1 that translate PD, T2, FLAIR and CT of the same heads.

    xmodbench run config/contrasts.yaml
    python benchmarks/findings/sources.py results/contrasts

What a new source costs: the models that it took beyond those of the first. What it loses: the same heads' numbers from
this source less those from the first, with the models that both share.
"""

from __future__ import annotations

from collections.abc import Iterator

import numpy as np
import pandas as pd
from finished import Estimate, Finished, Pair
from methods_side_by_side import METRICS, frame, table
from page import COLOURS, WIDTH, answered, dress, legend, pyplot, with_interval

from xmodbench.metrics.stats import t_interval
from xmodbench.metrics.uncertainty import Number

AGAINST = "midiffusion"
PANELS = ("standard.psnr", "field.edges", "volume.dice_tissue")
LOOKS = {"midiffusion": "#000000", "fgdm": "#56b4e9", "nearest_slice": COLOURS["control"], "cyclegan": COLOURS["few-shot"],
         "unet_regression": COLOURS["paired"]}  # fmt: skip
FIGURE = "Quality by source, of models of one target"


def main() -> None:
    """Every source by itself, and less the first."""
    run, answer = answered(__doc__ or "", "sources")
    methods = [cell.method for cell in run.competing(run.pairs[0])]
    lost = pd.DataFrame(losses(run, methods))
    answer.numbers(pd.concat([frame(run, methods, AGAINST), lost]))
    answer.figure(figure(pyplot(), run, methods))
    answer.table(f"{summary(run, methods, lost)}\n\n{table(run, methods, AGAINST)}", FIGURE)


def models(run: Finished, method: str, pairs: list[Pair]) -> int:
    """How many models a method needs for these directions, with each seed."""
    cells = [cell for pair in pairs for cell in run.cells(pair) if cell.method == method]
    return len({run.plan.model_dir(cell) for cell in cells})


def losses(run: Finished, methods: list[str]) -> Iterator[dict]:
    """A row for each source but the first, method and metric: its number less the first source's."""
    first, *others = run.pairs
    for method in methods:
        shared = models(run, method, run.pairs) == 1
        numbers = {
            pair: next(run.measured(c) for c in run.cells(pair) if c.method == method).numbers for pair in run.pairs
        }
        for pair in others:
            for metric in PANELS:
                found = loss(numbers[pair][metric], numbers[first][metric], shared)
                yield {
                    "direction": f"{pair[0]} less {first[0]}", "method": method, "label": run.plan.method_label(method),
                    "metric": metric, "value": found.value, "low": found.low, "high": found.high,
                }  # fmt: skip


def loss(one: Number, other: Number, shared: bool) -> Estimate:
    """The difference of two numbers of the same subjects, of the same models or of models trained apart."""
    seeds = [one.seeds, other.seeds]
    effects = None if one.effects is None or other.effects is None else one.effects - other.effects
    value = one.value - other.value
    if shared:
        spreads = Number(value, effects, tuple(np.subtract(*seeds))).spreads
    else:  # the seeds of each are its own
        spreads = Number(value, effects, ()).spreads[:1] + [part for each in (one, other) for part in each.spreads[1:]]
    if not spreads:
        return Estimate(value, None, None)
    low, high = map(float, t_interval(value, *spreads))
    return Estimate(value, low, high)


def summary(run: Finished, methods: list[str], lost: pd.DataFrame) -> str:
    """Models that all sources take, and what each source loses in PSNR against the first."""
    first, *others = run.pairs
    head = ["method", f"models for {len(run.pairs)} sources, a seed"]
    head += [f"PSNR from {pair[0].upper()} less from {first[0].upper()}" for pair in others]
    lines = [f"| {' | '.join(head)} |", f"|---|{'---:|' * (len(head) - 1)}"]
    rows = lost[lost["metric"] == "standard.psnr"].set_index(["method", "direction"])
    for method in methods:
        cells = [run.plan.method_label(method), str(models(run, method, run.pairs))]
        for pair in others:
            row = rows.loc[(method, f"{pair[0]} less {first[0]}")]
            cells.append(with_interval(Estimate(row["value"], row["low"], row["high"]), 1, signed=True))
        lines.append(f"| {' | '.join(cells)} |")
    return "\n".join(lines)


def figure(plt, run: Finished, methods: list[str]):
    """A panel for each metric: sources beside each other, methods by colour."""
    shown, axes = plt.subplots(1, len(PANELS), figsize=(WIDTH, 2.6), layout="constrained")
    for axis, metric in zip(axes, PANELS, strict=True):
        for number, method in enumerate(methods):
            aside = (number - (len(methods) - 1) / 2) * 0.12
            found = [(x + aside, run.value(pair, method, metric)) for x, pair in enumerate(run.pairs)]
            known = [(x, one) for x, one in found if one is not None]
            look = {"color": LOOKS.get(method, "#777777")}
            for x, one in known:
                axis.plot([x, x], [one.low, one.high], linewidth=1, **look)
            label = run.plan.method_label(method)
            axis.plot([x for x, _ in known], [one.value for _, one in known], "o", markersize=3.5, label=label, **look)
        axis.set_xticks(range(len(run.pairs)), [pair[0].upper() for pair in run.pairs], fontsize=6.5)
        dress(axis, "y")
        axis.set_title(METRICS[metric][0], fontsize=7)
    legend(shown, axes[0].get_legend_handles_labels()[0])
    return shown


if __name__ == "__main__":
    main()

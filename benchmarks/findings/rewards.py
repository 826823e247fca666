"""What do the six metrics reward? Rank agreement between metrics, and with what the simulation knows of tissues.

    python benchmarks/findings/rewards.py results/extended

Of a finished run on simulated heads. Methods are put in order by every metric; Kendall's tau-b says how far two orders
agree, its interval is that of resampled subjects and seeds. Then pairs of methods, and of controls without skill with
methods, that two errors by tissue tell apart alike (`tissue_errors.py`): how many of them a metric orders the other way,
beyond chance.
"""

from __future__ import annotations

from collections import Counter
from collections.abc import Iterator, Sequence
from dataclasses import dataclass, replace

import numpy as np
import pandas as pd
from finished import Estimate, Finished, Pair, Scores
from page import WIDTH, answered, heading, pyplot, with_interval
from tissue_errors import BIAS, ERROR, tissue_errors, tissue_shares

from xmodbench.metrics import stats
from xmodbench.metrics.differences import compared
from xmodbench.metrics.registry import Metric
from xmodbench.metrics.uncertainty import Measured, group_draws
from xmodbench.seeding import derive_seed
from xmodbench.store import SliceStore

PAPER = ("paper.ssim_tar", "paper.ssim_src", "paper.mse", "paper.mi", "paper.psnr", "paper.fid")
BESIDE = (
    "standard.frechet_hog",
    "standard.ssim_tar",
    "standard.nmi",
    "field.ms_ssim",
    "field.edges",
    "volume.dice_tissue",
)
SKILLESS = ("source", "mean", "shuffled")
"""What controls answer with that have no skill."""


@dataclass(frozen=True)
class Direction:
    """A direction's cells with their errors by tissue: methods that compete, and controls without skill."""

    pair: Pair
    methods: list[Measured]
    controls: list[Measured]


def main() -> None:
    """Measure, compare, write."""
    run, answer = answered(__doc__ or "", "rewards")
    directions = [direction(run, pair) for pair in run.pairs]
    metrics = [run.metrics[name] for name in (*PAPER, *BESIDE) if has(directions, name)] + [ERROR, BIAS]
    agreement = {each.pair: taus(run, each, metrics) for each in directions}
    judged = {each.pair: list(verdicts(each, metrics)) for each in directions}
    answer.numbers(rows(run, agreement, judged, metrics))
    answer.figure(figure(pyplot(), agreement, judged, metrics))
    answer.table(
        table(run, agreement, judged, metrics),
        "Agreement of the metrics' orders, and pairs of a control and a method that each orders rightly and wrongly",
    )


def direction(run: Finished, pair: Pair) -> Direction:
    """A direction's cells."""
    test = SliceStore(run.plan.data_dir(run.dataset) / "test")
    shares, target = tissue_shares(test), test.array(pair[1])

    def measured(cell) -> Measured:
        scores = run.scores(cell)
        runs = [with_tissues(run, one, target, shares) for one in scores.runs]
        mean = scores.image_scores.copy()
        for name in (ERROR.id, BIAS.id):
            mean[name] = sum(one.image_scores[name] for one in runs) / len(runs)
        seeds = tuple(runs) if len(runs) > 1 else ()
        return Measured(
            replace(scores, image_scores=mean, seeds=seeds), {**run.metrics, ERROR.id: ERROR, BIAS.id: BIAS}
        )

    skilless = [cell for cell, answers in run.controls(pair) if answers in SKILLESS]
    return Direction(pair, [measured(cell) for cell in run.competing(pair)], [measured(cell) for cell in skilless])


def with_tissues(run: Finished, scores: Scores, target: np.ndarray, shares: np.ndarray) -> Scores:
    """A cell's scores of one seed, with the errors by tissue of its translations."""
    made = SliceStore(run.plan.translation_dir(scores.cell)).array(scores.cell.target)
    return replace(scores, image_scores=scores.image_scores.assign(**tissue_errors(made, target, shares)))


def has(directions: Sequence[Direction], metric: str) -> bool:
    """Whether all cells have a number in a metric."""
    return all(metric in each.numbers for found in directions for each in (*found.methods, *found.controls))


# -- orders ----------------------------------------------------------------------------------------------------------------
def taus(run: Finished, found: Direction, metrics: Sequence[Metric]) -> np.ndarray:
    """Kendall's tau-b of the methods' orders by every two metrics, ``[3, metrics, metrics]``: its value and the ends of its
    95 % interval. Better is higher in all."""
    config = run.plan.config
    key = f"{run.dataset}.{'-to-'.join(found.pair)}"
    draws = group_draws(key, found.methods, config.scoring.bootstrap, config.seed)
    values = np.zeros((1 + len(draws), len(found.methods), len(metrics)))
    for place, one in enumerate(found.methods):
        # a method's seeds are drawn once for all metrics: they are the same models
        seed = derive_seed(config.seed, "seeds", one.item.cell.method)
        for column, metric in enumerate(metrics):
            number = one.numbers[metric.id]
            values[0, place, column] = number.value
            values[1:, place, column] = number.resample(draws, seed)
    values *= [1 if metric.higher_is_better else -1 for metric in metrics]
    found_taus = tau_b(values)
    return np.concatenate([found_taus[:1], stats.percentiles(found_taus[1:])])


def tau_b(values: np.ndarray) -> np.ndarray:
    """Kendall's tau-b between the columns of ``[samples, methods, metrics]``: ``[samples, metrics, metrics]``."""
    first, second = np.triu_indices(values.shape[1], 1)
    signs = np.sign(values[:, first] - values[:, second])
    untied = np.abs(signs).sum(1)
    scale = np.sqrt(untied[:, :, None] * untied[:, None])
    return np.einsum("spa,spb->sab", signs, signs) / np.maximum(scale, 1e-12)


# -- pairs -----------------------------------------------------------------------------------------------------------------
@dataclass(frozen=True)
class Verdict:
    """What a metric says of a pair that both errors by tissue tell apart alike: 1 the same, 0 nothing, -1 the opposite.

    ``control`` is that of the pair, if it has one; ``wrongly`` says whether the metric has it above.
    """

    metric: str
    better: str
    worse: str
    control: str | None
    says: int


def verdicts(found: Direction, metrics: Sequence[Metric]) -> Iterator[Verdict]:
    """Of every metric about every such pair."""
    cells = [*found.methods, *found.controls]
    controls = {one.item.cell.method for one in found.controls}
    signs = {metric.id: better(cells, metric) for metric in metrics}
    for pair, known in signs[ERROR.id].items():
        if not known or known != signs[BIAS.id][pair] or controls >= set(pair):
            continue
        first, second = pair if known > 0 else pair[::-1]
        control = next((name for name in pair if name in controls), None)
        for metric in metrics:
            if metric not in (ERROR, BIAS):
                yield Verdict(metric.id, first, second, control, known * signs[metric.id][pair])


def better(cells: Sequence[Measured], metric: Metric) -> dict[Pair, int]:
    """Of all pairs: 1 where the first is better beyond chance, -1 where the second is, else 0."""
    way = 1 if metric.higher_is_better else -1
    return {
        (row["a"], row["b"]): way * Estimate(row["difference"], row["low"], row["high"]).sign
        for row in compared(list(cells), metric)
    }


def counts(judged: Sequence[Verdict], metric: str, controls: bool) -> tuple[int, int, int]:
    """Pairs that a metric orders right, not at all, and wrongly; those with a control, or those of methods alone."""
    found = Counter(each.says for each in judged if each.metric == metric and (each.control is not None) == controls)
    return found[1], found[0], found[-1]


# -- what is shown ---------------------------------------------------------------------------------------------------------
def label(metric: Metric) -> str:
    """A metric's name with its definition where there are several."""
    short = {"standard.frechet_hog": "Fréchet-HOG", "volume.dice_tissue": "Dice of tissues", "field.ms_ssim": "MS-SSIM"}
    if metric.id in short:
        return short[metric.id]
    return f"{metric.label} ({metric.family})" if metric.family in ("paper", "standard") else metric.label


def rows(run: Finished, agreement: dict, judged: dict, metrics: Sequence[Metric]) -> pd.DataFrame:
    """All numbers, a row each."""
    found = []
    for pair in run.pairs:
        where = {"direction": "->".join(pair)}
        for a, one in enumerate(metrics):
            for b, other in enumerate(metrics[a + 1 :], a + 1):
                value, low, high = agreement[pair][:, a, b]
                what = {"what": "tau", "metric": one.id, "other": other.id}
                found.append({**where, **what, "value": value, "low": low, "high": high})
        for metric in metrics[:-2]:
            for kind in ("controls", "methods"):
                number = counts(judged[pair], metric.id, kind == "controls")
                for name, value in zip(("right", "undecided", "wrong"), number, strict=True):
                    found.append({**where, "what": f"pairs of {kind}: {name}", "metric": metric.id, "value": value})
    return pd.DataFrame(found)


def table(run: Finished, agreement: dict, judged: dict, metrics: Sequence[Metric]) -> str:
    """The page's table: a line for each metric."""
    head = ["metric", *(f"τ with error by tissue, {heading('->'.join(pair))}" for pair in run.pairs)]
    head += [
        "pairs with a control: wrong of all",
        "pairs of methods: wrong of all",
        "controls put above what is better",
    ]
    lines = [f"| {' | '.join(head)} |", f"|---|{'---:|' * (len(head) - 2)}---|"]
    everything = [each for pair in run.pairs for each in judged[pair]]
    for place, metric in enumerate(metrics[:-2]):
        cells = [label(metric)]
        cells += [with_interval(Estimate(*agreement[pair][:, place, -2]), 2) for pair in run.pairs]
        for controls in (True, False):
            number = counts(everything, metric.id, controls)
            cells.append(f"{number[2]} of {sum(number)}")
        above = Counter(
            each.worse for each in everything if each.metric == metric.id and each.control and each.says < 0
        )
        names = [f"{run.plan.method_label(name)} {count}" for name, count in above.most_common(3)]
        lines.append(f"| {' | '.join([*cells, ', '.join(names) or 'none'])} |")
    return "\n".join(lines)


def figure(plt, agreement: dict, judged: dict, metrics: Sequence[Metric]):
    """Agreement of every two metrics over both directions, and what each says of pairs with a control."""
    mean = np.mean([found[0] for found in agreement.values()], axis=0)
    names = [label(metric) for metric in metrics]
    shown, (left, right) = plt.subplots(1, 2, figsize=(WIDTH, 3.9), width_ratios=(1.75, 1), layout="constrained")
    left.imshow(mean, vmin=0, vmax=1, cmap="Blues")
    for a, row in enumerate(mean):
        for b, value in enumerate(row):
            left.text(b, a, f"{value:.2f}".replace("0.", "."), ha="center", va="center", fontsize=5,
                      color="white" if abs(value) > 0.7 else "black")  # fmt: skip
    left.set_xticks(range(len(names)), names, rotation=90, fontsize=6.5)
    left.set_yticks(range(len(names)), names, fontsize=6.5)
    left.axhline(len(names) - 2.5, color="black", linewidth=0.8)
    left.axvline(len(names) - 2.5, color="black", linewidth=0.8)
    left.set_title("Kendall's τ of the methods' orders (mean of directions)", fontsize=7)
    everything = [each for found in judged.values() for each in found]
    start = np.zeros(len(metrics) - 2)
    amounts = np.array([counts(everything, metric.id, True) for metric in metrics[:-2]], float)
    for column, (name, colour) in enumerate((("right", "#009e73"), ("undecided", "#cccccc"), ("wrong", "#d55e00"))):
        right.barh(range(len(start)), amounts[:, column], left=start, color=colour, label=name, height=0.7)
        start = start + amounts[:, column]
    right.set_yticks(range(len(start)), names[:-2], fontsize=6.5)
    right.invert_yaxis()
    right.tick_params(axis="x", labelsize=6.5)
    right.set_title("pairs of a control and a method\nthat errors by tissue tell apart", fontsize=7)
    right.legend(fontsize=6.5, loc="upper center", bbox_to_anchor=(0.5, -0.1), ncols=3, frameon=False, handlelength=1)
    right.spines[["top", "right"]].set_visible(False)
    return shown


if __name__ == "__main__":
    main()

"""How sure is the paper's Table 1? Which of its bests could be chance, if its scores spread as ours do.

    python benchmarks/findings/published_table.py [results/extended]

The paper prints means without errors. Here each column gets the errors that its numbers would have had: of one
training for each method, tested on as many subjects and images as the paper says, if differences between two methods
spread as they do in a finished run of the paper's methods: that of the command line, whose spread is kept beside the
answer, or else the one that was kept. What needs no run: by how much subjects must differ for a lead to be chance.
FID, which has no scores of images, is left out, and so is SSIM-Src, of which more is not better.
"""

from __future__ import annotations

from itertools import combinations

import numpy as np
import pandas as pd
from finished import Finished
from page import WIDTH, Answer, arguments, dress, legend, pyplot
from scipy.stats import chi2, t

from xmodbench.metrics import stats
from xmodbench.metrics.published import half_digit, table

TESTED = {"IXI": (25, 75), "GoldAtlas": (4, 227), "CuRIOUS": (5, 216)}
"""Test subjects and images as the paper says; `xmodbench/metrics/contradictions.csv` has what is doubtful about them."""
HIGHER = {"ssim_tar": True, "mse": False, "mi": True, "psnr": True}
"""Columns, and whether more is better."""
NAMES = {"ssim_tar": "SSIM-Tar", "mse": "MSE, natural log", "mi": "MI", "psnr": "PSNR, dB"}
UNITS = {"ssim_tar": "", "mse": "", "mi": "", "psnr": ", dB"}
COLOURS = {"#0072b2": "told apart, even with other trainings", "#56b4e9": "told apart, but for other trainings",
           "#777777": "could be chance"}  # fmt: skip
FACTORS = (1.0, 2.0, 4.0)
"""By which all standard deviations are multiplied: real people may differ by more than simulated ones."""
DRAWS = 20_000


def main() -> None:
    """Take the spread from a run, judge every column by it, write."""
    given = arguments(__doc__ or "", results=False)
    answer = Answer("published_table", given.page)
    kept = answer.folder / "spread.csv"
    if given.results is not None:
        kept.parent.mkdir(exist_ok=True)
        spread_of(Finished(given.results)).to_csv(kept, index_label="column", float_format="%.5g", lineterminator="\n")
    spread = pd.read_csv(kept, index_col="column")
    found = pd.DataFrame([row for factor in FACTORS for row in judged(spread * factor**2, factor)])
    answer.numbers(found)
    plain = found[found["factor"] == 1]
    answer.figure(figure(pyplot(), plain))
    tables = (markdown(plain), enough(plain), sensitivity(found))
    answer.table("\n\n".join(tables), "By how much the best of each column leads the next, with intervals")


# -- how scores spread -----------------------------------------------------------------------------------------------------
def spread_of(run: Finished) -> pd.DataFrame:
    """Variances by column: medians over the pairs of the paper's methods, in all directions.

    Returns:
        ``subjects`` and ``images`` of a difference between two methods: between subjects, and what is left between their
        images;
        ``trainings`` of one method's mean between seeds. Of mean squared errors, which differ by factors, those of the
        logarithms.
    """
    of_paper = [name for name, method in run.plan.methods.items() if method.plugin.meta.get("published")]
    rows = {}
    for column in HIGHER:
        parts, trained = [], []
        for pair in run.pairs:
            cells = [run.scores(cell) for cell in run.competing(pair) if cell.method in of_paper]
            scores = [[image_scores(one.image_scores, column) for one in cell.runs] for cell in cells]
            trained += [seeds(np.array([one.mean() for one in each])) for each in scores if len(each) > 1]
            means = [pd.concat(each).groupby(level=[0, 1]).mean() for each in scores]
            parts += [components(a - b) for a, b in combinations(means, 2)]
        subjects, images = np.median(parts, axis=0)
        rows[column] = {"subjects": subjects, "images": images, "trainings": float(np.median(trained))}
    return pd.DataFrame(rows).T


def image_scores(frame: pd.DataFrame, column: str) -> pd.Series:
    """Scores by subject and image."""
    values = frame.set_index(["subject", "id"])[f"paper.{column}"]
    return np.log(values) if column == "mse" else values


def components(values: pd.Series) -> tuple[float, float]:
    """Variance between subjects, and between a subject's images beside what their places in the subject make: the analysis
    of variance by subject and place, with equal numbers of images."""
    table = np.stack([one.sort_index().to_numpy() for _, one in values.groupby(level=0)])
    subjects, images = table.shape
    left = table - table.mean(1, keepdims=True) - table.mean(0) + table.mean()
    within = float(np.square(left).sum() / ((subjects - 1) * (images - 1)))
    return max(0.0, float(table.mean(1).var(ddof=1)) - within / images), within


def seeds(values: np.ndarray) -> float:
    """Variance between seeds, such that the median of many is right: that of few is below their mean."""
    df = len(values) - 1
    return float(values.var(ddof=1) * df / chi2.ppf(0.5, df))


# -- what follows for the paper's columns ----------------------------------------------------------------------------------
def judged(spread: pd.DataFrame, factor: float) -> list[dict]:
    """Each column of each direction: its best, the next, their difference with its interval, and how sure the best is.

    ``told_apart``: 0 lies outside the 95 % interval of the difference for the same trainings and other subjects;
    ``told_apart_trainings``: also for other trainings; ``best_again``: share of repetitions, with other subjects and
    trainings, in which the same method is the best of the four. ``chance_from_sd``: how much the difference has to vary
    between subjects for 0 to lie in the first interval, whatever a run says; ``sd_of_subjects``: how much the means of
    subjects with as many images vary by the run.
    """
    found, generator = [], np.random.default_rng(1)
    for (dataset, direction), group in table().groupby(["dataset", "direction"], sort=False):
        subjects, images = TESTED[str(dataset)]
        for column, higher in HIGHER.items():
            one = spread.loc[column]
            printed = group.set_index("method")[column]
            values = np.log(printed.astype(float)) if column == "mse" else printed.astype(float)
            values = values if higher else -values
            best, after = values.sort_values(ascending=False, kind="stable").index[:2]
            gap, rounded = float(values[best] - values[after]), rounding(printed[[best, after]], column)
            tested = stats.Spread(np.array(one["subjects"] / subjects + one["images"] / images), subjects - 1)
            trained = stats.Spread(np.array(2 * one["trainings"]), np.inf)
            halves = [float(stats.t_interval(0.0, *spreads)[1]) + rounded for spreads in ([tested], [tested, trained])]
            # the errors of two methods' means together are those of their difference
            noise = np.sqrt((tested.variance + trained.variance) / 2)
            drawn = values.to_numpy() + generator.normal(0, noise, (DRAWS, len(values)))
            found.append({
                "dataset": dataset, "direction": direction, "column": column, "factor": factor,
                "best": best, "next": after, "printed_best": printed[best], "printed_next": printed[after],
                "difference": gap, "half_width": halves[0], "half_width_trainings": halves[1],
                "told_apart": gap > halves[0], "told_apart_trainings": gap > halves[1],
                "best_again": float(np.mean(drawn.argmax(1) == values.index.get_loc(best))),
                "chance_from_sd": max(0.0, gap - rounded) * np.sqrt(subjects) / float(t.ppf(0.975, subjects - 1)),
                "sd_of_subjects": float(np.sqrt(one["subjects"] + one["images"] * subjects / images)),
                **{f"sd_{name}": float(np.sqrt(value)) for name, value in one.items()},
            })  # fmt: skip
    return found


def rounding(printed: pd.Series, column: str) -> float:
    """By how much rounding may have moved the difference of two printed numbers, on the scale of the differences."""
    return sum(half_digit(text) / (abs(float(text)) if column == "mse" else 1) for text in printed)


# -- what is shown ---------------------------------------------------------------------------------------------------------
def markdown(found: pd.DataFrame) -> str:
    """A line for each direction: each column's best, and how often it would be best again."""
    lines = ["| data set | direction | " + " | ".join(NAMES[name].split(",")[0] for name in HIGHER) + " |"]
    lines += ["|---|---|" + "---|" * len(HIGHER)]
    for (dataset, direction), group in found.groupby(["dataset", "direction"], sort=False):
        cells = []
        for row in group.itertuples():
            best = f"{row.best} {row.printed_best}"
            best = f"**{best}**" if row.told_apart_trainings else best if row.told_apart else f"*{best}*"
            cells.append(f"{best} ({row.next} {row.printed_next}) {row.best_again:.0%}")
        lines.append(f"| {dataset} | {str(direction).replace('->', ' → ')} | " + " | ".join(cells) + " |")
    return "\n".join(lines)


def enough(found: pd.DataFrame) -> str:
    """How much subjects must differ for each lead to be chance."""
    names = [f"{NAMES[name].split(',')[0]}{UNITS[name]}" for name in HIGHER]
    lines = [f"| data set | direction | subjects | {' | '.join(names)} |", f"|---|---|---:|{'---:|' * len(names)}"]
    for (dataset, direction), group in found.groupby(["dataset", "direction"], sort=False):
        cells = [str(dataset), str(direction).replace("->", " → "), str(TESTED[str(dataset)][0])]
        for row in group.itertuples():
            from_sd, ours = (in_unit(row.column, value) for value in (row.chance_from_sd, row.sd_of_subjects))
            cells.append(f"{from_sd} ({ours})")
        lines.append(f"| {' | '.join(cells)} |")
    return "\n".join(lines)


def in_unit(column: str, value: float) -> str:
    """A standard deviation; that of a logarithm as per cent."""
    return f"{100 * np.expm1(value):.0f} %" if column == "mse" else f"{value:.{2 if column == 'psnr' else 3}f}"


def sensitivity(found: pd.DataFrame) -> str:
    """How many bests are told apart where scores spread by other factors."""
    lines = ["| standard deviations | bests told apart, other subjects | and other trainings | best again in 95 % |"]
    lines += ["|---|---:|---:|---:|"]
    for factor, group in found.groupby("factor"):
        name = "as in our run" if factor == 1 else f"{factor:g} times ours"
        sure = (group["best_again"] >= 0.95).sum()
        told, trainings = group["told_apart"].sum(), group["told_apart_trainings"].sum()
        lines.append(f"| {name} | {told} of {len(group)} | {trainings} of {len(group)} | {sure} of {len(group)} |")
    return "\n".join(lines)


def figure(plt, found: pd.DataFrame):
    """The best's distance from the next in every column, with the interval that it would have had."""
    directions = list(found.groupby(["dataset", "direction"], sort=False).groups)
    shown, axes = plt.subplots(1, len(HIGHER), figsize=(WIDTH, 3.0), layout="constrained", sharey=True)
    for axis, column in zip(axes, HIGHER, strict=True):
        rows = found[found["column"] == column]
        for place, row in enumerate(rows.itertuples()):
            colour = list(COLOURS)[0 if row.told_apart_trainings else 1 if row.told_apart else 2]
            for half, width in ((row.half_width_trainings, 0.6), (row.half_width, 2)):
                ends = [row.difference - half, row.difference + half]
                axis.plot(ends, [place, place], color=colour, linewidth=width)
            axis.plot(row.difference, place, "o", color=colour, markersize=4)
            axis.annotate(
                row.best, (row.difference, place), (0, 4), textcoords="offset points", fontsize=5.5, ha="center"
            )
        axis.axvline(0, color="black", linewidth=0.6)
        axis.set_yticks(range(len(directions)), [f"{a}\n{b}".replace("->", " → ") for a, b in directions], fontsize=6)
        dress(axis, "x")
        axis.set_title(NAMES[column], fontsize=7)
        axis.set_ylim(len(directions) - 0.5, -0.7)
    shown.supxlabel(
        "lead of a column's best (named) over its next, 95 % intervals: other subjects (thick), other trainings too (thin)",
        fontsize=7,
    )
    marks = [axes[0].plot([], [], "o", color=colour, markersize=4, label=text)[0] for colour, text in COLOURS.items()]
    legend(shown, marks, place="upper")
    return shown


if __name__ == "__main__":
    main()

"""How sure is the paper's Table 1? Which of its bests could be chance, if its scores spread as ours do.

The paper prints means without errors. Here each column gets the errors that its numbers would have had: of so many test
subjects and images as the paper says, whose differences between two methods spread as in a run of ours, and of one
training each.

    python benchmarks/findings/published_table.py                          # with docs/findings/spread.csv
    python benchmarks/findings/published_table.py --from extended.yaml     # takes the spread from a finished run first

Writes docs/findings/published_table.csv and prints the table of docs/findings.md.
"""

from __future__ import annotations

import argparse
import sys
from itertools import combinations
from pathlib import Path

import numpy as np
import pandas as pd
from scipy import stats

sys.path.insert(0, str(Path(__file__).resolve().parents[2]))

from xmodbench.files import REPOSITORY
from xmodbench.metrics.published import half_digit, table
from xmodbench.plan.config import load_config
from xmodbench.plan.plan import Cell, Plan

FINDINGS = REPOSITORY / "docs/findings"
TESTED = {"IXI": (25, 75), "GoldAtlas": (4, 227), "CuRIOUS": (5, 216)}
"""Test subjects and images as the paper says; `xmodbench/metrics/contradictions.csv` has what is doubtful about them."""
HIGHER = {"ssim_tar": True, "mse": False, "mi": True, "psnr": True}
"""Columns with a best, and whether it is the highest; FID has no scores of images, SSIM-Src no best."""
METHODS = ("midiffusion", "cyclegan", "stylegan2_inversion", "sdedit")
DRAWS = 200_000


def main() -> None:
    """Take the spread from a run if asked to, then judge every column."""
    options = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    options.add_argument("--from", dest="config", type=Path, help="config of a finished run with the paper's methods")
    given = options.parse_args()
    if given.config:
        spread_of(Plan(load_config(given.config), str(given.config))).to_csv(FINDINGS / "spread.csv", index=False)
    columns = pd.DataFrame(judged(pd.read_csv(FINDINGS / "spread.csv").set_index("column")))
    columns.to_csv(FINDINGS / "published_table.csv", index=False, float_format="%.4g", lineterminator="\n")
    print(markdown(columns))


def spread_of(plan: Plan) -> pd.DataFrame:
    """Medians over pairs of methods and directions of what their differences have for variances.

    Returns:
        By column: ``subjects`` (variance between subjects), ``images`` (within them), ``trainings`` (of one training of one
        method). Of mean squared errors, which differ by factors, those of their logarithms.
    """
    rows = []
    for column in HIGHER:
        found, trained = [], []
        for dataset, pairs in plan.directions.items():
            for source, target in pairs:
                cells = [Cell(name, dataset, source, target) for name in METHODS]
                scores = [[image_scores(plan, seed, column) for seed in plan.replicates(cell)] for cell in cells]
                trained += [np.var([one.mean() for one in each], ddof=1) for each in scores if len(each) > 1]
                means = [pd.concat(each).groupby(level=[0, 1]).mean() for each in scores]
                found += [components(a - b) for a, b in combinations(means, 2)]
        subjects, images = np.median(found, axis=0)
        rows.append({"column": column, "subjects": subjects, "images": images, "trainings": np.median(trained)})
    return pd.DataFrame(rows)


def image_scores(plan: Plan, cell: Cell, column: str) -> pd.Series:
    """Scores by subject and image."""
    frame = pd.read_csv(plan.scores_file(cell), dtype={"id": str, "subject": str})
    values = frame.set_index(["subject", "id"])[f"paper.{column}"]
    return np.log(values) if column == "mse" else values


def components(values: pd.Series) -> tuple[float, float]:
    """Variance between subjects and within them, by the analysis of variance with equal numbers of images."""
    by = values.groupby(level=0)
    within, images = float(by.var(ddof=1).mean()), float(by.size().mean())
    return max(0.0, float(by.mean().var(ddof=1)) - within / images), within


def judged(spread: pd.DataFrame) -> list[dict]:
    """Each column of each direction: the best, the next, their difference with its interval, and how sure the best is."""
    rows, generator = [], np.random.default_rng(1)
    for (dataset, direction), group in table().groupby(["dataset", "direction"], sort=False):
        subjects, images = TESTED[str(dataset)]
        for column, higher in HIGHER.items():
            one = spread.loc[column]
            printed = group.set_index("method")[column]
            sign = 1 if higher else -1
            values = (np.log(printed.astype(float)) if column == "mse" else printed.astype(float)) * sign
            best, after = values.sort_values(ascending=False).index[:2]
            tested = one["subjects"] / subjects + one["images"] / images
            error = np.sqrt(tested + 2 * one["trainings"])
            width = stats.t.ppf(0.975, subjects - 1) * np.sqrt(tested) + rounding(printed[[best, after]], column)
            # the errors of two methods' means together are those of their difference
            noise = generator.normal(0, error / np.sqrt(2), (DRAWS, len(values)))
            stays = float(np.mean(np.argmax(values.to_numpy() + noise, axis=1) == values.index.get_loc(best)))
            rows.append(
                {
                    "dataset": dataset, "direction": direction, "column": column, "best": best, "next": after,
                    "printed_best": printed[best], "printed_next": printed[after],
                    "difference": values[best] - values[after], "half_width": width,
                    "told_apart": bool(values[best] - values[after] > width), "best_again": stays,
                }
            )  # fmt: skip
    return rows


def rounding(printed: pd.Series, column: str) -> float:
    """How far off two printed numbers may be by rounding, on the scale of the differences."""
    sizes = [half_digit(text) / (abs(float(text)) if column == "mse" else 1) for text in printed]
    return float(sum(sizes))


def markdown(columns: pd.DataFrame) -> str:
    """The page's table: a line for each direction."""
    lines = ["| data set | direction | " + " | ".join(HIGHER) + " |", "|---|---|" + "---|" * len(HIGHER)]
    for (dataset, direction), group in columns.groupby(["dataset", "direction"], sort=False):
        cells = []
        for row in group.itertuples():
            said = f"{row.best} {row.printed_best}, {row.next} {row.printed_next}: {row.best_again:.0%}"
            cells.append(f"**{said}**" if row.told_apart else said)
        lines.append(f"| {dataset} | {direction} | " + " | ".join(cells) + " |")
    return "\n".join(lines)


if __name__ == "__main__":
    main()

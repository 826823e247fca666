"""A finished run's numbers as a page of the docs: tables between its markers, a CSV, a plot and a picture beside it.

    python benchmarks/results_page.py config/extended.yaml docs/results-simulated.md [--against midiffusion]

Run it in the folder where the run's `results` lie. What stands outside the markers is left alone.
"""

from __future__ import annotations

import argparse
import sys
from collections.abc import Iterator
from pathlib import Path

import numpy as np
import pandas as pd

sys.path.insert(0, str(Path(__file__).resolve().parents[1]))

from xmodbench.files import atomic_file
from xmodbench.plan.config import load_config
from xmodbench.plan.plan import Plan
from xmodbench.report.cost import seconds_per_image
from xmodbench.report.figure import draw_image
from xmodbench.report.figures.files import WIDTH, drawing, wrapped
from xmodbench.report.figures.images import lines_of
from xmodbench.report.model import Report
from xmodbench.report.summary import Entry, Group
from xmodbench.report.text import group_title

SHOWN = {
    "standard.psnr": ("PSNR, dB ↑", 1),
    "standard.ssim_tar": ("SSIM ↑", 3),
    "field.edges": ("new edges ↑", 2),
    "volume.dice_tissue": ("Dice of tissues ↑", 2),
    "standard.frechet_hog": ("Fréchet-HOG ↓", 4),
}
"""Columns of the page's tables: heading and decimals by metric."""
MAIN = "standard.psnr"
COLOURS = {
    "zero-shot": "#0072b2",
    "few-shot": "#d55e00",
    "unpaired": "#cc79a7",
    "paired": "#009e73",
    "control": "#777777",
}
"""Okabe and Ito's, for any colour vision."""
COLUMNS = 8  # pictures beside each other


def main() -> None:
    """Write the page's tables, CSV, plot and picture."""
    options = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    options.add_argument("config", type=Path)
    options.add_argument(
        "page", type=Path, help="a Markdown file with <!-- begin: numbers --> and <!-- end: numbers -->"
    )
    options.add_argument(
        "--against", default="midiffusion", help="the method whose differences from all others are shown"
    )
    given = options.parse_args()
    report = Report.read(Plan(load_config(given.config), str(given.config)), partial=False)
    rows = pd.DataFrame(numbers(report))
    rows.to_csv(given.page.with_suffix(".csv"), index=False, float_format="%.5g", lineterminator="\n")
    tables = "\n\n".join(table(report, group, given.against) for group in report.groups)
    write_between(given.page, tables)
    with drawing() as plt:
        for suffix, figure in ((".png", plot(plt, report)), ("-pictures.png", pictures(plt, report))):
            figure.savefig(given.page.with_name(given.page.stem + suffix), dpi=130)


def ordered(report: Report, group: Group) -> list:
    """A direction's cells with scores: by supervision, then by PSNR."""
    done = [item for item in group.results if item.complete]
    return sorted(
        done, key=lambda item: (list(COLOURS).index(sees(report, item)), -(entry(report, item, MAIN).value or 0))
    )


def sees(report: Report, item) -> str:
    """What a cell's method is trained on, in a word."""
    return str(report.plan.supervision(item.cell.method))


def entry(report: Report, item, metric: str) -> Entry:
    """One number of a cell."""
    return report.cell_entries(item.cell, [report.metrics[metric]])[0]


def numbers(report: Report) -> Iterator[dict]:
    """A row for each direction, method and metric."""
    for group in report.groups:
        for item in ordered(report, group):
            for metric in filter(report.metrics.get, SHOWN):
                found = entry(report, item, metric)
                yield {
                    "direction": f"{group.source}->{group.target}",
                    "method": item.cell.method,
                    "supervision": sees(report, item),
                    "metric": metric,
                    "mean": found.value,
                    "ci_low": found.low,
                    "ci_high": found.high,
                    "seeds": len(found.seeds) or None,
                    "sd_seeds": found.seed_sd,
                    "subjects": item.image_scores["subject"].nunique(),
                    "seconds_per_slice": seconds_per_image(item.runs[0]),
                }


def table(report: Report, group: Group, against: str) -> str:
    """A direction's table in Markdown."""
    metrics = {name: how for name, how in SHOWN.items() if name in report.metrics}
    found = {(row["a"], row["b"]): row for row in report.comparisons if row["metric"] == MAIN and of(row, group)}
    first = report.plan.method_label(against)
    head = ["method", "sees", "seeds", *(title for title, _ in metrics.values()), f"PSNR − {first}'s", "s a slice"]
    lines = [
        f"### {group_title(report.plan, group)}",
        "",
        f"| {' | '.join(head)} |",
        f"|{'---|' * 3}{'---:|' * (len(head) - 3)}",
    ]
    for item in ordered(report, group):
        name, cells = item.cell.method, [entry(report, item, metric) for metric in metrics]
        row = [report.plan.method_label(name), sees(report, item), str(len(cells[0].seeds) or 1)]
        row += [shown(cell, digits) for cell, (_, digits) in zip(cells, metrics.values(), strict=True)]
        took = seconds_per_image(item.runs[0])
        row += [difference(found, name, against), "" if took is None else f"{took:.2g}"]
        lines.append(f"| {' | '.join(row)} |")
    return "\n".join(lines)


def of(row: dict, group: Group) -> bool:
    """Whether a comparison is of a direction."""
    return (row["dataset"], row["source"], row["target"]) == (group.dataset, group.source, group.target)


def shown(cell: Entry, digits: int) -> str:
    """A number with its interval; in bold if it is the best of what competes."""
    if cell.value is None:
        return "–"
    text = f"{cell.value:.{digits}f}"
    text = f"**{text}**" if cell.best else text
    return text if cell.low is None else f"{text} [{cell.low:.{digits}f}, {cell.high:.{digits}f}]"


def difference(found: dict, name: str, against: str) -> str:
    """A method's difference with its interval, in bold where that leaves out nothing."""
    sign, row = (1, found.get((name, against))) if (name, against) in found else (-1, found.get((against, name)))
    if row is None or row["low"] is None:
        return ""
    low, high = sorted((sign * row["low"], sign * row["high"]))
    text = f"{sign * row['difference']:+.1f} [{low:+.1f}, {high:+.1f}]"
    return f"**{text}**" if low > 0 or high < 0 else text


def write_between(page: Path, text: str) -> None:
    """Put text between a page's markers."""
    begin, end = "<!-- begin: numbers -->", "<!-- end: numbers -->"
    before, _, rest = page.read_text(encoding="utf-8").partition(begin)
    after = rest.partition(end)[2]
    with atomic_file(page) as temporary:
        temporary.write_text(f"{before}{begin}\n\n{text}\n\n{end}{after}", encoding="utf-8")


def plot(plt, report: Report):
    """PSNR of every method with its interval, a panel for each direction."""
    height = 0.17 * max(len(ordered(report, group)) for group in report.groups) + 0.9
    figure, axes = plt.subplots(1, len(report.groups), figsize=(WIDTH, height), layout="constrained", squeeze=False)
    for axis, group in zip(axes[0], report.groups, strict=True):
        items = [item for item in ordered(report, group) if item.cell.method != "oracle"]
        for place, item in enumerate(items):
            found, colour = entry(report, item, MAIN), COLOURS[sees(report, item)]
            axis.plot([found.low, found.high], [place, place], color=colour, linewidth=1.2)
            axis.plot(found.value, place, "o", color=colour, markersize=4)
            if len(found.seeds) > 1:
                axis.plot(found.seeds, [place] * len(found.seeds), "|", color=colour, markersize=6, markeredgewidth=0.7)
        axis.set_yticks(range(len(items)), [report.plan.method_label(item.cell.method) for item in items], fontsize=6.5)
        axis.set(ylim=(len(items) - 0.4, -0.6), xlabel="PSNR (dB)")
        axis.set_title(group_title(report.plan, group), fontsize=8)
        axis.grid(axis="x", linewidth=0.3)
    handles = [
        plt.Line2D([], [], color=colour, marker="o", markersize=4, label=name) for name, colour in COLOURS.items()
    ]
    figure.legend(handles=handles, loc="outside lower center", ncols=len(handles), fontsize=7)
    return figure


def pictures(plt, report: Report):
    """Each direction's median case by every method."""
    lines = [(group, line) for group in report.groups for line in lines_of(report, group, ("median",))]
    label = report.plan.method_label
    images = [
        [
            ("source", line.source),
            ("target", line.target),
            *((label(name), image) for name, image in line.translations.items()),
        ]
        for _, line in lines
    ]
    rows = sum(-(-len(found) // COLUMNS) for found in images)
    panel, head = WIDTH / COLUMNS, 0.3
    figure = plt.figure(figsize=(WIDTH, rows * (panel + head) + 0.22 * len(lines)))
    axis = figure.add_axes((0, 0, 1, 1))
    axis.set_axis_off()
    top = 0.0
    for (group, _), found in zip(lines, images, strict=True):
        axis.text(
            0.05,
            top + 0.12 / panel,
            f"{group_title(report.plan, group)}",
            fontsize=8,
            weight="bold",
            va="center",
        )
        top += 0.22 / panel
        for start in range(0, len(found), COLUMNS):
            top += head / panel
            for place, (title, image) in enumerate(found[start : start + COLUMNS]):
                axis.text(place + 0.5, top - 0.03, wrapped(title, 17, 2), fontsize=6, ha="center", va="bottom")
                if image is not None:
                    draw_image(axis, np.asarray(image), place, top, cmap="gray", vmax=1)
            top += 1
    axis.set(xlim=(0, COLUMNS), ylim=(top, 0))
    return figure


if __name__ == "__main__":
    main()

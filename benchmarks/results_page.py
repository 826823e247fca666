"""A finished run's numbers as a page of the docs: tables between its markers, a CSV, a plot and a picture beside it.

    python benchmarks/results_page.py results/extended docs/results-simulated.md --data data/cohort64/sim_ixi

For a run of one data set; what was made elsewhere is left out. What stands outside the page's markers is left alone.
"""

from __future__ import annotations

import argparse
import sys
from collections.abc import Iterator
from io import BytesIO
from pathlib import Path

import numpy as np
import pandas as pd
from PIL import Image

sys.path.insert(0, str(Path(__file__).resolve().parents[1]))

from xmodbench.files import read_json, write_text
from xmodbench.generate.markers import between
from xmodbench.store import SliceStore

SHOWN = {
    "standard.psnr": ("PSNR, dB ↑", 1),
    "standard.ssim_tar": ("SSIM ↑", 3),
    "field.edges": ("new edges ↑", 2),
    "volume.dice_tissue": ("Dice of tissues ↑", 2),
    "standard.frechet_hog": ("Fréchet-HOG ↓", 3),
}
"""Columns of the page's tables: heading and decimals by metric."""
MAIN = "standard.psnr"
BEGIN, END = "<!-- begin: numbers -->", "<!-- end: numbers -->"
COLOURS = {"zero-shot": "#0072b2", "few-shot": "#d55e00", "paired": "#009e73", "control": "#777777"}
"""By supervision, in the tables' order; Okabe and Ito's, for any colour vision."""
WIDTH, COLUMNS = 7.0, 8  # inches of a figure, pictures beside each other


def main() -> None:
    """Write the page's tables, CSV, plot and picture."""
    options = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    options.add_argument("results", type=Path, help="folder of a finished run")
    options.add_argument("page", type=Path, help=f"a page with {BEGIN} and {END}")
    options.add_argument("--data", type=Path, required=True, help="the data set's prepared folder")
    options.add_argument(
        "--against", default="midiffusion", help="the method from which all others' differences are shown"
    )
    given = options.parse_args()
    run = read_json(given.results / "table.json")
    rows = pd.DataFrame(numbers(run))
    rows.to_csv(given.page.with_suffix(".csv"), index=False, float_format="%.5g", lineterminator="\n")
    by_direction = {str(name): part for name, part in rows.groupby("direction", sort=False)}
    tables = "\n\n".join(table(run, name, part, given.against) for name, part in by_direction.items())
    text = given.page.read_text(encoding="utf-8")
    write_text(given.page, between(text, BEGIN, END, f"{tables}\n", given.page))

    import matplotlib

    matplotlib.use("Agg")
    import matplotlib.pyplot as plt

    beside = given.page.with_suffix("")
    plot(plt, by_direction).savefig(f"{beside}.png", dpi=120)
    shown = BytesIO()
    pictures(plt, by_direction, given.results, given.data).savefig(shown, dpi=120)
    Image.open(shown).convert("L").save(f"{beside}-pictures.png", optimize=True)  # a third of the size in colour


def numbers(run: dict) -> Iterator[dict]:
    """A row for each direction, method and metric with a value: by supervision, then by PSNR."""
    rows = [
        row for row in run["rows"] if row["metric"] in SHOWN and row["mean"] is not None and not row["made_elsewhere"]
    ]
    order = {row_key(row): row["mean"] for row in rows if row["metric"] == MAIN}
    rows.sort(key=lambda row: (row["source"], list(COLOURS).index(row["supervision"]), -order.get(row_key(row), 0)))
    for row in rows:
        record = run["provenance"][f"{row['method']}.{row['dataset']}.{row['source']}-to-{row['target']}"]["translate"]
        yield {
            "direction": f"{row['source']}->{row['target']}",
            **{
                name: row[name]
                for name in ("method", "label", "supervision", "metric", "mean", "ci_low", "ci_high", "best")
            },
            "seeds": row["n_seeds"] or 1,
            "sd_seeds": row["sd_seeds"],
            "subjects": row["n_subjects"],
            "seconds_per_slice": record.get("parts_duration_s", record["duration_s"]) / row["n_images"],
        }


def row_key(row: dict) -> tuple[str, str, str]:
    """Of a cell."""
    return row["source"], row["target"], row["method"]


def dress(axis, along: str = "both", size: float = 6) -> None:
    """Small numbers and thin lines `along` x, y or both, and no frame above and on the right."""
    axis.tick_params(axis=along, labelsize=size)
    axis.grid(axis=along, linewidth=0.3)
    axis.spines[["top", "right"]].set_visible(False)


def legend(figure, handles: list, columns: int | None = None, size: float = 6.5, place: str = "lower", **gaps) -> None:
    """What marks mean, outside the panels, `lower` or `upper`; in one row, or in `columns`, with `gaps` of matplotlib's."""
    columns = columns or len(handles)
    figure.legend(handles=handles, loc=f"outside {place} center", ncols=columns, fontsize=size, frameon=False, **gaps)


def heading(direction: str) -> str:
    """A direction for people."""
    return direction.replace("->", " → ").upper()


def table(run: dict, direction: str, rows: pd.DataFrame, against: str) -> str:
    """A direction's table in Markdown."""
    differences = {
        (row["a"], row["b"]): row
        for row in run["comparisons"]
        if row["metric"] == MAIN and f"{row['source']}->{row['target']}" == direction
    }
    labels = dict(zip(rows["method"], rows["label"], strict=True))
    head = ["method", "sees", "seeds", *(title for title, _ in SHOWN.values())]
    head += [f"PSNR less {labels.get(against, against)}'s", "s a slice"]
    lines = [f"### {heading(direction)}", "", f"| {' | '.join(head)} |", "|---|---|---|" + "---:|" * (len(head) - 3)]
    for method, part in rows.groupby("method", sort=False):
        by, first = part.set_index("metric"), part.iloc[0]
        cells = [first["label"], first["supervision"], str(first["seeds"])]
        cells += [shown(by.loc[name], digits) if name in by.index else "–" for name, (_, digits) in SHOWN.items()]
        cells += [difference(differences, str(method), against), f"{first['seconds_per_slice']:.2g}"]
        lines.append(f"| {' | '.join(cells)} |")
    return "\n".join(lines)


def shown(row: pd.Series, digits: int) -> str:
    """A number with its interval; in bold if it is the best of what competes."""
    text = f"{row['mean']:.{digits}f}"
    text = f"**{text}**" if row["best"] else text
    return text if pd.isna(row["ci_low"]) else f"{text} [{row['ci_low']:.{digits}f}, {row['ci_high']:.{digits}f}]"


def difference(found: dict, name: str, against: str) -> str:
    """A method's difference with its interval, in bold where 0 lies outside."""
    sign = 1 if (name, against) in found else -1
    row = found.get((name, against)) or found.get((against, name))
    if row is None or row["low"] is None:
        return ""
    low, high = sorted((sign * row["low"], sign * row["high"]))
    text = f"{sign * row['difference']:+.1f} [{low:+.1f}, {high:+.1f}]"
    return f"**{text}**" if low > 0 or high < 0 else text


def plot(plt, by_direction: dict[str, pd.DataFrame]):
    """PSNR of every method with its interval, a panel for each direction; the oracle, which has no error, is left out."""
    panels = {
        name: rows[(rows["metric"] == MAIN) & (rows["method"] != "oracle")] for name, rows in by_direction.items()
    }
    height = 0.17 * max(map(len, panels.values())) + 0.9
    figure, axes = plt.subplots(1, len(panels), figsize=(WIDTH, height), layout="constrained", squeeze=False)
    for axis, (name, rows) in zip(axes[0], panels.items(), strict=True):
        for place, row in enumerate(rows.itertuples()):
            axis.plot([row.ci_low, row.ci_high], [place, place], color=COLOURS[row.supervision], linewidth=1.2)
            axis.plot(row.mean, place, "o", color=COLOURS[row.supervision], markersize=4)
        axis.set_yticks(range(len(rows)), list(rows["label"]), fontsize=6.5)
        dress(axis, "x", 7)
        axis.set_ylim(len(rows) - 0.4, -0.6)
        axis.set_xlabel("PSNR (dB)", fontsize=7)
        axis.set_title(heading(name), fontsize=8)
    handles = [
        plt.Line2D([], [], color=colour, marker="o", markersize=4, label=name) for name, colour in COLOURS.items()
    ]
    legend(figure, handles, size=7)
    return figure


def pictures(plt, by_direction: dict[str, pd.DataFrame], results: Path, data: Path):
    """Of each direction the slice of median PSNR over the methods, by every method in the tables' order."""
    from textwrap import fill

    stores = {name: images(rows, name, results, data) for name, rows in by_direction.items()}
    rows = sum(-(-len(found) // COLUMNS) for found in stores.values())
    panel, head, title = WIDTH / COLUMNS, 0.3, 0.24
    high = rows * (panel + head) + title * len(stores)
    figure = plt.figure(figsize=(WIDTH, high))
    axis = figure.add_axes((0, 0, 1, 1))
    axis.set_axis_off()
    top = 0.0
    for name, found in stores.items():
        axis.text(0.05, top + title / 2, f"{heading(name)} (simulated)", fontsize=8, weight="bold", va="center")
        top += title
        for start in range(0, len(found), COLUMNS):
            top += head
            for place, (label, image) in enumerate(found[start : start + COLUMNS]):
                axis.text((place + 0.5) * panel, top - 0.03, fill(label, 17), fontsize=6, ha="center", va="bottom")
                extent = (place * panel + 0.01, (place + 1) * panel - 0.01, top + panel - 0.01, top + 0.01)
                axis.imshow(image, extent=extent, vmin=0, vmax=1, cmap="gray", interpolation="nearest", aspect="auto")
            top += panel
    axis.set(xlim=(0, WIDTH), ylim=(high, 0))
    return figure


def images(rows: pd.DataFrame, direction: str, results: Path, data: Path) -> list[tuple[str, np.ndarray]]:
    """Label and image ``[H, W]`` of source, target and every method that competes, of the median slice."""
    source, target = direction.split("->")
    methods = rows[rows["supervision"] != "control"].drop_duplicates("method")
    cells = [f"{name}.{data.name}.{source}-to-{target}" for name in methods["method"]]
    scores = np.mean([pd.read_csv(results / f"scores/{cell}.csv")["paper.psnr"] for cell in cells], axis=0)
    median = int(np.argsort(scores, kind="stable")[len(scores) // 2])
    test = SliceStore(data / "test")
    found = [("source", test.array(source)[median]), ("target", test.array(target)[median])]
    for name, label in zip(methods["method"], methods["label"], strict=True):
        store = SliceStore(results / "translations" / name / data.name / f"{source}-to-{target}")
        found.append((label, store.array(target)[median]))
    return found


if __name__ == "__main__":
    main()

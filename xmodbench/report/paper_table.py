"""The numbers in the layout of the paper's Table 1, to be put into a manuscript: LaTeX, Markdown, CSV and HTML.

A row for each data set, method and direction, the paper's six columns in the paper's definitions and, as there, with two
digits behind the point. Best values are those of the tables; intervals and everything else are in ``table.csv``.
"""

from __future__ import annotations

import csv
import io
from collections.abc import Callable
from dataclasses import dataclass
from itertools import groupby
from pathlib import Path

from markupsafe import escape

from xmodbench.errors import plain
from xmodbench.files import write_text
from xmodbench.metrics.registry import PROTOCOL, family
from xmodbench.report.collect import CellResult
from xmodbench.report.markdown import markdown_table, markdown_text
from xmodbench.report.model import Report
from xmodbench.report.summary import Entry
from xmodbench.report.text import NONE, SIMULATED, subjects_note

NAME = "table1"
COLUMNS = family("paper")


@dataclass(frozen=True)
class Row:
    """A method in one direction of a data set; without scores, ``problem`` says so."""

    dataset: str
    method: str
    direction: tuple[str, str]
    control: bool
    entries: list[Entry]
    problem: str | None


def write_paper_table(report: Report, folder: Path) -> None:
    """Write ``table1.tex``, ``table1.md``, ``table1.csv`` and ``table1.html``."""
    rows, notes = table_rows(report), table_notes(report)
    for suffix, render in RENDERERS.items():
        write_text(folder / f"{NAME}.{suffix}", render(rows, notes))


def table_rows(report: Report) -> list[Row]:
    """By data set, then method (controls last), then direction, each in the plan's order."""
    datasets, methods = list(report.plan.config.datasets), list(report.plan.methods)

    def place(item: CellResult) -> tuple[int, bool, int]:
        cell = item.cell
        return datasets.index(cell.dataset), report.control(cell), methods.index(cell.method)

    return [_row(report, item) for item in sorted(report.results, key=place)]


def _row(report: Report, item: CellResult) -> Row:
    cell, plan = item.cell, report.plan
    dataset = plan.dataset_label(cell.dataset)
    if plan.simulated(cell.dataset) and "simulated" not in dataset:
        dataset += " (simulated)"
    marks = ["made elsewhere"] if plan.predictions(cell) else []
    marks += [item.partial] if item.partial else []
    return Row(
        dataset,
        plan.method_label(cell.method) + (f" ({', '.join(marks)})" if marks else ""),
        (cell.source.upper(), cell.target.upper()),
        report.control(cell),
        report.cell_entries(cell, COLUMNS),
        None if item.complete else item.status,
    )


def table_notes(report: Report) -> list[str]:
    """What has to be said with the numbers."""
    plan, entries = report.plan, [entry for found in report.entries.values() for entry in found]
    groups = [(plan.dataset_label(group.dataset), subjects_note(group).partition(";")[0]) for group in report.groups]
    notes = [SIMULATED] if report.simulated else []
    notes += [
        "Means over test slices. Bold: best of the methods; controls (italic) are not ranked, and SSIM-Src is no measure of "
        "quality.",
        f"{'; '.join(dict.fromkeys(f'{name}: {count}' for name, count in groups))}. 95 % intervals are in table.csv.",
    ]
    reasons = dict.fromkeys(
        it.reason for it in entries if it.metric.id == "paper.fid" and it.result.complete and it.reason
    )
    if reasons:
        notes.append(f"FID: {'; '.join(map(str, reasons))}.")
    return [*notes, f"Made by xmodbench, run {plan.config.run}, protocol {PROTOCOL}."]


def printed(entry: Entry) -> str:
    """A value with two digits behind the point, three where it would read as 0."""
    if entry.value is None:
        return NONE
    return f"{entry.value:.3f}" if abs(entry.value) < 0.01 else f"{entry.value:.2f}"


def _blocks(rows: list[Row]) -> list[list[Row]]:
    return [list(block) for _, block in groupby(rows, key=lambda row: row.dataset)]


# -- LaTeX ----------------------------------------------------------------------------------------------------------------
_TEX = {
    "\\": r"\textbackslash{}",
    "~": r"\textasciitilde{}",
    "^": r"\textasciicircum{}",
    "²": r"\textsuperscript{2}",
    "–": "--",
    "<": r"\textless{}",
    ">": r"\textgreater{}",
    "|": r"\textbar{}",
    '"': r"\textquotedbl{}",
    **{mark: f"\\{mark}" for mark in "&%$#_{}"},
}


def tex(text: str) -> str:
    """Text that LaTeX prints as it is, on one line."""
    return "".join(_TEX.get(letter, letter) for letter in plain(text))


def _latex(rows: list[Row], notes: list[str]) -> str:
    arrows = ["" if not it.ranked else r"\,$\uparrow$" if it.higher_is_better else r"\,$\downarrow$" for it in COLUMNS]
    heads = [f"{tex(metric.label)}{arrow}" for metric, arrow in zip(COLUMNS, arrows, strict=True)]
    lines = [
        r"% needs \usepackage{booktabs}",
        r"\begin{table}",
        r"\centering",
        r"\small",
        r"\caption{Translation of the test slices, by data set, method and direction.}",
        rf"\begin{{tabular}}{{lll{'r' * len(heads)}}}",
        r"\toprule",
        " & ".join(["Data set", "Method", "Direction", *heads]) + r" \\",
    ]
    for block in _blocks(rows):
        lines.append(r"\midrule")
        above = None
        for row in block:
            lines.append(_latex_row(row, above))
            above = row
    said = rf"\par\smallskip\parbox{{\textwidth}}{{\footnotesize {' '.join(map(tex, notes))}}}"
    return "\n".join([*lines, r"\bottomrule", r"\end{tabular}", said, r"\end{table}", ""])


def _latex_row(row: Row, above: Row | None) -> str:
    """A row; what it shares with the one above is not said again."""
    again = above is not None and above.method == row.method
    method = rf"\emph{{{tex(row.method)}}}" if row.control else tex(row.method)
    names = ["" if above else tex(row.dataset), "" if again else method]
    names.append(r"$\rightarrow$".join(map(tex, row.direction)))
    values = [rf"\textbf{{{tex(printed(it))}}}" if it.best else tex(printed(it)) for it in row.entries]
    if row.problem:
        values = [rf"\multicolumn{{{len(COLUMNS)}}}{{l}}{{{tex(row.problem)}}}"]
    return " & ".join([*names, *values]) + r" \\"


# -- the others -----------------------------------------------------------------------------------------------------------
def _heads() -> list[str]:
    return ["Data set", "Method", "Direction", *(f"{it.label}{f' {it.arrow}' if it.ranked else ''}" for it in COLUMNS)]


def _markdown(rows: list[Row], notes: list[str]) -> str:
    lines = []
    for row in rows:
        values = [f"**{printed(it)}**" if it.best else printed(it) for it in row.entries]
        values = [row.problem, *[""] * (len(COLUMNS) - 1)] if row.problem else values
        lines.append([*map(markdown_text, (row.dataset, row.method, " → ".join(row.direction))), *values])
    return "\n\n".join([markdown_table(_heads(), lines), *map(markdown_text, notes)]) + "\n"


def _csv(rows: list[Row], notes: list[str]) -> str:
    del notes  # table.csv has columns for what they say
    text = io.StringIO()
    writer = csv.writer(text, lineterminator="\n")
    writer.writerow(["dataset", "method", "direction", *(it.published or it.id for it in COLUMNS), "status"])
    for row in rows:
        values = ["" if it.value is None else f"{it.value:.6g}" for it in row.entries]
        writer.writerow([row.dataset, row.method, "->".join(row.direction), *values, row.problem or "complete"])
    return text.getvalue()


def _html(rows: list[Row], notes: list[str]) -> str:
    lines = []
    for block in _blocks(rows):
        for place, row in enumerate(block):
            first = f'<th rowspan="{len(block)}">{escape(row.dataset)}</th>' if place == 0 else ""
            method = f"<i>{escape(row.method)}</i>" if row.control else escape(row.method)
            values = "".join(f"<td>{f'<b>{printed(it)}</b>' if it.best else printed(it)}</td>" for it in row.entries)
            if row.problem:
                values = f'<td colspan="{len(COLUMNS)}">{escape(row.problem)}</td>'
            lines.append(
                f'<tr{" class=line" if place == 0 else ""}>{first}<td class="name">{method}</td>'
                f'<td class="name">{escape(" → ".join(row.direction))}</td>{values}</tr>'
            )
    heads = "".join(f"<th{' class=name' if place < 3 else ''}>{escape(it)}</th>" for place, it in enumerate(_heads()))
    said = "".join(f"<p>{escape(note)}</p>" for note in notes)
    return HTML.format(heads=heads, rows="\n".join(lines), notes=said)


HTML = """<!DOCTYPE html>
<html lang="en"><head><meta charset="utf-8"><meta name="viewport" content="width=device-width, initial-scale=1">
<title>Table 1</title><style>
body {{ font: 15px/1.4 "Times New Roman", "DejaVu Serif", serif; margin: 1rem; overflow-x: auto }}
p {{ max-width: 52rem; margin: .3rem 0 }}
table {{ border-collapse: collapse; border: solid #000; border-width: 2px 0; margin: 0 0 .6rem }}
th, td {{ padding: .12rem .6rem; text-align: right; vertical-align: top; font-weight: normal; white-space: nowrap }}
.line > * {{ border-top: 1px solid #000 }} tbody th, .name {{ text-align: left }}
</style></head><body>
<table><thead><tr>{heads}</tr></thead><tbody>
{rows}
</tbody></table>
{notes}
</body></html>
"""
RENDERERS: dict[str, Callable[[list[Row], list[str]], str]] = {
    "tex": _latex,
    "md": _markdown,
    "csv": _csv,
    "html": _html,
}

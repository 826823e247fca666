"""The table of a run as Markdown, for people."""

from __future__ import annotations

from pathlib import Path

from xmodbench.errors import plain
from xmodbench.files import write_text
from xmodbench.metrics.field.tissues import TISSUES
from xmodbench.metrics.own import OWN
from xmodbench.metrics.published import contradictions
from xmodbench.metrics.registry import PROTOCOL, Metric
from xmodbench.report.fairness import ELSEWHERE, NO_WALL
from xmodbench.report.imported import imported_notes
from xmodbench.report.model import Report
from xmodbench.report.published import CODES, rank_agreement
from xmodbench.report.summary import Entry, Group
from xmodbench.report.text import (
    BESIDE_NOTE,
    NONE,
    SIMULATED,
    agreement,
    families,
    footnotes,
    group_title,
    heading,
    seeds_note,
    signed,
    subjects_note,
    with_interval,
)
from xmodbench.report.tissues import clipping, tissue_rows


def write_markdown(report: Report, path: Path) -> None:
    """``table.md``: for people, a section for each data set and direction."""
    parts = [f"# {markdown_text(report.title)}"]
    if report.complete < len(report.runs):
        parts.append(f"> **Incomplete: {report.complete} of {len(report.runs)} cells have scores.**")
    if report.merged_from:
        parts.append(f"Merged from {', '.join(map(markdown_text, report.merged_from))}.")
        parts += [f"> Left out: {markdown_text(line)}" for line in report.left_out]
    if report.not_walled:
        parts.append(f"> **{NO_WALL}** ({', '.join(map(markdown_text, report.not_walled))})")
    if report.made_elsewhere:
        declared = [f"{markdown_text(label)}: {supervision}" for label, supervision in report.made_elsewhere.items()]
        parts.append(f"> **{ELSEWHERE}** (declared: {', '.join(declared)})")
    parts += [f"> {markdown_text(note)}" for note in imported_notes(report)]
    parts += [_group_section(report, group) for group in report.groups]
    if any(report.beside.values()):
        parts += _contradictions()
    parts.append(f"## How the numbers are defined\n\nProtocol {PROTOCOL}: tables of other protocols do not compare.")
    listed = report.metrics.items()
    parts += [f"- **{name}** ({markdown_text(heading(metric))}): {_definition(metric)}" for name, metric in listed]
    write_text(path, "\n\n".join(parts) + "\n")


def _definition(metric: Metric) -> str:
    return markdown_text(metric.definition) if metric.family == OWN else metric.definition


def _group_section(report: Report, group: Group) -> str:
    parts = [f"## {markdown_text(group_title(report.plan, group))}", subjects_note(group).capitalize() + "."]
    if seeds := seeds_note(report.plan, group):
        parts.append(markdown_text(seeds) + ".")
    if report.plan.simulated(group.dataset):
        parts.insert(1, f"> **{SIMULATED}**")
    if named := report.mispaired(group):
        parts.append(
            "> **Doubtful pairs: source and target may not belong together.** " + ". ".join(map(markdown_text, named))
        )
    for name, title, columns in families(report.entries[group.key]):
        parts += [f"### {title}", _family_table(report, group, columns), *_footnotes(report, group, name)]
    parts += _hounsfield(report, group)
    parts += _published(report, group)
    return "\n\n".join(parts)


def _family_table(report: Report, group: Group, metrics: list[Metric]) -> str:
    rows: list[list[str]] = []
    controls: list[list[str]] = []
    for item in group.results:
        label = markdown_text(report.plan.method_label(item.cell.method))
        marks = ["made elsewhere"] if report.plan.predictions(item.cell) else []
        if marks := [*marks, *filter(None, [item.partial])]:
            label += f" ({', '.join(marks)})"
        if item.complete:
            cells = [_best(entry) for entry in report.cell_entries(item.cell, metrics)]
        else:
            cells = [f"{item.status}: {markdown_text(item.reason)}" if item.status == "failed" else item.status]
            cells += [""] * (len(metrics) - 1)
        (controls if report.control(item.cell) else rows).append([label, *cells])
    if controls:
        controls.insert(0, ["*Controls*", *[""] * len(metrics)])
    return markdown_table(["Method", *(heading(metric) for metric in metrics)], rows + controls)


def _best(entry: Entry) -> str:
    return f"**{with_interval(entry)}**" if entry.best else with_interval(entry)


def _footnotes(report: Report, group: Group, name: str) -> list[str]:
    notes = footnotes(report.entries[group.key], name)
    return ["; ".join(map(markdown_text, notes)) + "."] if notes else []


def _hounsfield(report: Report, group: Group) -> list[str]:
    """Errors in HU by tissue, and what the window cut off; nothing where the target is not in HU."""
    rows = []
    for label, cells in tissue_rows(report, group):
        by_name = {tissue.name: f"{words}; {tissue.mae:.0f}" for tissue, words in cells}
        rows.append([markdown_text(label), *(by_name.get(name, NONE) for name in TISSUES)])
    if not rows:
        return []
    table = markdown_table(["Bias [limits of agreement]; MAE, HU", *TISSUES], rows)
    return ["### Hounsfield units by tissue", markdown_text(clipping(group)), table]


OURS, DIFFERENCE = "Ours [95 % interval]", "Ours − published [95 % interval]"
PUBLISHED_HEADINGS = ["Method", "Metric", OURS, "Published", DIFFERENCE, "Verdict", "May differ by"]


def published_rows(report: Report, group: Group) -> list[list[str]]:
    """The paper's numbers beside ours, a row for each method and metric the paper has."""
    rows = []
    for row in report.beside[group.key]:
        entry = row.entry
        ours = with_interval(entry) if entry.result.complete else entry.result.status
        found = NONE if row.difference is None else signed(row.difference, row.low, row.high, entry.metric)
        label = markdown_text(report.plan.method_label(entry.cell.method))
        codes = ", ".join(row.reasons)
        rows.append([label, heading(entry.metric), ours, str(entry.published), found, row.verdict or NONE, codes])
    return rows


def _published(report: Report, group: Group) -> list[str]:
    """The block of published numbers: how they are compared, the rows, what the codes mean, agreement of ranks."""
    if not (rows := published_rows(report, group)):
        return []
    used = dict.fromkeys(code for row in report.beside[group.key] for code in row.reasons)
    legend = "; ".join(f"**{code}**: {CODES[code]}" for code in used)
    ranks = "; ".join(map(agreement, rank_agreement(group, report.beside[group.key])))
    parts = ["### Published", BESIDE_NOTE, markdown_table(PUBLISHED_HEADINGS, rows), f"{legend}."]
    return parts + ([f"Order of the methods, ours and the paper's: {ranks}."] if ranks else [])


def _contradictions() -> list[str]:
    rows = [
        [markdown_text(row[name]) for name in ("dataset", "direction", "about", "says", "but")]
        for row in contradictions()
    ]
    return [
        "## Where the paper contradicts itself",
        markdown_table(["Data set", "Direction", "About", "It says", "But"], rows),
    ]


def markdown_table(headings: list[str], rows: list[list[str]]) -> str:
    """A table in Markdown; cells are Markdown already."""
    lines = [headings, ["---", *["---:"] * (len(headings) - 1)], *rows]
    return "\n".join("| " + " | ".join(line) + " |" for line in lines)


def markdown_text(text: str | None) -> str:
    """Text that Markdown renders as it is, on one line."""
    text = plain(text or "")
    for mark in "\\`*_[]|~#":
        text = text.replace(mark, f"\\{mark}")
    return text.replace("&", "&amp;").replace("<", "&lt;").replace(">", "&gt;")

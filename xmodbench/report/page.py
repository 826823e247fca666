"""The page: one file that opens without a network."""

from __future__ import annotations

import os
from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from jinja2 import Environment, FileSystemLoader, StrictUndefined
from markupsafe import Markup

from xmodbench.commands import TYPED, command
from xmodbench.errors import UserError
from xmodbench.files import atomic_dir, write_text
from xmodbench.metrics.field.tissues import TISSUES
from xmodbench.metrics.published import contradictions
from xmodbench.metrics.registry import PROTOCOL, Metric
from xmodbench.metrics.stats import MIN_SUBJECTS
from xmodbench.report import text, tissues
from xmodbench.report.assets import TEMPLATES, assets
from xmodbench.report.fairness import ELSEWHERE, NO_WALL
from xmodbench.report.figures.build import front_picture, way_pictures
from xmodbench.report.imported import imported_notes
from xmodbench.report.inspection import section as inspection
from xmodbench.report.model import Report
from xmodbench.report.own_plots import OwnPlot
from xmodbench.report.pictures import Picture, Pictures
from xmodbench.report.plots import dot_plot, to_html, way_plot
from xmodbench.report.provenance import jobs, software
from xmodbench.report.published import CODES, Beside, rank_agreement
from xmodbench.report.rank_plot import rank_plot
from xmodbench.report.scatter_plots import cost_plot, tradeoff_plot
from xmodbench.report.summary import Group
from xmodbench.report.sweep_plots import sweep_plots
from xmodbench.report.text import families
from xmodbench.report.trainings import shown_trainings
from xmodbench.report.verdict import verdicts
from xmodbench.report.viewer.section import viewer_section

MOST_PAIRS = 3000
"""Pairs that the page shows: a browser can sort so many. All of them are in ``table.json``."""


def write_page(report: Report, pictures: dict[str, bytes], path: Path, own: Sequence[OwnPlot] = ()) -> None:
    """``report.html`` and, beside it, the folder ``report_files`` of pictures; `pictures` are the groups' PNGs by key."""
    environment = Environment(
        loader=FileSystemLoader(TEMPLATES),
        autoescape=True,
        undefined=StrictUndefined,
        trim_blocks=True,
        lstrip_blocks=True,
    )
    environment.filters |= {"heading": text.heading, "seconds": text.seconds, "value": text.with_interval}
    environment.globals |= {
        "beside_note": text.BESIDE_NOTE,
        "signed": text.signed,
        "number": text.number,
        "simulated_note": text.SIMULATED,
    }
    beside = path.with_name(f"{path.stem}_files")
    with atomic_dir(beside) as folder:
        page = environment.get_template("report.html.j2").render(
            **_context(report, pictures, kept := Pictures(folder, beside.name, path.with_name("figures"))),
            own=[_own(plot, kept) for plot in own],
        )
    write_text(path, page)


def _context(report: Report, pictures: dict[str, bytes], kept: Pictures) -> dict[str, Any]:
    plan, (dots, choices) = report.plan, dot_plot(report)
    way = way_plot(report)
    failed = [item for item in report.runs if not item.complete]
    return {
        "report": report,
        "plan": plan,
        "sections": [_section(report, group, pictures, kept) for group in report.groups],
        "incomplete": report.partial or bool(failed),
        "failed": failed,
        "again": os.environ.get(TYPED) or (None if plan.where.startswith("-") else command("run", plan.where)),
        "inspect": [command("inspect", name, "--data", plan.data_dir(name)) for name in plan.config.datasets],
        "dots": Markup(to_html(dots, "dots")),
        "choices": choices,
        "verdicts": verdicts(report),
        "front": (front := front_picture(report, kept.prints)) and kept.keep("front", front),
        "cost": (cost := cost_plot(report)) and Markup(to_html(cost, "cost")),
        "tradeoff": Markup(to_html(tradeoff_plot(report), "tradeoff")),
        "sweeps": {name: Markup(to_html(plot, f"sweep-{name}")) for name, plot in sweep_plots(report).items()},
        "ways": [kept.keep(name, png) for name, png in way_pictures(report, kept.prints)],
        "way": way and Markup(to_html(way, "way")),
        "all_rows": [entry for group in report.groups for entry in report.entries[group.key] if entry.metric.headline],
        "checks": report.checks,
        "controls": any(report.control(item.cell) for item in report.results),
        "no_wall": NO_WALL,
        "elsewhere": ELSEWHERE,
        "protocol": PROTOCOL,
        "failed_checks": [check for check in report.checks if check.passed is False],
        "unskilled": _unskilled(report),
        "ranked": [name for name in plan.methods if any(name in ranks for ranks in report.mean_ranks.values())],
        "stability": (stability := rank_plot(report)) and Markup(to_html(stability, "stability")),
        "least": MIN_SUBJECTS,
        "contradictions": contradictions() if any(report.beside.values()) else [],
        "codes": CODES,
        "comparisons": report.comparisons[:MOST_PAIRS],
        "pairs": len(report.comparisons),
        "metrics": report.metrics,
        "title_of": {group.key: text.group_title(report.plan, group) for group in report.groups},
        "data": _data(report, kept),
        "data_style": Markup(inspection.style()),
        "trainings": shown_trainings(report, kept),
        "resize": _resize(report),
        "jobs": jobs(report),
        "remarks": {name: method.entry.note for name, method in report.plan.methods.items() if method.entry.note},
        "imported": imported_notes(report),
        "software": software(report),
        "viewer": viewer_section(report, kept),
        "assets": assets(),
    }


@dataclass(frozen=True)
class Section:
    """What the page shows of one group."""

    group: Group
    title: str
    note: str
    simulated: bool
    families: list[tuple[str, str, list[Metric]]]
    methods: list[list[Any]]  # results of methods and of controls
    published: list[Beside]
    agreement: list[str]
    picture: Picture | None
    hounsfield: dict[str, Any] | None  # errors in HU by tissue, where the target is in HU
    notes: dict[str, list[str]]  # by family: why a column is empty, and the distances between real slices


def _section(report: Report, group: Group, pictures: dict[str, bytes], kept: Pictures) -> Section:
    controls = [item for item in group.results if report.control(item.cell)]
    return Section(
        group=group,
        title=text.group_title(report.plan, group),
        note=". ".join(filter(None, (text.subjects_note(group), text.seeds_note(report.plan, group)))),
        simulated=report.plan.simulated(group.dataset),
        families=families(report.entries[group.key]),
        methods=[[item for item in group.results if item not in controls], controls],
        published=report.beside[group.key],
        agreement=[text.agreement(found) for found in rank_agreement(group, report.beside[group.key])],
        picture=kept.keep(group.key, pictures[group.key]) if group.key in pictures else None,
        hounsfield=_hounsfield(report, group),
        notes={name: text.footnotes(report.entries[group.key], name) for name in text.FAMILIES},
    )


def _hounsfield(report: Report, group: Group) -> dict[str, Any] | None:
    """What the page says in HU of a direction, None where the target is not in HU."""
    rows = tissues.tissue_rows(report, group)
    if not rows:
        return None
    return {
        "clipping": tissues.clipping(group),
        "rows": rows,
        "names": list(TISSUES),
        "agreement": Markup(to_html(tissues.agreement_plot(report, group), f"agreement-{group.key}")),
        "histogram": Markup(to_html(tissues.histogram_plot(report, group), f"histogram-{group.key}")),
    }


def _own(plot: OwnPlot, kept: Pictures) -> dict[str, Any]:
    """One of the user's plots for the template: a picture, a plot or a problem."""
    name, picture = f"own-{plot.name}", None
    if plot.png:
        picture = kept.keep(name, plot.png)
    drawn = Markup(to_html(plot.figure, name)) if plot.figure is not None and picture is None else None
    return {"title": plot.title, "problem": plot.problem, "picture": picture, "plot": drawn}


def _data(report: Report, kept: Pictures) -> dict[str, Markup]:
    """By label, a section for each prepared data set: counts, alignment, histograms, pictures of a few subjects."""
    found = {}
    for name in report.plan.config.datasets:
        try:
            label = report.plan.dataset_label(name)
            folder = report.plan.data_dir(name)
            pairs = report.pairs.get(name)  # measured for the checks as well
            part = inspection.data_section(folder, label=label, max_subjects=4, heading=3, kept=kept, pairing=pairs)
        except UserError as error:
            if (report.plan.data_dir(name) / "train" / "manifest.json").is_file():
                found[label] = Markup('<p class="reason">{}</p>').format(error)
            continue  # not prepared: said with the cells that need it
        found[label] = Markup(part.html)
    return found


def _unskilled(report: Report) -> list[tuple[str, str, str, str]]:
    """Direction, method, control and the metrics in which the control is at least as good."""
    plan = report.plan
    where = {item.cell: text.group_title(plan, group) for group in report.groups for item in group.results}
    return [
        (where[cell], plan.method_label(cell.method), plan.method_label(control), ", ".join(m.id for m in metrics))
        for (cell, control), metrics in report.unskilled.items()
    ]


def _resize(report: Report) -> list[str]:
    """How each data set's slices came to their size."""
    lines = []
    for name in dict.fromkeys(group.dataset for group in report.groups):
        size = getattr(report.plan.datasets[name].settings, "image_size", None)
        lines.append(f"{report.plan.dataset_label(name)}: {size} × {size} pixels")
    return lines

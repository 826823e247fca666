"""Write all files of a report."""

from __future__ import annotations

from pathlib import Path

from xmodbench.errors import UserError
from xmodbench.plan.plan import Plan
from xmodbench.report.archive import write_archive
from xmodbench.report.figure import write_figures
from xmodbench.report.figures.build import write_prints
from xmodbench.report.markdown import write_markdown
from xmodbench.report.model import Report
from xmodbench.report.own_plots import own_plots
from xmodbench.report.page import write_page
from xmodbench.report.paper_table import write_paper_table
from xmodbench.report.tables import write_csv, write_table_json

SENT = [
    *("report.html", "report_files", "figures", "figure.png", "figure.svg"),
    *("table.csv", "table.json", "table.md", "table1.tex", "table1.md", "table1.csv", "table1.html"),
]
"""What ``report.zip`` holds."""


def build(plan: Plan, out_dir: Path, partial: bool) -> None:
    """See `xmodbench.report.build_report`."""
    report = Report.read(plan, partial)
    old = [item for item in report.runs if item.stale]
    if old and not partial:
        cell, more = old[0].cell, f" and {len(old) - 1} other cells" if old[1:] else ""
        raise UserError(str(old[0].reason), f"{plan.results}: {cell.name}{more}", "or see with --partial what there is")
    write_report(report, out_dir)


def write_report(report: Report, out_dir: Path) -> None:
    """Write all files of a report into a folder."""
    out_dir.mkdir(parents=True, exist_ok=True)
    write_csv(report, out_dir / "table.csv")
    write_table_json(report, out_dir / "table.json")
    write_markdown(report, out_dir / "table.md")
    write_paper_table(report, out_dir)
    own = own_plots(report)
    write_prints(report, out_dir / "figures", own)
    pictures = write_figures(report, out_dir)
    write_page(report, pictures, out_dir / "report.html", own)
    write_archive(out_dir, SENT, out_dir / "report.zip", f"{report.plan.config.run}-report")

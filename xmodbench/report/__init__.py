"""The report of a run: tables, figures and a page that opens from a file, made from the scores and their records."""

from __future__ import annotations

from pathlib import Path
from typing import TYPE_CHECKING

if TYPE_CHECKING:
    from xmodbench.plan.plan import Plan

__all__ = ["build_report"]


def build_report(plan: Plan, out_dir: Path, partial: bool) -> None:
    """Write all files of a report.

    These are the tables (``table.*``, ``table1.*``), ``figure.*``, the folder ``figures``, ``report.html`` with its pictures
    in ``report_files``, and ``report.zip``, which holds all of them.

    Args:
        plan: the run; cells without complete scores are shown as failed or not run.
        partial: made while the run goes on or after it stopped; the page says how many cells there are. It says so too
            when cells are missing although this is False.
    """
    from xmodbench.report.build import build

    build(plan, Path(out_dir), partial)

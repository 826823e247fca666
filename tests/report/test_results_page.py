"""A page of results in the docs: what `benchmarks/results_page.py` makes of a finished run."""

from __future__ import annotations

import runpy
import sys

import pandas as pd
from PIL import Image

from tests.report.synthetic import CONTROLS, METHODS
from xmodbench.files import REPOSITORY
from xmodbench.report import build_report
from xmodbench.report.model import Report

SCRIPT = REPOSITORY / "benchmarks/results_page.py"


def test_tables_stand_between_the_markers_with_the_runs_numbers(finished, plan_of, tmp_path, monkeypatch):
    plan = plan_of(finished, datasets=("heads",), figure_slices=1)
    build_report(plan, tmp_path, False)
    for part in ("scores", "translations"):
        (tmp_path / part).symlink_to(plan.results / part)
    page = tmp_path / "results.md"
    page.write_text("# Ours\n\n<!-- begin: numbers -->\nold\n<!-- end: numbers -->\n\nWritten by hand.\n")
    given = [str(tmp_path), str(page), "--data", str(plan.data_dir("heads")), "--against", "good"]
    monkeypatch.setattr(sys, "argv", [str(SCRIPT), *given])
    for _ in range(2):  # again over what it wrote itself
        runpy.run_path(str(SCRIPT), run_name="__main__")
        text = page.read_text()
        assert (
            text.startswith("# Ours\n\n<!-- begin") and text.endswith("-->\n\nWritten by hand.\n") and "old" not in text
        )
        assert text.count("### PD → T1") == text.count("### ") == 1
    report = Report.read(plan, False)
    rows = pd.read_csv(page.with_suffix(".csv")).set_index(["method", "metric"])
    group = report.groups[0]
    found = {entry.cell.method: entry for entry in report.entries[group.key] if entry.metric.id == "standard.psnr"}
    assert set(found) == {*METHODS, *CONTROLS}
    for name, entry in found.items():
        assert abs(rows.loc[(name, "standard.psnr")]["mean"] - entry.value) < 1e-3 * abs(entry.value)
        assert f"{entry.value:.1f}" in text
    pair = ("good", "noisy", "standard.psnr")
    worse = next(row for row in report.comparisons if (row["a"], row["b"], row["metric"]) == pair)
    line = next(line for line in text.splitlines() if line.startswith("| Noisy"))
    assert f"**{-worse['difference']:+.1f} [{-worse['high']:+.1f}, {-worse['low']:+.1f}]**" in line
    for name in ("results.png", "results-pictures.png"):
        with Image.open(tmp_path / name) as image:
            assert image.width > 800

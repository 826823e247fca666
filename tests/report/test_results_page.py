"""A page of results in the docs: what `benchmarks/results_page.py` makes of a finished run."""

from __future__ import annotations

import json
import runpy
import sys

import pandas as pd
from PIL import Image

from tests.report.synthetic import CONTROLS, METHODS
from xmodbench.files import REPOSITORY

SCRIPT = REPOSITORY / "benchmarks/results_page.py"


def test_tables_stand_between_the_markers_with_the_runs_numbers(copied, tmp_path, monkeypatch, report):
    page, config = tmp_path / "results.md", tmp_path / "toy.yaml"
    page.write_text("# Ours\n\n<!-- begin: numbers -->\nold\n<!-- end: numbers -->\n\nWritten by hand.\n")
    config.write_text(json.dumps(copied.config.model_dump(mode="json")))
    monkeypatch.setattr(sys, "argv", [str(SCRIPT), str(config), str(page), "--against", "good"])
    for _ in range(2):  # again over what it wrote itself
        runpy.run_path(str(SCRIPT), run_name="__main__")
        text = page.read_text()
        assert (
            text.startswith("# Ours\n\n<!-- begin") and text.endswith("-->\n\nWritten by hand.\n") and "old" not in text
        )
        assert text.count("### ") == len(report.groups) == 2
    rows = pd.read_csv(page.with_suffix(".csv")).set_index(["method", "metric"])
    group = report.groups[0]
    found = {entry.cell.method: entry for entry in report.entries[group.key] if entry.metric.id == "standard.psnr"}
    assert set(found) == {*METHODS, *CONTROLS}
    table = text.partition(group.dataset.title())[2].partition("### ")[0]
    for name, entry in found.items():
        assert abs(rows.loc[(name, "standard.psnr")].iloc[0]["mean"] - entry.value) < 1e-3 * abs(entry.value)
        assert f"{entry.value:.1f}" in table
    worse = next(
        row for row in report.comparisons if (row["a"], row["b"], row["metric"]) == ("good", "noisy", "standard.psnr")
    )
    line = next(line for line in table.splitlines() if line.startswith("| Noisy"))
    assert f"**{-worse['difference']:+.1f} [{-worse['high']:+.1f}, {-worse['low']:+.1f}]**" in line
    for name in ("results.png", "results-pictures.png"):
        with Image.open(tmp_path / name) as image:
            assert image.width > 800

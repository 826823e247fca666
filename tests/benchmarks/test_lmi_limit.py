"""The count behind the limit of the LMI map on a CPU, against a walk over pixels, windows and bins."""

from __future__ import annotations

import json
import sys

import numpy as np
import pytest


@pytest.mark.parametrize("spread", [0, 60])
def test_cells_are_those_that_windows_reach(benchmark_modules, spread):
    limit = benchmark_modules("lmi_limit")
    windows, options = limit.plugin("lmi_windows"), limit.plugin("lmi").LmiOptions()
    table, first, last = windows.trimmed_table(options)
    rng, outside = np.random.default_rng(0), options.margin
    image, other = (np.full((6, 5), outside) for _ in range(2))
    image[:-1, :-1] = outside + 100 + rng.integers(0, spread + 1, (5, 4))
    image[:3, :2] = outside + 100  # a constant corner
    other[:-1, :-1] = outside + rng.integers(-300, 400, (5, 4)).clip(-outside, 255 + outside)
    reached = filled = 0
    for i in range(5):
        for j in range(4):
            one = [image[r, c] for r in windows.reference_positions(5, 3, "zero")[i] for c in columns_of(windows, j)]
            height = max(last[one]) - min(first[one])
            reached, filled = reached + height, filled + -(-height // 16) * 16
            for some_rows in windows.sliding_positions(5, options):
                for some_columns in windows.sliding_positions(4, options):
                    two = [other[r, c] for r in some_rows[i] for c in some_columns[j]]
                    flat = len(set(one)) == 1 or len(set(two)) == 1
                    if flat and (table[one].sum(1) * table[two].sum(1)).sum() >= 1e-2:
                        continue
                    width = max(0, max(last[two]) - min(first[two]))
                    reached += (height + 1) * width
                    filled += (height + 1) * -(-width // 16) * 16
    assert limit.cells(image, other, options) == (reached, filled)


def columns_of(windows, j):
    return windows.reference_positions(4, 3, "zero")[j]


@pytest.mark.slow
def test_the_table_says_how_far_the_limit_is(benchmark_modules, tmp_path, monkeypatch):
    limit, file = benchmark_modules("lmi_limit"), tmp_path / "limit.json"
    monkeypatch.setattr(limit, "peak", lambda: 1e9)
    monkeypatch.setattr(limit, "copied", lambda: 1e9)
    monkeypatch.setattr(limit, "seconds", lambda work, *rest: 0.5)
    monkeypatch.setattr(sys, "argv", ["lmi_limit.py", "--sizes", "16", "--json", str(file)])
    limit.main()
    (table,) = json.loads(file.read_text())["tables"]
    for row in table["rows"]:
        cells, reached = row[3], float(row[6])
        assert reached == pytest.approx(1e3 * 20 * float(cells) * 256 / 1e9, abs=0.1)
        assert row[7] == f"{reached / 500:.0%}" and row[9] == "0.003"

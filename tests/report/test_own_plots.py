"""The user's own plots: shown where they work, one line where they do not."""

from __future__ import annotations

from pathlib import Path

import pytest

from tests.report.test_page import read
from xmodbench.report.figures.build import write_prints
from xmodbench.report.model import Report
from xmodbench.report.own_plots import own_plots
from xmodbench.report.page import write_page

DRAWN = '''"""Mean PSNR & <more>

further words
"""
import matplotlib.pyplot as plt


def plot(table):
    assert {"method", "metric", "mean", "ci_low"} <= set(table.columns)
    figure, axis = plt.subplots()
    axis.plot(table["mean"])
    return figure
'''
PLOTLY = (
    "import plotly.graph_objects as go\ndef plot(table):\n    return go.Figure(go.Scatter(y=[2], name='</script>'))\n"
)
BROKEN = {
    "raises": ("def plot(table):\n    return table['<b>none']\n", "line 2: KeyError: '<b>none'"),
    "syntax": ("def plot(table:\n", "SyntaxError"),
    "nothing": ("open('ran', 'w').close()\n", "has no function plot(table)"),
    "number": ("def plot(table):\n    return 3\n", "returned int, not a figure"),
    "leaves": ("import sys\ndef plot(table):\n    sys.exit(3)\n", "line 3: SystemExit: 3"),
    "undrawable": (
        "from pylab import *\ndef plot(table):\n    title('$\\\\nonsense{$')\n    return gcf()\n",
        "ValueError",
    ),
}


@pytest.fixture
def with_plots(finished, plan_of, tmp_path):
    """The report of the toy run with these files among its plots."""

    def make(**files):
        folder = tmp_path / "mine"
        folder.mkdir()
        for name, text in files.items():
            (folder / f"{name}.py").write_text(text)
        return Report.read(plan_of(finished, plots=str(folder)), False)

    return make


def test_figures_of_both_libraries_are_shown(with_plots, tmp_path):
    report = with_plots(bars=DRAWN, points=PLOTLY, _shared="raise RuntimeError")
    own = own_plots(report)
    assert [(plot.name, plot.title, plot.problem) for plot in own] == [
        ("bars", "Mean PSNR & <more>", None),
        ("points", "points", None),
    ]
    write_page(report, {}, tmp_path / "report.html", own)
    _, text = read(tmp_path / "report.html")
    assert "Mean PSNR & <more>" in text
    html = (tmp_path / "report.html").read_text()
    assert 'data-plot="own-points"' in html
    assert "'</script>'" not in html
    assert (tmp_path / "report_files" / "pictures" / "own-bars.png").is_file()


@pytest.mark.fault(
    "report and command line",
    "a plot of the user's own that raises, exits, cannot be drawn or is no figure",
    "one line in its place; the report comes all the same",
)
def test_whatever_fails_is_one_line_and_stops_nothing(with_plots, tmp_path):
    report = with_plots(**{name: text for name, (text, _) in BROKEN.items()}, zbars=DRAWN)
    own = own_plots(report)
    assert not Path("ran").exists()  # what has no plot is not run
    write_page(report, {}, tmp_path / "report.html", own)
    write_prints(report, tmp_path / "figures", own)
    _, text = read(tmp_path / "report.html")
    for _, problem in BROKEN.values():
        assert problem in text
    assert (tmp_path / "figures" / "own-zbars.pdf").is_file()
    assert not (tmp_path / "figures" / "own-undrawable.pdf").exists()


def test_no_folder_is_no_section(report, tmp_path):
    assert own_plots(report) == []
    write_page(report, {}, tmp_path / "report.html")
    assert "Own plots" not in read(tmp_path / "report.html")[1]

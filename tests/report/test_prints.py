"""Figures for print: which cases, how large, the same bytes again; and the report as one file."""

from __future__ import annotations

import re
import shutil
from zipfile import ZipFile

import numpy as np
import pytest
from PIL import Image

from xmodbench.report.archive import write_archive
from xmodbench.report.build import SENT
from xmodbench.report.cost import seconds_per_image
from xmodbench.report.figures.build import drawings, write_prints
from xmodbench.report.figures.curves import draw_cost
from xmodbench.report.figures.files import drawing, save
from xmodbench.report.figures.images import chosen_rows, draw_directions
from xmodbench.report.model import Report


def test_every_figure_is_there_three_times_at_the_width_of_a_page(built, report):
    folder = built / "figures"
    names = [name for name, _ in drawings(report) if name != "cost"]  # no job of the toy run took any time
    assert {path.name for path in folder.iterdir()} == {
        f"{name}.{kind}" for name in names for kind in ("pdf", "svg", "png")
    }
    for name in names:
        with Image.open(folder / f"{name}.png") as image:
            assert image.width == 2100  # 7 inches
            assert np.asarray(image.convert("L")).std() > 5
    svg = (folder / "figure4-sim_heads.pd-to-t1.svg").read_text()
    assert "Simulated data" in svg
    assert "Good &amp; &lt;careful&gt;" in " ".join(svg.split())
    assert min(float(size) for size in re.findall(r"font(?:-size)?: ([\d.]+)px", svg)) >= 6.5


def test_cases_are_chosen_by_the_mean_over_methods(report):
    group = report.groups[0]
    rows = chosen_rows(report, group)
    methods = [item for item in group.results if not report.control(item.cell)]
    means = np.mean([item.image_scores["paper.psnr"] for item in methods], axis=0)
    assert (means[rows["worst"]], means[rows["best"]]) == (means.min(), means.max())
    assert (means < means[rows["median"]]).sum() == len(means) // 2 - 1 + len(means) % 2


def test_drawing_again_gives_the_same_bytes(built, report, tmp_path):
    with drawing() as plt:
        save(draw_directions(plt, report), tmp_path, "figure2")
    for kind in ("pdf", "svg", "png"):
        assert (tmp_path / f"figure2.{kind}").read_bytes() == (built / "figures" / f"figure2.{kind}").read_bytes()


def test_cost_has_a_point_for_each_method_that_took_time(report):
    for item in report.results[:2]:
        item.records["translate"]["duration_s"] = 3.5
    with drawing() as plt:
        figure = draw_cost(plt, report)
        (points,) = [axis.get_lines() for axis in figure.axes if axis.get_visible()]
    assert [line.get_xdata()[0] for line in points] == [3.5 / 14] * 2
    assert [line.get_label() for line in points] == ["Good & <careful>", "Blurry"]


def test_lost_slices_leave_the_plots(copied, plan_of, tmp_path):
    report = Report.read(plan_of(tmp_path / "copy", figures=True), False)
    for name in ("heads", "sim_heads"):
        shutil.rmtree(copied.data_dir(name) / "test")
    write_prints(report, tmp_path / "figures")
    assert {path.stem for path in (tmp_path / "figures").iterdir()} == {"tradeoff", "subjects"}


@pytest.mark.parametrize(
    ("record", "seconds"),
    [
        ({"duration_s": 8, "n_test": 4}, 2),
        ({"duration_s": 8, "parts_duration_s": 40, "n_test": 4}, 10),
        ({"duration_s": 8}, None),
        ({"duration_s": 8, "n_test": 0}, None),
        ({"duration_s": "8", "n_test": 4}, None),
        ({}, None),
    ],
)
def test_seconds_per_image(report, record, seconds):
    item = report.results[0]
    assert seconds_per_image(type(item)(item.cell, item.status, records={"translate": record})) == seconds


def test_the_archive_holds_the_whole_report(built, tmp_path):
    with ZipFile(built / "report.zip") as archive:
        names = archive.namelist()
        assert archive.testzip() is None
        assert archive.read("toy-report/report.html") == (built / "report.html").read_bytes()
    files = [path for path in built.rglob("*") if path.is_file() and path.name != "report.zip"]
    assert sorted(names) == sorted(f"toy-report/{path.relative_to(built).as_posix()}" for path in files)
    write_archive(built, SENT, tmp_path / "again.zip", "toy-report")
    assert (tmp_path / "again.zip").read_bytes() == (built / "report.zip").read_bytes()


def test_no_figures_where_none_are_wanted(report, tmp_path):
    write_prints(report, tmp_path / "figures")
    assert list((tmp_path / "figures").iterdir()) == []

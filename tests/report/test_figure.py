"""The qualitative figure: which slices, which detail, and what is drawn."""

from __future__ import annotations

import re
import shutil
from io import BytesIO

import numpy as np
import pytest
from PIL import Image

from xmodbench.files import write_json
from xmodbench.report import figure
from xmodbench.report.figures import files, images
from xmodbench.report.model import Report
from xmodbench.store import SliceStore


@pytest.fixture
def drawn(copied, tmp_path):
    failed = next(cell for cell in copied.cells if cell.method == "noisy" and cell.dataset == "heads")
    write_json(copied.model_dir(failed) / "failure.json", {"error": "diverged $x$ <b>"})
    pictures = figure.write_figures(Report.read(copied, False), tmp_path)
    return tmp_path, pictures


def test_svg_has_the_texts_the_banner_and_no_text_below_8_points(drawn):
    folder, _ = drawn
    svg = (folder / "figure.svg").read_text()
    texts = " ".join(re.findall(r"<text[^>]*>([^<]*)</text>", svg))
    for wanted in (
        "source (PD)",
        "target (T1)",
        "Good &amp; &lt;careful&gt;",
        "simulated data",
        "|error|",
        "intensity",
    ):
        assert wanted in texts
    assert "failed:" in texts
    sizes = [float(size) for size in re.findall(r"font-size: ([\d.]+)px", svg)]
    assert sizes
    assert min(sizes) >= 8


def test_png_is_not_blank_and_is_cut_into_a_piece_for_each_direction(drawn):
    folder, pictures = drawn
    with Image.open(folder / "figure.png") as image:
        grey = np.asarray(image.convert("L"))
        assert grey.std() > 20
    assert set(pictures) == {"heads.pd-to-t1", "sim_heads.pd-to-t1"}
    heights = [Image.open(BytesIO(data)).height for data in pictures.values()]
    assert sum(heights) == pytest.approx(grey.shape[0], abs=2)


def test_drawing_again_gives_the_same_bytes(finished, plan_of, tmp_path):
    report = Report.read(plan_of(finished, datasets=("heads",), figure_slices=1), False)
    for part in ("a", "b"):
        (tmp_path / part).mkdir()
        figure.write_figures(report, tmp_path / part)
    for name in ("figure.png", "figure.svg"):
        assert (tmp_path / "a" / name).read_bytes() == (tmp_path / "b" / name).read_bytes()


def test_slices_come_from_different_subjects_spread_over_the_set(finished, plan_of):
    test = SliceStore(plan_of(finished).data_dir("heads") / "test")
    target = test.array("t1")
    chosen = figure.choose_slices(test, target, 3)
    assert [test.slices["subject"][index] for index in chosen] == ["sub00", "sub03", "sub06"]
    for index in chosen:
        mates = test.slices.index[test.slices["subject"] == test.slices["subject"][index]]
        area = [(target[mate] > 0.05).sum() for mate in mates]
        assert (target[index] > 0.05).sum() == max(area)


@pytest.mark.parametrize("count", [1, 5, 8])
def test_one_subject_gives_further_slices_of_its_own(make_store, tmp_path, count):
    store = SliceStore(make_store(tmp_path / "s", n=2, size=16))
    chosen = figure.choose_slices(store, store.array("t1"), count)
    assert len(chosen) == len(set(chosen)) == min(count, 2)


def test_the_detail_is_where_the_edges_are():
    image = np.zeros((60, 60))
    image[40:50, 10:20] = np.random.default_rng(0).random((10, 10))
    row, left = figure.detail(image, 20)
    assert row <= 40 and row + 20 >= 50
    assert left <= 10 and left + 20 >= 20


def test_columns_without_images_say_why(copied):
    lost = next(cell for cell in copied.cells if cell.method == "good")
    shutil.rmtree(copied.translation_dir(lost))
    report = Report.read(copied, False)
    columns = figure.read_panels(report, report.groups[0]).columns
    assert columns[2].images is None
    assert "no slice store" in columns[2].problem
    shutil.rmtree(copied.data_dir("heads"))
    report = Report.read(copied, False)
    assert figure.read_panels(report, report.groups[0]) is None


def test_many_methods_continue_in_blocks_below(finished, plan_of, tmp_path, monkeypatch):
    assert [len(block) for block in figure.in_blocks(range(20))] == [10, 10]
    assert [len(block) for block in figure.in_blocks(range(11))] == [6, 5]
    assert figure.in_blocks([]) == [[]]
    report = Report.read(plan_of(finished, datasets=("heads",), figure_slices=1), False)
    wide = Image.open(BytesIO(figure.write_figures(report, tmp_path)["heads.pd-to-t1"]))
    monkeypatch.setattr(figure, "MOST_COLUMNS", 2)
    panels = figure.read_panels(report, report.groups[0])
    first, second = panels.blocks
    assert [column.title for column in first] == ["source (PD)", "target (T1)", "Good & <careful>", "Blurry"]
    assert [column.title for column in second] == ["source (PD)", "target (T1)", "Noisy"]
    piece = Image.open(BytesIO(figure.write_figures(report, tmp_path)["heads.pd-to-t1"]))
    assert piece.height > 1.8 * wide.height and piece.width < wide.width
    texts = re.findall(r"<text[^>]*>([^<]*)</text>", (tmp_path / "figure.svg").read_text())
    assert sum(text == "source (PD)" for text in texts) == 2 and sum(text == "Noisy" for text in texts) == 1
    with files.drawing() as plt:
        printed = images.draw_cases(plt, report, report.groups[0])
        shown = [text.get_text() for text in printed.axes[0].texts]
    assert shown.count("source (PD)") == 2 and shown.count("median") == 2 and shown.count("Blurry") == 1

"""Which cases the viewer has, and that its pictures are the images."""

from __future__ import annotations

import gzip
import json
import re
import shutil
from base64 import b64decode

import numpy as np
import pytest
from PIL import Image

from xmodbench.metrics.registry import METRICS
from xmodbench.report.assets import packed
from xmodbench.report.model import Report
from xmodbench.report.page import write_page
from xmodbench.report.viewer.cases import Cases, choose_cases, from_worst, shown_methods
from xmodbench.store import SliceStore


def unpacked(text: str) -> str:
    return gzip.decompress(b64decode(text)).decode()


@pytest.fixture
def group(report):
    return report.groups[0]


def test_a_packed_text_comes_back_and_is_always_the_same():
    assert unpacked(packed("Höhe </script>")) == "Höhe </script>"
    assert packed("a" * 5000) == packed(b"a" * 5000)


def test_worst_and_best_follow_the_metric_s_direction(group):
    item = group.results[1]
    for name in ("paper.psnr", "paper.mse"):
        order = from_worst(item, METRICS[name])
        values = item.image_scores[name].to_numpy()
        worst, best = (values.min(), values.max()) if METRICS[name].higher_is_better else (values.max(), values.min())
        assert (values[order[0]], values[order[-1]]) == (worst, best)


def test_extremes_of_every_method_come_first(report, group):
    methods = [item for item in group.results if not report.control(item.cell)]
    orders = [from_worst(item, METRICS["paper.psnr"]) for item in methods]
    wanted = {order[place] for order in orders for place in (0, len(order) // 2, -1)}
    cases = choose_cases(report, group, len(wanted), 4)
    assert set(cases.pictured) == wanted
    assert len(cases.keys) == 4
    assert set(cases.keys) <= wanted
    assert cases.points == list(range(14))


def test_where_there_is_room_every_slice_is_a_case(report, group):
    assert choose_cases(report, group, 60, 8).pictured == list(range(14))
    few = choose_cases(report, group, 1, 8)
    assert len(few.pictured) == len(few.keys) == 1


def test_nothing_to_choose_from(report, group):
    none = [item for item in group.results if not item.complete]
    assert choose_cases(report, type(group)(group.dataset, group.source, group.target, none), 5, 5) == Cases([], [], [])


def test_a_picture_is_source_target_and_methods_in_8_bits_without_loss(built, report, group):
    plan = report.plan
    test = SliceStore(plan.data_dir("heads") / "test")
    stacks = [test.array("pd"), test.array("t1")]
    stacks += [SliceStore(plan.translation_dir(item.cell)).array("t1") for item in shown_methods(report, group)]
    with Image.open(built / "report_files" / "cases" / "heads.pd-to-t1" / "00003.png") as picture:
        assert picture.mode == "L"
        wanted = np.concatenate([np.round(stack[3] * 255).astype(np.uint8) for stack in stacks], axis=1)
        np.testing.assert_array_equal(np.asarray(picture), wanted)


def described(page) -> dict:
    text = page.read_text(encoding="utf-8")
    return json.loads(unpacked(re.search(r'id="cases-data">([^<]*)<', text)[1]))


def test_the_page_holds_the_scores_of_the_points(built, report):
    first = described(built / "report.html")["groups"][0]
    item = report.groups[0].results[0]
    np.testing.assert_allclose(
        first["scores"][item.cell.method]["paper.psnr"], item.image_scores["paper.psnr"], rtol=1e-4
    )
    means = item.image_scores.groupby("subject")["paper.psnr"].mean()
    np.testing.assert_allclose(first["means"][item.cell.method]["paper.psnr"], means, rtol=1e-4)
    assert first["subjects"] == list(means.index)


def test_lost_translations_have_scores_but_no_picture(copied, tmp_path):
    lost = next(cell for cell in copied.cells if cell.method == "good")
    shutil.rmtree(copied.translation_dir(lost))
    report = Report.read(copied, False)
    write_page(report, {}, tmp_path / "report.html")
    first, second = described(tmp_path / "report.html")["groups"]
    assert "good" not in first["images"]
    assert first["images"][:2] == ["source", "target"]
    assert "good" in second["images"]
    with Image.open(tmp_path / second["folder"] / second["files"][0]) as picture:
        assert picture.width == 32 * len(second["images"])


def test_without_a_test_store_there_are_points_and_no_pictures(copied, tmp_path):
    report = Report.read(copied, False)
    shutil.rmtree(copied.data_dir("heads") / "test")
    write_page(report, {}, tmp_path / "report.html")
    first, second = described(tmp_path / "report.html")["groups"]
    assert (first["images"], first["files"], first["pictured"]) == ([], [], [])
    assert len(first["ids"]) == 14
    assert second["files"]


def test_slices_without_pictures_are_counted(finished, plan_of, tmp_path):
    write_page(Report.read(plan_of(finished, cases=5), False), {}, tmp_path / "report.html")
    assert "Heads: PD → T1, 5 of 14; Sim Heads: PD → T1, 5 of 14." in (tmp_path / "report.html").read_text()
    first = described(tmp_path / "report.html")["groups"][0]
    assert len(first["pictured"]) == len(first["files"]) == len(list((tmp_path / first["folder"]).iterdir())) == 5
    assert len(first["ids"]) == 14

"""The field's own numbers in tables, plots and page, where stores keep what 0 and 1 stood for."""

from __future__ import annotations

import json
import re

import numpy as np
import pandas as pd
import pytest

from tests.report import synthetic
from xmodbench.errors import UserError
from xmodbench.report.build import write_report
from xmodbench.report.model import Report
from xmodbench.report.tissues import agreement_plot, clipping, histogram_plot, tissues_of

SUBJECTS = 3
HU_SLICES = ["field.mae_hu", "field.psnr", "field.ms_ssim", "field.edges"]
HU_VOLUMES = [f"volume.{name}" for name in ("mae_hu", "psnr", "ms_ssim", "changes", "dice_body", "dice_bone")]


@pytest.fixture(scope="module")
def run(tmp_path_factory):
    """Report and folder of a run with PD to T1, which is a CT, and back."""
    root = tmp_path_factory.mktemp("field")
    with pytest.MonkeyPatch.context() as patch:
        patch.chdir(root)
        patch.delenv("FID_WEIGHTS", raising=False)
        synthetic.write_plugins(root)
        plan = synthetic.make_plan(root, datasets=["heads"], hu="t1")
        synthetic.finish(plan, subjects=SUBJECTS, slices=2, size=32)
        report = Report.read(plan, partial=False)
        write_report(report, plan.results)
        yield report, plan.results


def rows_of(run, target: str) -> pd.DataFrame:
    table = pd.read_csv(run[1] / "table.csv")
    return table[(table["target"] == target) & table["definition"].isin(["field", "volume"])]


def test_a_direction_has_the_numbers_of_its_units(run):
    assert list(dict.fromkeys(rows_of(run, "t1")["metric"])) == HU_SLICES + HU_VOLUMES
    to_mr = list(dict.fromkeys(rows_of(run, "pd")["metric"]))
    assert {"field.mae_percent", "volume.mae_percent", "volume.dice_tissue"} < set(to_mr)
    assert not {"field.mae_hu", "volume.mae_hu", "volume.dice_bone"} & set(to_mr)
    units = rows_of(run, "t1").drop_duplicates("metric").set_index("metric")["unit"]
    assert units["field.mae_hu"] == units["volume.mae_hu"] == "HU"


def test_volumes_are_means_over_subjects_with_their_own_interval(run):
    report, folder = run
    rows = rows_of(run, "t1").set_index(["method", "metric"])
    scores = json.loads((folder / "scores" / "blurry.heads.pd-to-t1.json").read_text())["volumes"]
    values = np.array([scores[name]["volume.mae_hu"] for name in sorted(scores)])
    row = rows.loc["blurry", "volume.mae_hu"]
    assert len(values) == SUBJECTS and row["mean"] == pytest.approx(values.mean())
    half = 4.302653 * values.std(ddof=1) / np.sqrt(SUBJECTS)  # Student's t of two degrees of freedom
    assert (row["ci_low"], row["ci_high"]) == pytest.approx((values.mean() - half, values.mean() + half))
    assert rows.loc["good", "volume.mae_hu"]["best"] and not rows.loc["oracle", "volume.mae_hu"]["best"]
    found = [r for r in report.comparisons if r["metric"] == "volume.mae_hu" and {r["a"], r["b"]} == {"good", "blurry"}]
    assert abs(found[0]["difference"]) == pytest.approx(abs(rows.loc["good", "volume.mae_hu"]["mean"] - row["mean"]))
    assert found[0]["low"] < found[0]["difference"] < found[0]["high"] and "3 subjects" in found[0]["reason"]


def test_the_papers_table_is_what_it_was(run):
    assert "field" not in (run[1] / "table1.md").read_text() and "HU" not in (run[1] / "table1.md").read_text()
    assert not {name for rank in run[0].mean_ranks.values() for name in rank} - set(synthetic.METHODS)


def test_tissues_say_how_far_off_and_what_was_cut(run):
    report, _ = run
    to_ct, to_mr = report.groups
    assert clipping(to_mr) is None
    text = clipping(to_ct)
    assert text.startswith("Slices hold −1000 to 1000 HU") and "at the upper" in text
    by_method = {item.cell.method: {tissue.name: tissue for tissue in tissues_of(item)} for item in to_ct.results}
    assert all(tissue.bias == 0 and tissue.mae == 0 for tissue in by_method["oracle"].values())
    assert by_method["noisy"]["bone"].bias < -50 < abs(by_method["good"]["bone"].bias)
    low, high = by_method["noisy"]["bone"].limits
    assert low < by_method["noisy"]["bone"].bias < high and len(by_method["noisy"]["bone"].means) == SUBJECTS


def test_plots_have_every_method_but_the_oracle(run):
    report, _ = run
    agreement, histogram = agreement_plot(report, report.groups[0]), histogram_plot(report, report.groups[0])
    names = {trace.name for trace in histogram.data}
    assert "target" in names and "Oracle" not in names and "Noisy" in names and "Mean Image" in names
    assert sum(v for v in histogram.data[0].y if v) == pytest.approx(1, abs=0.01)
    shown = [trace for trace in agreement.data if trace.visible is True]
    assert {trace.legendgroup for trace in shown} == set(synthetic.METHODS)


def test_page_and_markdown_show_them_beside_the_slices(run):
    page, table = ((run[1] / name).read_text() for name in ("report.html", "table.md"))
    for text in (page, table):
        assert "by slice" in text and "by volume" in text and "Hounsfield units by tissue" in text
        assert "Slices hold −1000 to 1000 HU" in text.replace("\\", "")
    assert re.search(r"MAE \(HU\) ↓", page) and "Rewards wrongly:" in page
    # the direction back has no HU
    assert page.count('data-plot="agreement-') == page.count('data-plot="histogram-') == 1


def test_the_viewer_offers_a_direction_what_it_has(run):
    from xmodbench.report.viewer.cases import choose_cases, described

    report, _ = run
    to_ct, to_mr = (described(report, group, choose_cases(report, group, 4, 2)) for group in report.groups)
    assert "field.mae_hu" in to_ct["scores"]["good"] and "field.mae_hu" not in to_mr["scores"]["good"]
    assert len(to_ct["scores"]["good"]["field.edges"]) == len(to_ct["ids"])


def spoilt(run, tmp_path, change) -> list:
    """What is left of one cell's scores when its summary was changed."""
    from xmodbench.metrics.own import metrics_of
    from xmodbench.report.collect import read_scores

    report, folder = run
    for file in (folder / "scores").glob("good.heads.pd-to-t1*"):
        (tmp_path / file.name).write_bytes(file.read_bytes())
    path = tmp_path / "good.heads.pd-to-t1.json"
    summary = json.loads(path.read_text())
    change(summary)
    path.write_text(json.dumps(summary))
    return read_scores(path.with_suffix(".csv"), metrics_of(report.plan))


@pytest.mark.fault(
    "metrics and statistics", "a summary of volumes or tissues that was changed by hand", "one line: score again"
)
@pytest.mark.parametrize(
    "change",
    [
        lambda summary: summary["volumes"]["sub00"].update({"volume.dice_bone": 1.5}),
        lambda summary: summary["volumes"].update(sub00=[1]),
        lambda summary: summary["tissues"]["sub00"].pop("histogram"),
        lambda summary: summary["tissues"]["sub00"]["tissues"]["bone"].update(mae="much"),
    ],
)
def test_changed_summaries_are_told(run, tmp_path, change):
    assert spoilt(run, tmp_path, lambda summary: None)[1]["volumes"]["sub00"]["volume.dice_body"] > 0.9
    with pytest.raises(UserError, match="score again"):
        spoilt(run, tmp_path, change)

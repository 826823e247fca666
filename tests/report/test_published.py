"""Published numbers beside ours: the difference with its errors, and why the two may not be one experiment."""

from __future__ import annotations

import re
from dataclasses import replace
from types import SimpleNamespace

import numpy as np
import pytest
from scipy.stats import t

from xmodbench.metrics import published
from xmodbench.metrics.registry import METRICS
from xmodbench.metrics.stats import Spread
from xmodbench.plan.config import parse_config
from xmodbench.plan.plan import Plan
from xmodbench.plugins import DATASETS, METHODS, available, find
from xmodbench.report.collect import CellResult, collect_cell
from xmodbench.report.model import Report
from xmodbench.report.published import CODES, OPTION_CODES, option, rank_agreement, reasons
from xmodbench.report.summary import Entry


@pytest.mark.parametrize(("printed", "half"), [("766.40", 0.005), ("68.6", 0.05), ("-0.006", 0.0005), ("12", 0.5)])
def test_half_a_last_digit_is_that_of_the_number_as_printed(printed, half):
    assert published.half_digit(printed) == pytest.approx(half)


def test_the_difference_allows_for_both_errors_and_rounding():
    found, low, high = published.difference(10.0, [Spread(np.array(0.04), 3)], 1, "9.5", 12)
    half = t.ppf(0.975, 3) * np.sqrt(0.04 * (1 + 4 / 12))  # ours of 4 subjects, theirs of 12 who vary alike
    assert (found, low, high) == pytest.approx((0.5, 0.5 - half - 0.05, 0.5 + half + 0.05))


def test_a_published_number_is_of_one_training_where_ours_has_several_seeds():
    subjects, seeds = Spread(np.array(1e-12), 9), Spread(np.array(0.3**2 / 3), 2)
    _, low, high = published.difference(0.0, [subjects, seeds], 3, "0.00", 10)
    assert high - low == pytest.approx(2 * t.ppf(0.975, 2) * np.sqrt(0.03 + 0.09) + 0.01, rel=1e-3)


def test_published_numbers_are_as_printed():
    paper = published.published("SDEdit", {"name": "IXI", "modalities": {"pd": "PD", "t1": "T1"}}, "pd", "t1")
    assert paper == {
        "ssim_tar": "0.09",
        "ssim_src": "0.06",
        "mse": "1619.14",
        "mi": "1.15",
        "psnr": "16.19",
        "fid": "68.6",
    }
    assert published.published("SDEdit", {"name": "IXI", "modalities": {}}, "pd", "t1") is None


def test_contradictions_name_rows_and_numbers_that_the_table_has():
    rows, numbers = published.contradictions(), set(published.table()[list(published.COLUMNS)].to_numpy().ravel())
    assert {row["about"] for row in rows} >= {"bold marks", "shares", "counts"}
    for row in rows:
        assert row["dataset"] == "all" or row["dataset"] in set(published.table()["dataset"])
        assert row["direction"] == "all" or row["direction"] in set(published.table()["direction"])
        if row["about"] in ("bold marks", "definition"):
            assert set(re.findall(r"-?\d+\.\d+", row["says"] + row["but"])) <= numbers
    assert any("CycleGAN's 0.81" in row["but"] for row in rows)


# -- in a report ----------------------------------------------------------------------------------------
def row_of(report, metric="paper.psnr"):
    return next(row for row in report.beside[report.groups[0].key] if row.entry.metric.id == metric)


def test_the_difference_has_a_sign_an_interval_and_below_ten_subjects_no_verdict(report):
    row = row_of(report)
    assert row.difference == pytest.approx(row.entry.value - 16.35)
    assert row.low < row.difference < row.high
    assert row.high - row.low > row.entry.high - row.entry.low
    assert row.verdict is None
    assert row_of(report, "paper.fid").difference is None


@pytest.mark.parametrize(
    ("published_psnr", "verdict"), [("16.35", "higher"), ("99.99", "lower"), (None, "no difference seen")]
)
def test_with_enough_subjects_there_is_a_verdict(report, monkeypatch, published_psnr, verdict):
    monkeypatch.setattr("xmodbench.report.published.MIN_SUBJECTS", 7)
    own = row_of(report).entry
    printed = published_psnr or f"{own.value:.2f}"
    results = [
        replace(item, published=item.published and item.published | {"psnr": printed}) for item in report.results
    ]
    assert row_of(Report(report.plan, results, False)).verdict == verdict


def test_reasons_come_from_plugins_settings_and_counts(report):
    found = row_of(report).reasons
    assert found == {
        "size": "image_size 128, published 64",
        "split": "not said",
        "slices": "7 test subjects, published 25",
    }
    assert row_of(report, "paper.mi").reasons.keys() == {*found, "definition"}
    planned = report.plan.methods["good"]
    meta = {"published_as": {"all": {"share": 0.1, "epochs": 10, "start": 0.4}, "IXI": {"epochs": 20}}}
    settings = SimpleNamespace(share=0.2, epochs=20, start=0.6, eta=1.0)
    other = replace(
        planned,
        plugin=replace(planned.plugin, meta=planned.plugin.meta | meta),
        settings={name: settings for name in planned.settings},
        point={"start": 0.6, "eta": 1.0},
    )
    report.plan.methods["good"] = other
    told = list(reasons(report.plan, row_of(report).entry))
    assert ("share", "share 0.2, published 0.1") in told
    assert ("sweep", "start 0.6, published 0.4") in told
    assert ("sweep", "eta 1.0, published not said") in told
    assert not any(code == "training" for code, _ in told), "the data set's own number goes before that of all"


def test_a_short_preset_never_stands_beside_a_published_number(report):
    cell = next(item.cell for item in report.results if item.published)
    planned = report.plan.methods[cell.method]
    for preset, shown in (("short", False), ("released", True)):
        settings = {name: SimpleNamespace(preset=preset, model_dump_json=lambda: "{}") for name in planned.settings}
        report.plan.methods[cell.method] = replace(planned, settings=settings)
        assert (collect_cell(report.plan, cell).published is not None) == shown


def test_ranks_of_a_direction_are_compared_once_for_each_published_method(report):
    group = report.groups[0]
    names = ["good", "blurry", "noisy", "copy_source"]
    psnr = {"good": "20.0", "blurry": "10.0", "noisy": "15.0", "copy_source": "5.0"}
    paper = next(item.published for item in report.results if item.published)
    results = [
        replace(item, published=paper | {"psnr": psnr[item.cell.method]} if item.cell.method in names else None)
        for item in report.results
    ]
    again = Report(report.plan, results, False)
    [psnr_found] = [x for x in rank_agreement(group, again.beside[group.key]) if x.metric.id == "paper.psnr"]
    assert (psnr_found.methods, psnr_found.tau) == (4, 1)
    assert psnr_found.p == pytest.approx(2 / 24)
    assert rank_agreement(group, report.beside[group.key]) == [], "of one method there is no order"


AS_PUBLISHED = {
    "method": "midiffusion",
    "entry": {"settings": {"preset": "released", "epochs": 10000}},
    "dataset": "ixi",
}
OTHERWISE = {
    "size": {"settings": {"image_size": 64}},
    "preset": {"entry": {"settings": {"epochs": 10000}}},
    "training": {"entry": {"settings": {"preset": "released"}}},
    "sweep": {"entry": {**AS_PUBLISHED["entry"], "sweep": {"sampling_steps": [50]}}},
    "share": {"method": "cyclegan", "entry": {"settings": {"share": 0.5}}},
    "sequence": {"dataset": "goldatlas", "direction": "mr->ct"},
    "slices": {"counts": {"subjects": 25, "images": 74}},
    "definition": {"metric": "paper.mi"},
}


def codes(method, entry, dataset, direction="pd->t1", settings=None, counts=None, metric="paper.psnr"):
    """The reasons of one number of a run with the shipped plugins."""
    entries = {dataset: {"directions": [direction], "settings": settings or {}}}
    plan = Plan(parse_config({"run": "r", "datasets": entries, "methods": {method: entry}}, "r.yaml"), "r.yaml")
    counts = counts or {"subjects": 25, "images": 75}
    item = CellResult(plan.cells[0], "complete", counts=counts)
    return set(dict(reasons(plan, Entry(item, METRICS[metric]))))


@pytest.mark.parametrize("code", OTHERWISE)
def test_each_code_comes_with_what_it_stands_for(code):
    assert codes(**AS_PUBLISHED) == {"split"}, "which subjects and slices were taken nobody knows"
    assert code in codes(**AS_PUBLISHED | OTHERWISE[code])


def test_every_code_is_tried():
    assert set(OTHERWISE) | {"split"} == set(CODES)


def test_what_plugins_say_of_published_runs_can_be_looked_up():
    codes = set(CODES)
    for name in available(METHODS):
        plugin = find(METHODS, name)
        for options in plugin.meta.get("published_as", {}).values():
            assert options.keys() <= plugin.cls.Config.model_fields.keys(), name
            settings = plugin.cls.Config()
            for key in options:
                option(settings, key)
        assert plugin.meta.get("published_unlike", {}).keys() <= codes
        assert ("published" in plugin.meta) == ("published_as" in plugin.meta)
    for name in available(DATASETS):
        theirs = find(DATASETS, name).meta.get("published", {})
        assert theirs.get("unlike", {}).keys() <= codes
        assert set(theirs.get("settings", {})) <= set(find(DATASETS, name).cls.Config.model_fields), name
    assert set(OPTION_CODES.values()) <= codes

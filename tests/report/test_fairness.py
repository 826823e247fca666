"""What the report says of a method that hands out the truth, looks for it, or ran where nothing kept it from it."""

from __future__ import annotations

from dataclasses import replace

import pytest

from tests.report.synthetic import finish, make_plan, run_score, write_plugins, write_store
from xmodbench.files import read_json, write_json
from xmodbench.report import build_report
from xmodbench.report.fairness import fairness_checks, isolation, not_walled
from xmodbench.report.model import Report
from xmodbench.store import SliceStore


@pytest.fixture(scope="module")
def cheated(tmp_path_factory):
    """A run in which `good` answers with the oracle's images, and `noisy` looked for them where there was no wall."""
    root, patch = tmp_path_factory.mktemp("cheated"), pytest.MonkeyPatch()
    patch.chdir(root)
    write_plugins(root)
    plan = finish(make_plan(root, datasets=("sim_heads",), directions=["pd->t1"]), subjects=4, size=32)
    good, noisy, oracle = (
        next(cell for cell in plan.cells if cell.method == name) for name in ("good", "noisy", "oracle")
    )
    truth = SliceStore(plan.translation_dir(oracle))
    write_store(plan.translation_dir(good), {"t1": truth.array("t1")}, truth.slices["subject"].tolist())
    path = plan.translation_dir(noisy) / "record.json"
    write_json(path, {**read_json(path), "isolation": "none", "looked_for": ["data/**/test/t1.npy"]})
    run_score(plan, good)
    yield plan, Report.read(plan, partial=False)
    patch.undo()


def test_an_output_equal_to_the_oracles_is_a_failed_check(cheated):
    plan, report = cheated
    (group,) = report.groups
    failed = {(check.control, check.seen) for check in fairness_checks(plan, group) if not check.passed}
    assert failed == {("Good & <careful>", "12 of 12 images"), ("Noisy", "data/**/test/t1.npy")}
    assert {check.control for check in fairness_checks(plan, group) if check.passed} == {"Blurry", "Noisy"}


def test_a_target_without_contents_may_be_met_by_chance(cheated):
    plan, report = cheated
    (group,) = report.groups
    good = next(item for item in group.results if item.cell.method == "good")
    lucky = replace(good, counts={**good.counts, "constant_target": 12})
    checks = fairness_checks(plan, replace(group, results=[lucky]))
    assert [check.passed for check in checks] == [True]


def test_no_wall_is_said_everywhere(cheated, tmp_path):
    plan, report = cheated
    assert not_walled(plan, report.results) == ["Noisy"]
    noisy = next(item for item in report.results if item.cell.method == "noisy")
    assert isolation(noisy) == {"train": "landlock 7", "translate": "none"}
    build_report(plan, tmp_path, False)
    assert "isolation: none" in (tmp_path / "report.html").read_text()
    assert "isolation: none" in (tmp_path / "table.md").read_text()
    table = read_json(tmp_path / "table.json")
    assert table["isolation"]["noisy.sim_heads.pd-to-t1"]["translate"] == "none"
    assert sum(check["passed"] is False for check in table["checks"]) >= 2


def test_a_walled_run_says_nothing_of_it(report):
    assert report.not_walled == []


def test_a_method_that_ran_as_a_control_has_no_scores(copied):
    """It might call itself one only in the process that is handed data."""
    (cell,) = (cell for cell in copied.cells if cell.method == "good" and cell.dataset == "heads")
    path = copied.translation_dir(cell) / "record.json"
    write_json(path, {**read_json(path), "supervision": "control"})
    (found,) = (item for item in Report.read(copied, partial=False).results if item.cell == cell)
    assert (found.status, found.reason) == ("failed", "translate: ran as control, but is zero-shot")

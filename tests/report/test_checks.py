"""The controls' checks pass on sound data and catch each thing that can be wrong."""

from __future__ import annotations

from dataclasses import replace

import pytest

from xmodbench.report.checks import not_better_than_controls, run_checks


def failures(report, changes):
    """Metrics of the checks that fail when the values of (method, metric) are replaced."""
    group = report.groups[0]
    entries = [
        replace(entry, value=changes.get((entry.cell.method, entry.metric.id), entry.value))
        for entry in report.entries[group.key]
    ]
    return {(check.control, check.metric) for check in run_checks(report.plan, group, entries) if not check.passed}


def test_a_sound_run_passes_all(report):
    assert len(report.checks) >= 2 * 14
    assert all(check.passed for check in report.checks)


@pytest.mark.parametrize(
    ("changes", "expected"),
    [
        ({("oracle", "paper.mse"): 3.0}, {("Oracle", "paper.mse")}),
        ({("oracle", "paper.ssim_tar"): 0.9}, {("Oracle", "paper.ssim_tar")}),
        ({("good", "standard.mi"): 9.0}, {("Oracle", "standard.mi")}),
        ({("copy_source", "paper.ssim_src"): 0.98}, {("Copy Source", "paper.ssim_src")}),
        ({("shuffled_target", "paper.mi"): 1.9}, {("Shuffled Target", "paper.mi")}),
        ({("shuffled_target", "standard.frechet_hog"): 0.2}, {("Shuffled Target", "standard.frechet_hog")}),
        ({("mean_image", "paper.mse"): 60000.0}, set()),  # training and test subjects may differ: not judged
        ({("oracle", "paper.fid"): 4.0}, {("Oracle", "paper.fid")}),
        ({("copy_source", "paper.mi"): None}, {("Shuffled Target", "paper.mi")}),
    ],
)
def test_each_fault_fails_its_own_check(report, changes, expected):
    assert failures(report, changes) == expected


def test_a_missing_control_is_no_failure_and_an_unjudged_one_is_no_pass(report):
    group = report.groups[0]
    entries = [replace(e, value=None) if e.cell.method == "oracle" else e for e in report.entries[group.key]]
    unjudged = [check for check in run_checks(report.plan, group, entries) if check.control == "Oracle"]
    assert unjudged
    assert {check.passed for check in unjudged} == {None}
    without = replace(group, results=[item for item in group.results if item.cell.method != "oracle"])
    assert not any(check.control == "Oracle" for check in run_checks(report.plan, without, entries))


def test_methods_that_a_control_matches_are_named(report):
    group = report.groups[0]
    entries = [
        replace(e, value=0.0) if (e.cell.method, e.metric.id) == ("good", "paper.psnr") else e
        for e in report.entries[group.key]
    ]
    found = {
        (entry.cell.method, entry.metric.id): names for entry, names in not_better_than_controls(report.plan, entries)
    }
    assert found["good", "paper.psnr"] == ["copy_source", "mean_image", "shuffled_target"]
    assert not any(method in ("oracle", "copy_source") for method, _ in found)
    assert not any(metric == "paper.ssim_src" for _, metric in found)

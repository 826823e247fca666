"""Replicates of one cell that several runs made: joined where they are of one thing, else left out with the reason."""

from __future__ import annotations

import json
import shutil
from dataclasses import replace
from pathlib import Path

import pandas as pd
import pytest

from tests.report import synthetic
from xmodbench.errors import UserError
from xmodbench.files import read_json, sha256_file, write_json
from xmodbench.plan.plan import Plan
from xmodbench.records import RECORD
from xmodbench.report import merge
from xmodbench.report.merge import merge_runs
from xmodbench.report.merged_plan import RunPlan
from xmodbench.report.model import Report
from xmodbench.report.tables import long_table
from xmodbench.report.text import seeds_note

FAILED = "translations/noisy.seed-2/heads/pd-to-t1/failure.json"


@pytest.fixture
def run_of(seeded, tmp_path, monkeypatch):
    """A run of its own of some of the seeds, as scores and records: `run_of(name, seeds)` gives its folder."""
    monkeypatch.chdir(seeded)
    whole = synthetic.seeded_plan(seeded)

    def made(name: str, seeds: list[int], seed: int = 1) -> Path:
        folder = tmp_path / name / "results" / "toy"
        paths = {"raw": "raw", "data": "data", "results": "results", "work": "work"}
        config = whole.config.model_copy(update={"seed": seed, "seeds": seeds}).model_dump(mode="json")
        folder.mkdir(parents=True)
        (folder / "config.json").write_text(json.dumps({"made_by": "toy.yaml", "config": config | {"paths": paths}}))
        plan = RunPlan.read(folder)
        for cell in plan.runs:
            own = plan.seed_of(cell) if plan.replicable(cell.method) else 1
            copy_of(whole, replace(cell, seed=None if own == 1 else own), plan, cell)
        return folder

    return made


def copy_of(whole: Plan, there, plan: Plan, cell) -> None:
    """Scores and records of one replicate, under the name that it has in its run."""
    old, new = whole.scores_file(there), plan.scores_file(cell)
    new.parent.mkdir(exist_ok=True)
    for kind in (".csv", ".json"):
        shutil.copy(old.with_suffix(kind), new.with_suffix(kind))
    facts = {"seed": plan.config.seed, "prepared": {"seed": plan.config.seed}}
    write_json(new.with_name(f"{new.stem}.{RECORD}"), read_json(old.with_name(f"{old.stem}.{RECORD}")) | facts)
    for folder, its in ((whole.translation_dir(there), plan.translation_dir(cell)),
                        (whole.model_dir(there), plan.model_dir(cell))):  # fmt: skip
        if folder is not None:
            its.mkdir(parents=True, exist_ok=True)
            shutil.copy(folder / RECORD, its / RECORD)


@pytest.fixture
def merged(tmp_path, monkeypatch):
    """The report that would be written of these runs."""
    found = []
    monkeypatch.setattr(merge, "write_report", lambda report, out: found.append(report))

    def read(*folders: Path, prefer: Path | None = None) -> Report:
        merge_runs(list(folders), tmp_path / "out", prefer)
        return found[-1]

    return read


def noisy(report: Report):
    return next(item for item in report.results if item.cell.method == "noisy")


def seeds_of(report: Report) -> list[int]:
    return [report.plan.seed_of(run.cell) for run in noisy(report).runs]


@pytest.mark.parametrize("seeds", [([1], [2, 3]), ([1, 2], [2, 3])], ids=["apart", "one in both"])
def test_runs_of_one_seed_each_have_the_numbers_of_one_run_of_all(run_of, merged, seeded, seeds):
    both = merged(*(run_of(f"run{place}", own) for place, own in enumerate(seeds)))
    assert both.left_out == () and seeds_of(both) == [1, 2, 3]
    whole = Report.read(synthetic.seeded_plan(seeded), partial=False)
    pd.testing.assert_frame_equal(*(long_table(report).drop(columns="run") for report in (both, whole)))
    assert both.comparisons == whole.comparisons and both.mean_ranks == whole.mean_ranks
    assert both.plan.all_seeds == [1, 2, 3] and both.complete == len(both.runs) == 4 * 3 + 3
    assert [both.plan.run_label(run.cell) for run in noisy(both).runs][1] == "Noisy, seed 2"
    assert seeds_note(both.plan, both.groups[0]) == seeds_note(whole.plan, whole.groups[0])
    assert {str(both.plan.scores_file(run.cell).parents[3].name) for run in noisy(both).runs} == {"run0", "run1"}


def test_without_the_first_seed_they_are_joined_too(run_of, merged):
    report = merged(run_of("one", [3]), run_of("two", [2]))
    assert seeds_of(report) == [3, 2] and report.plan.all_seeds == [3, 2]
    assert report.complete == len(report.runs)


def edited(folder: Path, path: str, **facts) -> None:
    write_json(folder / path, read_json(folder / path) | facts)


def other_code(one: Path, two: Path) -> None:
    edited(two, "translations/noisy.seed-2/heads/pd-to-t1/record.json", code_sha256="0" * 64)


def models_of_other_settings(one: Path, two: Path) -> None:
    """As of a method that borrows models: its own settings are the same in both configs."""
    edited(one, "models/noisy/heads/t1-from-pd/record.json", settings={"width": 8})
    edited(two, "models/noisy.seed-2/heads/t1-from-pd/record.json", settings={"width": 16})


def fewer_metrics(one: Path, two: Path) -> None:
    missing = {"value": None, "reason": "no time"}
    path = "scores/noisy.seed-2.heads.pd-to-t1.json"
    edited(two, path, distances=read_json(two / path)["distances"] | {"standard.frechet_hog": missing})


UNLIKE = {
    "code": (other_code, "translate: done with other code than with seed 1 in"),
    "borrowed models": (models_of_other_settings, "train: done with width 16, not 8 as with seed 1 in"),
    "metrics": (fewer_metrics, "only one of both has standard.frechet_hog"),
}


@pytest.mark.fault(
    "report and command line",
    "merged runs with other seeds, whose code or metrics are others",
    "no replicates of each other: the first run's stand, the others are named with the reason; `--prefer` decides",
)
@pytest.mark.parametrize("kind", UNLIKE)
def test_what_is_of_another_thing_is_no_replicate(run_of, merged, kind):
    spoil, reason = UNLIKE[kind]
    one, two = run_of("one", [1]), run_of("two", [2])
    spoil(one, two)
    report = merged(one, two)
    assert seeds_of(report) == [1]
    (line,) = report.left_out
    assert line.startswith(f"noisy.seed-2.heads.pd-to-t1 of {two}: ") and reason in line
    assert "Noisy" in seeds_note(report.plan, report.groups[0]).partition("with 1 seed: ")[2]
    preferred = merged(one, two, prefer=two)
    assert seeds_of(preferred) == [2] and preferred.left_out[0].startswith(
        f"noisy.heads.pd-to-t1 of {one}: not as {two}"
    )


def test_a_seed_that_decided_the_data_is_none_of_a_replicate(run_of, merged):
    one, two = run_of("one", [1]), run_of("two", [2], seed=2)
    report = merged(one, two)
    assert seeds_of(report) == [1]
    wanted = (
        f"prepared with seed 2, not 1 as in {one}: `seed` decides the data; for replicates keep it, and set `seeds`"
    )
    assert f"noisy.heads.pd-to-t1 of {two}: {wanted}" in report.left_out


def test_a_failed_replicate_stays_visible(run_of, merged):
    one, two = run_of("one", [1]), run_of("two", [2])
    write_json(two / FAILED, {"error": "diverged"})
    report = merged(one, two)
    assert seeds_of(report) == [1] and noisy(report).reason == "1 of 2 seeds (seed 2 failed)"
    assert report.left_out == (f"noisy.seed-2.heads.pd-to-t1 of {two}: translate: diverged",)


@pytest.mark.parametrize("failed", [False, True])
def test_another_method_of_that_id_adds_no_seed_even_where_it_failed(run_of, merged, failed):
    one, two = run_of("one", [1]), run_of("two", [2])
    config = read_json(two / "config.json")
    config["config"]["methods"]["noisy"]["plugin"] = "blurry"
    write_json(two / "config.json", config)
    if failed:
        write_json(two / FAILED, {"error": "diverged"})
    report = merged(one, two)
    assert seeds_of(report) == [1] and noisy(report).reason is None
    (line,) = report.left_out
    assert ("diverged" if failed else "'noisy' is another method") in line


def test_one_seed_with_two_numbers_is_still_refused(run_of, merged):
    one, two = run_of("one", [1, 2]), run_of("two", [2, 3])
    path = two / "scores" / "noisy.seed-2.heads.pd-to-t1.csv"
    table = pd.read_csv(path)
    table.loc[0, "standard.ssim_fg"] -= 0.01
    table.to_csv(path, index=False)
    record = path.with_name(f"{path.stem}.{RECORD}")
    write_json(record, read_json(record) | {"scores_sha256": sha256_file(path)})
    with pytest.raises(UserError, match=r"noisy.seed-2.heads.pd-to-t1 has different numbers in .*--prefer"):
        merged(one, two)
    assert seeds_of(merged(one, two, prefer=two)) == [1, 2, 3]

"""Several runs in one report: what agrees stands together, and what does not is left out with its reason."""

from __future__ import annotations

import json
import shutil
from pathlib import Path

import numpy as np
import pandas as pd
import pytest

from tests.report import synthetic
from xmodbench.errors import UserError
from xmodbench.files import read_json, write_json
from xmodbench.plan.claim import claim
from xmodbench.plan.config import parse_config
from xmodbench.report import merge
from xmodbench.report.merge import merge_runs
from xmodbench.report.merged_plan import union
from xmodbench.store import SliceStore

HEADS = "heads.pd-to-t1"


@pytest.fixture
def runs(finished, plan_of, tmp_path):
    """Two results folders: `ours` with its data and three methods on one data set, `theirs` with scores alone and others."""
    plan = plan_of(finished)

    def part(name: str, methods: list[str], datasets: list[str]) -> Path:
        folder = tmp_path / name / "results" / "toy"
        for cell in plan.cells:
            if cell.method in methods and cell.dataset in datasets:
                for kind in (".csv", ".json", ".record.json"):
                    path = plan.scores_file(cell).with_name(f"{cell.name}{kind}")
                    (folder / "scores").mkdir(parents=True, exist_ok=True)
                    shutil.copy(path, folder / "scores")
                if name == "ours":
                    there = folder / "translations" / cell.method / cell.dataset / cell.direction
                    shutil.copytree(plan.translation_dir(cell), there)
        config = plan.config.model_dump(mode="json")
        config["methods"] = {key: entry for key, entry in config["methods"].items() if key in methods}
        config["datasets"] = {key: entry for key, entry in config["datasets"].items() if key in datasets}
        config["paths"] = {"raw": "raw", "data": "data", "results": "results", "work": "work"}
        (folder / "config.json").write_text(json.dumps({"made_by": "toy.yaml", "config": config}))
        return folder

    ours = part("ours", ["good", "oracle", "copy_source"], ["heads"])
    shutil.copytree(finished / "data" / "heads", tmp_path / "ours" / "data" / "heads")
    return ours, part("theirs", ["blurry", "oracle"], ["heads", "sim_heads"])


@pytest.fixture
def merged(runs, tmp_path, monkeypatch):
    """The report that would be written: `merged(prefer)`."""
    found = []
    monkeypatch.setattr(merge, "write_report", lambda report, out: found.append(report))

    def read(prefer=None):
        merge_runs(list(runs), tmp_path / "out", prefer)
        return found[-1]

    return read


def edited(folder: Path, name: str, **facts) -> None:
    path = folder / "scores" / f"{name}.record.json"
    write_json(path, {**read_json(path), **facts})


def other_numbers(folder: Path, name: str) -> None:
    """Change a score, and the record with it, as another machine's run would have it."""
    path = folder / "scores" / f"{name}.csv"
    table = pd.read_csv(path)
    table.loc[0, "standard.mse"] += 0.001
    table.loc[0, "standard.psnr"] = -10 * np.log10(table.loc[0, "standard.mse"])
    table.to_csv(path, index=False)
    from xmodbench.files import sha256_file

    edited(folder, name, scores_sha256=sha256_file(path))


def test_two_runs_make_one_report(runs, tmp_path):
    assert merge_runs(list(runs), tmp_path / "out") == []
    table = pd.read_csv(tmp_path / "out" / "table.csv")
    complete = table[table["status"] == "complete"].groupby("dataset")["method"].unique()
    assert sorted(complete["heads"]) == ["blurry", "copy_source", "good", "oracle"]
    assert sorted(complete["sim_heads"]) == ["blurry", "oracle"]
    assert len(table) == len(table.drop_duplicates(["dataset", "method", "metric"]))
    page = (tmp_path / "out" / "report.html").read_text()
    assert str(runs[0]) in page and str(runs[1]) in page
    assert (tmp_path / "out" / "figure.png").stat().st_size > 10_000  # pictures of the run that has any
    ranks = table[(table["dataset"] == "heads") & (table["metric"] == "paper.psnr")].set_index("method")["rank"]
    assert sorted(ranks[["good", "blurry"]]) == [1, 2]


def test_the_order_of_runs_is_that_of_the_table(runs, merged):
    methods = list(dict.fromkeys(item.cell.method for item in merged().results))
    assert methods == ["good", "oracle", "copy_source", "blurry"]


DISAGREEING = {
    "other slices": ({"test_sha256": {"pd": "0" * 64, "t1": "1" * 64}}, "scored on other pd slices than in"),
    "another split": ({"prepared": {"sha256": "0" * 64}}, "of other volumes, or of another split, than in"),
    "other settings": (
        {"prepared": {"settings": {"image_size": 99}, "seed": 1, "sha256": "0" * 64}},
        "done on data prepared with",
    ),
    "another protocol": ({"protocol": 0}, "scored by protocol 0"),
}


@pytest.mark.parametrize("kind", DISAGREEING)
def test_what_does_not_agree_is_left_out_by_cell_with_the_reason(runs, merged, kind):
    facts, reason = DISAGREEING[kind]
    edited(runs[1], f"blurry.{HEADS}", **facts)
    report = merged()
    by_cell = {item.cell.name: item for item in report.results}
    assert by_cell[f"blurry.{HEADS}"].status == "failed"
    assert reason in by_cell[f"blurry.{HEADS}"].reason
    assert by_cell["blurry.sim_heads.pd-to-t1"].complete
    assert by_cell[f"oracle.{HEADS}"].complete
    assert any(f"blurry.{HEADS} of {runs[1]}" in line and reason in line for line in report.left_out)


def test_a_cell_of_two_runs_counts_once_or_is_refused(runs, merged):
    assert merged().complete == 6
    other_numbers(runs[1], f"oracle.{HEADS}")
    with pytest.raises(
        UserError, match=rf"oracle.{HEADS} has different numbers in {runs[0]} and in {runs[1]}; .*--prefer"
    ):
        merged()
    report = merged(runs[1])
    (item,) = (item for item in report.results if item.cell.name == f"oracle.{HEADS}")
    assert item.scores.loc[0, "standard.mse"] == pytest.approx(0.001)
    assert [line for line in report.left_out if f"of {runs[0]}" in line]
    assert merged(runs[0]).results[0].complete


def test_one_id_for_two_methods_is_no_method(runs, merged):
    path = runs[1] / "config.json"
    claimed = read_json(path)
    claimed["config"]["methods"]["good"] = {**claimed["config"]["methods"]["blurry"], "plugin": "blurry"}
    write_json(path, claimed)
    for kind in ("csv", "json", "record.json"):
        shutil.copy(runs[1] / "scores" / f"blurry.{HEADS}.{kind}", runs[1] / "scores" / f"good.{HEADS}.{kind}")
    report = merged()
    assert any("'good' is another method, or has other settings, than in" in line for line in report.left_out)
    (item,) = (item for item in report.results if item.cell.name == f"good.{HEADS}")
    assert item.complete  # that of the first run


def test_what_cannot_be_merged_is_told_in_a_line(runs, tmp_path):
    ours, theirs = runs
    with pytest.raises(UserError, match="give two runs or more"):
        merge_runs([ours], tmp_path / "out")
    with pytest.raises(UserError, match="give two runs or more, each once"):
        merge_runs([ours, ours], tmp_path / "out")
    with pytest.raises(UserError, match="no run's results"):
        merge_runs([ours, tmp_path], tmp_path / "out")
    with pytest.raises(UserError, match="none of the runs that are merged"):
        merge_runs([ours, theirs], tmp_path / "out", tmp_path)
    with pytest.raises(UserError, match="is one of the runs"):
        merge_runs([ours, theirs], ours)
    write_json(theirs / "config.json", {"made_by": "gone.yaml"})
    with pytest.raises(UserError, match=r"its config, gone.yaml, is not here"):
        merge_runs([ours, theirs], tmp_path / "out")


def test_a_run_tells_its_whole_config(copied):
    claim(copied, ["toy.yaml"])
    assert read_json(copied.results / "config.json")["config"] == copied.config.model_dump(mode="json")


def test_predictions_scored_by_hand_come_along(runs, merged, finished, plan_of):
    """The plan of each run finds them in its folder, as the report of that run does."""
    plan = plan_of(finished)
    good = next(cell for cell in plan.cells if cell.method == "good" and cell.dataset == "heads")
    folder = runs[1] / "translations" / "theirs" / "heads" / "pd-to-t1"
    store = SliceStore(plan.translation_dir(good))
    synthetic.write_store(folder, {"t1": np.array(store.array("t1"))}, store.subjects)
    entry = {"id": "theirs", "name": "Theirs", "folder": "x", "dataset": "heads", "direction": "pd->t1"}
    facts = {"status": "complete", "by_hand": True, "entry": entry, "supervision": "undeclared", "isolation": "none"}
    write_json(folder / "record.json", facts)
    for kind in ("csv", "json", "record.json"):
        source = plan.scores_file(good).with_name(f"good.{HEADS}.{kind}")
        shutil.copy(source, runs[1] / "scores" / f"theirs.{HEADS}.{kind}")
    report = merged()
    assert report.made_elsewhere == {"Theirs": "undeclared"}
    assert {item.cell.method for item in report.results if item.complete} >= {"theirs", "good", "blurry"}


def test_what_not_all_runs_know_is_left_out_of_the_whole():
    def config(**changes):
        values = {"run": "r", "datasets": {"sim_ixi": {"directions": ["pd->t1"]}}, "methods": {"oracle": {}}}
        return parse_config(values | changes, "c.yaml")

    theirs = {"id": "ours", "folder": "f", "dataset": "sim_ixi", "direction": "pd->t1"}
    one = config(scoring={"metrics": ["a", "b"]}, predictions=[theirs | {"supervision": "paired"}])
    other = config(
        scoring={"metrics": ["b"]},
        methods={"oracle": {}, "ours": {"plugin": "oracle"}},
        predictions=[theirs | {"direction": "t1->pd", "supervision": "zero-shot"}],
    )
    whole = union([one, other])
    assert whole.scoring.metrics == ["b"]
    assert list(whole.methods) == ["oracle"] and [entry.direction for entry in whole.predictions] == ["pd->t1"]

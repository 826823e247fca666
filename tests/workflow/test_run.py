"""The whole workflow on tiny real volumes: from NIfTI to the report, and what it does when run again."""

import json
import re
import shutil
import subprocess
import sys
from dataclasses import fields
from importlib import import_module
from pathlib import Path
from zipfile import ZipFile

import pandas as pd
import pytest
import yaml
from typer.testing import CliRunner

from tests.workflow.conftest import ENVIRONMENT, job_list
from xmodbench.cli.app import app
from xmodbench.files import REPOSITORY, read_json
from xmodbench.plan.status import status, told

CELLS = 3  # one direction, three methods
PARTS = 2  # jobs that translate for the first of them


def test_a_run_makes_everything(finished):
    named = ("report.html", "report.zip", "table.csv", "table.json", "table.md", "figure.png", "figure.svg")
    for name in (*named, *(f"table1.{kind}" for kind in ("tex", "md", "csv", "html"))):
        assert (finished.results / name).stat().st_size > 200, name
    scores = sorted((finished.results / "scores").glob("*.csv"))
    assert len(scores) == CELLS
    frame = pd.read_csv(finished.results / "scores" / "oracle.heads.pd-to-t1.csv")
    assert (frame["paper.mse"] == 0).all()
    assert set(frame["subject"]) == {"sub2", "sub3"}
    assert str(finished.results.relative_to(finished.folder) / "report.html") in finished.output


def test_snakemake_s_own_report_has_page_tables_and_figures_with_captions(work):
    # the run draws no figures for print: one stands for them
    (work.results / "figures").joinpath("cost.png").write_bytes((work.results / "figure.png").read_bytes())
    done = work.snakemake("--report", "sent.zip")
    assert done.returncode == 0, done.stderr
    with ZipFile(work.folder / "sent.zip") as archive:
        names = archive.namelist()
        page = archive.read("sent/report.html").decode()
    for file in ("report.html", "figure.png", "table.csv", "table1.html", "cost.png"):
        assert any(name.endswith(f"/{file}") for name in names), file
    for caption in ("layout of the paper", "A figure for print", "95 % confidence interval"):
        assert caption in page


def test_every_output_has_its_record(finished):
    records = list(finished.results.rglob("*record.json")) + list((finished.folder / "data").rglob("*record.json"))
    # data set; the one model, since two of the methods are controls; translations; scores
    assert len(records) == 2 + 1 + 2 * CELLS + PARTS
    for path in records:
        record = json.loads(path.read_text())
        assert record["status"] == "complete", path
        assert record["duration_s"] > 0
        assert record["peak_memory_mb"]["cpu"] > 10
        assert "seed" in record, path
        assert "python" in record["versions"]


def test_every_job_has_a_log_and_a_benchmark(finished):
    for folder in ("logs", "benchmarks"):
        kinds = {path.parent.name for path in (finished.results / folder).rglob("*.*")}
        assert {"acquire", "prepare", "train", "translate", "score"} <= kinds


def test_a_second_run_does_nothing(finished):
    assert finished.planned() == {}


@pytest.mark.slow
def test_a_renamed_subject_is_prepared_again_once(work):
    assert work.planned() == {}  # the copy's files have other places on the disk
    for name in ("T1", "PD"):
        (work.folder / "volumes" / f"sub3_{name}.nii.gz").rename(work.folder / "volumes" / f"sub9_{name}.nii.gz")
    planned = work.planned()
    assert planned["acquire"] == planned["prepare"] == 1
    done = work.run()
    assert done.returncode == 0, done.stderr
    assert work.planned() == {}
    split = (work.folder / "data" / "heads" / "split.csv").read_text()
    assert "sub9,test" in split and "sub3" not in split


def test_editing_a_plugin_reruns_only_its_cells(work):
    code = work.folder / "methods" / "gradient" / "method.py"
    code.write_text(code.read_text().replace("0.5 * noise", "0.4 * noise"))
    planned = work.planned()
    assert {name: count for name, count in planned.items() if name != "benchmark"} == {
        "train": 1,
        "translate_part": PARTS,
        "gather": 1,
        "score": 1,
        "report": 1,
    }


@pytest.mark.slow
def test_a_scaffolded_method_appears_in_the_table_at_the_cost_of_its_own_jobs(work, monkeypatch):
    """README and docs/add-a-method.md: `new`, a line in the config, `run`."""
    monkeypatch.chdir(work.folder)
    written = CliRunner().invoke(app, ["new", "method", "mine"])
    assert written.exit_code == 0, written.output
    work.write_config(methods={"gradient": {"translate_jobs": 2}, "mine": {}, "copy_source": {}, "oracle": {}})
    done = work.run()
    assert done.returncode == 0, done.stderr
    table = json.loads((work.results / "table.json").read_text())
    mine = [row for row in table["rows"] if row["method"] == "mine"]
    assert mine and {row["status"] for row in mine} == {"complete"}
    assert "| Mine |" in re.sub(r"\s+", " ", (work.results / "table.md").read_text())
    for old in ("models/gradient", "translations/gradient", "translations/oracle"):
        (record,) = (work.results / old).rglob("record.json")
        assert record.stat().st_mtime < work.config.stat().st_mtime


def test_a_new_direction_costs_a_zero_shot_method_no_training(fresh):
    entry = {
        "plugin": "folder",
        "raw": "volumes",
        "settings": {"patterns": {"pd": "{subject}_PD.nii.gz", "t1": "{subject}_T1.nii.gz"}, "image_size": 32},
    }
    methods = {"gradient": {}}
    fresh.write_config(datasets={"heads": {**entry, "directions": ["pd->t1"]}}, methods=methods)
    one = fresh.planned()
    fresh.write_config(datasets={"heads": entry, "more": {**entry, "directions": ["pd->t1"]}}, methods=methods)
    assert one["train"] == 1
    assert fresh.planned()["train"] == 3  # a model per target and data set, not per direction


def test_changing_a_setting_reruns_its_cells(work):
    work.write_config(scoring={"bootstrap": 200})
    planned = work.planned()
    assert planned["score"] == CELLS
    assert "train" not in planned
    work.write_config(seed=4)
    assert work.planned()["prepare"] == 1


def test_more_seeds_add_to_a_finished_run(work):
    work.write_config(seeds=[3, 4])
    before = {path: path.stat().st_mtime_ns for path in work.results.rglob("record.json")}
    done = work.run()
    assert done.returncode == 0, done.stderr
    after = {path: path.stat().st_mtime_ns for path in work.results.rglob("record.json")}
    assert before.items() <= after.items(), "the first seed's are kept"
    new = {path.relative_to(work.results).parts[:2] for path in after.keys() - before.keys()}
    assert new == {(part, "gradient.seed-4") for part in ("models", "parts", "translations")}
    record = json.loads((work.results / "translations/gradient.seed-4/heads/pd-to-t1/record.json").read_text())
    assert (record["seed"], record["plugin"], record["name"]) == (4, "gradient", "gradient.seed-4")
    rows = [row for row in json.loads((work.results / "table.json").read_text())["rows"] if row["method"] == "gradient"]
    assert {row["n_seeds"] for row in rows if row["mean"] is not None} == {2}


def test_another_config_with_the_same_run_name_is_refused(work):
    other = work.folder / "other.yaml"
    other.write_text(work.config.read_text().replace("seed: 3", "seed: 4"))
    before = (work.results / "table.csv").read_bytes()
    done = work.snakemake("--cores", "1", "--configfile", str(other))
    assert done.returncode == 1
    assert "results/tiny: holds the results of config.yaml, whose run is called 'tiny' as well" in done.stderr
    assert "Traceback" not in done.stderr
    assert (work.results / "table.csv").read_bytes() == before


def changed(work, image_size=32, **changes):
    values = yaml.safe_load(work.config.read_text())
    values["datasets"]["heads"]["settings"]["image_size"] = image_size
    work.config.write_text(yaml.safe_dump(values | changes))


@pytest.mark.slow
def test_data_of_another_run_are_not_used_in_silence(work):
    """Where Snakemake does not know what its outputs were made with: a copy without its notes, or another's data folder."""
    shutil.rmtree(work.folder / ".snakemake")
    (work.results / "report.html").unlink()
    changed(work, image_size=48)
    done = work.run()
    assert done.returncode == 1
    assert "prepare: done with image_size 32, not 48; run `" in done.stderr  # the report
    shutil.rmtree(work.results / "models")
    shutil.rmtree(work.results / "scores")
    done = work.run()
    assert done.returncode == 1
    (advice,) = set(re.findall(r"data/heads/t\w+: prepared with image_size 32, not 48; run `(.*?)`", done.stderr))
    assert not (work.results / "report.html").exists()
    done = subprocess.run(["/bin/sh", "-c", advice], cwd=work.folder, check=False, env=ENVIRONMENT, capture_output=True)
    assert done.returncode == 0, done.stderr
    assert read_json(work.folder / "data/heads/train/manifest.json")["shape"] == [48, 48]
    assert json.loads((work.results / "table.json").read_text())


@pytest.mark.slow
def test_a_report_by_hand_refuses_what_was_made_otherwise(work):
    command = [sys.executable, "-m", "xmodbench", "report", "--config", "config.yaml"]

    def report(*options):
        done = subprocess.run(
            [*command, *options], cwd=work.folder, capture_output=True, text=True, check=False, env=ENVIRONMENT
        )
        return done.returncode, done.stderr.splitlines()[-1]

    assert report()[0] == 0
    changed(work, image_size=48)
    code, line = report()
    assert code == 1 and "and 2 other cells: prepare: done with image_size 32, not 48; prepare again; or see" in line
    assert report("--partial")[0] == 0
    page = (work.results / "partial" / "report.html").read_text()
    assert "Incomplete: 0 of 3 cells." in page and "image_size 32, not 48" in page
    changed(work, scoring={"bootstrap": 200})
    assert "score: done with bootstrap 100, not 200" in report()[1]
    changed(work, seed=4, scoring={"bootstrap": 100})
    assert "prepare: done with seed 3, not 4" in report()[1]


def test_both_entries_plan_the_same(fresh):
    root, inner = fresh.planned(), fresh.planned(entry="workflow/Snakefile")
    root.pop("benchmark"), inner.pop("all")
    assert root == inner
    assert sum(root.values()) == 2 + 1 + 2 * CELLS + PARTS + 1  # two of the three methods are controls without a model


def test_results_do_not_depend_on_the_cut(finished, fresh):
    """Batches of one instead of 32, one job instead of two, and another working folder: the same bits."""
    fresh.write_config(compute={"device": "cpu", "threads": 1, "batch_size": 1}, methods={"gradient": {}})
    done = fresh.run("results/tiny/translations/gradient/heads/pd-to-t1/record.json")
    assert done.returncode == 0, done.stderr
    for name in ("t1.npy", "slices.csv"):
        path = f"translations/gradient/heads/pd-to-t1/{name}"
        assert (fresh.results / path).read_bytes() == (finished.results / path).read_bytes()


@pytest.mark.parametrize(
    ("option", "profile"), [("--workflow-profile", "slurm"), ("--workflow-profile", "generic"), ("--profile", "slurm")]
)
def test_cluster_profiles_plan(fresh, option, profile):
    """In place of the default profile or beside it, whose one GPU is this machine's and not the cluster's.

    What is planned on a machine without a GPU is what the cluster's nodes are asked for.
    """
    asked = asked_by_jobs(fresh, "auto", option, str(REPOSITORY / "profiles" / profile))
    assert {"mem_mb=16000", "gpu=4", "one_at_a_time=1"} <= asked
    assert not any(word.startswith("local_gpu=") for word in asked)


@pytest.mark.parametrize(("profile", "plugin"), [("slurm", "slurm"), ("generic", "cluster_generic")])
def test_what_a_profile_leaves_to_a_site_is_known_to_the_plugin(profile, plugin):
    text = (REPOSITORY / "profiles" / profile / "profile.yaml").read_text()
    prefix = plugin.replace("_", "-")
    given = set(re.findall(rf"^(?:# )?{prefix}-([a-z-]+):", text, re.MULTILINE))
    settings = import_module(f"snakemake_executor_plugin_{plugin}").ExecutorSettings
    assert given and given <= {field.name.replace("_", "-") for field in fields(settings)}


@pytest.mark.parametrize("profile", ["slurm", "generic"])
def test_a_clusters_profile_leaves_limits_to_the_workflow(profile):
    """Of two profiles that are read, Snakemake takes the `resources` of one, the default one's; a job gets none."""
    values = yaml.safe_load((REPOSITORY / "profiles" / profile / "profile.yaml").read_text())
    assert not {"resources", "set-resource-scopes"} & set(values)


def test_one_gpu_job_at_a_time_runs_on_this_machine(fresh):
    asked = asked_by_jobs(fresh, "cuda", "--cores", "2")
    assert {"gpu=4", "local_gpu=1"} <= asked and "one_at_a_time=1" not in asked


def asked_by_jobs(work, device: str, *options: str) -> set[str]:
    """Resources of the planned jobs of a method that trains in four processes."""
    midiffusion = {"settings": {"preset": "short"}}
    work.write_config(methods={"midiffusion": midiffusion}, compute={"device": device, "processes": 4})
    done = work.snakemake("-n", *options)
    assert done.returncode == 0, done.stderr
    lines = re.findall(r"^    resources: (.*)$", done.stdout + done.stderr, re.MULTILINE)
    return {word for line in lines for word in line.split(", ")}


def test_workflow_is_lint_clean(fresh):
    done = fresh.snakemake("--lint")
    assert done.returncode == 0, done.stdout + done.stderr


def listed(work, *options):
    """Outputs and logs of the jobs that Snakemake would run."""
    done = work.snakemake("-n", *options)
    assert done.returncode == 0, done.stderr
    text = done.stdout + done.stderr
    found = {key: set() for key in ("output", "log")}
    for key in found:
        for match in re.findall(rf"^    {key}: (.+)$", text, re.MULTILINE):
            found[key] |= set(match.split(", "))
    return found


def test_the_plans_jobs_are_snakemakes(work, monkeypatch):
    """Nothing run, all done, and a part of it deleted: the same jobs with the same outputs and logs."""
    found = job_list(work, monkeypatch)
    assert found.waited_for == set()
    assert {one.state for one in status(found.plan)} == {"done"}
    assert f"report: {Path('results/tiny/report.html')}" in told(found.plan, status(found.plan), None)
    for name in ("report.html", "scores", "parts"):
        path = work.results / name
        subprocess.run(["rm", "-r", str(path)], check=True)
    found = job_list(work, monkeypatch)
    assert found.count(found.jobs[record] for record in found.waited_for) == {
        rule: count for rule, count in work.planned().items() if rule != "benchmark"
    }
    for folder in ("results", "data", ".snakemake"):
        subprocess.run(["rm", "-r", str(work.folder / folder)], check=True)
    found = job_list(work, monkeypatch)
    assert found.waited_for == set(found.jobs)
    planned = listed(work)
    jobs = found.jobs.values()
    assert {str(path) for job in jobs for path in job.outputs} == planned["output"]
    assert {str(job.log) for job in jobs} == planned["log"]


def test_the_commands_of_the_page_about_running(work, monkeypatch):
    """docs/running.md, as it is printed, with the finished run for the reader's."""
    work.config.rename(work.folder / "my.yaml")
    page = (REPOSITORY / "docs" / "running.md").read_text()
    commands = [
        line.split("  #")[0] for block in re.findall(r"```sh\n(.*?)```", page, re.DOTALL) for line in block.splitlines()
    ]
    assert {command.split()[1] for command in commands} == {"doctor", "plan", "run", "status"}
    monkeypatch.chdir(work.folder)
    for command in commands:
        words = command.split()[1:]
        if words[0] == "run":  # a process of its own, as it would be
            done = subprocess.run(
                [sys.executable, "-m", "xmodbench", *words], capture_output=True, check=False, env=ENVIRONMENT
            )
            assert done.returncode == 0 and b"Nothing to be done" in done.stderr
            continue
        done = CliRunner().invoke(app, words)
        assert done.exit_code == 0, f"{command}\n{done.output}{done.exception}"
        if "--json" in words:
            json.loads(done.stdout)

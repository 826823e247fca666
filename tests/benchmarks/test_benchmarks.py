"""Benchmarks can be started, and measure the machine in the arithmetic they run in."""

from __future__ import annotations

import importlib
import sys

import pytest
import torch

from xmodbench.files import REPOSITORY

FOLDER = REPOSITORY / "benchmarks"
SCRIPTS = [path.stem for path in sorted(FOLDER.glob("*.py")) if 'if __name__ == "__main__"' in path.read_text()]


@pytest.fixture(autouse=True)
def importable(monkeypatch):
    monkeypatch.syspath_prepend(FOLDER)


@pytest.mark.parametrize("name", SCRIPTS)
def test_every_benchmark_explains_itself(name, monkeypatch, capsys):
    monkeypatch.setattr(sys, "argv", [name, "--help"])
    with pytest.raises(SystemExit, match="0"):
        importlib.import_module(name).main()
    assert f"python benchmarks/{name}.py" in capsys.readouterr().out


@pytest.mark.parametrize("convolutions", [True, False])
def test_on_a_gpu_the_peak_rounds_as_convolutions_do(convolutions, monkeypatch):
    common, seen = importlib.import_module("common"), []
    backends = torch.backends
    monkeypatch.setattr(backends.cudnn, "allow_tf32", convolutions)
    before = backends.cuda.matmul.allow_tf32
    monkeypatch.setattr(torch, "randn", lambda *shape, device: seen.append(shape) or torch.zeros(2, 4, 4))
    monkeypatch.setattr(common, "seconds", lambda *given: seen.append(backends.cuda.matmul.allow_tf32) or 2.0)
    assert common.peak("cuda") == 8192**3 / 2
    assert seen == [(2, 8192, 8192), convolutions]
    assert backends.cuda.matmul.allow_tf32 == before
    assert common.arithmetic("cuda", "fp32") == ("TF32" if convolutions else "fp32")


def test_on_a_cpu_the_peak_is_that_of_the_precision(monkeypatch):
    common, seen = importlib.import_module("common"), []
    monkeypatch.setattr(common, "seconds", lambda work, *rest: seen.append(work().dtype) or 1.0)
    assert [common.peak("cpu", precision) for precision in ("fp32", "bf16")] == [2048**3] * 2
    assert seen == [torch.float32, torch.bfloat16]
    assert common.arithmetic("cpu", "fp32") == "fp32"


def test_a_jobs_seconds_are_told_apart_from_those_of_its_imports(tmp_path):
    jobs = importlib.import_module("jobs")
    log = "import time:       900 |       1200 | json\nstep 1\nimport time:   1999100 |    2000000 |   torch\n"
    for rule, name, seconds in (("train", "a.b.tsv", "10.5"), ("train", "c.tsv", "9.5"), ("", "report.tsv", "5")):
        for kind, text in (("benchmarks", f"s\th:m:s\n{seconds}\t0:00:01\n"), ("logs", log)):
            file = tmp_path / kind / rule / name
            file.parent.mkdir(parents=True, exist_ok=True)
            file.with_suffix(".tsv" if kind == "benchmarks" else ".log").write_text(text)
    found = jobs.jobs(tmp_path)
    assert found == {"report": [(5.0, 2.0)], "train": [(10.5, 2.0), (9.5, 2.0)]}
    assert jobs.rows(found) == [
        ("train", 2, "20", "4", "20.0%"),
        ("report", 1, "5", "2", "40.0%"),
        ("all", 3, "25", "6", "24.0%"),
    ]


def test_a_run_is_held_against_its_plan(tmp_path, monkeypatch):
    """By job, with the table's rates and not those of its own records; a job that has no rate is said to be unknown."""
    from xmodbench.plan.config import parse_config
    from xmodbench.plan.plan import Plan

    against = importlib.import_module("plan_against_run")
    monkeypatch.chdir(tmp_path)
    settings = {"n_subjects": 5, "scale": 2.5, "image_size": 64, "slices": {"count": 4}, "split": {"n_test": 2}}
    methods = {"sdedit": {"settings": {"preset": "short"}}, "odd": {"plugin": "sdedit", "settings": {"network": "adm"}}}
    values = {"run": "r", "datasets": {"sim_ixi": {"directions": ["pd->t1"], "settings": settings}}, "methods": methods}
    plan = Plan(parse_config({**values, "compute": {"device": "cpu"}}, "c.yaml"), "c.yaml")
    assert against.compared(plan)[1] == []
    for name in ("train/sdedit.sim_ixi.t1", "train/odd.sim_ixi.t1", "score/sdedit.sim_ixi.pd-to-t1"):
        file = tmp_path / f"results/r/benchmarks/{name}.tsv"
        file.parent.mkdir(parents=True, exist_ok=True)
        file.write_text("s\tcpu_time\n120\t104.5\n")
    estimate, found = against.compared(plan)
    train, odd, score = (
        next(one for one in found if name in str(one.job.log)) for name in ("train/sd", "odd", "score")
    )
    assert (train.clock, train.processor, odd.estimated) == (120, 104.5, None)
    assert train.estimated == pytest.approx(4.5 + 51 * 1600 / 1000) and score.estimated == 1.5
    assert against.rows(found, lambda one: one.job.rule) == [
        ("train", 2, "86 and unknown", "240", "209", ""),
        ("score", 1, "2", "120", "104", "0.01"),
        ("all", 3, "88 and unknown", "360", "314", ""),
    ]
    (row,) = [row for row in against.rates(estimate, found) if row[3] == "small"]
    assert row == ("sdedit", "train", "cpu", "small", "16", "64", "1600", "100", "s")

"""`xmodbench doctor`: what is there, what is missing and what to type, on machines where things are missing."""

from __future__ import annotations

import json
import subprocess
import sys
from pathlib import Path

import pytest

from xmodbench.errors import UserError
from xmodbench.plan.config import parse_config
from xmodbench.plan.plan import Plan
from xmodbench.stages.doctor import doctor, machine, software
from xmodbench.stages.doctor import run as data

SIMULATED = {"sim_ixi": {}}


def plan(datasets=None, methods=None, **changes):
    values = {"run": "r", "datasets": datasets or SIMULATED, "methods": methods or {"oracle": {}}, **changes}
    return Plan(parse_config(values, "c.yaml"), "c.yaml")


@pytest.fixture(autouse=True)
def bare(tmp_path, monkeypatch):
    """An empty folder, an empty PATH, no tokens, no weights, no hidden GPUs."""
    (tmp_path / "bin").mkdir()
    monkeypatch.chdir(tmp_path)
    monkeypatch.setenv("PATH", str(tmp_path / "bin"))
    for name in ("CXX", "ZENODO_TOKEN", "ZENODO_SHARE_TOKEN", "FID_WEIGHTS", "CUDA_VISIBLE_DEVICES"):
        monkeypatch.delenv(name, raising=False)
    monkeypatch.setattr(machine, "visible_gpus", list)
    return tmp_path


def program(folder: Path, name: str, says: str = "", code: int = 0) -> None:
    path = folder / "bin" / name
    path.write_text(f"#!/bin/sh\necho '{says}'\nexit {code}\n")
    path.chmod(0o755)


def facts(plan=None):
    return {fact.name: fact for fact in doctor(plan)}


def test_every_fact_has_a_state_and_what_lacks_has_a_remedy(bare):
    found = doctor(plan({"goldatlas": {}, "folder": folder_entry()}, compute={"device": "cuda", "processes": 2}))
    assert len({(fact.group, fact.name) for fact in found}) == len(found)
    for fact in found:
        assert fact.state in ("ok", "optional", "missing") and fact.fact, fact
        assert fact.state != "missing" or fact.fix, fact
    names = {fact.name for fact in found}
    assert {"Python", "Snakemake", "conda", "C++ compiler", "torch", "GPU", "CPU", "wall", "disk", "file locks",
            "goldatlas", "token for Zenodo", "weights for FID", "Snakemake's lock", "shared memory"} <= names  # fmt: skip


def test_programs(bare):
    found = facts()
    assert found["conda"].state == "optional" and "--use-conda" in found["conda"].fix
    assert found["C++ compiler"].state == "optional"
    needed = plan(methods={"sdedit": {"settings": {"compile": True}}})
    assert facts(needed)["C++ compiler"].state == "missing"
    for name in ("conda", "g++"):
        program(bare, name)
    found = facts(needed)
    assert found["conda"].fact == str(bare / "bin" / "conda") and found["C++ compiler"].state == "ok"


def test_gpu_and_driver(bare, monkeypatch):
    asked = plan(compute={"device": "cuda"})
    assert facts()["GPU"].state == "optional" and facts(asked)["GPU"].state == "missing"
    monkeypatch.setattr(machine, "visible_gpus", lambda: ["0"])
    program(bare, "nvidia-smi", "NVIDIA-SMI has failed", 9)
    assert "does not answer" in facts(asked)["GPU"].fact and "driver" in facts(asked)["GPU"].fix
    program(bare, "nvidia-smi", "NVIDIA H100, 81559 MiB, 570.12")
    monkeypatch.setattr(machine, "cuda_of_torch", lambda: "12.8")
    assert facts(asked)["GPU"].fact == "NVIDIA H100 (81559 MiB, driver 570.12)" and facts(asked)["GPU"].state == "ok"
    monkeypatch.setattr(machine, "cuda_of_torch", lambda: None)
    assert facts(asked)["GPU"].state == "missing" and "built for CUDA" in facts(asked)["GPU"].fix
    monkeypatch.setenv("CUDA_VISIBLE_DEVICES", "")
    monkeypatch.setattr(machine, "visible_gpus", list)
    assert "hidden by CUDA_VISIBLE_DEVICES" in facts(asked)["GPU"].fact


def test_packages(monkeypatch):
    assert facts()["packages"].state in ("ok", "optional")  # optional: imported from a checkout, not installed
    real = software.version

    def lacking(name):
        if name in ("torch", "pandas"):
            raise software.PackageNotFoundError(name)
        return real(name)

    monkeypatch.setattr(software, "version", lacking)
    found = facts()
    assert found["torch"].state == "missing" and found["torch"].fix
    if found["packages"].state != "optional":
        assert "pandas" in found["packages"].fact
    monkeypatch.setattr(software.sys, "version_info", (3, 13, 1))
    assert facts()["Python"].state == "missing"


def folder_entry(**changes):
    return {"settings": {"patterns": {"t1": "{subject}_T1.nii", "pd": "{subject}_PD.nii"}}, **changes}


def test_data_that_are_there_missing_and_to_be_had(bare, monkeypatch):
    own = plan({"folder": folder_entry(raw="volumes")})
    assert facts(own)["folder"].state == "missing" and "datasets.folder.raw=" in facts(own)["folder"].fix
    (bare / "volumes").mkdir()
    (bare / "volumes" / "a_T1.nii").touch()
    assert facts(own)["folder"].state == "missing" and "a" in facts(own)["folder"].fact
    (bare / "volumes" / "a_PD.nii").touch()
    assert facts(own)["folder"].fact == "1 subject in volumes, to be prepared"
    assert facts(plan())["sim_ixi"].fact == "will be simulated"
    assert facts(plan({"ixi": {}}))["ixi"].fact == "2 of 2 archives to fetch (8.9 GB)"
    assert facts(plan({"ixi": {}}))["ixi"].state == "ok" and facts()["ixi"].state == "optional"
    closed = plan({"goldatlas": {}})
    found = facts(closed)
    assert found["goldatlas"].state == found["token for Zenodo"].state == "missing"
    assert facts()["goldatlas"].state == "optional"
    monkeypatch.setenv("ZENODO_TOKEN", "very-secret")
    found = facts(closed)
    assert found["goldatlas"].state == found["token for Zenodo"].state == "ok"
    assert "very-secret" not in str(found)


def test_weights_and_files(bare, monkeypatch):
    assert facts()["weights for FID"].state == "optional"
    given = plan(scoring={"fid_weights": "inception.pth"})
    assert facts(given)["weights for FID"].state == "missing"
    (bare / "inception.pth").touch()
    assert facts(given)["weights for FID"].state == "ok"
    monkeypatch.setenv("FID_WEIGHTS", "https://example.org/inception.pth")
    assert "to be downloaded" in facts()["weights for FID"].fact
    settings = {"preset": "short", "perceptual": "vgg16", "vgg16_file": "vgg.pth"}
    named = plan(methods={"stylegan2_inversion": {"settings": settings}})
    assert facts(named)["stylegan2_inversion.vgg16_file"].state == "missing"


def test_disk_locks_and_wall(bare, monkeypatch):
    def no_locks(*_):
        raise OSError(95, "Operation not supported")

    monkeypatch.setattr(machine.fcntl, "flock", no_locks)
    monkeypatch.setattr(machine, "landlock_version", lambda: 0)
    monkeypatch.setattr(machine.shutil, "disk_usage", lambda folder: type("Usage", (), {"free": 1000})())
    found = facts()
    assert found["file locks"].state == found["wall"].state == "optional" and "isolation: none" in found["wall"].fact
    assert found["disk"].state == "missing" and "free some space" in found["disk"].fix
    # IXI needs 18 GB while it is unpacked
    monkeypatch.setattr(machine.shutil, "disk_usage", lambda folder: type("Usage", (), {"free": 10**10})())
    assert facts()["disk"].state == facts(plan())["disk"].state == "ok"
    disk = facts(plan({"ixi": {}}))["disk"]
    assert disk.state == "missing" and disk.fact.startswith("10.0 GB free (raw, data, results, work), about 18.")
    (bare / ".snakemake" / "locks").mkdir(parents=True)
    (bare / ".snakemake" / "locks" / "0.input.lock").touch()
    assert "killed" in facts()["Snakemake's lock"].fact


def test_nothing_is_written(bare):
    before = sorted(bare.rglob("*"))
    doctor(plan())
    assert sorted(bare.rglob("*")) == before


def test_the_command_says_it_all_and_its_exit_code_whether_something_is_missing(bare):
    doctored = [sys.executable, "-m", "xmodbench", "doctor"]
    # PATH is empty: only what the config needs counts
    done = subprocess.run([*doctored, "smoke", "--json"], cwd=bare, capture_output=True, text=True, check=False)
    assert done.returncode == 0, done.stdout + done.stderr
    assert {row["state"] for row in json.loads(done.stdout)} <= {"ok", "optional"}
    done = subprocess.run([*doctored, "paper"], cwd=bare, capture_output=True, text=True, check=False)
    assert done.returncode == 1 and "2 missing" in done.stdout and "Traceback" not in done.stderr
    assert "  missing  goldatlas" in done.stdout


def test_heavy_packages_are_not_imported():
    code = "from xmodbench.stages.doctor import doctor; doctor(None); import sys; print(*sys.modules)"
    done = subprocess.run([sys.executable, "-c", code], capture_output=True, text=True, check=True)
    assert not {"torch", "numpy", "pandas", "SimpleITK"} & set(done.stdout.split())


def test_a_broken_raw_folder_is_a_fact(bare, monkeypatch):
    own = plan({"folder": folder_entry(raw="volumes")})
    (bare / "volumes").mkdir()

    def refuse(*_):
        raise UserError("at two sites", "volumes")

    monkeypatch.setattr(type(own.datasets["folder"]), "volumes", refuse)
    (fact,) = [fact for fact in data.of_run(own) if fact.name == "folder"]
    assert fact.state == "missing" and "at two sites" in fact.fact

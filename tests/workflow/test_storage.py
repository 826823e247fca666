"""Jobs without a shared disk: all that they read and leave is declared, so that Snakemake can carry it through a storage."""

from __future__ import annotations

import json
import os
import re
import shutil
import subprocess
import sys
import time
import urllib.request
from pathlib import Path
from types import SimpleNamespace

import pytest

from tests.workflow import stand_in_storage
from tests.workflow.conftest import ENVIRONMENT, Work
from xmodbench.files import REPOSITORY, files_below, sha256_file
from xmodbench.plan.config import load_config
from xmodbench.plan.jobs import Jobs
from xmodbench.plan.plan import Plan
from xmodbench.plan.storage import Storage

SMOKE = REPOSITORY / "config" / "smoke.yaml"


class Forgetful:
    """An object of a storage that remembers, as the S3 plugin's do, whether a folder was there."""

    def __init__(self):
        self._is_dir = None

    def is_dir(self, there: bool) -> bool:
        if self._is_dir is None:
            self._is_dir = there
        return self._is_dir


class Copies:
    """A storage's provider that keeps copies below ``copies``."""

    def get_storage_object_cls(self):
        return Forgetful

    def object(self, query: str):
        return SimpleNamespace(local_path=lambda: Path("copies") / query.removeprefix("s3://"))


@pytest.fixture(scope="module")
def storage() -> Storage:
    settings = SimpleNamespace(default_storage_provider="s3", default_storage_prefix="s3://bucket/x/")
    registry = SimpleNamespace(default_storage_provider=Copies())
    return Storage(SimpleNamespace(storage_settings=settings, storage_registry=registry))


@pytest.fixture(scope="module")
def plan() -> Plan:
    return Plan(load_config(SMOKE), "smoke.yaml")


CELL = SimpleNamespace(method="ilvr", dataset="sim_ixi", source="pd", target="t1")
TRAINING = SimpleNamespace(training="stylegan2_inversion", dataset="sim_ixi", model="t1", keys=lambda: ["training"])


def test_on_a_disk_nothing_changes(plan):
    jobs = Jobs(plan, lambda: True)
    assert jobs.storage.made("results/a/record.json") == "results/a/record.json"
    assert jobs.model_option(CELL) == ["--model", "results/smoke/models/sdedit/sim_ixi/t1"]
    assert jobs.model_record(CELL) == ["results/smoke/models/sdedit/sim_ixi/t1/record.json"]
    assert jobs.part_folders(["results/1-of-2/record.json"]) == ["results/1-of-2"]
    assert jobs.report_needs() == jobs.preparation(CELL) == []
    assert json.loads(jobs.config_json()) == json.loads(plan.config.model_dump_json())


def test_through_a_storage_folders_travel_and_options_name_the_copies(plan, storage):
    jobs = Jobs(plan, lambda: True, storage)
    place = "copies/bucket/x"
    output = storage.made("results/a/record.json")
    assert output == "results/a" and output.flags["directory"]
    assert jobs.model_option(CELL) == ["--model", f"{place}/results/smoke/models/sdedit/sim_ixi/t1"]
    assert jobs.model_record(CELL) == ["results/smoke/models/sdedit/sim_ixi/t1"]
    first = "results/smoke/pretrained/stylegan2_inversion/sim_ixi/t1"
    assert jobs.pretrained_option(TRAINING)[1].startswith(f"{place}/results/smoke/pretrained/")
    assert jobs.pretrained_option(TRAINING)[1] == f"{place}/{jobs.pretrained_record(TRAINING)[0]}" != first
    assert jobs.part_folders(["results/1-of-2"]) == ["results/1-of-2"]
    assert jobs.preparation(CELL) == ["data/smoke/sim_ixi/record.json"]
    paths = json.loads(jobs.config_json())["paths"]
    assert paths["results"] == f"{place}/results" and paths["data"] == f"{place}/data/smoke"
    assert paths["work"] == "work"  # undeclared: what training resumes from
    assert "Report: s3://bucket/x/results/smoke/report.html" in jobs.success_message()


def test_a_report_is_brought_all_that_it_reads(plan, storage):
    needs = Jobs(plan, lambda: True, storage).report_needs()
    assert len(needs) == len(set(needs))
    for cell in plan.runs:
        assert {str(plan.scores_file(cell).with_suffix(".json")), str(plan.translation_dir(cell))} <= set(needs)
    assert {"data/smoke/sim_ixi/train", "data/smoke/sim_ixi/test", "data/smoke/sim_ixi/acquire.record.json"} <= set(
        needs
    )
    assert any(path.startswith("results/smoke/models/cyclegan/") for path in needs)


def test_a_folder_that_a_job_left_elsewhere_is_seen(storage):
    item = Forgetful()
    assert [bool(item.is_dir(there)) for there in (False, True, False)] == [False, True, True]


def declared(said: str, store: Path) -> tuple[set[str], set[str]]:
    """Inputs and outputs that a dry run tells, relative to the storage."""
    found = [re.findall(rf"^    {key}: (.*)$", said, re.MULTILINE) for key in ("input", "output")]
    paths = [{path.split(" (")[0] for line in lines for path in line.split(", ") if path} for lines in found]
    return tuple({path.removeprefix(f"{store}/") for path in some} for some in paths)


def test_what_jobs_read_is_what_others_leave(fresh):
    """Planned with a storage that is a folder: every folder is an output, and no input is one that nobody leaves.

    What training resumes from is no output; it may be on a volume.
    """
    fresh.write_config(paths={"work": "/volume/work"})
    place, store = stand_in_storage.plugin(fresh.folder), fresh.folder / "store"
    command = [
        sys.executable,
        "-m",
        "snakemake",
        "-s",
        REPOSITORY / "Snakefile",
        "--configfile",
        fresh.config,
        "-n",
        "-p",
    ]
    command += ["--default-storage-provider", "folder", "--default-storage-prefix", store]
    path = os.pathsep.join([str(REPOSITORY), str(place)])
    done = subprocess.run(
        command, cwd=fresh.folder, env={**ENVIRONMENT, "PYTHONPATH": path}, capture_output=True, text=True, check=False
    )
    assert done.returncode == 0, done.stderr
    assert "--state /volume/work/tiny/gradient.heads.t1 " in done.stdout + done.stderr
    read, left = declared(done.stdout + done.stderr, store)
    assert read - left == set()
    assert {"data/heads/train", "data/heads/test", "results/tiny/models/gradient/heads/t1"} <= left & read
    assert "results/tiny/parts/gradient/heads/pd-to-t1/2-of-2" in left & read
    assert not [
        path for path in left if path.endswith("manifest.json") or ("models" in path and path.endswith(".json"))
    ]


NOT_COMPARED = ("table.csv", "table1.csv", "split.csv")
"""Tables with times, and one for people that stays where the data were prepared: no job reads it."""


def made_of(folder: Path) -> dict[str, str]:
    """Hashes of the arrays, models and scores below a results or data folder, by name."""
    names = {path.relative_to(folder).as_posix(): path for path in files_below(folder)}
    bits = (".npy", ".csv", ".safetensors")
    return {
        name: sha256_file(path)
        for name, path in names.items()
        if name.endswith(bits) and path.name not in NOT_COMPARED and "benchmarks/" not in name
    }


@pytest.fixture(scope="module")
def plugins(tmp_path_factory) -> Path:
    """The published plugins and a small S3 server, from the package index or its cache, beside this environment."""
    place = tmp_path_factory.mktemp("plugins")
    uv = Path(sys.executable).with_name("uv")
    install = [uv, "pip", "install", "--quiet", "--python", sys.executable, "--target", place, "--no-deps"]
    wanted = [
        "snakemake-storage-plugin-fs",
        "sysrsync",
        "toml",
        "snakemake-storage-plugin-s3",
        "snakemake-executor-plugin-kubernetes",
    ]
    wanted += [
        "boto3",
        "botocore",
        "s3transfer",
        "jmespath",
        "kubernetes",
        "durationpy",
        "oauthlib",
        "requests-oauthlib",
    ]
    wanted += ["websocket-client", "moto", "responses", "werkzeug", "flask", "flask-cors", "itsdangerous", "blinker"]
    wanted += ["xmltodict", "cryptography", "cffi", "pycparser", "py-partiql-parser"]
    done = subprocess.run([*install, *wanted], check=False, capture_output=True, text=True)
    if done.returncode != 0:
        pytest.skip(f"the package index cannot be reached: {done.stderr[-200:]}")
    return place


@pytest.fixture(scope="module")
def on_a_disk(tmp_path_factory) -> Work:
    """The smoke matrix, run as ever."""
    work = Work(tmp_path_factory.mktemp("disk"))
    work.config = SMOKE
    done = work.run()
    assert done.returncode == 0, done.stderr
    return work


def checkout(folder: Path) -> Path:
    """What a run needs of this repository, as git would have it."""
    names = ("xmodbench", "methods", "data_prep", "workflow", "config", "profiles", "snakemake_logger_plugin_xmodbench")
    for name in names:
        shutil.copytree(REPOSITORY / name, folder / name, ignore=shutil.ignore_patterns("__pycache__"))
    shutil.copy(REPOSITORY / "Snakefile", folder)
    for command in (["init", "--quiet"], ["add", "--all"]):
        subprocess.run(["git", *command], cwd=folder, check=True)
    return folder


def through(
    work: Work, plugins: Path, provider: str, prefix: str, *targets: str, **variables: str
) -> subprocess.CompletedProcess:
    """The smoke matrix, or some of its files, with an empty folder for every job."""
    command = [sys.executable, "-m", "snakemake", *targets, "--configfile", "config/smoke.yaml", "--cores", "2"]
    command += stand_in_storage.a_folder_for_every_job(work.folder / "scheduler")
    command += ["--default-storage-provider", provider, "--default-storage-prefix", prefix]
    path = os.pathsep.join([str(Path(sys.executable).parent), os.environ["PATH"]])
    environment = {**ENVIRONMENT, "PYTHONPATH": str(plugins), "PATH": path, **variables}
    folder = checkout(work.folder / "work")
    return subprocess.run(command, cwd=folder, env=environment, capture_output=True, text=True, check=False)


@pytest.mark.slow
@pytest.mark.skipif(shutil.which("rsync") is None, reason="the fs plugin calls rsync")
def test_the_smoke_matrix_through_a_folder(on_a_disk, plugins, tmp_path):
    store = tmp_path / "store"
    done = through(Work(tmp_path), plugins, "fs", str(store))
    assert done.returncode == 0, done.stderr
    assert f"Report: {store}/results/smoke/report.html" in done.stderr
    for name in ("results/smoke", "data/smoke"):
        assert made_of(store / name) == made_of(on_a_disk.folder / name) != {}
    assert not (tmp_path / "work/results/smoke/models").exists()  # nothing came by the disk


@pytest.mark.slow
def test_parts_and_trainings_in_two_phases_through_an_object_storage(on_a_disk, plugins, tmp_path):
    address = "http://127.0.0.1:5797"
    environment = {**os.environ, "PYTHONPATH": str(plugins)}
    server = subprocess.Popen(
        [sys.executable, "-m", "moto.server", "-H", "127.0.0.1", "-p", "5797"],
        env=environment, stdout=subprocess.DEVNULL, stderr=subprocess.DEVNULL,
    )  # fmt: skip
    try:
        wait_for_server(address)
        urllib.request.urlopen(urllib.request.Request(f"{address}/bucket", method="PUT")).close()
        keys = {f"SNAKEMAKE_STORAGE_S3_{name}_KEY": "testing" for name in ("ACCESS", "SECRET")}
        keys["SNAKEMAKE_STORAGE_S3_ENDPOINT_URL"] = address
        names = [f"results/smoke/scores/{name}.sim_ixi.pd-to-t1.csv" for name in ("ilvr", "stylegan2_inversion")]
        done = through(Work(tmp_path), plugins, "s3", "s3://bucket/runs", *names, **keys)
        assert done.returncode == 0, done.stderr
        for name in names:
            fetch = f"s3.download_file('bucket', 'runs/{name}', 'scores.csv')"
            command = [
                sys.executable,
                "-c",
                f"import boto3; s3 = boto3.client('s3', endpoint_url='{address}'); {fetch}",
            ]
            access = {"AWS_ACCESS_KEY_ID": "testing", "AWS_SECRET_ACCESS_KEY": "testing"}
            subprocess.run(command, cwd=tmp_path, env=environment | access, check=True)
            assert (tmp_path / "scores.csv").read_bytes() == (on_a_disk.folder / name).read_bytes()
    finally:
        server.terminate()
        server.wait(20)


def wait_for_server(address: str) -> None:
    for _ in range(300):
        try:
            urllib.request.urlopen(address).close()
            return
        except OSError:
            time.sleep(0.2)
    raise AssertionError("the server did not start")


@pytest.mark.slow
@pytest.mark.parametrize("profile", ["kubernetes", "kubernetes-volume"])
def test_kubernetes_profiles_plan(fresh, plugins, profile):
    """With a folder in the place of the bucket or volume, which a plan looks into."""
    fresh.write_config(methods={"midiffusion": {"settings": {"preset": "short"}}}, compute={"device": "cuda"})
    command = [sys.executable, "-m", "snakemake", "-s", REPOSITORY / "Snakefile", "--configfile", fresh.config, "-n"]
    command += ["--workflow-profile", REPOSITORY / "profiles" / profile]
    command += ["--default-storage-provider", "fs", "--default-storage-prefix", fresh.folder / "store"]
    path = os.pathsep.join([str(REPOSITORY), str(plugins)])
    done = subprocess.run(
        command, cwd=fresh.folder, env={**ENVIRONMENT, "PYTHONPATH": path}, capture_output=True, text=True, check=False
    )
    assert done.returncode == 0, done.stderr
    said = done.stdout + done.stderr
    (train,) = re.findall(r"^rule train:\n(?:    .*\n)+", said, re.MULTILINE)
    assert "gpu=1" in train and "gpu_manufacturer=nvidia" in train and "scale=0" in train
    assert "one_at_a_time=1" in train

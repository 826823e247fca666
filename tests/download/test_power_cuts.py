"""From nothing to slice stores of the three real data sets, the power cut again and again: the same bytes in the end."""

import hashlib
import json
import os
import signal
import subprocess
import sys
import time
from pathlib import Path

import pytest
import yaml

from tests.download.archives import IXI, PATIENTS, RECORD, real_archives, write_small_goldatlas, write_small_ixi
from tests.download.server import Server
from xmodbench.data.volumes.prepare import prepare_dataset
from xmodbench.files import REPOSITORY, sha256_files
from xmodbench.plugins import DATASETS, find
from xmodbench.progress import Progress

QUIET, SEED = Progress(quiet=True), 1
SETS = ("ixi", "curious", "goldatlas")
SMALL = {"image_size": 32}
SETTINGS = {
    "ixi": {**SMALL, "split": {"n_train": 1, "n_test": 1}},
    "curious": SMALL,
    "goldatlas": {**SMALL, "spacing_mm": None},
}
DIRECTIONS = {"ixi": "pd->t1", "curious": "t1->flair", "goldatlas": "ct->mr"}


class Work:
    """A working folder in which `xmodbench run` makes the stores, with a web server for the archives."""

    def __init__(self, folder: Path, server: Server):
        self.folder, self.server, self.job = folder, server, None
        write_small_ixi(folder, server.files)
        write_small_goldatlas(folder)
        datasets = {key: {"directions": [DIRECTIONS[key]], "settings": SETTINGS[key]} for key in SETS}
        config = {
            "run": "cuts",
            "seed": SEED,
            "datasets": datasets,
            "methods": {"copy_source": {}},
            "compute": {"threads": 1},
        }
        (folder / "config.yaml").write_text(yaml.safe_dump(config))
        (folder / "hooks").mkdir()
        code = Path(__file__).with_name("killing.py").read_text()
        (folder / "hooks" / "sitecustomize.py").write_text(code)

    def start(self, *datasets: str, kill: str = "", token: str = "good", output: str = "record.json") -> int:
        """Run until the stores (or another output) of `datasets` are there or the power is cut; returns the exit code."""
        environment = {
            **os.environ,
            "PYTHONPATH": f"{self.folder / 'hooks'}:{REPOSITORY}",
            "XMODBENCH_MIRROR": self.server.url,
            "ZENODO_SHARE_TOKEN": token,
            "XMODBENCH_TEST_KILL": kill,
        }
        command = [sys.executable, "-m", "xmodbench", "run", "config.yaml", "--cores", "1"]
        with open(self.folder / "output.txt", "wb") as stream:
            self.job = subprocess.Popen(
                [*command, *(f"data/{name}/{output}" for name in datasets)],
                cwd=self.folder, env=environment, stdout=stream, stderr=stream, start_new_session=True,
            )  # fmt: skip
            try:
                return self.job.wait(400)
            except subprocess.TimeoutExpired:
                self.cut_power()
                raise

    def cut_power(self) -> None:
        os.killpg(self.job.pid, signal.SIGKILL)

    def output(self) -> str:
        return (self.folder / "output.txt").read_text()


def cutting(work: Work, share: float):
    """A fault of the server: part of a file, then no power."""

    def fault(handler, body):
        handler.send_response(200)
        handler.send_header("ETag", f'"{hash(body)}"')
        handler.send_header("Content-Length", str(len(body)))
        handler.end_headers()
        handler.wfile.write(body[: int(share * len(body))])
        handler.wfile.flush()
        time.sleep(0.3)
        work.cut_power()
        return True

    return fault


@pytest.fixture
def archives(server, tmp_path, monkeypatch):
    server.files = real_archives(tmp_path / "simulated")
    server.allowed = lambda path, query, headers: not path.startswith(RECORD) or query.get("token") == "good"
    monkeypatch.setenv("ZENODO_SHARE_TOKEN", "good")
    return server


def undisturbed(folder: Path, server: Server, monkeypatch) -> dict[str, str]:
    """Digests of the stores made in one go, in this process."""
    for name in SETS:
        plugin = find(DATASETS, name)
        if name == "ixi":
            small = {f"IXI-{m}.tar": server.files[f"{IXI}/IXI-{m}.tar"] for m in ("T1", "PD")}
            facts = {key: (len(body), hashlib.md5(body).hexdigest()) for key, body in small.items()}
            monkeypatch.setattr(sys.modules[plugin.cls.__module__], "ARCHIVES", facts)
        dataset = plugin.cls(plugin.cls.Config.model_validate(SETTINGS[name]))
        dataset.acquire(folder / "raw" / name, SEED, QUIET)
        out = folder / "data" / name
        prepare_dataset(
            dataset, folder / "raw" / name, out, dataset_id=name, seed=SEED, threads=1, progress=QUIET
        )  # fmt: skip
    return digests(folder)


def digests(folder: Path) -> dict[str, str]:
    parts = [folder / "data" / name / part for name in SETS for part in ("train", "test")]
    return {f"{part.parent.name}/{part.name}": sha256_files(part.iterdir(), part) for part in parts}


@pytest.mark.slow
def test_cut_and_continued_it_ends_the_same(archives, tmp_path, monkeypatch):
    (tmp_path / "work").mkdir()
    work = Work(tmp_path / "work", archives)
    raw, data = work.folder / "raw", work.folder / "data"

    # while the first archive comes
    tar = f"{IXI}/IXI-T1.tar"
    archives.faults[tar] = [cutting(work, 0.6)]
    assert work.start("ixi") == -signal.SIGKILL, work.output()
    assert 0 < (raw / "ixi" / "IXI-T1.tar.part").stat().st_size < len(archives.files[tar])
    archives.requests.clear()

    # while it is prepared: the training store is there, the test store and the record are not
    assert work.start("ixi", kill="xmodbench.store:StoreWriter.__exit__:2") == -signal.SIGKILL, work.output()
    asked = [headers.get("Range") for path, headers in archives.requests if path == tar]
    assert len(asked) == 1 and asked[0].startswith("bytes="), "the download did not go on where it stopped"
    assert (data / "ixi" / "acquire.record.json").is_file()
    assert not (data / "ixi" / "record.json").exists()
    assert sum((data / "ixi" / part / "manifest.json").exists() for part in ("train", "test")) == 1

    # while an archive is unpacked: before its third file
    assert work.start("curious", kill="xmodbench.data.download.archive:_copy:3") == -signal.SIGKILL, work.output()
    assert len(list(raw.glob("curious/EASY-RESECT/NIFTI/*/*.nii"))) == 2
    lock = json.loads((raw / "curious" / "download.lock.json").read_text())
    assert [item["complete"] for item in lock["unpacked"].values()] == [False]
    assert not (data / "curious" / "acquire.record.json").exists()

    # when an archive is whole, but not yet written down
    killed = work.start("goldatlas", kill="xmodbench.data.download.lockfile:LockFile.add_file:1")
    assert killed == -signal.SIGKILL, work.output()
    (written,) = raw.glob("goldatlas/*.zip")
    assert not list(data.glob("goldatlas/fetch/*.record.json"))

    archives.requests.clear()
    assert work.start(*SETS) == 0, work.output()
    fetched = {path.split("?")[0] for path, _ in archives.requests}
    expected = {path for path in archives.files if path.startswith(RECORD)} - {f"{RECORD}/files/{written.name}/content"}
    assert fetched == expected, "what was whole was fetched again"
    assert not list(raw.rglob("*.part*"))
    assert digests(work.folder) == undisturbed(tmp_path / "undisturbed", archives, monkeypatch)


def test_what_cannot_be_had_is_one_line_for_each_data_set(archives, tmp_path):
    (tmp_path / "work").mkdir()
    work = Work(tmp_path / "work", archives)
    files, archives.files = archives.files, {}
    assert work.start(*SETS, token="", output="acquire.record.json") == 1
    lines = work.output().split("Failed:")[-1].split("To continue")[0].strip().splitlines()
    failed = {line.split(":")[0].strip().removeprefix("data/"): line for line in lines}
    assert sorted(failed) == sorted(SETS) and len(lines) == len(SETS)
    assert "IXI-T1.tar: could not be fetched" in failed["ixi"]
    assert "no case of RESECT can be used" in failed["curious"]
    assert "none of the 3 patients is here; request access" in failed["goldatlas"]
    assert "not fetched: " in (work.folder / "results/cuts/logs/fetch/goldatlas/1_01_P.zip.log").read_text()
    assert not list(work.folder.glob("data/*/fetch/*.record.json"))

    # jobs of their own fetch them the next time, and nothing is left for acquire
    archives.files = files
    assert work.start(*SETS, output="acquire.record.json") == 0, work.output()
    records = {path.name.removesuffix(".record.json") for path in work.folder.glob("data/*/fetch/*.record.json")}
    assert {"IXI-T1.tar", "IXI-PD.tar", "EASY-RESECT.zip", *(f"{name}.zip" for name in PATIENTS)} <= records
    assert "fetching" in (work.folder / "results/cuts/logs/fetch/ixi/IXI-T1.tar.log").read_text()
    assert "fetching" not in (work.folder / "results/cuts/logs/acquire/ixi.log").read_text()
    # neither archives that came nor those that go make anything run again
    for path in [*work.folder.glob("raw/*/*.tar"), *work.folder.glob("raw/*/*.zip")]:
        path.unlink()
    assert work.start(*SETS, token="", output="acquire.record.json") == 0
    assert "Nothing to be done" in work.output()

"""The one command for a GPU: a part that fails, hangs or is killed costs itself alone, and what was measured is kept."""

from __future__ import annotations

import json
import subprocess
import sys
from pathlib import Path

from xmodbench.files import REPOSITORY

FOLDER = REPOSITORY / "benchmarks"

ROW = 'open(sys.argv[1], "w").write(\'{"heading": "h", "tables": [{"title": "", "header": ["a"], "rows": [["1"]]}]}\')'
CHILD = 'subprocess.Popen([sys.executable, "-c", "import time; time.sleep(600)"], start_new_session=True).pid'
CODE = {
    "good": ROW,
    "failing": f"{ROW}; print('at work'); sys.exit('boom at last')",
    "hanging": f"{ROW}; print(f'left {{{CHILD}}}', flush=True); time.sleep(600)",
    "stubborn": "signal.signal(signal.SIGTERM, signal.SIG_IGN); print('deaf', flush=True); time.sleep(600)",
    "killed": "print('so far', flush=True); os.kill(os.getpid(), 9)",
    "leaving": f"print(f'left {{{CHILD}}}')",
    "last": ROW,
}
RUN = """
import json, sys
from argparse import Namespace
from pathlib import Path
import gpu_run, on_gpu
gpu_run.GRACE_S = 0.3
given = json.loads(sys.argv[1])
on_gpu.parts = lambda *rest: [gpu_run.Part(*one) for one in given["parts"]]
out = Path(given["out"])
sys.exit(on_gpu.measure(Namespace(out=out, device="cpu", tiny=True, bundle=out, parts=None, budget=given["budget"])))
"""


def measured(tmp_path, names, limit=3.0, budget=200.0, reserve=0.0):
    """Run parts of `CODE` with the real command, `limit` for those that would never end; its process and gpu.json."""
    parts = []
    for place, name in enumerate(names):
        words = [sys.executable, "-c", f"import os, signal, subprocess, sys, time; {CODE[name]}", "{json}"]
        most = limit if name in ("hanging", "stubborn") else 30.0
        parts.append((name, name, words, most, reserve if place + 1 == len(names) else 0.0))
    given = json.dumps({"parts": parts, "out": str(tmp_path / "out"), "budget": budget})
    done = subprocess.run([sys.executable, "-c", RUN, given], cwd=FOLDER, capture_output=True, text=True, timeout=120)
    found = tmp_path / "out" / "gpu.json"
    assert found.is_file(), done.stderr
    return done, json.loads(found.read_text())


def gone(process: str) -> bool:
    return not Path(f"/proc/{process}").exists()


def test_a_failure_costs_its_own_part(tmp_path):
    done, found = measured(tmp_path, ["good", "failing", "hanging", "killed", "leaving", "last"])
    parts = {part["name"]: part for part in found["parts"]}
    statuses = {name: part["status"] for name, part in parts.items()}
    assert statuses == {
        **{"good": "ok", "failing": "failed", "hanging": "timed out", "killed": "failed"},
        **{"leaving": "ok", "last": "ok"},
    }
    assert done.returncode == 1
    assert parts["failing"]["last_line"] == "boom at last"
    assert parts["killed"]["last_line"] == "killed (SIGKILL)"
    for name in ("good", "failing", "hanging", "last"):
        assert parts[name]["tables"][0]["rows"] == [["1"]], name
    log = (tmp_path / "out" / "gpu.log").read_text()
    assert "at work" in log and "so far" in log
    left = [line.split()[1] for line in log.splitlines() if line.startswith("left ")]
    assert len(left) == 2 and all(map(gone, left))
    page = (tmp_path / "out" / "gpu.md").read_text()
    assert "boom at last" in page and "**Timed out**" in page
    assert not list((tmp_path / "out").glob(".*"))


def test_all_well_is_exit_code_0_and_a_part_deaf_to_termination_ends_too(tmp_path):
    assert measured(tmp_path, ["good", "last"])[0].returncode == 0
    done, found = measured(tmp_path, ["stubborn", "last"], limit=1.5)
    assert [part["status"] for part in found["parts"]] == ["timed out", "ok"]
    assert done.returncode == 1


def test_the_budget_is_kept_and_the_last_part_has_its_reserve(tmp_path):
    done, found = measured(tmp_path, ["hanging", "good", "last"], limit=30.0, budget=12.0, reserve=11.0)
    assert [part["status"] for part in found["parts"]] == ["no time left", "no time left", "ok"]
    assert done.returncode == 1 and found["seconds"] < 12


def test_whoever_ends_the_command_ends_the_part_and_keeps_the_results(tmp_path):
    parts = [
        ("good", "good", [sys.executable, "-c", f"import sys; {ROW}", "{json}"], 20.0),
        (
            "hanging",
            "hanging",
            [sys.executable, "-c", f"import sys, subprocess, time; {CODE['hanging']}", "{json}"],
            50.0,
        ),
    ]
    script = RUN.replace(
        "sys.exit(", "import signal; signal.signal(15, lambda number, frame: sys.exit(143)); sys.exit("
    )
    given = json.dumps({"parts": parts, "out": str(tmp_path / "out"), "budget": 60.0})
    log = tmp_path / "out" / "gpu.log"
    with subprocess.Popen([sys.executable, "-c", script, given], cwd=FOLDER, stdout=subprocess.DEVNULL) as process:
        while not log.is_file() or "left " not in log.read_text():
            assert process.poll() is None
        process.terminate()
        assert process.wait(timeout=30) == 143
    assert gone(log.read_text().split("left ")[-1].split()[0])
    assert [part["status"] for part in json.loads((tmp_path / "out" / "gpu.json").read_text())["parts"]] == ["ok"]


def test_a_device_is_found_without_torch(benchmark_modules, monkeypatch):
    on_gpu = benchmark_modules("on_gpu")
    monkeypatch.setattr(on_gpu.shutil, "which", lambda name: "/usr/bin/nvidia-smi")
    assert on_gpu.device_of("auto") == "cuda" and on_gpu.device_of("cpu") == "cpu"
    assert on_gpu.commit(Path("/nowhere")) != "unknown"

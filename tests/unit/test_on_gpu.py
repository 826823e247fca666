"""The one command for a GPU: a part that fails, hangs or is killed costs itself alone, and what was measured is kept."""

from __future__ import annotations

import argparse
import importlib
import json
import os
import subprocess
import sys
import textwrap
import zipfile
from pathlib import Path

import pytest
import torch

from xmodbench.errors import UserError
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


def measured(tmp_path, names, limit=1.5, budget=60.0, reserve=0.0):
    """Run parts of `CODE` with the real command; its exit code and gpu.json."""
    parts = []
    for place, name in enumerate(names):
        words = [sys.executable, "-c", f"import os, signal, subprocess, sys, time; {CODE[name]}", "{json}"]
        parts.append((name, name, words, limit, reserve if place + 1 == len(names) else 0.0))
    given = json.dumps({"parts": parts, "out": str(tmp_path / "out"), "budget": budget})
    done = subprocess.run([sys.executable, "-c", RUN, given], cwd=FOLDER, capture_output=True, text=True, timeout=60)
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
    done, found = measured(tmp_path, ["stubborn", "last"], limit=0.5)
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


# -- the real parts ------------------------------------------------------------------------------------------------
def rehearsed(bundle: Path, out: Path, *words: str) -> dict:
    command = [
        sys.executable,
        FOLDER / "on_gpu.py",
        "--tiny",
        "--device",
        "cpu",
        "--out",
        out,
        "--bundle",
        bundle,
        *words,
    ]
    done = subprocess.run(command, capture_output=True, text=True, env={**os.environ, "PYTHONPATH": str(REPOSITORY)})
    assert done.returncode == 0, done.stdout[-3000:] + done.stderr[-1000:] + (out / "gpu.log").read_text()[-3000:]
    return json.loads((out / "gpu.json").read_text())


def test_rehearsal_of_one_part(tmp_path):
    found = rehearsed(tmp_path, tmp_path / "out", "--parts", "training")
    assert found["machine"]["torch"]
    (part,) = found["parts"]
    assert [row[3] for row in part["tables"][0]["rows"]] == ["default", "bf16+channels-last"]


@pytest.mark.slow
def test_rehearsal_of_everything(tmp_path, make_store):
    for split, seed in (("train", 0), ("test", 1)):
        make_store(tmp_path / "data" / "sim_ixi_64" / split, n=4, size=16, seed=seed)
    found = rehearsed(tmp_path, tmp_path / "out", "--budget", "1500")
    assert [part["status"] for part in found["parts"]] == ["ok"] * 11
    assert all(part["tables"] and all(table["rows"] for table in part["tables"]) for part in found["parts"])
    assert (tmp_path / "out" / "heads.png").is_file()


def test_the_limits_leave_time_for_the_training(benchmark_modules):
    parts = benchmark_modules("gpu_parts").parts("cuda", False, Path("b"), Path("o"))
    assert parts[0].name == "machine" and parts[1].name == "tests"
    assert sum(part.reserve for part in parts) < benchmark_modules("on_gpu").BUDGET_S < 600
    assert all(part.limit >= part.reserve for part in parts)


def test_heads_are_shown_even_where_the_verbs_fail(benchmark_modules, tmp_path, make_store, monkeypatch):
    heads = benchmark_modules("gpu_heads")
    for split in ("train", "test"):
        make_store(tmp_path / split, n=3, size=16)

    def verb(*words):
        raise UserError("the wall is in the way", "xmodbench train")

    monkeypatch.setattr(heads, "verb", verb)
    words = [
        "--data",
        tmp_path,
        "--out",
        tmp_path,
        "--first",
        1,
        "--sampling-steps",
        1,
        "--device",
        "cpu",
        "--threads",
        1,
    ]
    monkeypatch.setattr(sys, "argv", ["gpu_heads.py", *map(str, words), "--json", str(tmp_path / "h.json")])
    with pytest.raises(SystemExit, match="the wall is in the way"):
        heads.main()
    tables = json.loads((tmp_path / "h.json").read_text())["tables"]
    assert [table["title"] for table in tables] == ["A verb failed", "In this process", ""]
    assert (tmp_path / "heads.png").is_file()


def test_the_second_training_has_the_length_there_is_time_for(benchmark_modules, tmp_path):
    heads = benchmark_modules("gpu_heads")
    (tmp_path / "record.json").write_text('{"training_s": 10.0}')
    first = {"steps": 100, "seconds": {"train": 18.0, "translate": 7.0, "score": 5.0}, "model": tmp_path}
    assert heads.steps_with_room(first, 126.0) == 1000  # 20 s around the training, with something to spare 26
    assert heads.steps_with_room(first, 20.0) < 0


@pytest.mark.parametrize(("device", "tiny"), [("cuda", False), ("cpu", True)])
def test_every_script_understands_its_options(benchmark_modules, monkeypatch, device, tiny):
    class Understood(Exception):
        pass

    def parse(parser, *rest, parse=argparse.ArgumentParser.parse_args):
        parse(parser, *rest)
        raise Understood

    monkeypatch.setattr(torch.cuda, "is_available", lambda: True)
    monkeypatch.setattr(argparse.ArgumentParser, "parse_args", parse)
    parts = benchmark_modules("gpu_parts")
    for part in parts.parts(device, tiny, Path("b"), Path("o")):
        words = [word.replace("{limit}", "100") for word in part.command[1:]]
        monkeypatch.setattr(sys, "argv", words)
        with pytest.raises(Understood):
            benchmark_modules(Path(words[0]).stem).main()
    assert set(parts.TITLES) == {part.name for part in parts.parts("cuda", False, Path(), Path())}


@pytest.fixture
def benchmark_modules(monkeypatch):
    """Modules of the benchmarks by name."""
    monkeypatch.syspath_prepend(FOLDER)
    return importlib.import_module


# -- tables kept, tests counted ------------------------------------------------------------------------------------
def test_a_table_is_kept_row_by_row(benchmark_modules, tmp_path, capsys):
    def rows():
        yield "a", 1
        kept = json.loads((tmp_path / "t.json").read_text())
        assert kept == {"heading": "h", "tables": [{"title": "t", "header": ["x", "y"], "rows": [["a", "1"]]}]}
        raise KeyboardInterrupt

    results = benchmark_modules("common").Results("h", tmp_path / "t.json")
    with pytest.raises(KeyboardInterrupt):
        results.table(("x", "y"), rows(), "t")
    assert capsys.readouterr().out == "h\n\nt\n\n| x | y |\n| --- | --- |\n| a | 1 |\n"


def test_failures_of_tests_are_named(benchmark_modules, tmp_path):
    report = tmp_path / "r.xml"
    report.write_text(
        '<testsuites><testsuite tests="5" failures="1" errors="1" skipped="1" time="2.5"><testcase name="one"/>'
        '<testcase name="two"><failure message="off by&#10;1 | 2"/></testcase><testcase name="three"><error/></testcase>'
        "</testsuite></testsuites>"
    )
    counts, problems = benchmark_modules("gpu_tests").counted(report)
    assert counts == [5, 2, 2, 1, "2.5"]
    assert problems == [("two", "off by 1 / 2"), ("three", "")]


def test_only_files_with_gpu_tests_are_read(benchmark_modules):
    assert "tests/unit/test_lmi_triton.py" in benchmark_modules("gpu_tests").files()


# -- the bundle ----------------------------------------------------------------------------------------------------
@pytest.mark.parametrize("python", ["3.11", "3.12"])
def test_the_lock_has_one_version_of_each_carried_package(benchmark_modules, python):
    bundle = benchmark_modules("gpu_bundle")
    wanted = bundle.locked(bundle.NEEDED, (REPOSITORY / "requirements.lock").read_text(), python)
    assert len(wanted) == len(bundle.NEEDED) and all("==" in one for one in wanted)
    assert not {"torch", "triton", "numpy", "scipy", "accelerate", "numba"} & set(bundle.NEEDED)


def test_versions_by_python_and_missing_ones(benchmark_modules):
    locked = benchmark_modules("gpu_bundle").locked
    lock = "a==1 ; python_full_version < '3.12' \\\n    --hash=x\na==2 ; python_full_version >= '3.12' \\\nab==3 \\\n"
    assert locked(("a", "ab"), lock, "3.11") == ["a==1", "ab==3"]
    assert locked(("a",), lock, "3.12") == ["a==2"]
    with pytest.raises(UserError, match="requirements.lock: 0 versions of 'b'"):
        locked(("b",), lock, "3.12")


@pytest.mark.parametrize("pip", [True, False])
def test_carried_packages_come_into_a_folder_of_their_own(tmp_path, pip):
    """Those for this Python and for any, by pip or, without it, unzipped; the folder is gone afterwards."""
    tag = f"cp{sys.version_info[0]}{sys.version_info[1]}"
    for name, place in (("first", "any"), ("second", tag), ("third", "cp39")):
        (tmp_path / "wheels" / place).mkdir(parents=True)
        with zipfile.ZipFile(tmp_path / "wheels" / place / f"{name}_probe-1-py3-none-any.whl", "w") as wheel:
            info = f"{name}_probe-1.dist-info"
            wheel.writestr(f"{name}_probe.py", "")
            wheel.writestr(f"{info}/METADATA", f"Metadata-Version: 2.1\nName: {name}-probe\nVersion: 1\n")
            wheel.writestr(f"{info}/WHEEL", "Wheel-Version: 1.0\nRoot-Is-Purelib: true\nTag: py3-none-any\n")
            wheel.writestr(f"{info}/RECORD", "")
    stub = tmp_path / "python"
    look = (
        "import first_probe, second_probe, importlib.util as u; print(first_probe.__file__, u.find_spec('third_probe'))"
    )
    stub.write_text(
        textwrap.dedent(f"""\
            #!/bin/bash
            if [[ $1 == *on_gpu.py ]]; then shift; echo "$@"; exec {sys.executable} -c "{look}"; fi
            {"" if pip else "if [[ $2 == pip ]]; then exit 1; fi"}
            exec {sys.executable} "$@"
            """)
    )
    stub.chmod(0o755)
    environment = {**os.environ, "PYTHON": str(stub), "GPU_BUNDLE": str(tmp_path), "TMPDIR": str(tmp_path)}
    done = subprocess.run(
        ["bash", FOLDER / "on_gpu.sh", "--out", "there"], env=environment, capture_output=True, text=True, check=True
    )
    given, found = done.stdout.splitlines()[-2:]
    assert given == "--out there" and found.endswith("site-packages/first_probe.py None")
    assert not Path(found.split()[0]).exists()
    assert ("unzipping" in done.stderr) is not pip


# -- the page and the projection -----------------------------------------------------------------------------------
def figures(**tables) -> dict:
    """gpu.json with tables by part: a header and rows."""
    parts = [
        {
            **{"name": name, "title": name, "status": "ok", "seconds": 1.0, "last_line": "", "heading": ""},
            "tables": [{"title": "", "header": header, "rows": rows}],
        }
        for name, (header, rows) in tables.items()
    ]
    facts = {"tiny": False, "device": "cuda", "commit": "c", "date": "d", "seconds": 9.0, "budget_s": 540.0}
    return {**facts, "machine": {"gpu": "G"}, "parts": parts}


GAN = (["method", "px", "images/s"], [["cyclegan", "128", "10"], ["cut", "128", "99"], ["cyclegan", "64", "99"]])


def test_the_page_is_that_of_its_figures(benchmark_modules):
    gpu_page = benchmark_modules("gpu_page")
    assert gpu_page.PAGE.read_text(encoding="utf-8") == gpu_page.page(gpu_page.kept()), (
        "run benchmarks/on_gpu.py --page"
    )


def test_without_figures_the_page_says_so_and_invents_none(benchmark_modules):
    text = benchmark_modules("gpu_page").page(None)
    assert "There are no GPU figures yet" in text and "GPU hours" not in text


def test_figures_become_hours(benchmark_modules):
    found = figures(gan=GAN, gan_bf16=(GAN[0], [["cyclegan", "128", "20"]]))
    text = benchmark_modules("gpu_page").page(found)
    assert "There are no GPU figures" not in text and "Projections, not measurements" in text
    assert f"| CycleGAN | optimiser steps of one slice | 898,000 | {898e3 / 36000:.0f} | {898e3 / 72000:.0f} |" in text
    assert "| all |  |  | not measured | not measured |" in text


def test_the_papers_work_is_counted_from_its_plan(benchmark_modules):
    projection = benchmark_modules("gpu_projection")
    from xmodbench.plan.config import load_config
    from xmodbench.plan.plan import Plan

    def amounts(overrides=None):
        plan = Plan(load_config(projection.PAPER, overrides), "paper")
        return {(one.method.split()[0], one.kind): one.amount for one in projection.counted(plan)}

    found = amounts()
    steps = sum(2 * -(-1000 * n // 4) for n in (993, 952, 300))  # two targets each, 1000 epochs in batches of 4
    assert found["MIDiffusion", "midiffusion step"] == found["SDEdit", "sdedit step"] == steps
    assert found["MIDiffusion", "evaluation"] == 1000 * 2 * (227 + 216 + 75)
    assert found["SDEdit", "evaluation"] == 400 * 1036
    assert found["CycleGAN", "cyclegan step"] == 2 * 200 * (993 + 952 + 300)
    assert found["StyleGAN2-ADA", "stylegan2 image"] == 6 * 5e6
    changed = amounts(
        {"methods": {"midiffusion": {"settings": {"sampler": "heun", "sampling_steps": 10, "epochs": 100}}}}
    )
    assert changed["MIDiffusion", "evaluation"] == 19 * 1036
    assert changed["MIDiffusion", "midiffusion step"] == steps / 10


@pytest.mark.parametrize("change", [{"tiny": True}, {"device": "cpu"}])
def test_a_rehearsal_is_no_measurement(benchmark_modules, tmp_path, change):
    gpu_page, file = benchmark_modules("gpu_page"), tmp_path / "gpu.json"
    file.write_text(json.dumps({**figures(gan=GAN), **change}))
    with pytest.raises(UserError, match="no measurement of a GPU"):
        gpu_page.write_page(file)


def test_figures_are_kept_with_their_picture(benchmark_modules, tmp_path, monkeypatch):
    gpu_page, new = benchmark_modules("gpu_page"), tmp_path / "new"
    new.mkdir()
    for name in ("PAGE", "FIGURES", "PICTURE"):
        monkeypatch.setattr(gpu_page, name, tmp_path / getattr(gpu_page, name).name)
    (new / "gpu.json").write_text(json.dumps(figures(heads=(["a"], [["1"]]))))
    (new / "heads.png").write_bytes(b"picture")
    gpu_page.write_page(new / "gpu.json")
    assert gpu_page.kept() == figures(heads=(["a"], [["1"]]))
    assert "(gpu-heads.png)" in gpu_page.PAGE.read_text() and gpu_page.PICTURE.read_bytes() == b"picture"
    text = gpu_page.PAGE.read_text()
    gpu_page.write_page(None)
    assert gpu_page.PAGE.read_text() == text


def test_a_device_is_found_without_torch(benchmark_modules, monkeypatch):
    on_gpu = benchmark_modules("on_gpu")
    monkeypatch.setattr(on_gpu.shutil, "which", lambda name: "/usr/bin/nvidia-smi")
    assert on_gpu.device_of("auto") == "cuda" and on_gpu.device_of("cpu") == "cpu"
    assert on_gpu.commit(Path("/nowhere")) != "unknown"

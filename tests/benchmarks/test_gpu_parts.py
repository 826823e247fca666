"""What the command for a GPU runs: a rehearsal of its parts, their options, and what they keep."""

from __future__ import annotations

import argparse
import json
import os
import subprocess
import sys
from pathlib import Path

import pytest
import torch

from xmodbench.errors import UserError
from xmodbench.files import REPOSITORY

FOLDER = REPOSITORY / "benchmarks"


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


@pytest.mark.slow
def test_rehearsal_of_one_part(tmp_path):
    found = rehearsed(tmp_path, tmp_path / "out", "--parts", "training")
    assert found["machine"]["torch"]
    (part,) = found["parts"]
    assert [row[3] for row in part["tables"][0]["rows"]] == ["fp32", "bf16+channels-last"]


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


@pytest.mark.slow
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

"""Atomic writes: whatever interrupts a writer, the old content or nothing is what a reader finds."""

import os
import signal
import subprocess
import sys
import time

import pytest

from xmodbench.errors import UserError, did_you_mean
from xmodbench.files import atomic_dir, atomic_file, read_json, sha256_files, sha256_json, write_json


def test_failed_write_keeps_the_old_file(tmp_path):
    path = tmp_path / "a.json"
    write_json(path, {"x": 1})
    with pytest.raises(RuntimeError), atomic_file(path) as temporary:
        temporary.write_text("half")
        raise RuntimeError
    assert read_json(path) == {"x": 1}
    assert os.listdir(tmp_path) == ["a.json"]


def test_failed_folder_leaves_nothing(tmp_path):
    with pytest.raises(RuntimeError), atomic_dir(tmp_path / "model") as folder:
        (folder / "weights").write_text("half")
        raise RuntimeError
    assert os.listdir(tmp_path) == []


def test_folder_is_replaced_whole(tmp_path):
    for content in ("old", "new"):
        with atomic_dir(tmp_path / "model") as folder:
            (folder / content).write_text(content)
    assert os.listdir(tmp_path / "model") == ["new"]


def test_kill_during_a_write_leaves_no_file_at_the_target(tmp_path):
    code = (
        "import sys, time; from xmodbench.files import atomic_file\n"
        "with atomic_file(sys.argv[1]) as t:\n"
        "    t.write_text('half'); print('writing', flush=True); time.sleep(60)\n"
    )
    job = subprocess.Popen([sys.executable, "-c", code, str(tmp_path / "out.csv")], stdout=subprocess.PIPE, text=True)
    assert job.stdout.readline().strip() == "writing"
    job.send_signal(signal.SIGKILL)
    job.wait(10)
    time.sleep(0.05)
    assert not (tmp_path / "out.csv").exists()


def test_json_refuses_nan(tmp_path):
    with pytest.raises(ValueError):
        write_json(tmp_path / "a.json", {"x": float("nan")})
    assert not (tmp_path / "a.json").exists()


def test_damaged_json_names_the_file(tmp_path):
    (tmp_path / "a.json").write_text('{"x": ')
    with pytest.raises(UserError, match="a.json: not valid JSON"):
        read_json(tmp_path / "a.json")


def test_hashes_see_names_and_contents(tmp_path):
    (tmp_path / "a").write_text("1")
    (tmp_path / "b").write_text("2")
    first = sha256_files([tmp_path / "a", tmp_path / "b"], tmp_path)
    assert first == sha256_files([tmp_path / "b", tmp_path / "a"], tmp_path)
    (tmp_path / "a").rename(tmp_path / "c")
    assert first != sha256_files([tmp_path / "c", tmp_path / "b"], tmp_path)
    assert sha256_json({"a": 1, "b": 2}) == sha256_json({"b": 2, "a": 1})


def test_error_is_one_line():
    assert str(UserError("is\nbad", "here", "fix it")) == "here: is bad; fix it"
    assert did_you_mean("midifusion", ["midiffusion", "sdedit"]) == "did you mean 'midiffusion'?"
    assert did_you_mean("xyz", ["midiffusion"]) is None

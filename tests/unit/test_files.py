"""Atomic writes: whatever interrupts a writer, the old content or nothing is what a reader finds."""

import gc
import os
import signal
import subprocess
import sys
import time

import pytest

from xmodbench import files
from xmodbench.errors import UserError, did_you_mean, said
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


WRITE_HALF = {"scratch_dir": "(t / 'half').write_text('x')", "atomic_file": "t.write_text('half')"}


def holding(kind, path):
    """A process that writes and is never done, and the name of its temporary."""
    code = (
        f"import sys, time; from xmodbench.files import {kind}\n"
        f"with {kind}(sys.argv[1]) as t:\n"
        f"    {WRITE_HALF[kind]}; print(t.name, flush=True); time.sleep(60)\n"
    )
    job = subprocess.Popen([sys.executable, "-c", code, str(path)], stdout=subprocess.PIPE, text=True)
    return job, job.stdout.readline().strip()


@pytest.mark.parametrize("kind", WRITE_HALF)
def test_what_a_killed_process_left_is_removed_and_what_others_use_is_not(kind, tmp_path):
    (killed, left), (alive, used) = holding(kind, tmp_path / "spool"), holding(kind, tmp_path / "spool")
    other, _ = holding(kind, tmp_path / "other")
    killed.kill(), other.kill()
    killed.wait(10), other.wait(10)
    try:
        assert {left, used} < set(os.listdir(tmp_path))
        with getattr(files, kind)(tmp_path / "spool") as ours:
            names = set(os.listdir(tmp_path))
            assert {used, ours.name} < names and left not in names
            assert any("other" in name for name in names)
        assert (tmp_path / used / "half" if kind == "scratch_dir" else tmp_path / used).is_file()
    finally:
        alive.kill()


def test_a_file_taken_for_left_over_before_it_is_held_is_made_again(tmp_path, monkeypatch):
    held, taken = files._hold, []

    def hold(place, stack, *, wait=False):
        if not taken:
            taken.append(place.unlink())
        return held(place, stack, wait=wait)

    monkeypatch.setattr(files, "_hold", hold)
    write_json(tmp_path / "a.json", {"x": 1})
    assert taken and read_json(tmp_path / "a.json") == {"x": 1} and os.listdir(tmp_path) == ["a.json"]


def test_a_folder_that_is_given_up_late_takes_nothing_away(tmp_path):
    """A context manager that nobody left, as after Ctrl-C, is closed whenever Python comes to it."""
    late = atomic_dir(tmp_path / "store")
    late.__enter__()
    with atomic_dir(tmp_path / "store") as folder:
        del late
        gc.collect()
        (folder / "a").touch()
    assert os.listdir(tmp_path / "store") == ["a"] and os.listdir(tmp_path) == ["store"]


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


class Odd:
    def method(self):
        pass


@pytest.mark.parametrize(
    "thing", [object(), Odd(), Odd().method, lambda: 0, "NiftiImageIO (0x55d0c0ffee00): bad header"]
)
def test_no_message_has_an_address_in_memory(thing):
    for text in (str(UserError(f"cannot take {thing}", thing)), said(RuntimeError(f"no {thing}"))):
        assert "0x" not in text and "\n" not in text


def test_what_the_system_refuses_is_told_by_the_file():
    with pytest.raises(OSError) as caught:
        os.stat("/no/such/file")
    assert said(caught.value) == "/no/such/file: No such file or directory"
    assert said(KeyError("x")) == "KeyError: 'x'"
    assert str(UserError("x", "a/0x1234567 b.nii")) == "a/0x1234567 b.nii: x"

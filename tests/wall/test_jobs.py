"""What jobs do at the wall: links, caches, controls, refusals that are swallowed, kernels without Landlock."""

from __future__ import annotations

import os
import time
from dataclasses import replace
from pathlib import Path

import numpy as np
import pytest

from tests.plugins import SEEING, fitting, job_of, write_method
from xmodbench import isolation
from xmodbench.errors import UserError
from xmodbench.plugins import METHODS
from xmodbench.plugins.discovery import Location
from xmodbench.records import read_record
from xmodbench.stages.train import train
from xmodbench.stages.translate import translate
from xmodbench.stages.wall import may_read
from xmodbench.stages.wall.compiled import compiled
from xmodbench.store import SliceStore

walled = pytest.mark.skipif(not isolation.landlock_version(), reason="this kernel has no Landlock")


@pytest.fixture
def store(tmp_path, make_store):
    return make_store(tmp_path / "train")


@walled
def test_a_link_left_in_the_state_folder_leads_nowhere(tmp_path, store):
    truth = tmp_path / "truth.npy"
    np.save(truth, np.zeros(3))
    (tmp_path / "state").mkdir()
    (tmp_path / "state" / "t1.npy").symlink_to(truth)
    job = job_of(tmp_path, "linked", fitting('np.load(run.state_dir / "t1.npy")'))
    with pytest.raises(UserError, match=r"method 'linked', fit: was refused '.*state/t1.npy'; it may see the target's"):
        train(job, store, "t1", None, tmp_path / "model", tmp_path / "state")
    with pytest.raises(UserError, match="--state .*: is a link; give a folder of its own"):
        (tmp_path / "other").symlink_to(tmp_path)
        train(job, store, "t1", None, tmp_path / "model", tmp_path / "other")


@walled
@pytest.mark.parametrize(
    "saving",
    ['os.symlink("/etc/passwd", directory / "w")', '(directory / "w").mkdir(); os.symlink("/etc", directory / "w/w")'],
)
def test_no_link_gets_into_a_model(tmp_path, store, saving):
    job = job_of(tmp_path, "linking", fitting("pass", saving))
    with pytest.raises(UserError, match="method 'linking', save: was refused"):
        train(job, store, "t1", None, tmp_path / "model", tmp_path / "state")
    assert [path.name for path in (tmp_path / "model").iterdir()] == ["failure.json"]


def test_a_special_file_is_no_model(tmp_path, store):
    job = job_of(tmp_path, "piping", fitting("pass", 'os.mkfifo(directory / "w")'))
    with pytest.raises(UserError, match="model: w: is a link or no regular file"):
        train(job, store, "t1", None, tmp_path / "model", tmp_path / "state")


@walled
def test_a_swallowed_refusal_is_recorded(tmp_path, store, capfd):
    truth = tmp_path / "secret" / "t1.npy"
    truth.parent.mkdir()
    np.save(truth, np.zeros(3))
    code = f"""
try:
    np.load({str(truth)!r})
except OSError:
    pass
"""
    job = job_of(tmp_path, "quiet", fitting(code, '(directory / "w").write_text("1")'))
    job.progress.quiet = False
    train(job, store, "t1", None, tmp_path / "model", tmp_path / "state")
    assert read_record(tmp_path / "model")["looked_for"] == [str(truth)]
    assert f"looked for what is not there for it: {truth}" in capfd.readouterr().err


@walled
def test_what_belongs_to_it_can_be_read_and_written(tmp_path, store):
    """Its own files, its state, temporary files, subprocesses, Unix sockets between its own processes."""
    code = """
import subprocess, sys, tempfile
assert (Path(__file__).parent / "weights.npz").read_bytes() == b"1"
(run.state_dir / "deep").mkdir(); (run.state_dir / "deep" / "a").write_text("1")
os.replace(run.state_dir / "deep" / "a", run.state_dir / "b")
with tempfile.NamedTemporaryFile() as file: file.write(b"1")
assert subprocess.run([sys.executable, "-c", "print(1)"], capture_output=True, text=True, check=True).stdout == "1\\n"
import json, pydantic, xmodbench.seeding
Path.home().joinpath("x").write_text("1")
"""
    folder = write_method(tmp_path, "own", fitting(code))
    (folder / "weights.npz").write_bytes(b"1")
    job = replace(job_of(tmp_path, "unused"), name="own", location=Location("own", METHODS, folder))
    train(job, store, "t1", None, tmp_path / "model", tmp_path / "state")
    assert read_record(tmp_path / "model")["isolation"] == f"landlock {isolation.landlock_version()}"


def test_granted_folders_must_lie_apart_from_the_data(tmp_path, make_store):
    make_store(tmp_path / "data" / "toy" / "train")
    test = make_store(tmp_path / "data" / "toy" / "test")
    job = job_of(tmp_path, "toy")
    for state in (tmp_path / "data", test / "state"):
        with pytest.raises(UserError, match="holds the data or lies among them|is a slice store"):
            train(job, test, "t1", None, tmp_path / "model", state)
    with pytest.raises(UserError, match="is a slice store"):
        train(job, tmp_path / "data/toy/train", "t1", None, tmp_path / "model", test)


@pytest.mark.parametrize(
    ("fit", "saving", "expected"),
    [
        ("pass", 'np.save(directory / "w.npy", np.array([None]))', "model: w.npy: is an array of objects"),
        ("import sys; sys.exit(0)", "pass", r"method 'breaking', fit: called sys.exit\(0\); return when it is done"),
        ("train.target[:] = 0", "pass", "fit: writes into an array that it was handed; copy it first"),
    ],
)  # fmt: skip
def test_a_breach_leaves_no_model(tmp_path, store, fit, saving, expected):
    job = job_of(tmp_path, "breaking", fitting(fit, saving))
    with pytest.raises(UserError, match=expected):
        train(job, store, "t1", None, tmp_path / "model", tmp_path / "state")
    assert not (tmp_path / "model" / "record.json").exists()


def test_no_link_in_a_plugins_folder_opens_what_lies_elsewhere(tmp_path, store, make_store):
    test = make_store(tmp_path / "data" / "toy" / "test")
    job = job_of(tmp_path, "linked", fitting("pass"))
    (job.location.folder / "weights.npy").symlink_to(test / "t1.npy")
    with pytest.raises(UserError, match=r"weights.npy: a link that leads out of the plugin's folder") as caught:
        train(job, store, "t1", None, tmp_path / "model", tmp_path / "state")
    assert "lists under files" in str(caught.value)
    (job.location.folder / "weights.npy").unlink()
    (job.location.folder / "real.npy").write_bytes(b"1")
    (job.location.folder / "weights.npy").symlink_to("real.npy")  # within it
    train(job, store, "t1", None, tmp_path / "model", tmp_path / "state")


def test_translations_are_no_weights(tmp_path, store, make_store):
    """Even where the settings name them: what a control handed out is the truth."""
    oracle = make_store(tmp_path / "results" / "oracle" / "pd-to-t1")
    job = job_of(tmp_path, "reader", fitting("pass"), weights=str(oracle / "t1.npy"))
    (job.location.folder / "method.yaml").write_text("label: Toy\nsummary: toy\nfiles: [weights]\n")
    with pytest.raises(UserError, match="is a slice store"):
        train(job, store, "t1", None, tmp_path / "model", tmp_path / "state")


def test_the_folder_of_a_data_set_is_no_model(tmp_path, make_store):
    from xmodbench.records import recorded

    test = make_store(tmp_path / "data" / "test")
    with recorded(tmp_path / "data", "prepare"):
        pass
    with pytest.raises(UserError, match="data: no trained model"):
        translate(job_of(tmp_path, "toy"), tmp_path / "data", test, "pd", "t1", tmp_path / "out", 8)


CONTROL = """
from pathlib import Path
from xmodbench.plugins import Control
class Toy(Control):
    def answer(self, source, target, subjects, seed):
        assert subjects == ["s0", "s0", "s1", "s1"] and seed > 0
        {extra}
        return (source + target) / 2
"""


def test_a_control_is_handed_the_targets_and_says_so(tmp_path, make_store, store):
    job, test = job_of(tmp_path, "half", CONTROL.format(extra="pass")), make_store(tmp_path / "test", n=4, seed=1)
    train(job, store, "t1", None, tmp_path / "model", tmp_path / "state")  # by hand; a run does without
    found = SliceStore(test)
    expected = (found.array("pd") + found.array("t1")) / 2
    for out, model in ((tmp_path / "out", tmp_path / "model"), (tmp_path / "without", None)):
        translate(job, model, test, "pd", "t1", out, 8)
        np.testing.assert_array_equal(SliceStore(out).array("t1"), expected)
        record = read_record(out)
        assert record["isolation"].startswith("exempt: a control is handed the test targets")
        assert ("model_sha256" in record) == (model is not None)


KEEPING = CONTROL.format(extra="pass") + "    def fit(self, train, run): self.level = float(train.target.mean())\n"


@pytest.mark.parametrize("body", [SEEING, KEEPING])
def test_what_learns_translates_with_its_model_alone(body, tmp_path, make_store):
    test = make_store(tmp_path / "test", n=4, seed=1)
    with pytest.raises(UserError, match=r"method 'toy', translate: translates with a model; give --model"):
        translate(job_of(tmp_path, "toy", body), None, test, "pd", "t1", tmp_path / "out", 8)
    assert not (tmp_path / "out" / "record.json").exists()


def test_without_landlock_the_job_runs_staged_and_says_none(tmp_path, store, monkeypatch):
    monkeypatch.setattr(isolation, "landlock_version", lambda: 0)
    train(job_of(tmp_path, "toy", SEEING), store, "t1", None, tmp_path / "model", tmp_path / "state")
    assert read_record(tmp_path / "model")["isolation"] == "none"


@walled
def test_data_where_packages_lie_are_not_walled_off_and_that_is_said(tmp_path, store, monkeypatch):
    monkeypatch.setattr(may_read, "code_folders", lambda: (*_code_folders(), str(tmp_path)))
    train(job_of(tmp_path, "toy", SEEING), store, "t1", None, tmp_path / "model", tmp_path / "state")
    assert read_record(tmp_path / "model")["isolation"] == "none"


def _code_folders():
    from xmodbench.stages.wall.system import code_folders

    return code_folders()


COMPILING = fitting(
    'self.seen = Path(os.environ["NUMBA_CACHE_DIR"], "kernel").read_text()', '(directory / "w").write_text(self.seen)'
)
COMPILING += """
    @classmethod
    def compile_kernels(cls):
        found = sorted(str(path) for path in Path.cwd().parent.parent.joinpath("data").iterdir())
        assert found == [], found
        Path(os.environ["NUMBA_CACHE_DIR"], "kernel").write_text("compiled")
"""


def test_kernels_are_compiled_once_where_no_data_are(tmp_path, store, monkeypatch):
    monkeypatch.setenv("XDG_CACHE_HOME", str(tmp_path / "cache"))
    folder = write_method(tmp_path, "fast", COMPILING, "label: Toy\nsummary: toy\ncompiles: true\n")
    job = replace(job_of(tmp_path, "unused"), name="fast", location=Location("fast", METHODS, folder))
    for out in ("one", "two"):
        train(job, store, "t1", None, tmp_path / out, tmp_path / "state")
        assert (tmp_path / out / "w").read_text() == "compiled"
    (kept,) = (path for path in (tmp_path / "cache/xmodbench/compiled").iterdir() if path.is_dir())
    assert kept.name.startswith("fast-")
    # what a job leaves in its own cache is gone with it
    assert [path.name for path in (kept / "numba").iterdir()] == ["kernel"]


def test_the_same_code_elsewhere_or_from_another_time_is_compiled_for_itself(tmp_path, monkeypatch):
    """What numba keeps belongs to a file of one place and time: a copy of it made every job compile anew."""
    monkeypatch.setenv("XDG_CACHE_HOME", str(tmp_path / "cache"))
    found = []
    for place in ("here", "there", "there"):
        folder = write_method(tmp_path / place, "fast", COMPILING, "label: Toy\nsummary: toy\ncompiles: true\n")
        os.utime(folder / "method.py", (len(found), len(found)))
        job = replace(job_of(tmp_path, "unused"), name="fast", location=Location("fast", METHODS, folder))
        found += [compiled(job), compiled(job)]
    assert found[0] and found[0::2] == found[1::2]
    assert len(set(found)) == 3


def test_files_that_settings_name_can_be_read_and_are_hashed(tmp_path, store, monkeypatch):
    monkeypatch.chdir(tmp_path)
    body = fitting("assert Path(self.settings.weights).read_text() == 'w'", '(directory / "w").write_text("1")')
    body = "class Options(Settings):\n    weights: str\n" + body.replace(
        "    supervision", "    Config = Options\n    supervision"
    )
    folder = write_method(tmp_path, "reading", body, "label: Toy\nsummary: toy\nfiles: [weights]\n")
    (tmp_path / "lab").mkdir()
    (tmp_path / "lab/weights.bin").write_text("w")
    for given in ("lab/weights.bin", str(tmp_path / "lab/weights.bin")):
        job = replace(
            job_of(tmp_path, "unused"),
            name="reading",
            location=Location("reading", METHODS, folder),
            settings={"weights": given},
        )
        train(job, store, "t1", None, tmp_path / "model", tmp_path / "state")
        assert list(read_record(tmp_path / "model")["files_sha256"]) == [given]
    with pytest.raises(UserError, match=r"settings.weights: none.bin: no such file"):
        train(replace(job, settings={"weights": "none.bin"}), store, "t1", None, tmp_path / "model", tmp_path / "state")


@pytest.mark.fault(
    "plugin", "writes into every file that is open in its process", "one line; nothing passes for a result"
)
@pytest.mark.parametrize("text", ["nonsense", '{"done": 1}', '{"done": {"control": true}}', "[]"])
def test_nonsense_on_the_channel_is_one_line(tmp_path, store, text):
    """The channel is open in the method's process: what it writes there must not pass for an answer."""
    body = f"""
import os
import time
for number in range(3, 32):
    try:
        os.write(number, {text + chr(10)!r}.encode())
    except OSError:
        pass
"""
    job = job_of(tmp_path, f"talking{len(text)}", body + SEEING)
    with pytest.raises(UserError, match="its process answered nonsense; a plugin must leave"):
        train(job, store, "t1", None, tmp_path / "model", tmp_path / "state")


@pytest.mark.fault("plugin", "leaves a child process running", "it is ended with the job")
def test_what_a_method_leaves_running_is_ended(tmp_path, store):
    code = """
import subprocess, sys
child = subprocess.Popen([sys.executable, "-c", "import time; time.sleep(60)"])
self.pid = child.pid
"""
    body = fitting(code, '(directory / "pid").write_text(str(self.pid))')
    train(job_of(tmp_path, "leaving", body), store, "t1", None, tmp_path / "model", tmp_path / "state")
    pid = int((tmp_path / "model" / "pid").read_text())
    for _ in range(100):
        if not os.path.exists(f"/proc/{pid}") or "Z" in Path(f"/proc/{pid}/stat").read_text().split()[2]:
            break
        time.sleep(0.05)
    else:
        pytest.fail("still running")


def test_a_method_cannot_write_the_harness_lines_of_its_record(tmp_path, store):
    code = 'run.facts.update(isolation="landlock 99", name="other", code_sha256="0", supervision="control", mine=1)'
    body = fitting(code, '(directory / "w").write_text("1")')
    train(job_of(tmp_path, "boasting", body), store, "t1", None, tmp_path / "model", tmp_path / "state")
    record = read_record(tmp_path / "model")
    assert (record["name"], record["supervision"], record["mine"]) == ("boasting", "zero-shot", 1)
    assert record["isolation"] != "landlock 99" and len(record["code_sha256"]) == 32


@pytest.mark.parametrize("name", ["../../after_1", "t1", "After_1", "after"])
def test_names_of_images_on_the_way_lead_nowhere(tmp_path, make_store, store, name):
    body = fitting("pass", '(directory / "w").write_text("1")').replace(
        "return source", f"self.intermediate_images = {{{name!r}: source}}; return source"
    )
    body += f"    def intermediates(self): return ({name!r},)\n"
    job = job_of(tmp_path, "leading", body)
    train(job, store, "t1", None, tmp_path / "model", tmp_path / "state")
    with pytest.raises(UserError, match="is not a word and a step"):
        translate(job, tmp_path / "model", make_store(tmp_path / "test"), "pd", "t1", tmp_path / "out", 8)
    assert [path.name for path in (tmp_path / "out").iterdir()] == ["failure.json"]

"""States of trainings: damaged ones, kills at any moment, and two trainings in one folder."""

from __future__ import annotations

import json
import multiprocessing
import os
import pickle
import signal
import subprocess
import sys
import time
from types import SimpleNamespace

import pytest
import torch
from safetensors.torch import load_file

from tests.plugins import job_of
from xmodbench.errors import UserError
from xmodbench.files import read_json, write_json
from xmodbench.learning.training import loop
from xmodbench.learning.training.state import (
    load_state,
    named,
    optimizer_tensors,
    part,
    restore_optimizer,
    save_state,
)
from xmodbench.plugins import Run
from xmodbench.progress import Progress
from xmodbench.records import read_record
from xmodbench.stages import state_folder
from xmodbench.stages.state_folder import OWNER, owned
from xmodbench.stages.train import train

fault = pytest.mark.fault


class Line(loop.Training):
    """Fits a line, with averaged weights; stops itself before the step `until`."""

    name, columns, steps, fingerprint = "line", ("loss",), 12, "f"

    def __init__(self, until=None):
        torch.manual_seed(1)
        self.until, self.settings = until, SimpleNamespace(checkpoint_s=1e-9)
        self.network = torch.nn.Linear(3, 2)
        self.average = self.network.weight.detach().clone()
        self.optimizer = torch.optim.Adam(self.network.parameters(), lr=0.1)

    def step(self, step):
        if step == self.until:
            raise InterruptedError
        loss = self.network(torch.randn(4, 3, generator=torch.Generator().manual_seed(step))).square().mean()
        self.optimizer.zero_grad()
        loss.backward()
        self.optimizer.step()
        self.average.lerp_(self.network.weight.detach(), 0.5)
        return [loss]

    def learning_rate(self, step):
        return 0.1

    def tensors(self):
        networks = named("network", self.network.state_dict()) | {"ema.0": self.average}
        return networks | named("optimizer", optimizer_tensors(self.optimizer))

    def restore(self, tensors):
        self.network.load_state_dict(part("network", tensors))
        self.average.copy_(tensors["ema.0"])
        restore_optimizer(self.optimizer, part("optimizer", tensors))

    def finish(self):
        pass


def trained(folder, until=None):
    """What a training ends with, bit for bit, and what it said."""
    said, training, progress = [], Line(until), Progress(quiet=True)
    progress.say = said.append
    log = loop.train(training, Run(1, "cpu", folder, progress))
    return [training.network.weight.tolist(), training.average.tolist(), log.rows], said


@pytest.fixture
def state(tmp_path):
    """The state of a training that was stopped after seven steps."""
    with pytest.raises(InterruptedError):
        trained(tmp_path, until=7)
    return tmp_path / "line"


def tensors_of(state):
    (path,) = state.glob("*.safetensors")
    return path


def half(path):
    path.write_bytes(path.read_bytes()[: path.stat().st_size // 2])


def flip(path):
    data = bytearray(path.read_bytes())
    data[-9] ^= 1
    path.write_bytes(data)


DAMAGE = {
    "truncated": lambda state: half(tensors_of(state)),
    "bit": lambda state: flip(tensors_of(state)),
    "missing": lambda state: tensors_of(state).unlink(),
    "pickle": lambda state: tensors_of(state).write_bytes(pickle.dumps({"network.weight": 1})),
    "half of the facts": lambda state: half(state / "state.json"),
    "no facts": lambda state: (state / "state.json").write_text("[]"),
    "other tensors": lambda state: write_json(state / "state.json", read_json(state / "state.json") | {"tensors": 3}),
}


@fault(
    "checkpoints",
    "a training's state is truncated, or a bit of it has flipped",
    "said in one line; training begins anew and ends with the same bits",
)
@pytest.mark.parametrize("name", DAMAGE)
def test_a_damaged_state_is_not_resumed(state, tmp_path, name):
    DAMAGE[name](state)
    found, said = trained(tmp_path)
    assert len(said) == 1 and said[0].startswith(f"the state in {state} is damaged (") and "\n" not in said[0]
    assert found == trained(tmp_path / "fresh")[0]


def test_a_whole_state_is_resumed_to_the_same_bits(state, tmp_path):
    found, said = trained(tmp_path)
    assert said == ["resumed at step 7 of 12"]
    assert found == trained(tmp_path / "fresh")[0]


def without(prefix):
    return lambda tensors: {name: tensor for name, tensor in tensors.items() if not name.startswith(prefix)}


STOPS = "one line that names the state and what is missing; nothing is trained with what is left"
LACKING = {
    "average": ("the averaged weights are missing from a training's state", without("ema."), "KeyError: 'ema.0'"),
    "optimiser": ("the optimiser is missing from a training's state", without("optimizer."), "moments of 0 parameters"),
    "network": (None, without("network.bias"), "Missing key"),
    "moments": (None, lambda t: t | {"optimizer.0.exp_avg": torch.zeros(3)}, "parameter 0 have another shape"),
    "more moments": (None, lambda t: t | {"optimizer.5.exp_avg": torch.zeros(3)}, "moments of 3 parameters, it has 2"),
    "sums": (None, without("loop."), "KeyError: 'sums'"),
}


@pytest.mark.parametrize(
    "name",
    [
        pytest.param(name, marks=fault("checkpoints", case, STOPS) if case else ())
        for name, (case, _, _) in LACKING.items()
    ],
)
def test_a_state_of_other_code_is_named(state, tmp_path, name):
    _, change, expected = LACKING[name]
    tensors, facts = load_state(state, "f")
    save_state(state, change(tensors), {key: facts[key] for key in ("fingerprint", "done", "log")})
    with pytest.raises(UserError, match=f"{state}: the state there does not fit .*{expected}.*delete the folder"):
        trained(tmp_path)


@fault("checkpoints", "a training's state was written by a newer version", "one line; it is left as it is")
def test_a_newer_state_is_not_written_over(state, tmp_path):
    write_json(state / "state.json", read_json(state / "state.json") | {"format": 2})
    before = (state / "state.json").read_bytes()
    with pytest.raises(UserError, match="state.json: a state of format 2, this xmodbench knows format 1; use the"):
        trained(tmp_path)
    assert (state / "state.json").read_bytes() == before and load_file(tensors_of(state))


def save_and_die(folder, number):
    """Save a state, killed before the `number`-th thing done to the file system."""
    count = 0

    def watch(event, _):
        nonlocal count
        count += event in ("open", "os.rename", "os.remove", "os.rmdir", "os.mkdir", "shutil.rmtree", "os.scandir")
        if count == number and event != "os.kill":
            os.kill(os.getpid(), signal.SIGKILL)

    sys.addaudithook(watch)
    save_state(folder, {"a": torch.full((5,), 2.0)}, {"fingerprint": "f", "done": 2}, lambda path: (path / "b").touch())


@fault(
    "checkpoints", "kill -9 at any moment while the state is saved", "this state or the one before is there, and whole"
)
def test_a_kill_while_saving_loses_no_state(tmp_path):
    context, folder, ends = multiprocessing.get_context("fork"), tmp_path / "s", set()
    for number in range(1, 100):
        save_state(folder, {"a": torch.full((5,), 1.0)}, {"fingerprint": "f", "done": 1})
        job = context.Process(target=save_and_die, args=(folder, number))
        job.start()
        job.join(60)
        tensors, facts = load_state(folder, "f")
        assert tensors["a"].tolist() == [facts["done"]] * 5
        ends.add((job.exitcode, facts["done"]))
        if job.exitcode == 0:
            break
    # killed before and after the state was there, and then not at all
    assert ends == {(-signal.SIGKILL, 1), (-signal.SIGKILL, 2), (0, 2)} and number > 8
    assert {path.suffix for path in folder.iterdir()} == {"", ".json", ".safetensors"}


def test_the_snapshots_of_another_training_go_with_its_state(tmp_path):
    save_state(tmp_path / "s", {}, {"fingerprint": "old"}, lambda path: (path / "snapshot").touch())
    save_state(tmp_path / "s", {"a": torch.ones(1)}, {"fingerprint": "new"})
    assert sorted(path.suffix for path in (tmp_path / "s").iterdir()) == [".json", ".safetensors"]


# -- one owner -----------------------------------------------------------------------------------------------------------
@fault(
    "checkpoints",
    "two trainings are started into one state folder",
    "the second stops with a line that names the process, its machine and since when; the first is not disturbed",
)
def test_a_state_folder_has_one_owner(tmp_path, quiet, make_store):
    with owned(tmp_path / "state", quiet):
        (tmp_path / "state" / "file").touch()
        job, store = job_of(tmp_path, "toy"), make_store(tmp_path / "store", n=2)
        with pytest.raises(
            UserError, match=rf"--state .*state: process {os.getpid()} on \S+ trains into it since 20.*Z; wait"
        ):
            train(job, store, "t1", None, tmp_path / "out", tmp_path / "state")
        assert (tmp_path / "state" / "file").exists()
    train(job, store, "t1", None, tmp_path / "out", tmp_path / "state")
    assert read_record(tmp_path / "out")["verb"] == "train" and not (tmp_path / "state").exists()


def test_a_lock_that_a_dead_process_left_is_taken_over(tmp_path, quiet):
    (tmp_path / OWNER).write_text('{"pid": 4194305, "host": "elsewhere", "since": "2020"}')
    with owned(tmp_path, quiet):
        assert json.loads((tmp_path / OWNER).read_text())["pid"] == os.getpid()


LEAVING = """
import os, subprocess, sys
from pathlib import Path
from xmodbench.progress import Progress
from xmodbench.stages.state_folder import owned
with owned(Path(sys.argv[1]), Progress(quiet=True)) as held:
    child = subprocess.Popen(["sleep", sys.argv[2]], pass_fds=held, stdout=subprocess.DEVNULL)
    print(child.pid, flush=True)
    os.kill(os.getpid(), 9)
"""


def left_running(folder, seconds):
    """What a killed owner leaves running: the process id."""
    command = [sys.executable, "-c", LEAVING, str(folder), str(seconds)]
    done = subprocess.run(command, stdout=subprocess.PIPE, stderr=subprocess.DEVNULL, text=True, check=False)
    assert done.returncode == -signal.SIGKILL
    return int(done.stdout)


def test_what_a_killed_owner_left_running_is_waited_for(tmp_path, quiet, monkeypatch):
    left_running(tmp_path, 1)
    began = time.monotonic()
    with owned(tmp_path, quiet):
        assert time.monotonic() - began > 0.3
    child = left_running(tmp_path, 30)
    monkeypatch.setattr(state_folder, "GRACE_S", 0.2)
    with (
        pytest.raises(UserError, match=r"process \d+ on \S+ has ended, but what it started has not"),
        owned(tmp_path, quiet),
    ):
        pass
    os.kill(child, signal.SIGKILL)


SLOW = """
import os, time
class Toy(Method):
    supervision = Supervision.ZERO_SHOT
    def fit(self, train, run):
        for step in range(60):
            with open(run.state_dir / "steps", "a") as file:
                file.write(f"{os.getpid()} {time.time()}\\n")
            if (run.state_dir / "hurry").exists():
                break
            time.sleep(0.05)
        self.steps = (run.state_dir / "steps").read_text()
    def save(self, directory): (directory / "steps").write_text(self.steps)
    def load(self, directory, run): pass
    def translate(self, source, generators): return source
"""
JOB = """
import sys
from pathlib import Path
from tests.plugins import job_of
from xmodbench.stages.train import train
folder = Path(sys.argv[1])
train(job_of(folder, "slow", sys.argv[2]), folder / "store", "t1", None, folder / "out", folder / "state")
"""


@fault(
    "checkpoints",
    "kill -9 of a training's parent, and a successor at once",
    "what it started ends with it before the successor begins; never two in one folder",
)
def test_no_orphan_trains_on_beside_its_successor(tmp_path, make_store):
    make_store(tmp_path / "store", n=2)
    parent = subprocess.Popen([sys.executable, "-c", JOB, str(tmp_path), SLOW])
    steps, until = tmp_path / "state" / "steps", time.monotonic() + 60
    while not (steps.is_file() and len(steps.read_text().splitlines()) > 2):
        assert time.monotonic() < until and parent.poll() is None
        time.sleep(0.01)
    parent.kill()
    parent.wait(10)
    (tmp_path / "state" / "hurry").touch()
    train(job_of(tmp_path, "slow", SLOW), tmp_path / "store", "t1", None, tmp_path / "out", tmp_path / "state")
    pids = [line.split()[0] for line in (tmp_path / "out" / "steps").read_text().splitlines()]
    assert len(set(pids)) == 2 and pids.index(pids[-1]) == len(pids) - 1


STOPPING = """
class Toy(Method):
    supervision = Supervision.ZERO_SHOT
    def fit(self, train, run):
        state = run.state_dir / "deep" / "state"
        self.found = state.is_file()
        state.parent.mkdir(exist_ok=True)
        state.write_text("half way")
        if not self.found: raise RuntimeError("stopped")
    def save(self, directory): (directory / "found").write_text(str(self.found))
    def load(self, directory, run): pass
    def translate(self, source, generators): return source
"""


@fault(
    "checkpoints", "a method's code is changed after its training was stopped", "said in one line; training begins anew"
)
@pytest.mark.parametrize("changed", [False, True])
def test_a_state_of_other_code_is_not_resumed(tmp_path, make_store, changed):
    store = make_store(tmp_path / "data" / "toy" / "train")
    job = job_of(tmp_path, f"stopping{changed}".lower(), STOPPING)
    with pytest.raises(UserError, match="stopped"):
        train(job, store, "t1", None, tmp_path / "model", tmp_path / "state")
    code = job.location.folder / "method.py"
    if changed:
        code.write_text(code.read_text().replace("if not self.found: raise", "if False: raise"))
    train(job, store, "t1", None, tmp_path / "model", tmp_path / "state")
    assert (tmp_path / "model" / "found").read_text() == str(not changed)

"""A GAN trained by two processes: gradients are the mean of both, and it resumes."""

from __future__ import annotations

import json
import subprocess
from pathlib import Path

import pytest
import torch
from safetensors.torch import load_file

from tests.processes import finished, started, stopped
from tests.stylegan2 import TINY, run_in, tiny
from xmodbench.errors import UserError
from xmodbench.learning.stylegan2.training import GanTraining
from xmodbench.learning.training import processes
from xmodbench.plugins.check import phantom

UPDATES = """
import sys
from pathlib import Path
import torch
from tests.unit.test_stylegan2_processes import updates
from xmodbench.learning.training import processes

found = updates(Path(sys.argv[1]))
torch.save(found, Path(sys.argv[1]) / f"rank{processes.rank()}.pt")
processes.separate()
"""


def updates(folder: Path) -> dict[str, torch.Tensor]:
    """Gradients of the first update of each kind, none of which has changed the weights yet."""
    torch.manual_seed(0)
    training = GanTraining(tiny().resolved(16), phantom(8, 1), run_in(folder))
    for optimizer in training.optimizers.values():
        optimizer.step = lambda: None
    images = training.batches.at(0, "cpu")
    found = {"images": images}
    torch.manual_seed(100 + processes.rank())
    for update in (
        training._train_generator,
        lambda: training._train_discriminator(images),
        lambda: training._r1(images),
    ):
        update()
        player = training.generator if len(found) == 1 else training.discriminator
        found[str(len(found))] = torch.cat([p.grad.flatten() for p in player.parameters() if p.grad is not None])
    return found


def test_gradients_are_the_mean_of_both_processes(tmp_path, monkeypatch):
    script = tmp_path / "updates.py"
    script.write_text(UPDATES)
    finished(started(script, tmp_path))
    both = [torch.load(tmp_path / f"rank{rank}.pt", weights_only=True) for rank in (0, 1)]

    alone = []
    for rank in (0, 1):  # each process's own gradients, computed here without the other
        monkeypatch.setattr(processes, "rank", lambda rank=rank: rank)
        monkeypatch.setattr(processes, "world", lambda: 2)
        for exchange in ("join", "average", "average_gradients"):
            monkeypatch.setattr(processes, exchange, lambda value: None)
        alone.append(updates(tmp_path))
    assert not torch.equal(alone[0]["images"], alone[1]["images"])
    for name in ("1", "2", "3"):
        assert torch.equal(both[0][name], both[1][name])
        assert not torch.allclose(alone[0][name], alone[1][name])
        torch.testing.assert_close(both[0][name], (alone[0][name] + alone[1][name]) / 2)


def test_processes_share_a_batch(tmp_path, monkeypatch):
    torch.manual_seed(0)
    whole = GanTraining(tiny().resolved(16), phantom(8, 1), run_in(tmp_path)).batches.at(3, "cpu")
    monkeypatch.setattr(processes, "world", lambda: 2)
    monkeypatch.setattr(processes, "join", lambda device: None)
    parts = []
    for rank in (0, 1):
        monkeypatch.setattr(processes, "rank", lambda rank=rank: rank)
        parts.append(GanTraining(tiny().resolved(16), phantom(8, 1), run_in(tmp_path)).batches.at(3, "cpu"))
    assert torch.equal(torch.cat(parts), whole)
    with pytest.raises(UserError, match="5 slices cannot be divided among 2 processes"):
        GanTraining(tiny(batch_size=5).resolved(16), phantom(8, 1), run_in(tmp_path))


def pretraining(store: Path, out: Path) -> subprocess.Popen:
    settings = json.dumps({**TINY, "kimg": 0.12, "checkpoint_s": 1e-3})
    command = ["-m", "xmodbench", "pretrain", "stylegan2_inversion", "--data", store, "--target", "t1", "--out", out]
    command += ["--state", out.with_suffix(".state"), "--settings", settings, "--device", "cpu", "--threads", "1"]
    return started(*command)


@pytest.mark.slow
def test_two_processes_resume_with_the_same_bits(make_store, tmp_path):
    store, whole, broken = make_store(tmp_path / "store", n=8, size=16), tmp_path / "whole", tmp_path / "broken"
    state = broken.with_suffix(".state") / "stylegan2_gan" / "state.json"
    assert stopped(pretraining(store, broken), state, 8) >= 8
    assert not (broken / "record.json").exists()
    for out in (broken, whole):
        assert ("resumed at step" in finished(pretraining(store, out))) == (out == broken)
    weights = [load_file(out / "model.safetensors") for out in (whole, broken)]
    assert all(torch.equal(weights[0][name], weights[1][name]) for name in weights[0])
    assert (whole / "loss.csv").read_text() == (broken / "loss.csv").read_text()
    assert json.loads((whole / "record.json").read_text())["processes"] == 2

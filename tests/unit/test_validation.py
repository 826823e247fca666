"""Slices that are held out decide how long a model of one's own data trains, and which of its weights are kept."""

from __future__ import annotations

from types import SimpleNamespace

import numpy as np
import pytest
import torch

from xmodbench.errors import UserError
from xmodbench.learning.diffusion import validation
from xmodbench.learning.diffusion.length import most_steps
from xmodbench.learning.diffusion.training import DiffusionTraining
from xmodbench.learning.diffusion.validation import fixed_batches, held_out, look_every
from xmodbench.learning.training import loop
from xmodbench.learning.training.log import VALIDATION
from xmodbench.plugins import METHODS, Run, TrainData, find
from xmodbench.plugins.check import phantom


@pytest.mark.parametrize("count", [10, 33, 100, 1001])
def test_held_out_slices_lie_in_runs_spread_evenly(count):
    rows = held_out(count, 0.1)
    assert len(rows) == len(set(rows.tolist())) == max(2, round(0.1 * count)) and rows.min() >= 0 and rows.max() < count
    runs = np.split(rows, np.flatnonzero(np.diff(rows) > 1) + 1)
    assert len(runs) == min(3, len(rows) // 2)
    middles = [(run.mean() + 0.5) / count for run in runs]
    assert np.allclose(middles, (np.arange(len(runs)) + 0.5) / len(runs), atol=1 / count)


@pytest.mark.parametrize(("count", "share"), [(9, 0.1), (100, 0.0)])
def test_of_few_slices_none_are_held_out(count, share):
    assert len(held_out(count, share)) == 0


@pytest.mark.parametrize(
    ("slices", "side", "device", "steps"),
    [
        (10, 96, "cpu", 1000),
        (30, 96, "cpu", 2250),
        (300, 96, "cpu", 4000),
        (300, 48, "cpu", 16000),
        (300, 96, "cuda", 22500),
        (None, 96, "cpu", 4000),
        (None, 192, "cuda", 10_000),
        (None, 1024, "cpu", 1000),
    ],
)
def test_the_most_steps_follow_slices_size_and_device(slices, side, device, steps):
    assert most_steps(slices, 4, (side, side), device) == steps


def test_looks_are_neither_rare_nor_all_there_is():
    assert [look_every(steps) for steps in (1, 100, 2250, 40_000)] == [1, 50, 50, 500]


def test_every_look_sees_the_same_images_at_all_times():
    images, rows = phantom(12, 1), np.array([3, 4])
    settings = SimpleNamespace(timesteps=1000, batch_size=5)
    first, second = (list(fixed_batches(images, rows, settings, 7, "cpu")) for _ in range(2))
    assert all(
        torch.equal(getattr(a, name), getattr(b, name)) for a, b in zip(first, second, strict=True) for name in vars(a)
    )
    times = torch.cat([batch.t for batch in first])
    assert len(times) == 64 and sorted(times.tolist()) == [int((i + 0.5) * 1000 / 64) for i in range(64)]
    assert set(torch.cat([batch.index for batch in first]).tolist()) == {3, 4}
    assert torch.equal(first[0].clean[1], torch.from_numpy(images[4]))


class Scripted(loop.Training):
    """Its loss on held-out slices is written down; it keeps the number of steps done."""

    name, columns, fingerprint, validate_every = "scripted", ("value",), "f", 2

    def __init__(self, values, patience, until=None):
        self.values, self.patience, self.until = values, patience, until
        self.steps = 2 * len(values)
        self.done, self.kept, self.settings = 0, -1, SimpleNamespace(checkpoint_s=1e-9, snapshots=0)

    def step(self, step):
        if step == self.until:
            raise KeyboardInterrupt
        self.done += 1
        return [torch.tensor(float(step))]

    def learning_rate(self, step):
        return 0.1

    def tensors(self):
        return {"done": torch.tensor(self.done), "kept": torch.tensor(self.kept)}

    def restore(self, tensors):
        self.done, self.kept = int(tensors["done"]), int(tensors["kept"])

    def validation(self):
        return torch.tensor(self.values[self.done // 2 - 1])

    def keep(self):
        self.kept = self.done

    def finish(self):
        pass


VALUES = [5.0, 3.0, 4.0, 2.5, 2.5, 2.6, 2.7, 2.4, 2.0]


@pytest.mark.parametrize(
    ("patience", "kept", "done", "stopped"),
    [(0, 18, 18, "limit"), (3, 8, 14, "no longer helped"), (1, 4, 6, "no longer helped"), (4, 18, 18, "limit")],
)
def test_training_stops_when_it_no_longer_helps(patience, kept, done, stopped, tmp_path, quiet):
    training, job = Scripted(VALUES, patience), Run(1, "cpu", tmp_path, quiet)
    log = loop.train(training, job)
    assert (training.kept, training.done) == (kept, done)
    facts = {name: job.facts[name] for name in ("steps", "most_steps", "stopped", "best_step", "best_validation")}
    assert facts == {
        "steps": done,
        "most_steps": 18,
        "stopped": stopped,
        "best_step": kept,
        "best_validation": VALUES[kept // 2 - 1],
    }
    assert log.column("step") == list(range(1, done + 1))


@pytest.mark.parametrize("until", [1, 2, 7, 8, 13])
def test_wherever_it_is_killed_it_ends_the_same(until, tmp_path, quiet):
    whole = loop.train(Scripted(VALUES, 3), Run(1, "cpu", tmp_path / "whole", quiet))
    with pytest.raises(KeyboardInterrupt):
        loop.train(Scripted(VALUES, 3, until), Run(1, "cpu", tmp_path / "killed", quiet))
    again = Scripted(VALUES, 3)
    log = loop.train(again, Run(1, "cpu", tmp_path / "killed", quiet))
    assert (log.rows, log.validation) == (whole.rows, whole.validation)
    assert (again.kept, again.done) == (8, 14)
    # and once more, from the state that it ended with
    final = Scripted(VALUES, 3)
    log = loop.train(final, Run(1, "cpu", tmp_path / "killed", quiet))
    assert (log.rows, log.validation, final.kept) == (whole.rows, whole.validation, 8)


def test_a_loss_on_held_out_slices_that_blows_up_is_one_line(tmp_path, quiet):
    with pytest.raises(UserError, match="'loss on held-out slices' is not finite by step 4; lower learning_rate"):
        loop.train(Scripted([5.0, float("nan"), 3.0], 3), Run(1, "cpu", tmp_path, quiet))


OWN = {"preset": "own", "width": 8, "iterations": 6, "batch_size": 2, "snapshots": 0, "checkpoint_s": 1e-9}


@pytest.fixture(autouse=True)
def short_looks(monkeypatch, request):
    if "tmp_path" in request.fixturenames:
        monkeypatch.setattr(validation, "LOOKS", 4)
        monkeypatch.setattr("xmodbench.learning.diffusion.training.look_every", lambda steps: 1)


def fitted(name, folder, quiet, **changes):
    method = find(METHODS, name).cls
    made = method(method.Config(**{**OWN, **changes}))
    job = Run(3, "cpu", folder / "state", quiet)
    made.fit(TrainData(phantom(12, 1)), job)
    (folder / "model").mkdir()
    made.save(folder / "model")
    return folder / "model", job


def test_a_killed_model_of_ones_own_ends_with_the_same_bits(tmp_path, quiet, monkeypatch):
    whole, job = fitted("midiffusion", tmp_path / "whole", quiet)
    assert job.facts["held_out_slices"] == 2 and job.facts["best_step"] <= 6
    step = DiffusionTraining.step

    def dying(self, number):
        if number == 4:
            raise KeyboardInterrupt
        return step(self, number)

    with monkeypatch.context() as patch, pytest.raises(KeyboardInterrupt):
        patch.setattr(DiffusionTraining, "step", dying)
        fitted("midiffusion", tmp_path / "killed", quiet)
    again, _ = fitted("midiffusion", tmp_path / "killed", quiet)
    for file in ("model.safetensors", "loss.csv", VALIDATION):
        assert (whole / file).read_bytes() == (again / file).read_bytes(), file
    assert len((whole / VALIDATION).read_text().splitlines()) == 7


def test_the_best_weights_are_kept_and_held_out_slices_never_trained_on(tmp_path, quiet, monkeypatch):
    seen, losses = set(), iter([3.0, 1.0, 2.0, 2.0, 2.0, 2.0])
    averages = {}
    losses_of = DiffusionTraining._losses

    def watched(self, model, batch):
        if torch.is_grad_enabled():
            seen.update(batch.index.tolist())
        return losses_of(self, model, batch)

    def scripted(self):
        value = next(losses)
        averages[value] = [average.clone() for average in self.ema]
        return torch.tensor(value)

    monkeypatch.setattr(DiffusionTraining, "_losses", watched)
    monkeypatch.setattr(DiffusionTraining, "validation", scripted)
    cls = find(METHODS, "sdedit").cls
    method = cls(cls.Config(**{**OWN, "iterations": 40, "patience": 3, "batch_size": 4}))
    job = Run(3, "cpu", tmp_path / "state", quiet)
    method.fit(TrainData(phantom(12, 1)), job)
    assert seen == set(range(12)) - set(held_out(12, 0.1).tolist())
    assert (job.facts["steps"], job.facts["best_step"], job.facts["stopped"]) == (5, 2, "no longer helped")
    for parameter, best in zip(method.model.network.parameters(), averages[1.0], strict=True):
        assert torch.equal(parameter, best)


def test_looking_changes_no_bit_of_the_training(tmp_path, quiet):
    """What is held out is not trained on, but how often it is looked at decides nothing: without patience, the same log."""
    often, _ = fitted("sdedit", tmp_path / "often", quiet, patience=0)
    step = (often / "loss.csv").read_bytes()
    with pytest.MonkeyPatch.context() as patch:
        patch.setattr("xmodbench.learning.diffusion.training.look_every", lambda steps: steps)
        seldom, _ = fitted("sdedit", tmp_path / "seldom", quiet, patience=0)
    assert (seldom / "loss.csv").read_bytes() == step
    assert len((seldom / VALIDATION).read_text().splitlines()) == 2

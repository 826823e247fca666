"""The shared training loop: log, plot, snapshots."""

from __future__ import annotations

import csv
from types import SimpleNamespace

import numpy as np
import pytest
import torch
from PIL import Image

from xmodbench.errors import UserError
from xmodbench.learning.training import loop
from xmodbench.learning.training.log import LossLog
from xmodbench.learning.training.loop import snapshot_steps
from xmodbench.learning.training.plot import strip
from xmodbench.learning.training.state import fingerprint, load_state, named, part, save_state
from xmodbench.plugins import METHODS, Run, TrainData, find
from xmodbench.plugins.check import phantom

SMALL = {
    "midiffusion": {"width": 8, "iterations": 6, "dropout": 0.1, "batch_size": 2},
    "sdedit": {"width": 8, "iterations": 6, "dropout": 0.1, "batch_size": 2},
    "cyclegan": {
        "width": 4,
        "discriminator_width": 4,
        "discriminator_layers": 2,
        "iterations": 6,
        "slices": 3,
        "blocks": 1,
    },
    "pix2pix": {"width": 4, "discriminator_width": 4, "discriminator_layers": 2, "iterations": 6, "depth": 5},
}


def trained(name, folder, quiet, **changes):
    """Files of a small model."""
    cls = find(METHODS, name).cls
    method = cls(cls.Config(preset="short", **{**SMALL[name], **changes}))
    source = phantom(6, 2) if method.supervision.needs_source else None
    job = Run(3, "cpu", folder / "state", quiet)
    method.fit(TrainData(phantom(6, 1), source), job)
    (folder / "model").mkdir(parents=True)
    method.save(folder / "model")
    return {path.relative_to(folder / "model").as_posix(): path for path in (folder / "model").rglob("*.*")}, job


def test_what_accelerate_would_prepare_in_one_process_changes_no_bit(tmp_path, quiet, monkeypatch):
    from accelerate import Accelerator

    left_alone, _ = trained("sdedit", tmp_path / "a", quiet)
    asked = []

    def prepare(network):
        asked.append(network)
        return Accelerator(cpu=True).prepare(network)

    monkeypatch.setattr("xmodbench.learning.diffusion.training.compiled", prepare)
    prepared, _ = trained("sdedit", tmp_path / "b", quiet, compile=True)
    assert len(asked) == 1
    assert left_alone["model.safetensors"].read_bytes() == prepared["model.safetensors"].read_bytes()


@pytest.mark.parametrize("name", SMALL)
def test_snapshots_change_no_bit_of_the_training(name, tmp_path, quiet):
    with_some, job = trained(name, tmp_path / "some", quiet, snapshots=3)
    without, _ = trained(name, tmp_path / "none", quiet, snapshots=0)
    assert set(with_some) - set(without) == {f"snapshots/step-{step}.png" for step in (2, 4, 6)}
    for file in ("model.safetensors", "loss.csv"):
        assert with_some[file].read_bytes() == without[file].read_bytes(), file
    pictures = [np.asarray(Image.open(with_some[f"snapshots/step-{step}.png"])) for step in (2, 6)]
    size = phantom(1, 1).shape[-1]
    assert pictures[0].shape == (2 * size + 2, 3 * size + 4)
    assert np.array_equal(pictures[0][:size], pictures[1][:size])  # the same slices
    assert not np.array_equal(pictures[0][size + 2 :], pictures[1][size + 2 :])  # other weights
    assert 0 < job.facts["snapshots_s"] < job.facts["training_s"]


@pytest.mark.parametrize("name", SMALL)
def test_only_what_decides_the_weights_is_in_the_fingerprint(name):
    cls, images = find(METHODS, name).cls, phantom(4, 1)

    def of(arrays=(images,), seed=1, **changes):
        return fingerprint(cls.Config(preset="short", **changes).resolved(), arrays, seed)

    assert of() == of(snapshots=7) == of(checkpoint_s=1.0) == of((images.copy(),))
    others = [of(learning_rate=0.5), of((images, images)), of((images[:3],)), of((images + 1,)), of(seed=2)]
    assert len({of(), *others}) == 6


def test_snapshots_are_spread_evenly_and_end_with_the_training():
    assert sorted(snapshot_steps(400, 5)) == [80, 160, 240, 320, 400]
    assert sorted(snapshot_steps(3, 5)) == [1, 2, 3]
    assert snapshot_steps(10, 0) == set()


def test_strip_shows_images_as_they_are():
    images = np.random.default_rng(0).random((2, 3, 5, 4), dtype=np.float32)
    import io

    found = np.asarray(Image.open(io.BytesIO(strip(images))))
    assert found.shape == (12, 16)
    for row in range(2):
        for column in range(3):
            shown = found[7 * row : 7 * row + 5, 6 * column : 6 * column + 4]
            assert np.array_equal(shown, np.rint(255 * images[row, column]))
    assert (found[5:7] == 255).all()


def test_log_writes_its_columns_and_is_read_again(tmp_path):
    log = LossLog(("a", "b", "learning_rate"), [(2, 1.0, 30.0, 1e-3), (4, 0.5, 3.0, 1e-4)], {4: b"png"}, [(2, 0.75)])
    log.save(tmp_path)
    rows = list(csv.DictReader((tmp_path / "loss.csv").open()))
    assert [row["step"] for row in rows] == ["2", "4"]
    assert [float(row["b"]) for row in rows] == log.column("b") == [30, 3]
    assert log.last() == {"a": 0.5, "b": 3.0, "learning_rate": 1e-4}
    assert LossLog.load(tmp_path) == log
    assert LossLog.read(tmp_path) == LossLog(log.names, log.rows, {}, log.validation)


@pytest.mark.parametrize("text", ["", "step,a\n1,2,3\n", "step,a\n1,two\n", "step,a\nlast,2\n"])
def test_what_is_no_log_is_not_read_as_one(text, tmp_path):
    (tmp_path / "loss.csv").write_text(text)
    with pytest.raises(ValueError):
        LossLog.read(tmp_path)


def test_state_comes_back_and_a_damaged_one_is_none(tmp_path):
    tensors = named("x", {"w.0": torch.ones(3)}) | named("y", {"w.0": torch.zeros(2)})
    save_state(tmp_path / "s", tensors, {"fingerprint": "f", "done": 3}, lambda folder: (folder / "more").touch())
    found, facts = load_state(tmp_path / "s", "f")
    assert torch.equal(part("x", found)["w.0"], torch.ones(3))
    assert facts["done"] == 3 and (tmp_path / "s" / "more").exists()
    assert load_state(tmp_path / "s", "other") is None
    next((tmp_path / "s").glob("*.safetensors")).write_bytes(b"x")
    assert load_state(tmp_path / "s", "f") is None


class Counting(loop.Training):
    """Counts, and answers the step; from `bad` on, NaN."""

    name, columns, steps, fingerprint = "count", ("value",), 10, "f"

    def __init__(self, bad=None, checkpoint_s=300.0):
        self.bad, self.done, self.settings = bad, 0, SimpleNamespace(checkpoint_s=checkpoint_s)

    def step(self, step):
        self.done += 1
        return [torch.tensor(float("nan") if self.bad is not None and step >= self.bad else float(step))]

    def learning_rate(self, step):
        return 0.1

    def tensors(self):
        return {"done": torch.tensor(self.done)}

    def restore(self, tensors):
        self.done = int(tensors["done"])

    def finish(self):
        self.done += 100


def test_loop_takes_every_step_once_and_logs_means(tmp_path, quiet):
    training = Counting()
    log = loop.train(training, Run(1, "cpu", tmp_path, quiet))
    assert training.done == 110
    assert log.column("value") == list(range(10))


def test_no_state_is_saved_of_losses_that_are_not_finite(tmp_path, quiet):
    with pytest.raises(UserError, match="'value' is not finite by step 4"):
        loop.train(Counting(bad=3, checkpoint_s=1e-9), Run(1, "cpu", tmp_path, quiet))
    assert load_state(tmp_path / "count", "f")[1]["done"] == 3


@pytest.mark.parametrize(
    ("most", "expected"), [(300.0, [16, 47, 108, 229, 470]), (40.0, [16, 47, 88, 129, 170]), (7.0, [8, 16])]
)
def test_the_first_state_is_saved_early(tmp_path, quiet, monkeypatch, most, expected):
    clock, saved = SimpleNamespace(now=0.0), []
    monkeypatch.setattr(loop, "time", SimpleNamespace(monotonic=lambda: clock.now))
    monkeypatch.setattr(loop, "save_state", lambda folder, tensors, facts, others: saved.append(facts["done"]))

    class Slow(Counting):
        steps = 800

        def step(self, step):
            clock.now += 1
            return super().step(step)

    log = loop.train(Slow(checkpoint_s=most), Run(1, "cpu", tmp_path, quiet))
    assert saved[: len(expected)] == expected
    assert log.column("step") == list(range(4, 801, 4))


def test_a_method_for_one_process_says_so(tmp_path, quiet, monkeypatch):
    monkeypatch.setenv("WORLD_SIZE", "2")
    with pytest.raises(UserError, match="2 processes were started, this method trains in one"):
        loop.train(Counting(), Run(1, "cpu", tmp_path, quiet))

"""Options that change how training computes, not what: accumulation, bf16, channels-last, torch.compile."""

from __future__ import annotations

from dataclasses import fields

import pytest
import torch

from xmodbench.errors import UserError
from xmodbench.learning.diffusion import training
from xmodbench.learning.diffusion.batches import Batch, Batches
from xmodbench.learning.diffusion.model import DiffusionModel
from xmodbench.plugins import METHODS, Run, TrainData, find
from xmodbench.plugins.check import phantom

BASE = {"preset": "short", "width": 8, "batch_size": 4, "iterations": 6, "snapshots": 0}


def fitted(folder, quiet, **changes):
    """A small SDEdit after training, and the facts of its job."""
    cls = find(METHODS, "sdedit").cls
    method = cls(cls.Config(**{**BASE, **changes}))
    job = Run(3, "cpu", folder, quiet)
    method.fit(TrainData(phantom(8, 1)), job)
    return method, job.facts


def losses(method):
    return method.log.column("loss")


@pytest.fixture(scope="module")
def plain(tmp_path_factory):
    from xmodbench.progress import Progress

    return losses(fitted(tmp_path_factory.mktemp("plain"), Progress(quiet=True))[0])


class Parts(Batches):
    """Two batches of 2 for every batch of 4 of the same job."""

    def at(self, step: int, device: str) -> Batch:
        whole = Batches(self.images, self.settings.model_copy(update={"batch_size": 4}), self.seed).at(
            step // 2, device
        )
        half = slice(2 * (step % 2), 2 * (step % 2) + 2)
        return Batch(*(getattr(whole, field.name)[half] for field in fields(Batch)))


def test_accumulated_gradients_equal_those_of_the_larger_batch(plain, tmp_path, quiet, monkeypatch):
    monkeypatch.setattr(training, "Batches", Parts)
    method, facts = fitted(tmp_path, quiet, batch_size=2, accumulation=2)
    assert losses(method) == pytest.approx(plain, rel=1e-5)
    assert facts["slices_per_step"] == 4
    monkeypatch.setattr(training, "Batches", Batches)
    other, _ = fitted(tmp_path / "other", quiet, batch_size=2, accumulation=2)
    assert losses(other) != pytest.approx(plain, rel=1e-3)  # other noise: the comparison above can fail


@pytest.mark.parametrize(
    ("option", "tolerance"), [({"channels_last": True}, 1e-4), ({"precision": "bf16"}, 0.05)], ids=["layout", "bf16"]
)
def test_options_of_speed_train_the_same_and_are_recorded(option, tolerance, plain, tmp_path, quiet):
    method, facts = fitted(tmp_path, quiet, **option)
    assert losses(method) == pytest.approx(plain, rel=tolerance)
    assert option.items() <= facts.items()
    assert {p.dtype for p in method.model.network.parameters()} == {torch.float32}
    if "precision" in option:
        assert losses(method) != plain  # bf16 was really used
    else:
        weight = method.model.network.unet.mid_block.resnets[0].conv1.weight
        assert weight.is_contiguous(memory_format=torch.channels_last)


def test_the_papers_loss_is_the_squared_error_of_the_score(tmp_path, quiet):
    """Eq. 5 and 12: the network's score against that of the noise, (clean - noisy) / sigma^2, summed over pixels."""
    config = find(METHODS, "midiffusion").cls.Config
    settings = config(preset="paper_ve", network="small", width=8, channels=[], dropout=0.0).resolved()
    model = DiffusionModel.new(settings, 1)
    job = Run(3, "cpu", tmp_path, quiet)
    trained = training.DiffusionTraining(model, phantom(4, 1), lambda batch: None, job, lambda *_: None)
    batch = trained.batches.at(0, "cpu")
    sigma = model.process.noise[batch.t][:, None, None, None]
    noisy = batch.clean + sigma * batch.eps
    score = model.answer(noisy, batch.t, None) / sigma
    want = (score - (batch.clean - noisy) / sigma**2).square().flatten(1).sum(1).mean()
    assert trained._losses(model, batch).mean().item() == pytest.approx(want.item(), rel=1e-3)


@pytest.mark.slow
def test_compiled_training_is_the_same_and_the_model_has_plain_names(plain, tmp_path, quiet):
    method, facts = fitted(tmp_path / "state", quiet, compile=True)
    assert losses(method) == pytest.approx(plain, rel=1e-3)
    assert facts["compile"] is True
    method.save(tmp_path)
    again = type(method)(method.settings)
    again.load(tmp_path, Run(3, "cpu", tmp_path, quiet))


def test_compile_without_a_compiler_is_one_clear_line(tmp_path, quiet, monkeypatch):
    monkeypatch.setenv("CXX", "no-such-compiler")
    with pytest.raises(
        UserError, match=r"settings\.compile: torch\.compile needs a C\+\+ compiler, there is no 'no-such"
    ):
        fitted(tmp_path, quiet, compile=True)

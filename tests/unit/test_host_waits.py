"""Nothing in a step makes a GPU wait for the host: shown on torch's meta device, which holds no values to wait for."""

from __future__ import annotations

from contextlib import contextmanager, nullcontext
from types import SimpleNamespace

import numpy as np
import pytest
import torch
from torch.utils._python_dispatch import TorchDispatchMode

from xmodbench.learning.diffusion import training as diffusion_training
from xmodbench.learning.diffusion.model import DiffusionModel
from xmodbench.learning.diffusion.samplers import image_noise, sample
from xmodbench.plugins import METHODS, Run, find
from xmodbench.seeding import ImageGenerator

METHOD = find(METHODS, "midiffusion").cls
from xmodbench_methods.midiffusion import guidance  # noqa: E402

IMAGES = np.random.default_rng(0).random((5, 1, 16, 16), dtype=np.float32)
META = torch.device("meta")
cuda = pytest.mark.skipif(not torch.cuda.is_available(), reason="no CUDA device")


class Traffic(TorchDispatchMode):
    """Counts what goes from the host to the device, and refuses what comes back or must be waited for."""

    def __init__(self):
        super().__init__()
        self.up = 0

    def __torch_dispatch__(self, func, types, args=(), kwargs=None):
        name = func.overloadpacket.__name__
        found = func(*args, **(kwargs or {}))
        there = [isinstance(one, torch.Tensor) and one.device == META for one in args]
        if name in ("_local_scalar_dense", "nonzero", "item", "equal", "is_nonzero"):
            assert not any(there), f"{name} waits"
        if name in ("_to_copy", "copy_"):
            source, target = (args[1], args[0]) if name == "copy_" else (args[0], found)
            assert not (source.device == META and target.device != META), f"{name} brings a tensor back"
            self.up += source.device != META and target.device == META and source.ndim > 0
        return found


def model_with(device: torch.device | str = META, **changes) -> DiffusionModel:
    wanted = {"preset": "short", "width": 8, "sampling_steps": 2, "batch_size": 2, **changes}
    settings = METHOD.Config(**wanted).resolved()
    model = DiffusionModel.new(settings, 1 + len(settings.channels))
    model.network.to(device)
    return model


@pytest.mark.parametrize("sampler", ["ancestral", "ddim", "dpmpp_2m", "unipc", "heun"])
def test_sampling_copies_nothing_after_its_start(sampler):
    model = model_with(sampler=sampler)
    source = torch.from_numpy(IMAGES[:2]).to(META)

    def translated(noise) -> torch.Tensor:
        return sample(model, guidance.SourceGuide(model, source), noise)

    noise = image_noise([ImageGenerator(1), ImageGenerator(2)], (16, 16), "meta")
    translated(noise)  # fills what is kept on the device: tables of the schedule and of the map
    with Traffic() as traffic:
        assert translated(noise).device == META
    assert traffic.up == 0


@pytest.mark.parametrize("changes", [{}, {"preset": "paper_ve", "network": "small", "blur": 0.5}])
def test_a_training_step_only_hands_its_batch_over(tmp_path, quiet, monkeypatch, changes):
    stand_in = SimpleNamespace(
        num_processes=1,
        process_index=0,
        prepare=lambda network: network,
        autocast=nullcontext,
        no_sync=lambda network: nullcontext(),
        backward=lambda loss: loss.backward(),
    )
    monkeypatch.setattr(diffusion_training, "_accelerator", lambda settings, run: stand_in)
    model = model_with(**changes)
    guide = guidance.TrainingGuide(model, IMAGES, quiet)
    training = diffusion_training.DiffusionTraining(model, IMAGES, guide, Run(1, "meta", tmp_path, quiet), None)
    training.step(0)
    with Traffic() as traffic:
        training.step(1)
    # slices, flips and times, and the kept maps of the slices
    assert traffic.up == 3 + len(guide.kept)


def test_the_traffic_is_noticed():
    x = torch.zeros(3, device=META)
    with Traffic() as traffic:
        torch.ones(3).to(META)
        assert traffic.up == 1
        for wait in (lambda: x.sum().item(), lambda: x.cpu(), lambda: x.nonzero(), lambda: bool((x > 0).any())):
            with pytest.raises((AssertionError, RuntimeError, NotImplementedError)):
                wait()


@contextmanager
def no_waiting():
    """Within the block torch refuses to wait for the GPU."""
    before = torch.cuda.get_sync_debug_mode()
    torch.cuda.set_sync_debug_mode("error")
    try:
        yield
    finally:
        torch.cuda.set_sync_debug_mode(before)


@pytest.mark.gpu
@cuda
@pytest.mark.parametrize("sampler", ["ancestral", "ddim", "dpmpp_2m"])
def test_a_gpu_is_not_waited_for_in_sampling(sampler):
    model = model_with("cuda", sampler=sampler)
    source = torch.from_numpy(IMAGES[:2]).cuda()
    noise = image_noise([ImageGenerator(1), ImageGenerator(2)], (16, 16), "cuda")
    sample(model, guidance.SourceGuide(model, source), noise)
    with no_waiting():
        sample(model, guidance.SourceGuide(model, source), noise)


@pytest.mark.gpu
@cuda
def test_a_gpu_is_not_waited_for_in_a_training_step(tmp_path, quiet):
    model = model_with("cuda")
    guide = guidance.TrainingGuide(model, IMAGES, quiet)
    training = diffusion_training.DiffusionTraining(model, IMAGES, guide, Run(1, "cuda", tmp_path, quiet), None)
    for step in range(2):
        training.step(step)
    with no_waiting():
        training.step(2)

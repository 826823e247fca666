"""ILVR's sampler: what it replaces, what it leaves, and which models it takes."""

import importlib

import numpy as np
import pytest
import torch
from PIL import Image

from xmodbench.errors import UserError
from xmodbench.learning.diffusion.model import DiffusionModel
from xmodbench.plugins import METHODS, find

SDEDIT = find(METHODS, "sdedit").cls.Config
find(METHODS, "ilvr")
sampler = importlib.import_module("xmodbench_methods.ilvr.sampler")


@pytest.fixture
def model():
    torch.manual_seed(0)
    settings = SDEDIT(preset="short", width=8, sampler="ancestral", sampling_steps=20, clip_x0=True).resolved()
    made = DiffusionModel.new(settings, 1)
    made.network.eval()
    return made


def noise_of(seed):
    rng = torch.Generator().manual_seed(seed)
    return lambda: torch.randn((1, 1, 32, 32), generator=rng)


def test_coarse_part_is_that_of_an_independent_resampling():
    image = torch.rand(1, 1, 32, 32, generator=torch.Generator().manual_seed(1))
    pillow = Image.fromarray(image[0, 0].numpy()).resize((8, 8), Image.BICUBIC).resize((32, 32), Image.BICUBIC)
    np.testing.assert_allclose(sampler.coarse(image, 4)[0, 0].numpy(), np.asarray(pillow), atol=2e-6)


def test_result_has_the_coarse_structure_of_the_source(model):
    """Even an untrained model's images follow the source's coarse part when conditioned to the end."""
    source = torch.zeros(1, 1, 32, 32)
    source[..., 16:] = 0.8
    followed = sampler.sample_ilvr(model, noise_of(2), source, 4, 0.0)
    free = sampler.sample_ilvr(model, noise_of(2), source, 4, 0.99)
    wanted = sampler.coarse(source, 4)

    def error(images):
        return float((sampler.coarse(images, 4) - wanted).abs().mean())

    assert error(followed) < 0.5 * error(free)


def test_without_conditioning_it_is_the_ancestral_sampler(model):
    from xmodbench.learning.diffusion.model import unconditional
    from xmodbench.learning.diffusion.samplers import sample

    model.settings = model.settings.model_copy(update={"variance": "fixedsmall", "final_noise": False})
    free = sampler.sample_ilvr(model, noise_of(3), torch.rand(1, 1, 32, 32), 4, 0.999)
    torch.testing.assert_close(free, sample(model, unconditional, noise_of(3)), atol=2e-4, rtol=0)


def test_variance_exploding_models_are_refused(tmp_path):
    settings = SDEDIT(preset="official_ve", network="small", width=8).resolved()
    DiffusionModel.new(settings, 1).save(tmp_path)
    with pytest.raises(UserError, match="variance-exploding"):
        sampler.check_process(tmp_path)

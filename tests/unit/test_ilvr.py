"""ILVR's sampler: what it replaces, what it leaves, and which models it takes."""

import importlib

import numpy as np
import pytest
import torch
from PIL import Image

from xmodbench.errors import UserError
from xmodbench.learning.diffusion import lowpass
from xmodbench.learning.diffusion.model import DiffusionModel
from xmodbench.plugins import METHODS, Run, find

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


def pillow_lowpass(image, factor):
    """Pillow, which knows no mirror, on an image mirrored beforehand, the border pixel repeated."""

    def resized(image, size):
        return np.asarray(Image.fromarray(image).resize(size[::-1], Image.BICUBIC))

    height, width = image.shape
    margin = 2 * factor
    padded = np.pad(image, margin, mode="symmetric")
    small = resized(padded, (height // factor + 4, width // factor + 4))[2:-2, 2:-2]
    return resized(np.pad(small, 2, mode="symmetric"), padded.shape)[margin:-margin, margin:-margin]


@pytest.mark.parametrize(("size", "factor"), [((32, 32), 4), ((32, 24), 8), ((64, 64), 16), ((16, 32), 2)])
def test_coarse_part_is_that_of_an_independent_resampling(size, factor):
    image = torch.rand(2, 1, *size, generator=torch.Generator().manual_seed(1))
    for one, found in zip(image, lowpass.coarse(image, factor), strict=True):
        np.testing.assert_allclose(found[0].numpy(), pillow_lowpass(one[0].numpy(), factor), atol=2e-6)


def test_weights_at_the_border_are_those_written_out_by_hand():
    """Keys' kernel at .25, .75, 1.25 and 1.75 is .8671875, .2265625, -.0703125 and -.0234375; halved, and mirrored."""
    want = [
        0.43359375 + 0.11328125,
        0.43359375 - 0.03515625,
        0.11328125 - 0.01171875,
        -0.03515625,
        -0.01171875,
        0,
        0,
        0,
    ]
    np.testing.assert_allclose(lowpass._resampling(8, 4)[0], want, atol=1e-12)


@pytest.mark.parametrize("size", [(9, 7), (5, 40)])
def test_coarse_part_of_a_constant_is_that_constant(size):
    """Also where the factor divides no side, or is larger than one."""
    assert lowpass.coarse(torch.full((1, 1, *size), 0.3), 8).numpy() == pytest.approx(0.3, abs=1e-6)


def test_result_has_the_coarse_structure_of_the_source(model):
    """Even an untrained model's images follow the source's coarse part when conditioned to the end."""
    source = torch.zeros(1, 1, 32, 32)
    source[..., 16:] = 0.8
    followed = sampler.sample_ilvr(model, noise_of(2), source, 4, 0.0)
    free = sampler.sample_ilvr(model, noise_of(2), source, 4, 0.99)
    wanted = lowpass.coarse(source, 4)

    def error(images):
        return float((lowpass.coarse(images, 4) - wanted).abs().mean())

    assert error(followed) < 0.5 * error(free)


@pytest.mark.parametrize(("source_level", "time"), [("after", 499), ("before", 999)])
def test_the_source_is_noised_to_the_level_asked_for(model, source_level, time, monkeypatch):
    """Of two steps, 999 and 499: the paper's index is that after the first, the authors' that before it."""
    seen = []
    monkeypatch.setattr(sampler, "coarse", lambda images, factor: seen.append(images) or images)
    model.settings = model.settings.model_copy(update={"sampling_steps": 2})
    sampler.sample_ilvr(model, lambda: torch.zeros(1, 1, 32, 32), torch.ones(1, 1, 32, 32), 4, 0.0, source_level)
    torch.testing.assert_close(seen[0], model.process.signal[time].expand(1, 1, 32, 32))


def test_without_conditioning_it_is_the_ancestral_sampler(model):
    from xmodbench.learning.diffusion.model import unconditional
    from xmodbench.learning.diffusion.samplers import sample

    model.settings = model.settings.model_copy(update={"variance": "fixedsmall", "final_noise": False})
    free = sampler.sample_ilvr(model, noise_of(3), torch.rand(1, 1, 32, 32), 4, 0.999)
    torch.testing.assert_close(free, sample(model, unconditional, noise_of(3)), atol=2e-4, rtol=0)


@pytest.mark.parametrize("name", ["ilvr", "egsde_zero_shot", "energy_guidance"])
def test_variance_exploding_models_are_refused(name, tmp_path, quiet):
    settings = SDEDIT(preset="official_ve", network="small", width=8).resolved()
    DiffusionModel.new(settings, 1).save(tmp_path)
    plugin = find(METHODS, name)
    with pytest.raises(UserError, match="variance-exploding.*; train 'sdedit' with another preset"):
        plugin.cls(plugin.cls.Config()).load(tmp_path, Run(1, "cpu", tmp_path, quiet))

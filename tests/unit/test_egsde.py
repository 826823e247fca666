"""EGSDE: SDEdit's chain where nothing pulls, both energies' gradients, the classifier, how little of the source is seen."""

from __future__ import annotations

import importlib

import numpy as np
import pytest
import torch
from PIL import Image

from xmodbench.errors import UserError
from xmodbench.learning.diffusion import egsde
from xmodbench.learning.diffusion.lowpass import coarse
from xmodbench.learning.diffusion.model import DiffusionModel, unconditional
from xmodbench.learning.diffusion.samplers import sample
from xmodbench.plugins import METHODS, Run, Supervision, TrainData, find
from xmodbench.plugins.check import phantom
from xmodbench.plugins.settings import validated
from xmodbench.seeding import ImageGenerator

SDEDIT, FULL = find(METHODS, "sdedit").cls, find(METHODS, "egsde").cls
classifier = importlib.import_module("xmodbench_methods.egsde.classifier")
TINY = {"preset": "short", "width": 8, "iterations": 3, "batch_size": 2, "sampling_steps": 8, "slices": 3}
TINY |= {"classifier_width": 8, "classifier_iterations": 100, "classifier_batch": 8, "classifier_times": 0.3}


def model_with(**changes):
    torch.manual_seed(0)
    sampling = {"sampler": "ancestral", "variance": "fixedsmall", "sampling_steps": 20, "final_noise": False}
    model = DiffusionModel.new(SDEDIT.Config(preset="short", width=8, **{**sampling, **changes}).resolved(), 1)
    model.network.eval()
    return model


def noise_of(seed, size=32):
    rng = torch.Generator().manual_seed(seed)
    return lambda: torch.randn((1, 1, size, size), generator=rng)


SOURCE = torch.from_numpy(phantom(1, 2, invert=True))


@pytest.mark.parametrize(
    "changes",
    [{}, {"repeats": 3, "start": 0.3}, {"data_range": "0,1", "variance": "fixedlarge"}, {"spacing": "karras"}],
)
def test_without_energies_it_is_sdedit_bit_for_bit(changes):
    model = model_with(**changes)
    want = SDEDIT(SDEDIT.Config()).draw(model, SOURCE, noise_of(1))
    experts = [(0.0, egsde.faithful_gradient(4, "linear"))]
    assert torch.equal(egsde.sample_egsde(model, noise_of(1), SOURCE, experts), want)
    assert not torch.equal(egsde.sample_egsde(model, noise_of(1), SOURCE, [(2.0, experts[0][1])]), want)


@pytest.mark.parametrize("kernel", ["linear", "cubic"])
def test_gradient_of_the_faithful_energy(kernel):
    """Against autograd of the squared distance of coarse parts, and written out for a matrix L: 2 L'L (x - noised)."""
    x, noised = torch.rand(2, 2, 1, 12, 20, dtype=torch.float64, generator=torch.Generator().manual_seed(0))
    found = egsde.faithful_gradient(4, kernel)(x, noised, 7)
    x.requires_grad_()
    energy = ((coarse(x, 4, kernel) - coarse(noised, 4, kernel)) ** 2).sum()
    torch.testing.assert_close(found, torch.autograd.grad(energy, x)[0])
    unit = torch.eye(12 * 20, dtype=torch.float64).reshape(-1, 1, 12, 20)
    matrix = coarse(unit, 4, kernel).flatten(1).T
    want = 2 * (x - noised).detach().flatten(1) @ matrix.T @ matrix
    torch.testing.assert_close(found.flatten(1), want)


@pytest.mark.parametrize(("side", "factor"), [(32, 4), (64, 16)])
def test_the_linear_low_pass_is_that_of_an_independent_resampling(side, factor):
    """Pillow, which knows no mirror, far from the borders."""
    image = torch.rand(1, 1, side, side, generator=torch.Generator().manual_seed(1))
    small = Image.fromarray(image[0, 0].numpy()).resize((side // factor,) * 2, Image.BILINEAR)
    want = np.asarray(small.resize((side, side), Image.BILINEAR))
    inner = slice(3 * factor // 2, side - 3 * factor // 2)
    np.testing.assert_allclose(
        coarse(image, factor, "linear")[0, 0].numpy()[inner, inner], want[inner, inner], atol=2e-6
    )


def test_steps_weigh_the_gradients_by_beta_over_the_root_of_alpha():
    """At times 499 and 0 of the linear schedule: beta_t is 1e-4 + t (0.02 - 1e-4) / 999."""
    seen = {}
    model = model_with(sampling_steps=1000, start=0.5)
    process, grid = model.process, list(range(499, -1, -1))
    pulls = lambda x, t, beta: seen.setdefault(t, egsde.step_weight(beta)) * torch.zeros_like(x)  # noqa: E731
    egsde.sample_ancestral(
        lambda x, t: (x, x), process, grid, torch.zeros(1, 1, 2, 2), noise=lambda: torch.zeros(1, 1, 2, 2), pull=pulls
    )
    for t in (499, 250, 0):
        beta = 1e-4 + t * (0.02 - 1e-4) / 999
        assert seen[t] == pytest.approx(beta / (1 - beta) ** 0.5, rel=2e-3)


def test_the_source_is_noised_with_one_noise_all_along():
    """That of the beginning, at each time's level; in a second pass with another, and still the source."""
    model = model_with(repeats=2, sampling_steps=10, start=0.5)
    seen = []
    egsde.sample_egsde(model, noise_of(1), SOURCE, [(1.0, lambda x, noised, t: seen.append((t, noised)) or 0 * x)])
    reference = model.inside(SOURCE)
    noises = [(noised - model.process.signal[t] * reference) / model.process.noise[t] for t, noised in seen if t >= 99]
    assert [t for t, _ in seen] == 2 * [499, 399, 299, 199, 99]
    first, second = noises[:5], noises[5:]
    torch.testing.assert_close(first[0], noise_of(1)(), atol=1e-5, rtol=0)
    for own in (first, second):
        for one in own[1:]:
            torch.testing.assert_close(one, own[0], atol=1e-5, rtol=0)
    assert (first[0] - second[0]).abs().max() > 1


def test_the_faithful_energy_keeps_the_coarse_structure():
    """Even of a model that has learnt nothing."""
    model = model_with(sampling_steps=50, start=1.0)
    free, held = (
        egsde.sample_egsde(model, noise_of(2), SOURCE, [(strength, egsde.faithful_gradient(8, "linear"))])
        for strength in (0.0, 2.0)
    )
    gaps = [float((coarse(one, 8) - coarse(SOURCE, 8)).abs().mean()) for one in (free, held)]
    assert gaps[1] < 0.75 * gaps[0]


# -- the full form ------------------------------------------------------------------------------------------------------
@pytest.fixture(scope="module")
def trained(tmp_path_factory):
    """A method trained on slices of bright ellipses, three of the source's, and the folder of its model."""
    from xmodbench.progress import Progress

    folder = tmp_path_factory.mktemp("egsde")
    method = FULL(validated(FULL.Config, TINY, "test"))
    run = Run(3, "cpu", folder / "state", Progress(quiet=True))
    method.fit(TrainData(phantom(8, 1), phantom(3, 5, invert=True)), run)
    (folder / "model").mkdir()
    method.save(folder / "model")
    return method, folder / "model", run


@pytest.mark.parametrize(("side", "parameters"), [(128, 41_230_464), (64, 39_949_440)])
def test_the_encoder_has_the_published_size(side, parameters):
    """As the released code's at these arguments for one channel, but its head; counted by running it."""
    with torch.device("meta"):
        network = classifier.DomainClassifier(128, 2, side)
    assert sum(p.numel() for p in network.encoder.parameters()) == parameters
    s = FULL.Config().resolved()
    assert (s.classifier_width, s.classifier_blocks, s.classifier_iterations, s.classifier_batch) == (128, 2, 5000, 32)
    assert (s.classifier_rate, s.classifier_weight_decay) == (3e-4, 0.05)
    assert (s.lambda_s, s.lambda_i, s.start, s.repeats, s.factor) == (500, 2, 0.5, 1, 16)


def test_likeness_is_the_mean_cosine_over_places():
    one = torch.tensor([[3.0, 0.0], [0.0, 2.0]]).reshape(1, 2, 1, 2)  # (3, 0) and (0, 2) at two places
    assert classifier.likeness(one, one).tolist() == [1]
    assert classifier.likeness(one, -2 * one).tolist() == [-1]
    assert classifier.likeness(one, one.flip(1)).tolist() == [0]
    other = torch.tensor([[1.0, 0.0], [1.0, 1.0]]).reshape(1, 2, 1, 2)
    assert classifier.likeness(one, other).item() == pytest.approx((0.5**0.5 + 1) / 2)


def test_gradient_of_the_realistic_energy_equals_finite_differences():
    weights = torch.randn(3, 1, 3, 3, dtype=torch.float64, generator=torch.Generator().manual_seed(0))

    class Features:
        def features(self, x, t):
            return torch.tanh(torch.nn.functional.conv2d(x, weights)) + t.reshape(-1, 1, 1, 1) / 10

    x, noised = torch.rand(2, 1, 1, 5, 5, dtype=torch.float64, generator=torch.Generator().manual_seed(1))
    with torch.inference_mode():
        found = classifier.realistic_gradient(Features())(x, noised, 4)
    at, reference = torch.tensor([4]), Features().features(noised, torch.tensor([4]))
    for place in ((0, 0, 0, 0), (0, 0, 2, 3), (0, 0, 4, 4)):
        step = torch.zeros_like(x)
        step[place] = 1e-6
        up, down = (classifier.likeness(Features().features(x + s, at), reference) for s in (step, -step))
        assert found[place].item() == pytest.approx((up - down).item() / 2e-6, rel=1e-6)


def test_the_classifier_learns_and_the_realistic_energy_leads_away_from_the_source(trained):
    method, _, _ = trained
    loss = method.classifier_log.column("loss")
    assert np.mean(loss[-10:]) < 0.85 * np.mean(loss[:3])
    assert np.mean(method.classifier_log.column("accuracy")[-20:]) > 0.75
    x, at = method.model.inside(SOURCE), torch.tensor([200])
    noised = method.model.process.diffuse(x, at, noise_of(1)())
    gradient = classifier.realistic_gradient(method.classifier)
    y = noised + 0.3 * noise_of(2)()
    with torch.no_grad():
        reference = method.classifier.features(noised, at)
        before = classifier.likeness(method.classifier.features(y, at), reference)
        pull = gradient(y, noised, 200)
        after = classifier.likeness(method.classifier.features(y - 0.5 * pull / pull.norm(), at), reference)
    assert after < before


def test_its_model_of_the_target_is_sdedits_bit_for_bit(trained, tmp_path, quiet):
    """The source has no part in it."""
    names = SDEDIT.Config.model_fields.keys() & TINY.keys()
    other = SDEDIT(SDEDIT.Config(**{name: TINY[name] for name in names}))
    other.fit(TrainData(phantom(8, 1)), Run(3, "cpu", tmp_path, quiet))
    own, wanted = (one.model.network.state_dict() for one in (trained[0], other))
    assert all(torch.equal(own[name], wanted[name]) for name in wanted)


def test_a_saved_model_translates_the_same(trained):
    method, folder, run = trained
    assert (folder / "loss.csv").is_file() and (folder / "classifier" / "loss.csv").is_file()  # where reports look
    again = FULL(FULL.Config(sampling_steps=8, factor=8))  # the preset of what is only for translation
    again.load(folder, run)
    images = [one.translate(SOURCE.numpy(), [ImageGenerator.of(1, "a")]) for one in (method, again)]
    assert np.array_equal(*images)


def test_the_source_is_few_and_the_zero_shot_form_sees_none():
    assert FULL.supervision is Supervision.FEW_SHOT
    assert FULL(FULL.Config()).source_slices(84) == 9
    assert FULL(FULL.Config(share=1.0)).source_slices(84) == 84
    assert FULL(FULL.Config(slices=5)).source_slices(84) == 5
    assert find(METHODS, "egsde_zero_shot").cls.supervision is Supervision.ZERO_SHOT


@pytest.mark.parametrize("settings", [{"sampler": "ddim"}, {"process": "ve", "prediction": "score"}])
def test_chains_it_is_not_defined_for_are_refused(settings):
    with pytest.raises(UserError, match="EGSDE is defined for process 'vp' and sampler 'ancestral'"):
        validated(FULL.Config, settings, "test")


def test_both_forms_are_one_chain_where_lambda_s_is_0(trained):
    """Of the same model, noise and options."""
    _, folder, run = trained
    short = {"sampling_steps": 8, "factor": 8}
    full = FULL(FULL.Config(lambda_s=0.0, **short))
    full.load(folder, run)
    zero = find(METHODS, "egsde_zero_shot").cls
    without = zero(zero.Config(**short))
    found = [one.draw(full.model, SOURCE, noise_of(4)) for one in (full, without)]
    assert torch.equal(*found)
    free = sample(full.model, unconditional, noise_of(4), guide=SOURCE, start=500)
    assert not torch.equal(found[0], free)

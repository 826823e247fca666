"""Training of StyleGAN2-ADA: losses, optimisers, one step recomputed, resuming, broken gradients."""

from __future__ import annotations

import copy

import numpy as np
import pytest
import torch
from safetensors.torch import load_file
from torch.nn import functional

from tests.stylegan2 import fit, run_in, tiny
from xmodbench.errors import UserError
from xmodbench.learning.gan.losses import r1
from xmodbench.learning.stylegan2 import model
from xmodbench.learning.stylegan2.batches import Batches, from_square, nearest_resolution, to_square
from xmodbench.learning.stylegan2.gan import pretrain
from xmodbench.learning.stylegan2.losses import path_lengths
from xmodbench.learning.stylegan2.optimisation import Gradients, average_into, half_life_decay, lazy_adam
from xmodbench.learning.stylegan2.training import GanTraining
from xmodbench.plugins.check import phantom
from xmodbench.progress import Progress
from xmodbench.seeding import derive_seed


def gan(tmp_path, **changes) -> GanTraining:
    torch.manual_seed(0)
    return GanTraining(tiny(**changes).resolved(16), phantom(8, 1), run_in(tmp_path))


def test_r1_of_a_known_gradient():
    x = torch.randn(3, 1, 4, 4)
    # score sum(x^2) / 2 has the gradient x
    penalty = r1(lambda images: images.square().sum((1, 2, 3)) / 2, x)
    assert penalty.item() == pytest.approx(x.square().sum((1, 2, 3)).mean().item(), rel=1e-5)


def test_path_length_of_a_linear_generator():
    torch.manual_seed(0)
    matrix = torch.randn(5 * 7, 16)  # 5 latent vectors of length 7 to 4 x 4 pixels
    ws = torch.randn(3, 5, 7, requires_grad=True)
    torch.manual_seed(1)
    found = path_lengths(lambda ws: (ws.flatten(1) @ matrix).reshape(-1, 1, 4, 4), ws)
    torch.manual_seed(1)
    direction = torch.randn(3, 1, 4, 4).flatten(1) / 4
    gradient = (direction @ matrix.t()).reshape(3, 5, 7)
    torch.testing.assert_close(found, gradient.square().sum(2).mean(1).sqrt())


@pytest.mark.parametrize(
    ("rate", "interval", "lr", "beta"), [(0.0025, 4, 0.0020, 0.99199), (0.0025, 16, 0.002353, 0.99059)]
)
def test_lazy_regularisation_corrects_adam(rate, interval, lr, beta):
    (group,) = lazy_adam(torch.nn.Linear(2, 2), rate, interval).param_groups
    assert group["lr"] == pytest.approx(lr, rel=1e-3) and group["eps"] == 1e-8
    assert group["betas"][0] == 0.0 and group["betas"][1] == pytest.approx(beta, abs=1e-5)


def test_average_forgets_half_in_its_half_life():
    network, average = torch.nn.Linear(1, 1), torch.nn.Linear(1, 1)
    torch.nn.init.zeros_(network.weight)
    torch.nn.init.ones_(average.weight)
    for step in range(100):  # 3200 images of a half-life of 3200
        average_into(average, network, half_life_decay(32, 10**6 + 32 * step, 3.2, 0.05))
    assert average.weight.item() == pytest.approx(0.5, rel=1e-4)
    assert half_life_decay(32, 0, 10.0, 0.05) == 0  # the first batch replaces it
    assert half_life_decay(32, 640, 10.0, 0.05) == 0.5  # 5 % of 640 images are 32
    assert half_life_decay(64, 0, 20.0, None) == pytest.approx(0.5 ** (64 / 20_000))


def test_broken_gradients_are_replaced_and_counted():
    gradients, weight = Gradients("cpu", ("main", "penalty")), torch.nn.Parameter(torch.zeros(4))
    weight.grad = torch.tensor([float("nan"), float("inf"), -float("inf"), 2.0])
    gradients.repair("main", [weight])
    assert weight.grad.tolist() == [0, 1e5, -1e5, 2]
    weight.grad = torch.ones(4)
    gradients.repair("penalty", [weight])
    assert gradients.repaired.item() == 1
    gradients.check(2)
    for _ in range(12):
        weight.grad = torch.full((4,), float("nan"))
        gradients.repair("penalty", [weight])
    with pytest.raises(
        UserError, match=r"gradients of the penalty are not finite in many updates \(12 of them by step 14"
    ):
        gradients.check(14)


def test_a_flood_of_broken_gradients_fails_the_run(tmp_path, monkeypatch):
    monkeypatch.setattr(Batches, "at", lambda self, step, device: torch.full((4, 1, 16, 16), float("nan")))
    with pytest.raises(UserError, match="gradients of the discriminator are not finite in many updates"):
        pretrain(tiny(kimg=0.4), phantom(8, 1), run_in(tmp_path))


def test_a_penalty_that_is_always_broken_fails_the_run(tmp_path, monkeypatch):
    """It comes every 16th step: sound updates between must not hide it."""
    monkeypatch.setattr("xmodbench.learning.stylegan2.training.r1", lambda score, x: score(x).sum() * float("nan"))
    with pytest.raises(UserError, match="gradients of the R1 are not finite in many updates"):
        pretrain(tiny(kimg=0.9, channel_max=8), phantom(8, 1), run_in(tmp_path))


def test_a_single_broken_step_is_survived(tmp_path):
    training = gan(tmp_path)
    kept = Batches.at(training.batches, 1, "cpu")
    before = dict(zip(training.columns, training.step(0), strict=True))
    training.batches.at = lambda step, device: torch.full_like(kept, float("nan"))
    values = dict(zip(training.columns, training.step(1), strict=True))
    assert values["repaired"].item() == 1 and all(value.isfinite() for value in values.values())
    assert values["discriminator"].item() == before["discriminator"].item()  # the last sound one, not 0
    for network in (training.generator, training.discriminator, training.average):
        assert all(value.isfinite().all() for value in network.state_dict().values())


def test_first_step_is_the_published_one(tmp_path):
    """Losses of step 0 without augmentation, recomputed from the equations with the same draws."""
    training = gan(tmp_path, augment="none", style_mixing=0.0)
    for conv in training.generator.synthesis.convs:
        torch.nn.init.normal_(conv.noise_strength)
    g, d = copy.deepcopy((training.generator, training.discriminator))
    s, images = training.settings, training.batches.at(0, "cpu")
    found = dict(zip(training.columns, training.step(0), strict=True))

    def latents(n):
        return g.latents(torch.randn(n, s.latent_size))

    torch.manual_seed(derive_seed(3, "gan", 0, 0))
    optimizer = torch.optim.Adam(g.parameters(), lr=s.learning_rate * 0.8, betas=(0.0, 0.99**0.8))
    loss = functional.softplus(-d(g.synthesis(latents(4), "random"))).mean()
    loss.backward()
    optimizer.step()
    assert found["generator"].item() == pytest.approx(loss.item(), rel=1e-5)

    ws = latents(2)
    fakes = g.synthesis(ws, "random")
    (gradient,) = torch.autograd.grad((fakes * torch.randn_like(fakes) / 16).sum(), ws, create_graph=True)
    length = gradient.square().sum(2).mean(1).sqrt()
    penalty = (length - 0.01 * length.mean()).square().mean()
    optimizer.zero_grad()
    (2 * 4 * penalty).backward()
    optimizer.step()
    assert found["path_length"].item() == pytest.approx(penalty.item(), rel=1e-4)

    with torch.no_grad():
        fakes = g.synthesis(latents(4), "random")
    d.zero_grad()
    optimizer = torch.optim.Adam(d.parameters(), lr=s.learning_rate * 16 / 17, betas=(0.0, 0.99 ** (16 / 17)))
    scores = d(images)
    loss = functional.softplus(d(fakes)).mean() + functional.softplus(-scores).mean()
    loss.backward()
    optimizer.step()
    assert found["discriminator"].item() == pytest.approx(loss.item(), rel=1e-4)
    assert found["sign_real"].item() == pytest.approx(scores.sign().mean().item())

    images.requires_grad_(True)
    (gradient,) = torch.autograd.grad(d(images).sum(), images)
    assert found["r1"].item() == pytest.approx(gradient.square().sum((1, 2, 3)).mean().item(), rel=1e-3)
    # the average starts from the first step's weights
    for average, weight in zip(training.average.parameters(), training.generator.parameters(), strict=True):
        assert torch.equal(average, weight)


@pytest.mark.parametrize(("player", "interval"), [("generator", 4), ("discriminator", 16)])
def test_penalties_count_for_every_weight(player, interval, tmp_path):
    """Adam by hand; a weight that a penalty does not depend on has a gradient of 0 in it, as in the released code."""
    training = gan(tmp_path)
    optimizer, given = training.optimizers[player], []
    parameters = optimizer.param_groups[0]["params"]
    weights = [parameter.detach().clone() for parameter in parameters]
    adams = optimizer.step

    def noted():
        given.append([torch.zeros_like(p) if p.grad is None else p.grad.clone() for p in parameters])
        adams()

    optimizer.step = noted
    for step in range(3):
        training.step(step)
    assert len(given) == 4  # three steps of the loss, one of the penalty
    assert not all(gradient.any() for gradient in given[1])
    c = interval / (interval + 1)
    for index, (weight, found) in enumerate(zip(weights, parameters, strict=True)):
        second = torch.zeros_like(weight)
        for count, gradients in enumerate(given, start=1):
            second = 0.99**c * second + (1 - 0.99**c) * gradients[index] ** 2
            unbiased = second / (1 - 0.99 ** (c * count))
            weight -= 0.005 * c * gradients[index] / (unbiased.sqrt() + 1e-8)
        torch.testing.assert_close(found.detach(), weight, rtol=1e-4, atol=1e-6)


def test_penalties_are_lazy(tmp_path):
    training = gan(tmp_path)
    calls = []
    training._path_length = lambda: calls.append(("path", step)) or torch.zeros(())
    training._r1 = lambda images: calls.append(("r1", step)) or torch.zeros(())
    for step in range(18):
        training.step(step)
    assert [at for name, at in calls if name == "path"] == [0, 4, 8, 12, 16]
    assert [at for name, at in calls if name == "r1"] == [0, 16]
    assert len(training.optimizers["generator"].state_dict()["state"]) == len(list(training.generator.parameters()))


def test_a_broken_encoder_names_its_own_option(tmp_path, monkeypatch):
    first = pretrain(tiny(kimg=0.008), phantom(8, 1), run_in(tmp_path))
    monkeypatch.setattr(Batches, "at", lambda self, step, device: torch.full((4, 1, 16, 16), float("nan")))
    with pytest.raises(UserError, match=r"'pixels' is not finite by step 1; lower encoder_rate and run again"):
        model.fit(first, phantom(8, 1), run_in(tmp_path))


class Killed(Exception):
    pass


class Killer(Progress):
    """Breaks the `phase`-th loop after `steps` steps."""

    def __init__(self, phase: int, steps: int):
        super().__init__(quiet=True)
        self.left, self.steps = phase, steps

    def track(self, items, label, total=None, start=0):
        self.left -= 1
        for count, item in enumerate(items):
            if self.left == 0 and count == self.steps:
                raise Killed
            yield item


def trained(config, folder, progress=None):
    run = run_in(folder)
    run.progress = progress or run.progress
    out = folder / "model"
    out.mkdir(exist_ok=True)
    fit(config, phantom(8, 1), run).save(out)
    return load_file(out / "model.safetensors"), sorted(path.read_text() for path in out.rglob("loss.csv"))


@pytest.mark.parametrize(("phase", "steps"), [(1, 7), (2, 3)])
def test_a_killed_job_ends_with_the_same_bits(phase, steps, tmp_path):
    whole, broken = tmp_path / "whole", tmp_path / "broken"
    whole.mkdir(), broken.mkdir()
    config = tiny(checkpoint_s=1e-6, ada_target=0.0)
    expected = trained(config, whole)
    with pytest.raises(Killed):
        trained(config, broken, Killer(phase, steps))
    first = copy.copy(run_in(broken))
    said = []
    first.progress.say = said.append
    out = broken / "model"
    resumed = fit(config, phantom(8, 1), first)
    resumed.save(out)
    assert any("resumed" in line for line in said)
    found = load_file(out / "model.safetensors"), sorted(path.read_text() for path in out.rglob("loss.csv"))
    assert found[0].keys() == expected[0].keys()
    assert all(torch.equal(found[0][name], expected[0][name]) for name in expected[0])
    assert found[1] == expected[1] and len(found[1]) == 2


def test_snapshots_show_samples_and_encoded_slices_and_change_nothing(tmp_path):
    weights = {}
    for count in (2, 0):
        folder = tmp_path / str(count)
        folder.mkdir()
        weights[count], _ = trained(tiny(snapshots=count), folder)
    for phase in ("", "encoder"):
        assert len(list((tmp_path / "2" / "model" / phase / "snapshots").glob("*.png"))) == 2
        assert (tmp_path / "2" / "model" / phase / "loss.csv").is_file()
    assert all(torch.equal(weights[2][name], weights[0][name]) for name in weights[2])


def test_the_last_state_of_the_gan_is_kept_for_the_encoder(tmp_path):
    with pytest.raises(Killed):
        trained(tiny(), tmp_path, Killer(2, 1))  # no checkpoint was due
    run = run_in(tmp_path)
    said = []
    run.progress.say = said.append
    fit(tiny(), phantom(8, 1), run)
    assert "resumed at step 10 of 10" in said


def test_batches_pass_over_all_images():
    images = np.arange(10, dtype=np.float32)[:, None, None, None] * np.ones((1, 1, 8, 8), np.float32) / 10
    batches = Batches(images, 8, 4, 0.0, 1)
    for epoch in range(2):
        rows = torch.cat([batches.at(step, "cpu")[:, 0, 0, 0] for step in range(5)])[10 * epoch : 10 * epoch + 10]
        assert sorted(((rows + 1) * 5).round().int().tolist()) == list(range(10))
    assert torch.equal(batches.at(3, "cpu"), Batches(images, 8, 4, 0.0, 1).at(3, "cpu"))
    slope = np.linspace(0, 1, 8, dtype=np.float32) * np.ones((1, 1, 8, 8), np.float32)
    flipped = Batches(slope, 8, 64, 0.5, 1).at(0, "cpu")[:, 0, 0, 0] > 0
    assert 16 < flipped.sum() < 48


@pytest.mark.parametrize(
    ("shape", "side"), [((128, 128), 128), ((96, 96), 128), ((88, 80), 64), ((240, 200), 256), ((5, 5), 8)]
)
def test_resolution_is_the_nearest_power_of_two(shape, side):
    assert nearest_resolution(*shape) == side


def test_there_and_back_keeps_an_image():
    x = torch.rand(2, 1, 32, 32)
    torch.testing.assert_close(from_square(to_square(x, 32), 32, 32), x, rtol=0, atol=1e-6)
    smooth = functional.interpolate(torch.rand(1, 1, 4, 4), size=(40, 28), mode="bilinear")
    square = to_square(smooth, 64)
    assert square.shape == (1, 1, 64, 64) and square[..., 0].max() == -1  # filled with air
    assert (from_square(square, 40, 28) - smooth).abs().mean() < 0.01


def test_mixed_precision_is_near_single_and_penalties_are_in_single(tmp_path, monkeypatch):
    losses, seen = {}, []
    for precision in ("fp32", "bf16"):
        training = gan(tmp_path, precision=precision)
        losses[precision] = torch.stack(list(training.step(0)))
    assert losses["bf16"].isfinite().all()
    torch.testing.assert_close(losses["bf16"], losses["fp32"], rtol=0.05, atol=0.02)
    assert not torch.equal(losses["bf16"], losses["fp32"])
    assert all(parameter.dtype == torch.float32 for parameter in training.generator.parameters())

    def noted(forward):
        return lambda *given, **named: (seen.append(torch.is_autocast_enabled("cpu")), forward(*given, **named))[1]

    monkeypatch.setattr(training.discriminator, "forward", noted(training.discriminator.forward))
    monkeypatch.setattr(training.generator.synthesis, "forward", noted(training.generator.synthesis.forward))
    training._r1(training.batches.at(0, "cpu"))
    training._path_length()
    assert seen == [False, False]
    training._train_generator()
    assert seen[2:] == [True, True]

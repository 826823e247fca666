"""What a GPU does otherwise in translation: replayed evaluations, batches filled up, weights of 16 bits; shown on a CPU."""

from __future__ import annotations

import numpy as np
import pytest
import torch
from diffusers import UNet2DModel

from xmodbench.learning import cuda_graph
from xmodbench.learning.diffusion import plugin
from xmodbench.learning.diffusion.evaluations import Evaluations
from xmodbench.learning.diffusion.model import DiffusionModel
from xmodbench.learning.diffusion.unet import ResnetBlock2D, _UndividedBlock, without_divisions
from xmodbench.plugins import METHODS, Run, find
from xmodbench.seeding import ImageGenerator

METHOD = find(METHODS, "midiffusion").cls
IMAGES = np.random.default_rng(0).random((5, 1, 12, 10), dtype=np.float32)
cuda = pytest.mark.skipif(not torch.cuda.is_available(), reason="no CUDA device")


def method_with(device: str = "cpu", **changes):
    """A method with an untrained model, the same for the same settings."""
    settings = {"preset": "short", "width": 8, "sampling_steps": 5, **changes}
    method = METHOD(METHOD.Config(**settings))
    torch.manual_seed(0)
    method.model = DiffusionModel.new(method.settings.resolved(), 3)
    method.model.network.to(device).eval()
    return method


def run_on(device: str, tmp_path, quiet) -> Run:
    return Run(1, device, tmp_path, quiet)


def drawn(method, rows: slice, device: str = "cpu") -> np.ndarray:
    generators = [ImageGenerator.of(1, str(row)) for row in range(len(IMAGES))[rows]]
    return plugin._translate(method.model, IMAGES[rows], generators, method.draw, device)


@pytest.fixture
def replayed(monkeypatch, tmp_path, quiet) -> Run:
    """The job of a GPU that captures nothing: what is replayed is the work itself, on the graph's own places."""
    monkeypatch.setattr(cuda_graph, "captured", lambda work: work)
    return run_on("cuda", tmp_path, quiet)


@pytest.mark.parametrize("sampler", ["ancestral", "ddim", "dpmpp_2m", "unipc", "heun"])
def test_replayed_evaluations_change_no_bit(replayed, sampler):
    """Also for a second batch, whose sources and maps must take the first one's places, and for one of another size."""
    method = method_with(sampler=sampler)
    parts = slice(0, 2), slice(2, 4), slice(4, 5)
    plain = [drawn(method, part) for part in parts]
    method.model.evaluations = Evaluations(replayed)
    for part, want in zip(parts, plain, strict=True):
        np.testing.assert_array_equal(drawn(method, part), want)
    assert replayed.facts["cuda_graph"] == {"evaluation": True}


def test_what_cannot_be_captured_runs_as_it_is_and_says_so_once(tmp_path, quiet, monkeypatch):
    said = []
    monkeypatch.setattr(quiet, "say", said.append)
    run = run_on("cuda", tmp_path, quiet)  # there is none: every capture fails
    method = method_with()
    plain = drawn(method, slice(0, 2)), drawn(method, slice(4, 5))
    method.model.evaluations = Evaluations(run)
    found = drawn(method, slice(0, 2)), drawn(method, slice(4, 5))
    for one, want in zip(found, plain, strict=True):
        np.testing.assert_array_equal(one, want)
    assert len(said) == 1 and said[0].startswith("evaluation: no CUDA graph (")
    assert run.facts["cuda_graph"] == {"evaluation": False}


def test_what_the_work_changes_is_put_back(tmp_path, quiet, monkeypatch):
    count = torch.zeros(2)
    monkeypatch.setattr(cuda_graph, "captured", lambda work: [work() for _ in range(3)] and work)
    again = cuda_graph.replayable(lambda: count.add_(1), run_on("cuda", tmp_path, quiet), "counting", [count])
    assert count.tolist() == [0, 0]
    again()
    assert count.tolist() == [1, 1]


def test_a_smaller_batch_is_filled_up_and_its_images_stay_the_same(replayed):
    evaluations = Evaluations(replayed)
    full = [ImageGenerator(seed) for seed in range(3)]
    source, generators = evaluations.filled(IMAGES[:3], full)
    assert source.shape[0] == len(generators) == 3
    source, generators = evaluations.filled(IMAGES[3:4], [ImageGenerator(9)])
    np.testing.assert_array_equal(source, IMAGES[[3, 3, 3]])
    assert [one.seed for one in generators] == [9, 9, 9]
    assert len({id(one) for one in generators}) == 3  # each draws for itself
    other_size = np.zeros((2, 1, 8, 8), np.float32)
    assert len(evaluations.filled(other_size, full[:2])[0]) == 2
    method = method_with()
    generators = [ImageGenerator.of(1, "a")]
    alone = plugin._translate(method.model, IMAGES[3:4], generators, method.draw, "cpu")
    source, generators = evaluations.filled(IMAGES[3:4], [ImageGenerator.of(1, "a")])
    together = plugin._translate(method.model, source, generators, method.draw, "cpu")
    np.testing.assert_allclose(together[:1], alone, atol=2e-6)


def test_translation_hands_back_as_many_images_as_it_got(replayed, monkeypatch):
    """The last batch of a job on a GPU, whose results are cut back."""
    method, seen = method_with(), []
    method.model.evaluations = Evaluations(replayed)
    where = type("Elsewhere", (), {"device": torch.device("meta")})
    monkeypatch.setattr(method.model.network, "parameters", lambda: iter([where]))
    monkeypatch.setattr(
        plugin, "_translate", lambda model, source, generators, draw, device: (seen.append(len(source)), source)[1]
    )
    generators = [ImageGenerator(row) for row in range(5)]
    for rows in (slice(0, 3), slice(3, 5)):
        found = plugin.translate(method.model, IMAGES[rows], generators[rows], method.draw)
        np.testing.assert_array_equal(found, IMAGES[rows])
    assert seen == [3, 3]


def test_weights_of_16_bits_are_near(tmp_path, quiet):
    """Through the model folder: the weights are trained and kept in float32, and rounded when they are read."""
    method = method_with()
    method.save = method.model.save
    method.model.save(tmp_path)
    found = {}
    for weights in ("fp32", "bf16"):
        other = METHOD(METHOD.Config(preset="short", width=8, sampling_steps=5, weights=weights))
        other.load(tmp_path, run_on("cpu", tmp_path, quiet))
        assert {p.dtype for p in other.model.network.parameters()} == {
            {"fp32": torch.float32, "bf16": torch.bfloat16}[weights]
        }
        found[weights] = drawn(other, slice(0, 1))
    assert found["bf16"].dtype == np.float32
    assert 0 < np.abs(found["bf16"] - found["fp32"]).mean() < 0.02


@pytest.mark.parametrize("training", [False, True])
def test_undivided_blocks_change_no_bit(training):
    torch.manual_seed(0)
    divided = UNet2DModel(
        in_channels=2,
        out_channels=1,
        block_out_channels=(8, 16),
        layers_per_block=1,
        down_block_types=("DownBlock2D", "AttnDownBlock2D"),
        up_block_types=("AttnUpBlock2D", "UpBlock2D"),
        norm_num_groups=4,
        attention_head_dim=None,
    ).train(training)
    x, t = torch.randn(2, 2, 8, 8), torch.tensor([3, 700])
    results = []
    for make in (lambda unet: unet, without_divisions):
        unet = make(divided)
        unet.zero_grad()
        torch.manual_seed(1)
        answer = unet(x, t).sample
        answer.square().sum().backward()
        results.append((answer.detach(), [p.grad.clone() for p in unet.parameters()]))
    blocks = [module for module in divided.modules() if isinstance(module, ResnetBlock2D)]
    assert blocks and all(type(block) is _UndividedBlock for block in blocks)
    assert torch.equal(results[0][0], results[1][0])
    assert all(map(torch.equal, results[0][1], results[1][1]))


def test_blocks_that_do_more_than_add_are_left_alone():
    scaled, up = ResnetBlock2D(in_channels=8, temb_channels=8, groups=4, output_scale_factor=2.0), None
    up = ResnetBlock2D(in_channels=8, temb_channels=8, groups=4, up=True)
    without_divisions(torch.nn.ModuleList([scaled, up]))
    assert type(scaled) is type(up) is ResnetBlock2D


@pytest.mark.gpu
@cuda
@pytest.mark.parametrize("sampler", ["ancestral", "ddim", "dpmpp_2m", "unipc", "heun"])
def test_a_gpu_replays_what_it_would_do_step_by_step(tmp_path, quiet, sampler):
    method = method_with("cuda", sampler=sampler)
    parts = slice(0, 2), slice(2, 4), slice(4, 5)
    plain = [drawn(method, part, "cuda") for part in parts]
    run = run_on("cuda", tmp_path, quiet)
    method.model.evaluations = Evaluations(run)
    for part, want in zip(parts, plain, strict=True):
        np.testing.assert_allclose(drawn(method, part, "cuda"), want, atol=1e-5)
    assert run.facts["cuda_graph"] == {"evaluation": True}


@pytest.mark.gpu
@cuda
def test_a_gpu_translates_an_image_alike_in_any_batch(tmp_path, quiet):
    method = method_with("cuda")
    method.model.evaluations = Evaluations(run_on("cuda", tmp_path, quiet))
    generators = [ImageGenerator.of(1, str(row)) for row in range(5)]
    together = method.translate(IMAGES[:3], generators[:3])
    for row in range(3):
        alone = method.translate(IMAGES[row : row + 1], generators[row : row + 1])
        np.testing.assert_allclose(alone[0], together[row], atol=1e-4)

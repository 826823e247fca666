"""LMI as a differentiable layer: exact gradients, bounded memory, and an image aligned by following them."""

from __future__ import annotations

from itertools import pairwise
from pathlib import Path

import numpy as np
import pytest
import torch

from xmodbench.errors import UserError
from xmodbench.plugins import METHODS, find

find(METHODS, "midiffusion")
from xmodbench_methods.midiffusion import lmi_torch  # noqa: E402
from xmodbench_methods.midiffusion.lmi import LmiOptions, lmi_map  # noqa: E402

GOLDEN = np.load(Path(__file__).parents[1] / "data" / "lmi_golden.npz")


def images(height: int, width: int, dtype=torch.float64) -> list[torch.Tensor]:
    generator = torch.Generator().manual_seed(1)
    return [torch.rand((1, 1, height, width), generator=generator, dtype=dtype) for _ in range(2)]


@pytest.mark.parametrize(
    "options",
    [
        {},
        {"normalise": False, "search": "shift"},
        {"marginals": "from-joint", "reduce": "mean"},
        {"pad": "reflect", "temperature": 0.5, "log_base": 2.718281828},
    ],
)
def test_gradients_to_both_images_equal_finite_differences(options):
    s, y = (image.requires_grad_() for image in images(2, 3))
    assert torch.autograd.gradcheck(
        lambda a, b: lmi_map(a, b, differentiable=True, bins=9, bandwidth=24.0, **options), (s, y), eps=1e-5, atol=1e-5
    )


def test_gradients_do_not_depend_on_the_chunks(monkeypatch):
    s, y = images(9, 7, torch.float32)
    found = []
    for chunk in (lmi_torch.CHUNK_BYTES, 1):
        monkeypatch.setattr(lmi_torch, "CHUNK_BYTES", chunk)
        one, two = s.clone().requires_grad_(), y.clone().requires_grad_()
        lmi_map(one, two, differentiable=True).square().sum().backward()
        found.append((one.grad, two.grad))
    for whole, cut in zip(*found, strict=True):
        assert whole.abs().max() > 0.1
        torch.testing.assert_close(whole, cut, rtol=1e-4, atol=1e-5)


def test_joint_histograms_are_not_kept_for_the_way_back():
    s, y = images(24, 24, torch.float32)
    kept = []
    with torch.autograd.graph.saved_tensors_hooks(lambda x: kept.append(x.numel()) or x, lambda x: x):
        lmi_map(s.requires_grad_(), y.requires_grad_(), differentiable=True)
    assert sum(kept) < 24 * 24 * 9 * 27 < 24 * 24 * 9 * 27 * 27


def test_following_the_gradient_raises_the_map():
    """The demonstration: a noisy image is changed until it shares the reference's structure."""
    reference = torch.from_numpy(GOLDEN["in_smooth_a"])[..., 40:56, 40:56]
    generator = torch.Generator().manual_seed(0)
    sliding = torch.rand(reference.shape, generator=generator).requires_grad_()
    options = LmiOptions(normalise=False, marginals="from-joint", out_of_range="clip", temperature=0.2)
    optimiser = torch.optim.Adam([sliding], lr=0.02)
    means = []
    for _ in range(15):
        optimiser.zero_grad()
        mean = lmi_map(reference, sliding, options, differentiable=True).mean()
        (-mean).backward()
        optimiser.step()
        means.append(mean.item())
    assert means[-1] > 1.1 * means[0]
    assert sum(later > earlier for earlier, later in pairwise(means)) >= 12


def test_the_soft_map_nears_the_hard_one():
    s, y = images(6, 6, torch.float32)
    hard = lmi_map(s, y, quantise="none", path="torch")
    soft = [lmi_map(s, y, differentiable=True, temperature=t) for t in (0.1, 0.01, 0.001)]
    gaps = [(hard - one).abs().max().item() for one in soft]
    assert gaps[0] > gaps[1] > gaps[2] and gaps[2] < 1e-3


def test_no_gradient_unless_asked_for():
    s, y = images(4, 4, torch.float32)
    assert not lmi_map(s.requires_grad_(), y.requires_grad_()).requires_grad
    with torch.no_grad():
        assert not lmi_map(s, y, differentiable=True).requires_grad
    assert lmi_map(s.double(), y.double(), differentiable=True).dtype == torch.float64


def test_a_path_that_cannot_is_one_line():
    s, y = images(4, 4, torch.float32)
    for path, options in (("triton", {}), ("compiled", {"reduce": "mean"}), ("wrong", {})):
        with pytest.raises(UserError, match=f"path '{path}' cannot make this map on cpu"):
            lmi_map(s, y, path=path, **options)

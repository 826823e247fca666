"""LMI against the released code's outputs, an independent float64 version, and its stated properties."""

from __future__ import annotations

import sys
from pathlib import Path

import numpy as np
import pytest
import torch

from xmodbench.errors import UserError
from xmodbench.plugins import METHODS, find

sys.path.insert(0, str(Path(__file__).parent))
import lmi_reference

find(METHODS, "midiffusion")
from xmodbench_methods.midiffusion import lmi_cpu, lmi_torch  # noqa: E402
from xmodbench_methods.midiffusion.lmi import LmiOptions, lmi_map, lmi_scores  # noqa: E402

GOLDEN = np.load(Path(__file__).parents[1] / "data" / "lmi_golden.npz")
PAIRS = [tuple(str(pair).split("|")) for pair in GOLDEN["pairs"]]


def golden(name):
    return torch.from_numpy(GOLDEN[name])


def plain(reference, sliding, **options):
    """The map by plain tensor operations, whatever the device."""
    options = LmiOptions(**options)
    levels = [torch.trunc(255 * image[:, 0]) for image in (reference, sliding)]
    return lmi_torch.reduced_map(*levels, options)[:, None]


@pytest.mark.parametrize("normalise", [False, True])
@pytest.mark.parametrize("index", range(len(PAIRS)))
def test_compiled_map_equals_the_released_code(index, normalise):
    reference, sliding = (golden(f"in_{name}") for name in PAIRS[index])
    want = golden(f"sim_{'norm' if normalise else 'raw'}_{index}")
    torch.testing.assert_close(lmi_map(reference, sliding, normalise=normalise), want, atol=5e-6, rtol=0)


@pytest.mark.parametrize(("index", "normalise"), [(0, True), (2, True), (5, False)])
def test_plain_map_equals_the_released_code(index, normalise):
    reference, sliding = (golden(f"in_{name}")[..., 50:75, :] for name in PAIRS[index])
    want = golden(f"sim_{'norm' if normalise else 'raw'}_{index}")[..., 52:73, :]
    torch.testing.assert_close(plain(reference, sliding, normalise=normalise)[..., 2:-2, :], want, atol=5e-6, rtol=0)


@pytest.mark.parametrize(("index", "key"), [(0, "all9_norm_0_rows60_63"), (5, "all9_raw_5_rows60_63")])
def test_all_nine_scores_equal_the_golden_ones(index, key):
    reference, sliding = (golden(f"in_{name}") for name in PAIRS[index])
    found = lmi_scores(reference, sliding, rows=range(60, 64), normalise="norm" in key)
    torch.testing.assert_close(found, golden(key), atol=5e-6, rtol=0)


def test_pixel_of_the_largest_score_is_the_released_codes():
    reference, sliding = (golden(f"in_{name}") for name in PAIRS[0])
    best = lmi_scores(reference, sliding, rows=range(50, 60)).argmax(-1)[0]
    i, j = torch.meshgrid(torch.arange(50, 60), torch.arange(128), indexing="ij")
    padded = torch.nn.functional.pad(sliding[0, 0], (1, 1, 1, 1))
    found = padded[i + best // 3, j + best % 3]
    assert (found - golden("aligned_norm_0")[0, 0, 50:60]).abs().gt(1e-6).float().mean() < 0.02  # ties


@pytest.mark.parametrize(("sigma", "key"), [(2.0, "2p0"), (1.5, "1p5"), (3.1, "3p1")])
@pytest.mark.parametrize("normalise", [False, True])
def test_single_windows_equal_the_golden_ones(sigma, key, normalise):
    x, y = golden("patch_x"), golden("patch_y")
    options = LmiOptions(bandwidth=2 * sigma**2, normalise=normalise)
    found = lmi_scores(x, y, options)[:, 1, 1, 4]  # the centre window of a 3x3 image is all of it
    want = golden(f"patch_mi_{'norm' if normalise else 'raw'}_sig{key}")
    torch.testing.assert_close(found, want, atol=5e-6, rtol=0)


@pytest.mark.parametrize(
    "options",
    [
        {},
        {"normalise": False},
        {"search": "shift", "radius": 1},
        {"search": "shift", "radius": 2, "normalise": False},
        {"bins": 16, "bandwidth": 12.0},
        {"log_base": float(np.e), "normalise": False},
    ],
)
def test_compiled_and_plain_map_equal_float64(options):
    rng = np.random.default_rng(3)
    s, y = rng.random((9, 11)), rng.normal(0.5, 0.5, (9, 11))
    settings = {{"bandwidth": "h", "log_base": "base"}.get(k, k): v for k, v in options.items()}
    want = torch.from_numpy(lmi_reference.lmi(s, y, **settings))[None, None]
    s, y = (torch.from_numpy(image.astype(np.float32))[None, None] for image in (s, y))
    torch.testing.assert_close(lmi_map(s, y, **options).double(), want, atol=5e-6, rtol=0)
    torch.testing.assert_close(plain(s, y, **options).double(), want, atol=5e-6, rtol=0)


def test_windows_of_five_pixels_equal_float64():
    rng = np.random.default_rng(4)
    s, y = rng.random((7, 6)), rng.normal(0.4, 0.4, (7, 6))
    want = torch.from_numpy(lmi_reference.lmi(s, y, p=5, bins=125))[None, None]
    s, y = (torch.from_numpy(image.astype(np.float32))[None, None] for image in (s, y))
    torch.testing.assert_close(lmi_map(s, y, window=5, bins=125).double(), want, atol=5e-6, rtol=0)


def test_joint_marginals_equal_float64_and_are_never_negative():
    rng = np.random.default_rng(5)
    s, y = rng.random((6, 7)), rng.random((6, 7))
    want = torch.from_numpy(lmi_reference.lmi(s, y, from_joint=True, normalise=False))[None, None]
    s, y = (torch.from_numpy(image.astype(np.float32))[None, None] for image in (s, y))
    found = lmi_map(s, y, marginals="from-joint", normalise=False)
    torch.testing.assert_close(found.double(), want, atol=5e-6, rtol=0)
    assert lmi_scores(s, y, marginals="from-joint", normalise=False).min() > -1e-6


def test_constant_interior_is_zero_and_borders_see_grey_level_zero():
    image = torch.full((1, 1, 16, 16), 0.5)
    raw, norm = lmi_map(image, image, normalise=False), lmi_map(image, image)
    assert norm[..., 1:-1, 1:-1].abs().max() < 1e-6
    for found, edge, corner in ((raw, 0.86, 0.93), (norm, 0.36, 0.38)):
        assert found[0, 0, 0, 5].item() == pytest.approx(edge, abs=0.01)
        assert found[0, 0, 0, 0].item() == pytest.approx(corner, abs=0.01)


@pytest.mark.parametrize("level", [-0.5, -0.31, -0.22, -0.2, 1.2, 1.22, 1.31, 1e9])
def test_windows_far_out_of_range_saturate_as_defined(level):
    reference = golden("in_smooth_a")[..., :7, :7]
    far = torch.full_like(reference, level)
    for normalise in (False, True):
        want = lmi_reference.lmi(reference[0, 0].numpy(), far[0, 0].numpy(), normalise=normalise)
        found = lmi_map(reference, far, normalise=normalise)[0, 0].double()
        torch.testing.assert_close(found, torch.from_numpy(want), atol=5e-6, rtol=0)
    if not -0.3 < level < 1.3:
        assert (lmi_map(reference, far)[..., 2:-2, 2:-2] - 2).abs().max() < 1e-4


def test_constant_reference_is_not_zero_where_the_sliding_window_is_saturated():
    flat, far = torch.full((1, 1, 8, 8), 0.5), torch.full((1, 1, 8, 8), 2.0)
    assert (lmi_map(flat, far)[..., 2:-2, 2:-2] - 2).abs().max() < 1e-4


def test_grey_levels_are_truncated_toward_zero():
    a = golden("in_smooth_a")[..., :12, :12]
    negative = -a * 0.1 - 0.0005
    by_hand = torch.trunc(255 * negative) / 255 + torch.sign(negative) * 1e-6
    torch.testing.assert_close(lmi_map(a, negative), lmi_map(a, by_hand), atol=1e-6, rtol=0)
    assert not torch.allclose(lmi_map(a, negative), lmi_map(a, torch.floor(255 * negative) / 255), atol=1e-4)


def test_mirrored_images_give_the_mirrored_map():
    a, b = golden("in_smooth_a")[..., :30, :21], golden("in_phantom_t300")[..., 50:80, 50:71]
    torch.testing.assert_close(lmi_map(a.flip(-1), b.flip(-1)), lmi_map(a, b).flip(-1), atol=1e-6, rtol=0)


@pytest.mark.parametrize("shape", [(1, 1), (2, 5), (17, 3), (40, 33)])
def test_any_size_and_batch(shape):
    rng = torch.Generator().manual_seed(0)
    a, b = torch.rand((5, 1, *shape), generator=rng), torch.randn((5, 1, *shape), generator=rng)
    together = lmi_map(a, b)
    assert together.shape == a.shape
    assert together.dtype == torch.float32
    apart = torch.cat([lmi_map(x[None], y[None]) for x, y in zip(a, b, strict=True)])
    assert torch.equal(together, apart)
    torch.testing.assert_close(together, plain(a, b), atol=5e-6, rtol=0)


def test_threads_change_nothing():
    a, b = golden("in_smooth_a"), golden("in_noise")
    levels = [np.ascontiguousarray(np.pad(np.trunc(255 * x[0].numpy()), ((0, 0), (0, 1), (0, 1)))) for x in (a, b)]
    options = LmiOptions()
    rows = [np.clip(x, -options.margin, 255 + options.margin).astype(np.int32) + options.margin for x in levels]
    one, two = (lmi_cpu.compiled_map(*rows, options, threads) for threads in (1, 2))
    assert np.array_equal(one, two)


@pytest.mark.parametrize("pad", ["reflect", "replicate"])
def test_padding_modes_agree_between_paths_and_with_a_padded_image(pad):
    a, b = golden("in_smooth_a")[..., :20, :20], golden("in_smooth_b")[..., :20, :20]
    found = lmi_map(a, b, search="shift", pad=pad)
    torch.testing.assert_close(found, plain(a, b, search="shift", pad=pad), atol=5e-6, rtol=0)
    wide = [torch.nn.functional.pad(x, (3, 3, 3, 3), mode=pad) for x in (a, b)]
    inner = lmi_map(*wide, search="shift")[..., 3:-3, 3:-3]
    torch.testing.assert_close(found, inner, atol=5e-6, rtol=0)


def test_out_of_range_modes():
    a, b = golden("in_smooth_a")[..., :20, :20], golden("in_phantom_t300")[..., 50:70, 50:70]
    assert torch.equal(lmi_map(a, b, out_of_range="clip"), lmi_map(a, b.clamp(0, 1)))
    stretched = (b - b.min()) / (b.max() - b.min())
    assert torch.equal(lmi_map(a, b, out_of_range="scale"), lmi_map(a, stretched))
    assert lmi_map(a, 3 * b, out_of_range="clip").max() < 1.001


def test_mean_and_softmax_lie_below_the_maximum():
    a, b = golden("in_smooth_a")[..., :12, :12], golden("in_smooth_b")[..., :12, :12]
    largest, soft, mean = (lmi_map(a, b, reduce=name) for name in ("max", "softmax", "mean"))
    assert (mean <= largest + 1e-6).all()
    assert (soft <= largest + 1e-6).all()
    assert (lmi_map(a, b, reduce="softmax", temperature=1e-4) - largest).abs().max() < 1e-3


def test_unequal_shapes_and_bad_options_are_one_line():
    with pytest.raises(UserError, match="images of shapes"):
        lmi_map(torch.zeros(1, 1, 8, 8), torch.zeros(1, 1, 8, 9))
    with pytest.raises(UserError, match="window must be odd"):
        lmi_map(torch.zeros(1, 1, 8, 8), torch.zeros(1, 1, 8, 8), window=4)


def test_many_images_are_worked_on_at_once_where_operations_are_dear(monkeypatch):
    """As on a GPU: as many operations for eight images as for one, and the same map."""
    from torch.utils._python_dispatch import TorchDispatchMode

    class Counting(TorchDispatchMode):
        def __torch_dispatch__(self, func, types, args=(), kwargs=None):
            self.count = getattr(self, "count", 0) + 1
            return func(*args, **(kwargs or {}))

    images = torch.from_numpy(np.random.default_rng(3).random((8, 9, 7), dtype=np.float32))
    levels = torch.trunc(255 * images).to("meta")
    counts = []
    for part in (levels[:1], levels[:1], levels):  # the first also fills what is kept
        with Counting() as counting:
            lmi_torch.reduced_map(part, part, LmiOptions())
        counts.append(counting.count)
    assert counts[1] == counts[2] < 600  # about half of them are views
    monkeypatch.setattr(lmi_torch, "GPU_CHUNK_BYTES", 3 * 7 * 9 * 27**2 * 16)
    with Counting() as counting:
        lmi_torch.reduced_map(levels, levels, LmiOptions())
    assert counting.count > 2 * counts[1]

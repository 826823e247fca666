"""What MIDiffusion keeps on the way: the maps that guided it, without changing what it finds."""

from __future__ import annotations

import math

import numpy as np
import pytest
import torch

from xmodbench.plugins import METHODS, find
from xmodbench.seeding import ImageGenerator

METHOD = find(METHODS, "midiffusion").cls
from xmodbench_methods.midiffusion.guidance import lmi_options, planes  # noqa: E402
from xmodbench_methods.midiffusion.lmi import lmi_map  # noqa: E402
from xmodbench_methods.midiffusion.watch import watched_steps  # noqa: E402

from xmodbench.learning.diffusion.model import DiffusionModel  # noqa: E402

SOURCE = np.random.default_rng(1).random((2, 1, 16, 16), dtype=np.float32)


def method(**changes):
    """An untrained model that translates in four steps."""
    settings = METHOD.Config(preset="short", network="small", width=8, sampling_steps=4, **changes)
    torch.manual_seed(0)
    found = METHOD(settings)
    found.model = DiffusionModel.new(settings.resolved(), 1 + planes(settings.resolved().channels))
    return found


def translated(one):
    return one.translate(SOURCE, [ImageGenerator(seed) for seed in (1, 2)])


@pytest.mark.parametrize(
    ("keep", "steps", "wanted"), [(3, 10, (0, 4, 9)), (1, 10, (0,)), (9, 4, (0, 1, 2, 3)), (2, 1, (0,))]
)
def test_steps_are_spread_evenly(keep, steps, wanted):
    assert watched_steps(keep, steps) == wanted


@pytest.mark.parametrize(
    "options", [{"normalise_sample": True}, {"normalise_sample": False}, {"channels": ("mind", "cross")}]
)
def test_maps_are_those_of_source_and_noisy_image_and_nothing_changes(options):
    plain, watching = method(**options), method(**options, keep_steps=2)
    assert plain.intermediates() == ()
    assert watching.intermediates() == ("noisy_0", "lmi_0", "noisy_3", "lmi_3")
    np.testing.assert_array_equal(translated(plain), translated(watching))
    kept = watching.intermediate_images
    assert set(kept) == set(watching.intermediates())
    assert {images.shape for images in kept.values()} == {SOURCE.shape}
    settings = watching.model.settings
    noisy = torch.from_numpy(kept["noisy_3"])
    inside = (
        (noisy > 0) & (noisy < 1)
    ).numpy()  # kept within [0, 1]: windows with values beyond are other than they were
    whole = np.lib.stride_tricks.sliding_window_view(
        np.pad(inside, [(0, 0), (0, 0), (1, 1), (1, 1)]), (3, 3), (2, 3)
    ).all((-1, -2))
    lmi = lmi_map(torch.from_numpy(SOURCE), noisy, lmi_options(settings, settings.normalise_sample)).numpy()
    top = 1 if settings.normalise_sample else math.log(settings.bins, settings.log_base)
    assert whole.any()
    np.testing.assert_allclose(kept["lmi_3"][whole], np.clip(lmi / top, 0, 1)[whole], atol=1e-5)


def test_a_second_call_keeps_its_own():
    watching = method(keep_steps=1)
    translated(watching)
    watching.translate(SOURCE[:1], [ImageGenerator(3)])
    assert watching.intermediate_images["lmi_0"].shape == (1, 1, 16, 16)


@pytest.mark.parametrize("changes", [{"channels": ("self",)}, {"augment_test": True}, {"samples": 2}])
def test_nothing_is_kept_where_no_map_belongs_to_the_image(changes):
    watching = method(keep_steps=3, **changes)
    assert watching.intermediates() == ()
    translated(watching)

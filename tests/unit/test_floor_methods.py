"""The methods that learn nothing but what their training slices look like: histogram matching and the nearest slice."""

from __future__ import annotations

import numpy as np
import pytest
from scipy.stats import ks_2samp
from skimage.metrics import normalized_mutual_information

from xmodbench.plugins import METHODS, Run, TrainData, find
from xmodbench.progress import Progress

RNG = np.random.default_rng(0)
TARGET = RNG.random((5, 1, 16, 12), dtype=np.float32) ** 2


def trained(name, tmp_path, **settings):
    """A method trained on `TARGET`, as another object reads it from its folder."""
    cls = find(METHODS, name).cls
    run = Run(seed=0, device="cpu", state_dir=tmp_path, progress=Progress("test"))
    first, second = (cls(cls.Config(**settings)) for _ in range(2))
    first.fit(TrainData(TARGET), run)
    (tmp_path / "model").mkdir()
    first.save(tmp_path / "model")
    second.load(tmp_path / "model", run)
    return second


def test_histogram_matching_undoes_any_rising_change_of_contrast(tmp_path):
    """Of all the target's slices as one image, each grey level finds its way back; a falling change cannot be undone."""
    method = trained("histogram_matching", tmp_path, levels=TARGET.size)
    whole = TARGET.reshape(1, 1, -1, 12)
    for change in (lambda x: 0.2 + 0.5 * x, np.sqrt, lambda x: x**3):
        np.testing.assert_allclose(method.translate(change(whole), []), whole, atol=1e-6)
    assert np.corrcoef(method.translate(1 - whole, []).ravel(), whole.ravel())[0, 1] < -0.5


def test_histogram_matching_gives_the_targets_distribution_and_keeps_flat_what_is_flat(tmp_path):
    method = trained("histogram_matching", tmp_path, levels=100)
    source = RNG.random((3, 1, 40, 40), dtype=np.float32)
    source[:, :, :20] = 0.5
    found = method.translate(source, [])
    assert found.dtype == np.float32
    assert 0 <= found.min() <= found.max() <= 1
    for image, of_source in zip(found, source, strict=True):
        assert len(np.unique(image[of_source == 0.5])) == 1
    free = method.translate(RNG.random((1, 1, 60, 60), dtype=np.float32), [])
    assert ks_2samp(free.ravel(), TARGET.ravel()).statistic < 0.03


def test_nearest_slice_is_the_one_that_shares_most_information_whatever_the_contrast(tmp_path):
    method = trained("nearest_slice", tmp_path)
    np.testing.assert_array_equal(method.translate(1 - TARGET[::-1], []), TARGET[::-1])
    source = np.clip(1 - TARGET[:2] + 0.1 * RNG.standard_normal(TARGET[:2].shape), 0, 1).astype(np.float32)

    def shared(a, b):
        """scikit-image bins each image between its own extremes, so both are given these."""
        a, b = (np.append(np.floor(np.minimum(image * 32, 31)), [0, 31]) for image in (a, b))
        return normalized_mutual_information(a, b, bins=32)

    want = [TARGET[int(np.argmax([shared(image, other) for other in TARGET]))] for image in source]
    np.testing.assert_array_equal(method.translate(source, []), want)


@pytest.mark.parametrize(("neighbours", "kept"), [(2, 2), (5, 5), (400, 5)])
def test_nearest_slices_are_averaged(tmp_path, neighbours, kept):
    found = trained("nearest_slice", tmp_path, neighbours=neighbours).translate(1 - TARGET[3:4], [])
    if kept == len(TARGET):
        np.testing.assert_allclose(found[0], TARGET.mean(0), atol=1e-6)
    else:
        others = [(TARGET[3] + TARGET[k]) / 2 for k in (0, 1, 2, 4)]
        assert min(np.abs(found[0] - other).max() for other in others) < 1e-6

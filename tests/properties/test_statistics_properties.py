"""Scores stay within their metrics' bounds, and statistics keep what they promise, for any images and numbers."""

from __future__ import annotations

import numpy as np
from hypothesis import given
from hypothesis import strategies as st
from hypothesis.extra.numpy import arrays

from xmodbench.metrics import stats
from xmodbench.metrics.paired import SMALLEST, score_images
from xmodbench.metrics.registry import METRICS, PAIRED

SIZE = st.integers(SMALLEST, SMALLEST + 5)
levels = st.sampled_from([0.0, 1.0, 0.05, 0.5, 1 / 255, 254 / 255, 1e-7, 1e-38, float(np.nextafter(np.float32(1), 0))])


@st.composite
def images(draw, shape: tuple[int, int]) -> np.ndarray:
    """An image in [0, 1]: constant, of two values, smooth, random, a single pixel, or what a search thinks of."""
    kind = draw(st.sampled_from(["constant", "binary", "smooth", "random", "pixel", "any"]))
    low, high = draw(levels), draw(levels)
    rng = np.random.default_rng(draw(st.integers(0, 9)))
    yy, xx = np.mgrid[0 : 1 : shape[0] * 1j, 0 : 1 : shape[1] * 1j]
    made = {
        "constant": lambda: np.full(shape, low),
        "binary": lambda: np.where(rng.random(shape) < 0.5, low, high),
        "smooth": lambda: np.clip(low + (high - low) * (xx + yy) / 2, 0, 1),
        "random": lambda: rng.random(shape),
        "pixel": lambda: np.where((xx == 0) & (yy == 0), low, high),
        "any": lambda: draw(arrays(np.float32, shape, elements=st.floats(0, 1, width=32), fill=levels)),
    }
    return made[kind]().astype(np.float32)


@st.composite
def stacks(draw) -> list[np.ndarray]:
    shape = (draw(SIZE), draw(SIZE))
    prediction, target, source = (draw(images(shape)) for _ in range(3))
    target = draw(st.sampled_from([target, prediction]))
    return [image[None] for image in (prediction, target, source)]


@given(stacks())
def test_scores_are_within_their_bounds(stack):
    prediction, target, source = stack
    scores = score_images(prediction, target, source)
    assert tuple(scores) == PAIRED
    for name, (value,) in scores.items():
        assert METRICS[name].problem(float(value)) is None
    best = score_images(target, target, source)
    for name in ("standard.ssim_tar", "paper.ssim_uint8", "standard.psnr", "paper.psnr"):
        assert scores[name][0] <= best[name][0] + 1e-9
    for name in ("standard.mse", "paper.mse"):
        assert best[name][0] == 0 <= scores[name][0]


@given(stacks())
def test_scores_do_not_depend_on_the_images_beside(stack):
    both = [np.concatenate([image, np.full_like(image, 0.3), image[:, ::-1]]) for image in stack]
    alone, among = score_images(*stack), score_images(*both)
    assert {name: values[0] for name, values in alone.items()} == {name: values[0] for name, values in among.items()}


p_values = st.lists(st.floats(0, 1) | st.sampled_from([0.0, 1.0, 5e-324, 0.05]), max_size=12)


@given(p_values)
def test_holm_never_lowers_and_keeps_the_order(p):
    adjusted = stats.holm(p)
    assert (adjusted >= p).all() and (adjusted <= 1).all()
    order = np.argsort(p, kind="stable")
    assert (np.diff(adjusted[order]) >= 0).all()
    assert (adjusted <= np.minimum(1, len(p) * np.array(p))).all()


@given(p_values, st.randoms())
def test_holm_does_not_depend_on_the_order(p, random):
    places = list(range(len(p)))
    random.shuffle(places)
    np.testing.assert_array_equal(stats.holm([p[place] for place in places]), stats.holm(p)[places])


scores = st.integers(1, 9).flatmap(
    lambda n: arrays(np.float64, (4, n), elements=st.floats(-5, 5) | st.integers(-2, 2).map(float))
)


@given(scores)
def test_tests_are_symmetric_probabilities_whatever_the_scores(table):
    differences = (table[:-1] - table[1:]).T
    p = stats.sign_flips(differences)
    assert ((2 ** -(len(differences) - 1) <= p) & (p <= 1)).all()
    np.testing.assert_array_equal(p, stats.sign_flips(-differences))
    np.testing.assert_array_equal(p, stats.sign_flips(differences[::-1]))


@given(scores)
def test_intervals_lie_around_the_mean_and_differences_fit(table):
    values, subjects = table.T, [f"s{number % 3}" for number in range(table.shape[1])]
    means, effects = stats.subject_effects(values, subjects)
    np.testing.assert_allclose(effects.sum(0), 0, atol=1e-12)
    low, high = stats.t_interval(means, stats.between_subjects(effects))
    assert (values.min(0) - 1e-9 <= means).all() and (means <= values.max(0) + 1e-9).all()
    if len(set(subjects)) == 1:
        assert np.isnan(low).all() and np.isnan(high).all()
        return
    assert (low <= means).all() and (means <= high).all()
    moved, turned = (stats.subject_effects(x, subjects)[1] for x in (values + 3, -2 * values))
    np.testing.assert_allclose(moved, effects, atol=1e-9)
    np.testing.assert_allclose(turned, -2 * effects, atol=1e-9)

"""Intervals, tests and ranks against closed forms, brute force and scipy."""

from __future__ import annotations

from itertools import product

import numpy as np
import pytest
from scipy import stats as scipy_stats

from xmodbench.metrics import stats


def clustered(subjects: int, per_subject: int, seed: int = 0):
    rng = np.random.default_rng(seed)
    scores = np.repeat(rng.standard_normal(subjects), per_subject) + 0.01 * rng.standard_normal(subjects * per_subject)
    return scores[:, None], np.repeat([f"s{i}" for i in range(subjects)], per_subject)


def interval(scores, subjects):
    mean, effects = stats.subject_effects(scores, subjects)
    return mean, stats.t_interval(mean, stats.between_subjects(effects))


@pytest.mark.reference(
    "interval, subjects with as many images each", "SciPy's Student interval of subjects' means", "to 1e-7 of the value"
)
def test_with_as_many_images_each_it_is_students_interval_of_subject_means():
    scores, subjects = clustered(6, 20)
    mean, (low, high) = interval(scores, subjects)
    means = scores.reshape(6, 20).mean(1)
    expected = scipy_stats.t.interval(0.95, 5, means.mean(), scipy_stats.sem(means))
    assert mean[0] == pytest.approx(scores.mean())
    np.testing.assert_allclose([low[0], high[0]], expected)


@pytest.mark.fault(
    "metrics and statistics",
    "subjects with different numbers of images",
    "images weigh equally; the squared standard error is unbiased where subjects' means vary alike",
)
def test_with_unequal_numbers_the_variance_is_unbiased_where_subjects_vary_alike():
    counts = np.array([1, 2, 5, 12])
    index, rng = np.repeat(range(4), counts), np.random.default_rng(0)
    scores = rng.standard_normal((4, 40_000))[index]  # a subject's images are alike
    mean, effects = stats.subject_effects(scores, [f"s{i}" for i in index])
    found = stats.between_subjects(effects)
    share = counts / counts.sum()
    assert mean.var() == pytest.approx(np.square(share).sum(), rel=0.03)
    assert found.variance.mean() == pytest.approx(np.square(share).sum(), rel=0.03)
    assert found.df == 3
    np.testing.assert_allclose(effects.sum(0), 0, atol=1e-12)


def test_the_sandwich_is_that_of_its_definition():
    rng = np.random.default_rng(1)
    counts = (3, 1, 6, 2, 2)
    index = np.repeat(range(5), counts)
    scores = rng.standard_normal(len(index))
    _, effects = stats.subject_effects(scores[:, None], [f"s{i}" for i in index])
    residuals = scores - scores.mean()
    meat = sum(residuals[index == i].sum() ** 2 for i in range(5)) / len(scores) ** 2
    share = np.array(counts) / sum(counts)
    factor = (share**2).sum() / sum(w**2 * ((1 - w) ** 2 + (share**2).sum() - w**2) for w in share)
    assert stats.between_subjects(effects).variance[0] == pytest.approx(factor * meat)


@pytest.mark.fault(
    "metrics and statistics",
    "images or subjects in another order",
    "the same interval",
)
def test_the_interval_does_not_depend_on_the_order_of_images():
    scores, subjects = clustered(5, 4)
    order = np.random.default_rng(3).permutation(len(scores))
    np.testing.assert_allclose(interval(scores, subjects)[1], interval(scores[order], subjects[order])[1])


def test_one_subject_has_a_mean_but_no_interval():
    mean, bounds = interval(np.array([[1.0], [3.0]]), ["a", "a"])
    assert mean[0] == 2
    assert np.isnan(bounds).all()


@pytest.mark.parametrize("bad", [np.nan, np.inf])
def test_scores_that_are_not_finite_are_refused(bad):
    with pytest.raises(ValueError, match="finite"):
        stats.subject_effects(np.array([[bad], [1.0]]), ["a", "b"])


def test_effects_of_a_difference_are_the_differences_of_effects():
    rng = np.random.default_rng(2)
    a, b, subjects = rng.standard_normal((7, 2)), rng.standard_normal((7, 2)), list("aabbbcd")
    (_, of_a), (_, of_b), (_, of_both) = (stats.subject_effects(x, subjects) for x in (a, b, a - b))
    np.testing.assert_allclose(of_a - of_b, of_both, atol=1e-12)


@pytest.mark.reference("jackknife", "SciPy's standard error, of a mean", "to 1e-6 of the value")
def test_the_jackknife_of_a_mean_is_its_standard_error():
    values = np.random.default_rng(4).standard_normal(9)
    without = np.array([np.delete(values, i).mean() for i in range(9)])
    effects = stats.jackknife_effects(without)
    assert stats.between_subjects(effects).variance == pytest.approx(scipy_stats.sem(values) ** 2)
    assert np.argmax(effects) == np.argmax(values), "who raises the number has the largest effect"


def test_seeds_alone_are_a_t_interval_and_add_to_subjects_by_satterthwaite():
    values = np.array([1.0, 2.0, 4.0])
    seeds = stats.between_seeds(values)
    np.testing.assert_allclose(
        stats.t_interval(values.mean(), seeds),
        scipy_stats.t.interval(0.95, 2, values.mean(), scipy_stats.sem(values)),
    )
    subjects = stats.Spread(np.array(0.2), 4)
    total = 0.2 + seeds.variance
    df = total**2 / (0.2**2 / 4 + seeds.variance**2 / 2)
    low, high = stats.t_interval(0.0, subjects, seeds)
    assert high == -low == pytest.approx(scipy_stats.t.ppf(0.975, df) * np.sqrt(total))
    np.testing.assert_allclose(
        stats.t_interval(0.0, subjects, stats.between_seeds([3.0])), stats.t_interval(0.0, subjects)
    )


def test_an_interval_without_variance_has_no_width():
    np.testing.assert_array_equal(stats.t_interval([1.0, 2.0], stats.Spread(np.zeros(2), 3)), [[1, 2], [1, 2]])


def test_resamples_have_the_spread_of_the_interval():
    scores, subjects = clustered(8, 3)
    mean, effects = stats.subject_effects(scores, subjects)
    drawn = stats.draws(8, 20_000, seed=1)
    assert (drawn.sum(1) == 8).all()
    samples = stats.resampled(mean, effects, drawn)
    assert samples.mean() == pytest.approx(mean[0], abs=0.02)
    assert samples.var() == pytest.approx(stats.between_subjects(effects).variance[0], rel=0.05)
    np.testing.assert_array_equal(drawn, stats.draws(8, 20_000, seed=1))


@pytest.mark.reference("Holm's adjustment", "a textbook example", "to 1e-7 of the value")
def test_holm_is_the_textbook_example():
    np.testing.assert_allclose(stats.holm([0.01, 0.04, 0.03, 0.005]), [0.03, 0.06, 0.06, 0.02])
    assert stats.holm([]).shape == (0,)
    np.testing.assert_allclose(stats.holm([0.9, 0.8]), [1, 1])


@pytest.mark.parametrize("subjects", [2, 5, 9])
def test_sign_flips_are_all_there_are(subjects):
    rng = np.random.default_rng(subjects)
    differences = np.stack([rng.standard_normal(subjects) + 1, rng.integers(-2, 3, subjects), np.zeros(subjects)], 1)
    for column, p in zip(differences.T, stats.sign_flips(differences), strict=True):
        sums = [abs(np.dot(signs, column)) for signs in product((-1, 1), repeat=subjects)]
        assert p == pytest.approx(np.mean(np.array(sums) >= abs(column.sum()) - 1e-9))


@pytest.mark.reference("test of a difference", "SciPy's permutation test", "to 1e-7 of the value")
def test_sign_flips_are_scipys_permutation_test():
    differences = np.random.default_rng(0).standard_normal((8, 3)) + 0.6
    found = scipy_stats.permutation_test(
        (differences,), lambda x, axis: x.sum(axis), permutation_type="samples", vectorized=True, n_resamples=np.inf
    )
    np.testing.assert_allclose(stats.sign_flips(differences), found.pvalue)


def test_many_subjects_have_random_flips_and_never_a_p_of_zero():
    rng = np.random.default_rng(5)
    differences = np.stack([rng.standard_normal(30), rng.standard_normal(30) + 4], 1)
    p = stats.sign_flips(differences)
    assert p[0] == pytest.approx(scipy_stats.ttest_1samp(differences[:, 0], 0).pvalue, abs=0.03)
    assert p[1] == 1 / (stats.MOST_FLIPS + 1)
    np.testing.assert_array_equal(p, stats.sign_flips(differences))


@pytest.mark.fault(
    "metrics and statistics",
    "too few subjects for a test",
    "a reason instead of a p-value; the difference keeps its interval",
)
def test_eight_subjects_are_the_first_with_which_six_pairs_can_be_told_apart():
    for subjects, possible in ((stats.MIN_SUBJECTS - 1, False), (stats.MIN_SUBJECTS, True)):
        least = stats.sign_flips(np.ones((subjects, 1)))[0]
        assert least == 2 / 2**subjects
        assert (stats.holm([least, 1, 1, 1, 1, 1])[0] < 0.05) == possible


@pytest.mark.fault(
    "metrics and statistics",
    "all methods alike",
    "p is 1, not undefined",
)
def test_equal_methods_have_p_one():
    np.testing.assert_array_equal(stats.sign_flips(np.zeros((8, 2))), 1)


@pytest.mark.fault(
    "metrics and statistics",
    "ties",
    "they share their mean rank",
)
def test_ranks_share_ties_and_follow_the_direction():
    np.testing.assert_allclose(stats.ranks([3, 1, 1], higher_is_better=True), [1, 2.5, 2.5])
    np.testing.assert_allclose(stats.ranks([[3, 1, 2], [0, 5, 6]], higher_is_better=False), [[3, 1, 2], [1, 2, 3]])

"""Bootstrap, tests and ranks against closed forms and scipy."""

from __future__ import annotations

import numpy as np
import pandas as pd
import pytest
from scipy.stats import wilcoxon

from xmodbench.metrics import stats


def clustered(subjects: int, per_subject: int, seed: int = 0):
    rng = np.random.default_rng(seed)
    scores = np.repeat(rng.standard_normal(subjects), per_subject) + 0.01 * rng.standard_normal(subjects * per_subject)
    return scores[:, None], np.repeat([f"s{i}" for i in range(subjects)], per_subject)


def test_the_interval_is_that_of_subjects_not_of_images():
    scores, subjects = clustered(30, 20)
    mean, (low, high) = stats.cluster_bootstrap(scores, subjects, 4000, seed=1)
    means = scores.reshape(30, 20).mean(1)
    assert mean[0] == pytest.approx(scores.mean())
    assert (high[0] - low[0]) == pytest.approx(2 * 1.96 * means.std() / np.sqrt(30), rel=0.08)


@pytest.mark.fault(
    "metrics and statistics",
    "two subjects with different numbers of images",
    "intervals from the three means there can be",
)
def test_resampling_two_unequal_subjects_gives_the_three_possible_means():
    scores, subjects = np.array([[0.0], [1.0], [1.0], [1.0]]), ["a", "b", "b", "b"]
    samples = stats.resampled_means(scores, subjects, 3000, seed=0)[:, 0]
    values, counts = np.unique(samples, return_counts=True)
    np.testing.assert_allclose(values, [0, 0.75, 1])  # images weigh equally: aa, ab, bb
    np.testing.assert_allclose(counts / 3000, [0.25, 0.5, 0.25], atol=0.04)


@pytest.mark.fault(
    "metrics and statistics",
    "images or subjects in another order",
    "the same interval; another seed gives another",
)
def test_the_bootstrap_does_not_depend_on_the_order_of_images_and_follows_its_seed():
    scores, subjects = clustered(5, 4)
    order = np.random.default_rng(3).permutation(len(scores))
    first = stats.cluster_bootstrap(scores, subjects, 200, seed=7)[1]
    np.testing.assert_allclose(first, stats.cluster_bootstrap(scores[order], subjects[order], 200, seed=7)[1])
    assert (first != stats.cluster_bootstrap(scores, subjects, 200, seed=8)[1]).any()


def test_one_subject_has_a_mean_but_no_interval():
    mean, bounds = stats.cluster_bootstrap(np.array([[1.0], [3.0]]), ["a", "a"], 200, seed=0)
    assert mean[0] == 2
    assert np.isnan(bounds).all()


def test_scores_that_are_not_finite_are_refused():
    with pytest.raises(ValueError, match="finite"):
        stats.cluster_bootstrap(np.array([[np.nan], [1.0]]), ["a", "b"], 200, seed=0)


def test_holm_is_the_textbook_example():
    np.testing.assert_allclose(stats.holm([0.01, 0.04, 0.03, 0.005]), [0.03, 0.06, 0.06, 0.02])
    assert stats.holm([]).shape == (0,)
    np.testing.assert_allclose(stats.holm([0.9, 0.8]), [1, 1])


def subject_series(values):
    return pd.Series(values, index=[f"s{i}" for i in range(len(values))])


def test_paired_tests_are_scipys_on_subject_means_and_adjusted_together():
    rng = np.random.default_rng(0)
    means = {name: subject_series(rng.standard_normal(12) + shift) for name, shift in (("x", 0), ("y", 2), ("z", 0.1))}
    rows = {(row["a"], row["b"]): row for row in stats.paired_tests(means)}
    assert set(rows) == {("x", "y"), ("x", "z"), ("y", "z")}
    for (a, b), row in rows.items():
        assert row["p"] == pytest.approx(wilcoxon(means[a], means[b]).pvalue)
        assert row["difference"] == pytest.approx(means[a].mean() - means[b].mean())
    adjusted = stats.holm([row["p"] for row in rows.values()])
    np.testing.assert_allclose([row["p_holm"] for row in rows.values()], adjusted)


@pytest.mark.fault(
    "metrics and statistics",
    "too few subjects for a test",
    "a reason instead of a p-value",
)
@pytest.mark.parametrize("subjects", [6, 13, 14, 50, 51])
def test_many_methods_at_once_get_the_bits_of_one_test_for_each_pair(subjects):
    rng = np.random.default_rng(subjects)
    means = {f"m{n}": rng.normal(size=subjects) for n in range(12)}
    # ties, zeros and equal methods, of each of which scipy takes another form of the test
    means |= {"coarse": means["m0"].round(1), "shifted": means["m0"] + 0.25, "equal": means["m1"].copy()}
    means["nearly"] = np.where(np.arange(subjects) == 2, means["m2"], means["m3"])
    for row in stats.paired_tests({name: subject_series(values) for name, values in means.items()}):
        difference = means[row["a"]] - means[row["b"]]
        assert row["p"] == (wilcoxon(difference).pvalue if difference.any() else 1.0)
        assert row["difference"] == difference.mean()


def test_few_subjects_get_a_reason_instead_of_a_p_value():
    [row] = stats.paired_tests({"x": subject_series(np.arange(5.0)), "y": subject_series(np.zeros(5))})
    assert row["p"] is None
    assert row["p_holm"] is None
    assert "needs 6" in row["reason"]
    assert row["difference"] == 2


@pytest.mark.fault(
    "metrics and statistics",
    "all methods alike",
    "p is 1, not undefined",
)
def test_equal_methods_have_p_one():
    same = subject_series(np.arange(8.0))
    [row] = stats.paired_tests({"x": same, "y": same.copy()})
    assert row["p"] == 1
    assert row["p_holm"] == 1


def test_methods_on_different_subjects_are_not_compared():
    with pytest.raises(ValueError, match="different subjects"):
        stats.paired_tests({"x": subject_series(np.ones(6)), "y": subject_series(np.ones(7))})


@pytest.mark.fault(
    "metrics and statistics",
    "ties",
    "they share their mean rank",
)
def test_ranks_share_ties_and_follow_the_direction():
    np.testing.assert_allclose(stats.ranks([3, 1, 1], higher_is_better=True), [1, 2.5, 2.5])
    np.testing.assert_allclose(stats.ranks([[3, 1, 2], [0, 5, 6]], higher_is_better=False), [[3, 1, 2], [1, 2, 3]])


def test_subject_means_group_by_subject():
    frame = pd.DataFrame({"subject": ["b", "a", "b"], "m": [1.0, 5.0, 3.0]})
    means = stats.subject_means(frame, ["m"])
    assert means["m"].to_dict() == {"a": 5.0, "b": 2.0}

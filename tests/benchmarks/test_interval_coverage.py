"""Intervals cover what they promise, in a small version of the simulation of docs/evaluation.md."""

from __future__ import annotations

import pytest


@pytest.fixture
def coverage(benchmark_modules):
    return benchmark_modules("interval_coverage")


@pytest.mark.fault(
    "metrics and statistics",
    "two subjects, four, five",
    "95 % intervals that cover 95 %, where a percentile bootstrap covers 50 to 80",
)
def test_intervals_of_means_cover_what_they_promise(coverage):
    for k, counts, law, percentile, student in coverage.of_means(1000):
        where = f"{k} subjects, {counts} images, {law}"
        assert (92.5 if law == "normal" else 88) < student < 98.5, where
        if k < 25:
            assert percentile < 86, where


def test_mixed_intervals_allow_for_seeds_where_these_matter(coverage):
    for k, sd, subjects_alone, mixed in coverage.of_seeds(2000):
        assert 92.5 < mixed < 98, (k, sd)
        if k == 25 and sd == 0.3:
            assert subjects_alone < 86


def test_the_jackknife_covers_the_expected_distance(coverage):
    assert all(89 < held <= 100 for _, held in coverage.of_distances(150))


def test_right_reproductions_are_rarely_called_different(coverage):
    for k, percentile, naive, fair in coverage.of_published(800):
        assert 2.5 < fair < 8, k
        assert min(percentile, naive) > fair

"""The protocol's version is raised whenever numbers change their meaning."""

import numpy as np

from xmodbench.files import sha256_json
from xmodbench.metrics.paired import score_images
from xmodbench.metrics.registry import METRICS, PROTOCOL

MEANINGS = {1: "5bdec4ae0def40e8", 2: "1585a06535d92e9e"}
"""By protocol: hash of the metrics' ids, definitions and weights, and of the scores of fixed images to four digits."""


def meaning() -> str:
    rng = np.random.default_rng(0)
    smooth = np.cumsum(rng.random((3, 32, 32)), axis=2, dtype=np.float32) / 32
    target = np.clip(smooth, 0, 1)
    scores = score_images(np.clip(target**1.5, 0, 1), target, 1 - target)
    values = {name: [f"{value:.4g}" for value in scores[name]] for name in sorted(scores)}
    cards = [(metric.id, metric.definition, metric.unit, metric.level) for metric in METRICS.values()]
    return sha256_json([cards, values])[:16]


def test_other_meanings_have_another_protocol():
    message = "what a number means has changed: raise PROTOCOL and note its meaning here, so that tables do not mix"
    assert MEANINGS[PROTOCOL] == meaning(), message

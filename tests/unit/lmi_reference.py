"""LMI written out window by window in float64, straight from its definition; slow and independent of the package."""

from __future__ import annotations

import numpy as np


def entropy(p, eps, base=2.0):
    return -(p * np.log(p + eps)).sum() / np.log(base)


def information(s, y, *, bins=27, h=8.0, eps=1e-10, normalise=True, from_joint=False, base=2.0):
    """Mutual information of two windows of whole grey levels."""
    centres = 255.0 * np.arange(bins) / (bins - 1)
    ks = np.exp(-0.5 * ((s.ravel()[:, None] - centres) / h) ** 2)
    ky = np.exp(-0.5 * ((y.ravel()[:, None] - centres) / h) ** 2)
    joint = ks.T @ ky
    joint /= joint.sum() + eps
    p1, p2 = ks.mean(0), ky.mean(0)
    p1, p2 = p1 / (p1.sum() + eps), p2 / (p2.sum() + eps)
    if from_joint:
        p1, p2 = joint.sum(1), joint.sum(0)
    h1, h2 = entropy(p1, eps, base), entropy(p2, eps, base)
    found = h1 + h2 - entropy(joint, eps, base)
    return 2 * (found + eps) / (h1 + h2 + eps) if normalise else found


def window(image, i, j, p):
    padded = np.pad(image, p)
    return padded[i + p - p // 2 : i + p + p // 2 + 1, j + p - p // 2 : j + p + p // 2 + 1]


def mosaic_windows(image, i, j, p):
    """The p*p windows of the search, cut from the mosaic of patches with a border of grey level 0."""
    height, width = image.shape
    mosaic = np.zeros((height * p, width * p))
    for r in range(height):
        for c in range(width):
            mosaic[r * p : (r + 1) * p, c * p : (c + 1) * p] = window(image, r, c, p)
    mosaic = np.pad(mosaic, p // 2)
    for a in range(p):
        for b in range(p):
            yield mosaic[i * p + a : i * p + a + p, j * p + b : j * p + b + p]


def shift_windows(image, i, j, p, radius):
    """Windows around every pixel within `radius`."""
    padded = np.pad(image, radius)
    for a in range(-radius, radius + 1):
        for b in range(-radius, radius + 1):
            moved = padded[radius + a : radius + a + image.shape[0], radius + b : radius + b + image.shape[1]]
            full = np.pad(image, radius + p)
            top, left = i + a + radius + p - p // 2, j + b + radius + p - p // 2
            assert moved.shape == image.shape
            yield full[top : top + p, left : left + p]


def lmi(s, y, *, p=3, search="mosaic", radius=1, quantise=np.trunc, **options):
    """The map of two images [H, W]."""
    s, y = quantise(255 * s.astype(np.float32)).astype(float), quantise(255 * y.astype(np.float32)).astype(float)
    out = np.empty(s.shape)
    for i in range(s.shape[0]):
        for j in range(s.shape[1]):
            own = window(s, i, j, p)
            found = mosaic_windows(y, i, j, p) if search == "mosaic" else shift_windows(y, i, j, p, radius)
            out[i, j] = max(information(own, other, **options) for other in found)
    return out

"""Random contrasts: what a slice of the target might look like in modalities that nobody has shown.

All images are float [H, W] in [0, 1], all randomness comes from the generators.
"""

from __future__ import annotations

import numpy as np
from scipy import ndimage
from scipy.interpolate import PchipInterpolator

LEVELS = np.linspace(0, 1, 256)
OUTSIDE = 0.08
"""Darker pixels that are joined to the image's border are air around the body."""
CUT = 0.5
"""Per cent of pixels that `normalised` clips at either end."""


def normalised(image: np.ndarray) -> np.ndarray:
    """Stretched so that all but the darkest and brightest half per cent of pixels fill [0, 1], by this image alone."""
    low, high = np.percentile(image, (CUT, 100 - CUT))
    return np.clip((image - low) / max(high - low, 1e-6), 0, 1).astype(np.float32)


def randomised(image: np.ndarray, settings, rng: np.random.Generator) -> np.ndarray:
    """A slice in a random contrast, through a random scanner, `normalised`; settings of `ContrastRandomisedSettings`."""
    by_class = rng.random() < settings.classes
    found = class_contrast(image, rng) if by_class else function_contrast(image, settings, rng)
    if rng.random() < settings.background:
        found = found * (1 - ndimage.gaussian_filter(outside(image).astype(np.float64), 0.5))
    return normalised(scanned(found, settings, rng))


def function_contrast(image: np.ndarray, settings, rng: np.random.Generator) -> np.ndarray:
    """The slice under a random function of its grey levels; in a share of cases another one elsewhere in the image."""
    greys = body(image)
    found = np.interp(image, LEVELS, random_function(greys, settings, rng))
    if rng.random() < settings.places:
        other = np.interp(image, LEVELS, random_function(greys, settings, rng))
        share = 1 / (1 + np.exp(-3 * smooth_field(image.shape, rng)))
        found = share * found + (1 - share) * other
    return found


def random_function(greys: np.ndarray, settings, rng: np.random.Generator) -> np.ndarray:
    """Values in [0, 1] at `LEVELS`: a smooth curve through 4 to 8 knots, rising, falling or neither.

    Between two knots it is monotone (piecewise cubic Hermite), so that knots in order make a curve in order. In half of the
    draws they lie anywhere, in the other half where the `greys` are: brain tissues lie close together where fat is bright.
    """
    count = rng.integers(4, 9)
    places, values, among, toss = rng.random(count - 2), rng.random(count), rng.random() < 0.5, rng.random()
    places = np.sort(np.quantile(greys, places) if among else places)
    places = np.concatenate([[0], places, [1]]) + np.arange(count) * 1e-6  # never two at the same place
    if toss < settings.monotone:
        values = np.sort(values)
    elif toss < settings.monotone + settings.inverted:
        values = np.sort(values)[::-1]
    return PchipInterpolator(places, values)(LEVELS)


def class_contrast(image: np.ndarray, rng: np.random.Generator) -> np.ndarray:
    """The slice with each of its 4 to 8 classes of grey levels (k-means) given a random one, borders blended.

    Unlike a function of grey levels, this leads from one tissue to the next without the greys of a third between.
    """
    count = rng.integers(4, 9)
    centres, labels = classes(image, np.unique(np.quantile(body(image), np.linspace(0.02, 0.98, count))))
    means, slopes = rng.random(len(centres)), rng.uniform(-1, 1, len(centres))
    found = means[labels] + slopes[labels] * (image - centres[labels])
    return ndimage.gaussian_filter(found, rng.uniform(0.3, 0.8))


def classes(image: np.ndarray, centres: np.ndarray) -> tuple[np.ndarray, np.ndarray]:
    """K-means of the grey levels from ascending `centres` [k]: the centres after five rounds, and each pixel's class."""
    for _ in range(5):
        labels = np.searchsorted((centres[1:] + centres[:-1]) / 2, image)
        counts = np.bincount(labels.ravel(), minlength=len(centres))
        sums = np.bincount(labels.ravel(), image.ravel(), len(centres))
        centres = np.where(counts > 0, sums / np.maximum(counts, 1), centres)
    return centres, labels


def body(image: np.ndarray) -> np.ndarray:
    """The grey levels [n] that are not air; all of them where there is nothing else."""
    inside = image[~outside(image)]
    return inside if inside.size else image.ravel()


def outside(image: np.ndarray) -> np.ndarray:
    """Air around the body: dark pixels joined to the border of the image; bool [H, W]."""
    regions, _ = ndimage.label(ndimage.gaussian_filter(image, 0.5) < OUTSIDE)
    border = np.concatenate([regions[0], regions[-1], regions[:, 0], regions[:, -1]])
    return np.isin(regions, np.unique(border[border > 0]))


def scanned(image: np.ndarray, settings, rng: np.random.Generator) -> np.ndarray:
    """The image blurred, under a bias field and a gamma curve, with noise; each by a random amount."""
    sigma, level = settings.blur_px * rng.random(), settings.noise * rng.random()
    image = ndimage.gaussian_filter(image, sigma) if sigma > 0.2 else image
    field = settings.bias * rng.random() * smooth_field(image.shape, rng)
    image = np.clip(image, 0, None) * np.exp(field)
    image = image ** np.exp(settings.gamma * rng.standard_normal())
    return np.abs(image + level * rng.standard_normal(image.shape))


def smooth_field(shape: tuple[int, ...], rng: np.random.Generator) -> np.ndarray:
    """A cubic surface through a grid of 4 x 4 numbers ~ N(0, 1)."""
    grid = rng.standard_normal((4, 4))
    rows, columns = (np.linspace(0, 3, side) for side in shape)
    return ndimage.map_coordinates(grid, np.meshgrid(rows, columns, indexing="ij"), order=3, mode="nearest")

"""The blur of the released code's augmentation: a Gaussian cut off as imgaug 0.4.0 has OpenCV cut it off."""

from __future__ import annotations

import numpy as np

LARGEST = 2.0
"""The standard deviation is uniform in 0..LARGEST pixels."""
_NONE = 1e-3  # what imgaug takes for no blur


def kernel_size(sigma: float) -> int:
    """Side of the kernel in pixels for a standard deviation of up to 3 pixels: odd, at least 5, about 3.3 sigma."""
    size = int(max(3.3 * sigma, 5))
    return size + 1 - size % 2


def blurred(image: np.ndarray, sigma: float) -> np.ndarray:
    """An image [H, W] blurred; beyond its border lies its mirror image, the border itself not repeated.

    So short a kernel blurs less than its `sigma` (in pixels) says: 1.20 for 1.5, 1.64 for 2.
    """
    if sigma < _NONE:
        return image
    from scipy.ndimage import gaussian_filter  # most settings do without

    return gaussian_filter(image, sigma, mode="mirror", radius=kernel_size(sigma) // 2)

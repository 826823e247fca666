"""Snapshots of a training's translations as pictures."""

from __future__ import annotations

import io

import numpy as np


def strip(images: np.ndarray) -> bytes:
    """PNG of ``images`` [rows, columns, H, W] in [0, 1], side by side with a line of 2 pixels between them."""
    from PIL import Image

    rows, columns, height, width = images.shape
    canvas = np.full((rows * (height + 2) - 2, columns * (width + 2) - 2), 255, np.uint8)
    for row in range(rows):
        for column in range(columns):
            top, left = row * (height + 2), column * (width + 2)
            grey = np.rint(255 * np.clip(images[row, column], 0, 1)).astype(np.uint8)
            canvas[top : top + height, left : left + width] = grey
    buffer = io.BytesIO()
    Image.fromarray(canvas).save(buffer, format="PNG")
    return buffer.getvalue()

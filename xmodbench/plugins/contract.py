"""What holds a method to its contract: the source slices it is handed, and the images it must answer with."""

from __future__ import annotations

import re
from typing import TYPE_CHECKING

from xmodbench.errors import UserError
from xmodbench.plugins.method import FewShot, Method
from xmodbench.seeding import derive_seed, nested_draw

if TYPE_CHECKING:
    import numpy as np


def draw(wanted: int | None, available: int, seed: int) -> list[int] | None:
    """Rows of the `wanted` slices among those available; None for None. Smaller draws are part of larger ones.

    Raises:
        UserError: more slices are wanted than there are, or none.
    """
    if wanted is None:
        return None
    if not 1 <= wanted <= available:
        problem = f"asks for {wanted} source slices, there are {available}"
        raise UserError(problem, "settings.slices", "ask for fewer" if wanted > available else "ask for one at least")
    return nested_draw(available, wanted, seed)


def unpaired(rows: list[int], seed: int) -> list[int]:
    """Drawn rows in an order of their own, in which a method gets them.

    Ascending they would tell which target slices they belong to: all of them, drawn, would be the pairs.
    """
    import numpy as np

    order = np.random.default_rng(derive_seed(seed, "unpaired")).permutation(len(rows))
    return [rows[place] for place in order]


def drawn_rows(method: Method, available: int, seed: int) -> list[int] | None:
    """Rows of the source slices that a few-shot method is handed, of those there are; None for other methods.

    Raises:
        UserError: as `draw`.
    """
    return draw(method.source_slices(available) if isinstance(method, FewShot) else None, available, seed)


def checked_names(names: object) -> list[str]:
    """Names of images on the way, which become names of files; a UserError where one is no word and a step."""
    if not isinstance(names, (list, tuple)):
        raise UserError(f"are {type(names).__name__}, expected a tuple of names", "intermediates")
    for name in names:
        if not isinstance(name, str) or not re.fullmatch(r"[a-z]+_\d{1,9}", name):
            raise UserError(f"'{name}' is not a word and a step, such as 'after_100'", "intermediates")
    return list(names)


def checked_images(images: np.ndarray, shape: tuple[int, ...]) -> np.ndarray:
    """Images as float32, or a UserError saying how they break the contract."""
    import numpy as np

    if not isinstance(images, np.ndarray):
        fix = "return one; of a tensor: images.detach().cpu().numpy()"
        raise UserError(f"returned {type(images).__name__}, expected a NumPy array", "translate", fix)
    if images.shape != shape:
        fix = "return an image [1, H, W] for each of the source's, in their order"
        if len(shape) > 4:
            fix = "return the one volume [1, 1, D, H, W] that it was handed, translated"
        raise UserError(f"returned shape {images.shape}, expected {shape}", "translate", fix)
    if images.dtype.kind != "f":
        fix = "divide grey levels by their largest, then images.astype(numpy.float32)"
        raise UserError(f"returned {images.dtype} values, expected float32 in [0, 1]", "translate", fix)
    images = images.astype(np.float32, copy=False)
    if not np.isfinite(images).all():
        bad = int((~np.isfinite(images)).reshape(len(images), -1).any(axis=1).sum())
        fix = "look for divisions by 0 and logarithms of 0"
        raise UserError(f"{bad} of {len(images)} images hold NaN or infinite values", "translate", fix)
    if images.min() < 0 or images.max() > 1:
        problem = f"values in [{images.min():.3g}, {images.max():.3g}], expected [0, 1]"
        raise UserError(problem, "translate", "numpy.clip(images, 0, 1)")
    return images

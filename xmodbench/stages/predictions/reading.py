"""One image of a prediction, out of a PNG, an npy file or a volume, as a slice of the store's size in [0, 1]."""

from __future__ import annotations

from pathlib import Path

import numpy as np

from xmodbench.errors import UserError, amount, plain
from xmodbench.stages.predictions.values import Scale
from xmodbench.store import mapped

_COLOURS = {2: "colour", 3: "a palette", 4: "a transparency channel", 6: "colour and transparency"}


def read_slice(path: Path, shape: tuple[int, ...], scale: Scale) -> np.ndarray:
    """The image of a PNG or npy file, float32 [H, W] in [0, 1].

    Raises:
        UserError: damaged, of another size, colour or depth than grey slices have, or not in its unit.
    """
    values = _png(path, scale) if path.suffix.lower() == ".png" else _npy(path, scale)
    if values.shape != shape:
        found, wanted = ("x".join(map(str, size)) for size in (values.shape, shape))
        raise UserError(f"{found} pixels, the slices have {wanted}", path, "give it the size of the input slices")
    return scale.unit(values, path)


def _png(path: Path, scale: Scale) -> np.ndarray:
    from PIL import Image

    head = _head(path)
    # of the header's chunk: depth and colour type, which Pillow has already merged into a mode
    depth, colour = head[24], head[25]
    if colour in _COLOURS:
        raise UserError(f"a PNG with {_COLOURS[colour]}", path, "save one grey channel")
    if depth not in (8, 16):
        raise UserError(f"a PNG of {amount(depth, 'bit')}", path, "save 8 or 16 bits")
    try:
        with Image.open(path) as image:
            values = np.asarray(image)
    except (OSError, ValueError, SyntaxError, Image.DecompressionBombError) as error:
        raise UserError(f"cannot be read ({plain(str(error))})", path, "save it again") from None
    return scale.bits(values.astype(np.uint8 if depth == 8 else np.uint16), path)


def _head(path: Path) -> bytes:
    try:
        with open(path, "rb") as handle:
            head = handle.read(26)
    except OSError as error:
        raise UserError(f"cannot be read ({error.strerror})", path) from None
    if len(head) < 26 or not head.startswith(b"\x89PNG\r\n\x1a\n"):
        raise UserError("no PNG, whatever its name says", path, "save it again")
    return head


def _npy(path: Path, scale: Scale) -> np.ndarray:
    values = mapped(path, "save one slice [H, W] with numpy.save")
    while values.ndim > 2 and values.shape[0] == 1:
        values = values[0]
    if values.ndim != 2:
        raise UserError(f"an array of shape {values.shape}", path, "save each slice, [H, W], in a file of its own")
    whole = values.dtype.kind in "iu"
    if values.dtype.kind != "f" and not (whole and scale.window is not None):
        fix = "save float32 in [0, 1]" if scale.window is None else "save numbers"
        raise UserError(f"values of type {values.dtype}", path, fix)
    return np.asarray(values, np.float32)

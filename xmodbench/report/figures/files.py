"""How figures for print look and are written."""

from __future__ import annotations

from collections.abc import Iterator
from contextlib import contextmanager
from io import BytesIO
from pathlib import Path
from typing import TYPE_CHECKING, Any, cast

from xmodbench.files import atomic_file

if TYPE_CHECKING:
    from matplotlib.figure import Figure

WIDTH = 7.0
"""Inches: the text of a page in two columns, 178 mm."""
STYLE = {
    "font.size": 8,
    "axes.titlesize": 8,
    "axes.spines.top": False,
    "axes.spines.right": False,
    "axes.linewidth": 0.6,
    "legend.fontsize": 8,
    "legend.frameon": False,
    "svg.fonttype": "none",
    "svg.hashsalt": "xmodbench",
    "pdf.fonttype": 42,  # letters stay letters
    "image.composite_image": False,  # pixels stay pixels, at any zoom
    "figure.dpi": 300,
}
SUFFIXES = ("pdf", "svg", "png")
# no date: the same run gives the same bytes
_METADATA = {"pdf": {"CreationDate": None}, "svg": {"Date": None}, "png": {"Software": None}}


def save(figure: Figure, folder: Path, name: str) -> None:
    """Write ``<name>.pdf``, ``.svg`` and ``.png`` (300 dots per inch) as large as the figure is."""
    if engine := figure.get_layout_engine():
        engine.execute(figure)
        figure.set_layout_engine("none")  # once for all of them
    for suffix in SUFFIXES:
        with atomic_file(folder / f"{name}.{suffix}") as temporary:
            # the strongest packing of PNGs takes as long as drawing them
            packing: dict[str, Any] = {"pil_kwargs": {"compress_level": 3}} if suffix == "png" else {}
            figure.savefig(temporary, format=suffix, metadata=_METADATA[suffix], **packing)


def literal(text: str) -> str:
    """Text that matplotlib does not read as mathematics."""
    return text.replace("$", r"\$")


def wrapped(text: str, width: int, lines: int = 3) -> str:
    """The same over a few short lines."""
    import textwrap

    return literal("\n".join(textwrap.wrap(text, width, max_lines=lines, placeholder="…")))


@contextmanager
def drawing(style: dict[str, Any] = STYLE) -> Iterator[Any]:
    """Yield pyplot in a style of its own; what was drawn is closed afterwards."""
    import matplotlib

    matplotlib.use("Agg")
    import matplotlib.pyplot as plt

    with plt.rc_context(cast(Any, style)):
        try:
            yield plt
        finally:
            plt.close("all")


def printed(figure: Figure) -> bytes:
    """A figure as a PNG."""
    buffer = BytesIO()
    figure.savefig(buffer, format="png", dpi=200)
    return buffer.getvalue()

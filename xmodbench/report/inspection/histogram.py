"""Intensity histograms of all subjects over each other, as an SVG of a few kilobytes."""

from __future__ import annotations

from collections.abc import Sequence

import numpy as np

WIDTH, HEIGHT = 300, 96
COLOURS = {"train": "#3d6fa5", "test": "#c8641b"}


def histogram_svg(curves: Sequence[tuple[str, str, np.ndarray]], label: str) -> str:
    """One line per subject; heights are square roots, so that small peaks show.

    Args:
        curves: (subject, ``train`` or ``test``, share of pixels in each bin of [0, 1]).
        label: what the picture shows, for those who cannot see it.
    """
    from markupsafe import escape

    top = max((float(np.sqrt(values.max())) for _, _, values in curves), default=0.0) or 1.0
    fade = max(0.25, min(0.9, 6 / max(1, len(curves))))
    lines = "".join(
        f'<polyline points="{_points(values, top)}" stroke="{COLOURS[split]}"><title>{escape(name)}</title></polyline>'
        for name, split, values in curves
    )
    return (
        f'<svg viewBox="0 0 {WIDTH} {HEIGHT + 14}" role="img" aria-label="{escape(label)}">'
        f'<line x1="0" y1="{HEIGHT}" x2="{WIDTH}" y2="{HEIGHT}" stroke="#999"/>'
        f'<g fill="none" stroke-width="1.2" stroke-opacity="{fade:.2f}">{lines}</g>'
        f'<g font-size="10" fill="#555"><text x="0" y="{HEIGHT + 12}">0</text>'
        f'<text x="{WIDTH}" y="{HEIGHT + 12}" text-anchor="end">1</text></g></svg>'
    )


def _points(values: np.ndarray, top: float) -> str:
    x = (np.arange(len(values)) + 0.5) * WIDTH / len(values)
    y = HEIGHT - np.sqrt(values) / top * (HEIGHT - 4)
    return " ".join(f"{a:.0f},{b:.0f}" for a, b in zip(x, y, strict=True))

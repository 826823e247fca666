"""Styles and scripts of the page, within it: it must work from a file without a network.

Browsers unpack gzip themselves (since 2023 all of them), which makes the page a third as large.
"""

from __future__ import annotations

import gzip
from base64 import b64encode
from functools import cache
from importlib.util import find_spec
from pathlib import Path

from markupsafe import Markup

TEMPLATES = Path(__file__).with_name("templates")


def packed(text: str | bytes) -> str:
    """What the page's ``unpack`` makes the text of again: gzip in base 64, the same for the same text."""
    data = text.encode() if isinstance(text, str) else text
    return b64encode(gzip.compress(data, mtime=0)).decode()


@cache
def assets() -> dict[str, str]:
    """Everything the template puts between tags for styles and scripts, by name."""
    from plotly.offline import get_plotlyjs

    spec = find_spec("itables")
    assert spec is not None and spec.origin is not None
    bundle = Path(spec.origin).parent / "html" / "dt_bundle.js"
    return {
        "style": Markup(_read("report.css")),
        "table_style": Markup(bundle.with_suffix(".css").read_text(encoding="utf-8")),
        "table_code": packed(bundle.read_bytes()),
        "plotly": packed(get_plotlyjs()),
        "script": Markup(_read("report.js")),
    }


def _read(name: str) -> str:
    return (TEMPLATES / name).read_text(encoding="utf-8")

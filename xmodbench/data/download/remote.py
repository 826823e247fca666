"""Where files are fetched from, and how that is said. Imports no network library, so that data sets can list theirs."""

from __future__ import annotations

import os
from urllib.parse import urlsplit, urlunsplit

MIRROR = "XMODBENCH_MIRROR"
TOKEN, SHARE_TOKEN = "ZENODO_TOKEN", "ZENODO_SHARE_TOKEN"
"""Environment variables that grant access to Zenodo's restricted records (`xmodbench.data.download.zenodo`)."""


def mirrored(url: str) -> str:
    """The address to ask: ``<XMODBENCH_MIRROR>/<host>/<path>`` where that variable is set, else `url` itself."""
    base = os.environ.get(MIRROR, "").strip().rstrip("/")
    if not base:
        return url
    parts = urlsplit(url)
    return f"{base}/{parts.netloc}{parts.path}" + (f"?{parts.query}" if parts.query else "")


def public(url: str) -> str:
    """`url` without query, user and password: fit for logs, records and messages."""
    parts = urlsplit(url)
    host = parts.hostname or ""
    return urlunsplit((parts.scheme, host + (f":{parts.port}" if parts.port else ""), parts.path, "", ""))


def human_size(count: int | None) -> str:
    """``4.8 GB``; ``size unknown`` for None."""
    if count is None:
        return "size unknown"
    value, units = float(count), ["B", "kB", "MB", "GB", "TB"]
    while value >= 999.5 and len(units) > 1:
        value, units = value / 1000, units[1:]
    return f"{value:.0f} {units[0]}" if units[0] == "B" else f"{value:.1f} {units[0]}"

"""The Inception weights that define FID: found, or downloaded once, and always checked. Imports no torch."""

from __future__ import annotations

import os
from pathlib import Path

from xmodbench.errors import UserError
from xmodbench.files import atomic_file, sha256_file
from xmodbench.plan.config import FID_SHA256 as SHA256

NAME = "pt_inception-2015-12-05-6726825d.pth"
OFFICIAL_URL = f"https://github.com/mseitzer/pytorch-fid/releases/download/fid_weights/{NAME}"
VARIABLE = "FID_WEIGHTS"


class WeightsUnavailable(Exception):
    """The weights cannot be had here; the message is the one-line reason shown in the table."""


def fid_weights(setting: str | None) -> Path:
    """A checked local file of the weights.

    Args:
        setting: path or URL; the environment variable ``FID_WEIGHTS`` if None, or where that names a path and this a URL:
            it is one and the same file. A URL is downloaded once into the cache folder (``$XDG_CACHE_HOME/xmodbench``).

    Raises:
        WeightsUnavailable: nothing is set, or the download failed.
        UserError: a path that does not exist, or a file that is not these weights.
    """
    given = [where for where in (setting, os.environ.get(VARIABLE)) if where]
    if not given:
        raise WeightsUnavailable(f"no Inception weights: set scoring.fid_weights or {VARIABLE}")
    local = [where for where in given if not where.startswith(("https://", "http://"))]
    if not local:
        return _downloaded(given[0])
    path = Path(local[0]).expanduser()
    if not path.is_file():
        raise UserError("no such file of Inception weights", path, f"get it from {OFFICIAL_URL}")
    return _checked(path, str(path))


def cache_dir() -> Path:
    """Where downloads are kept between runs."""
    return Path(os.environ.get("XDG_CACHE_HOME") or Path.home() / ".cache") / "xmodbench"


def _checked(path: Path, origin: str) -> Path:
    found = sha256_file(path)
    if found != SHA256:
        raise UserError(
            f"not pytorch-fid's Inception weights (sha256 {found[:12]}..., expected {SHA256[:12]}...)",
            origin,
            f"get them from {OFFICIAL_URL}",
        )
    return path


def _downloaded(url: str) -> Path:
    import requests
    from tenacity import RetryError

    path = cache_dir() / NAME
    if path.is_file() and sha256_file(path) == SHA256:
        return path
    try:
        with atomic_file(path) as temporary:
            _fetch(url, temporary)
            _checked(temporary, url)
    except (requests.RequestException, RetryError, OSError) as error:
        raise WeightsUnavailable(f"Inception weights could not be downloaded ({type(error).__name__})") from error
    return path


def _fetch(url: str, path: Path) -> None:
    import requests
    from tenacity import Retrying, retry_if_exception_type, stop_after_attempt, wait_exponential

    transient = retry_if_exception_type((requests.ConnectionError, requests.Timeout))
    for attempt in Retrying(retry=transient, stop=stop_after_attempt(3), wait=wait_exponential(max=8), reraise=True):
        with attempt, requests.get(url, stream=True, timeout=(5, 60)) as response, open(path, "wb") as handle:
            response.raise_for_status()
            for block in response.iter_content(1 << 20):
                handle.write(block)

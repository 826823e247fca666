"""One request: what can go wrong on the way, sorted into worth retrying and not, and told without secrets."""

from __future__ import annotations

import ipaddress
import logging
from collections.abc import Iterator
from contextlib import contextmanager
from email.utils import parsedate_to_datetime
from itertools import pairwise
from urllib.parse import urlsplit

import requests
import urllib3

from xmodbench import __version__
from xmodbench.data.download.access import Access
from xmodbench.data.download.remote import MIRROR, mirrored

TIMEOUT_S = (10.0, 60.0)
MAX_REDIRECTS = 8
_RETRY = {408, 425, 429, 500, 502, 503, 504, 507, 520, 522, 524}


class Failed(Exception):
    """This address will not give the file, however often it is asked."""


class Missing(Failed):
    """There is no such file."""


class Different(Failed):
    """The file there is not the one that was published, or fetched before."""


class Temporary(Exception):
    """Worth another try; `after` is how many seconds the server wants to be left alone."""

    def __init__(self, reason: str, after: float = 0.0):
        super().__init__(reason)
        self.after = after


@contextmanager
def get(url: str, access: Access, headers: dict[str, str] | None = None) -> Iterator[requests.Response]:
    """A streamed GET of `url` (or of its mirror); the response is 200, 206 or 416.

    Raises:
        Failed, Temporary: anything else; the text holds no part of a query.
    """
    address = mirrored(url)
    _refuse_open_road(address, access)
    # urllib3 logs whole addresses, share tokens included, where a program turns debugging on
    logging.getLogger("urllib3.connectionpool").setLevel(logging.INFO)
    with requests.Session() as session:
        session.max_redirects = MAX_REDIRECTS
        session.headers.update({"User-Agent": f"xmodbench/{__version__}", "Accept-Encoding": "identity"})
        with sorted_errors():
            response = session.get(
                address, headers=headers, stream=True, timeout=TIMEOUT_S, **access.options()
            )  # fmt: skip
        with response:
            _check(response, access)
            yield response


@contextmanager
def sorted_errors() -> Iterator[None]:
    """Network errors as Failed or Temporary; their own texts hold addresses with tokens and are dropped."""
    try:
        yield
    except requests.exceptions.TooManyRedirects:
        raise Failed("redirects without end") from None
    except (requests.exceptions.InvalidSchema, requests.exceptions.InvalidURL, requests.exceptions.MissingSchema):
        raise Failed("leads to an address that is not http(s)") from None
    except requests.exceptions.SSLError:
        raise Failed("its certificate is not trusted; check the clock and the proxy") from None
    except (requests.exceptions.Timeout, urllib3.exceptions.TimeoutError):
        raise Temporary("timed out") from None
    except (requests.RequestException, urllib3.exceptions.HTTPError, OSError) as error:
        raise Temporary(_reason(error)) from None


def _refuse_open_road(address: str, access: Access) -> None:
    """Tokens go encrypted or nowhere; only this machine itself may be a mirror over http."""
    parts = urlsplit(address)
    if (access.bearer or access.query) and parts.scheme != "https" and not _is_this_machine(parts.hostname or ""):
        raise Failed(f"a token would go unencrypted to {parts.hostname}; let {MIRROR} be an https address")


def _is_this_machine(host: str) -> bool:
    try:
        return ipaddress.ip_address(host).is_loopback
    except ValueError:
        return host == "localhost"


def _reason(error: Exception) -> str:
    text = f"{type(error).__name__} {error}"
    if isinstance(error, requests.exceptions.ProxyError):
        return "the proxy cannot be reached or refuses"
    if "NameResolution" in text or "getaddrinfo" in text or "Name or service" in text:
        return "the host's name cannot be resolved, no network perhaps"
    if "Connection refused" in text:
        return "connection refused"
    if "unreachable" in text:
        return "the network cannot be reached"
    return "the connection broke off"


def _check(response: requests.Response, access: Access) -> None:
    chain = [item.url for item in (*response.history, response)]
    if any(a.startswith("https:") and b.startswith("http:") for a, b in pairwise(chain)):
        raise Failed("redirects from https to http")
    status = response.status_code
    if status in (200, 206, 416):
        return
    if status in _RETRY:
        raise Temporary(f"the server answers {status}", _retry_after(response))
    if status in (401, 403):
        raise Failed(f"access refused ({status}); {access.hint}")
    if status == 404:
        raise Missing("there is no such file (404)")
    raise Failed(f"the server answers {status}")


def _retry_after(response: requests.Response) -> float:
    value = response.headers.get("Retry-After", "")
    if value.isdigit():
        return float(value)
    try:
        now = parsedate_to_datetime(response.headers["Date"])
        return max(0.0, (parsedate_to_datetime(value) - now).total_seconds())
    except (KeyError, ValueError, TypeError):
        return 0.0

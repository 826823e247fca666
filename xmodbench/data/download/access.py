"""Tokens for files behind a login. They come from the environment and go nowhere but into the request."""

from __future__ import annotations

from dataclasses import dataclass, field

import requests
from requests.auth import AuthBase


@dataclass(frozen=True)
class Access:
    """What a request carries beside its address; never shown.

    Args:
        bearer: token for the header ``Authorization``.
        query: parameters for the query.
        hint: what a person should check when the server refuses.
    """

    bearer: str | None = field(default=None, repr=False)
    query: dict[str, str] = field(default_factory=dict, repr=False)
    hint: str = "open its page in a browser"

    def options(self) -> dict:
        """Arguments of ``requests.Session.get``."""
        # an auth object and not a header: requests would let the user's ~/.netrc win over a header
        return {"auth": _Bearer(self.bearer) if self.bearer else None, "params": dict(self.query)}


class _Bearer(AuthBase):
    def __init__(self, token: str):
        self._token = token

    def __call__(self, request: requests.PreparedRequest) -> requests.PreparedRequest:
        # taken off again by requests when the server redirects to another host
        request.headers["Authorization"] = f"Bearer {self._token}"
        return request


OPEN = Access()

"""Files of a Zenodo record, restricted ones too.

Tokens are read from the environment: ``ZENODO_TOKEN`` is a personal access token (Zenodo's account settings),
``ZENODO_SHARE_TOKEN`` the part after ``token=`` of the link in the mail that grants access to a record.
"""

from __future__ import annotations

import json
import os
import re
from typing import Any
from urllib.parse import quote

from tenacity import Retrying, retry_if_exception_type, stop_after_attempt, wait_exponential

from xmodbench.data.download.access import Access
from xmodbench.data.download.http import Failed, Temporary, get, sorted_errors
from xmodbench.data.download.remote import SHARE_TOKEN, TOKEN
from xmodbench.errors import UserError
from xmodbench.plugins import RemoteFile

API = "https://zenodo.org/api/records"
_MAX_RECORD_BYTES = 8 << 20
WAIT = wait_exponential(multiplier=1, max=30)


def access() -> Access | None:
    """What the environment gives for Zenodo; None where no token is set."""
    token, share = (os.environ.get(name, "").strip() for name in (TOKEN, SHARE_TOKEN))
    if not token and not share:
        return None
    hint = f"check that {TOKEN} or {SHARE_TOKEN} has not expired and that access to the record was granted"
    return Access(bearer=token or None, query={"token": share} if share else {}, hint=hint)


def record_files(record: int, granted: Access) -> list[RemoteFile]:
    """The files of a record with their published sizes and MD5.

    Raises:
        UserError: no answer, no access, or an answer that cannot be understood.
    """
    url = f"{API}/{record}"
    retrying = Retrying(
        retry=retry_if_exception_type(Temporary), stop=stop_after_attempt(5), wait=WAIT, reraise=True
    )  # fmt: skip
    try:
        answer = retrying(_json, url, granted)
    except (Failed, Temporary) as error:
        raise UserError(f"could not be asked for its files ({error})", url, "run again later") from None
    files = _entries(answer)
    if not files:
        raise UserError("shows no files", url, granted.hint)
    return [_remote(url, item) for item in files]


def _json(url: str, granted: Access) -> Any:
    with get(url, granted, {"Accept": "application/json"}) as response, sorted_errors():
        text = response.raw.read(_MAX_RECORD_BYTES, decode_content=True)
    try:
        return json.loads(text)
    except ValueError:
        raise Failed("the answer is no JSON, a login page perhaps") from None


def _entries(answer: Any) -> list[dict[str, Any]]:
    # a list in the API's older form; {"entries": {name: {...}}} in the newer one
    files = answer.get("files") if isinstance(answer, dict) else None
    if isinstance(files, dict):
        files = list(files.get("entries", {}).values())
    # names become paths: nothing but plain file names
    return [item for item in files or [] if isinstance(item, dict) and re.fullmatch(r"\w[^/\\]*", str(item.get("key")))]


def _remote(url: str, item: dict[str, Any]) -> RemoteFile:
    kind, _, digest = str(item.get("checksum", "")).partition(":")
    # the address is built here: a token goes to no address that an answer names
    return RemoteFile(
        name=str(item["key"]),
        urls=(f"{url}/files/{quote(str(item['key']))}/content",),
        size=item.get("size"),
        md5=digest if kind == "md5" else None,
    )

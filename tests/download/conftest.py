"""A web server, and downloads that do not wait."""

import pytest

from tests.download.server import Server
from xmodbench.data.download import fetch, http, zenodo


@pytest.fixture
def server(monkeypatch):
    made = Server()
    monkeypatch.setenv("XMODBENCH_MIRROR", made.url)
    yield made
    made.close()


@pytest.fixture(autouse=True)
def _impatient(monkeypatch):
    from tenacity import wait_none

    monkeypatch.setattr(fetch._Patience, "wait", lambda self, state: 0.0)
    monkeypatch.setattr(zenodo, "WAIT", wait_none())
    monkeypatch.setattr(http, "TIMEOUT_S", (2.0, 0.5))
    for name in ("ZENODO_TOKEN", "ZENODO_SHARE_TOKEN"):
        monkeypatch.delenv(name, raising=False)

"""Restricted records: sizes and digests come from the record, tokens go nowhere else."""

import hashlib
import json

import pytest

from tests.download.server import cut, html, stalled, status
from xmodbench.data.download import zenodo
from xmodbench.data.download.fetch import fetch
from xmodbench.errors import UserError
from xmodbench.progress import Progress

RECORD = "/zenodo.org/api/records/7"
BODY = b"PK\x03\x04 and so on"
ENTRY = {"key": "a (1).zip", "size": len(BODY), "checksum": "md5:" + hashlib.md5(BODY).hexdigest()}


@pytest.fixture
def restricted(server):
    """A record whose files need the share token ``good``, or the bearer token ``good``."""

    def allowed(path, query, headers):
        return query.get("token") == "good" or headers.get("Authorization") == "Bearer good"

    server.allowed = allowed
    server.files[RECORD] = json.dumps({"files": [ENTRY]}).encode()
    server.files[f"{RECORD}/files/a%20%281%29.zip/content"] = BODY
    return server


def test_without_a_token_nobody_is_asked():
    assert zenodo.access() is None


@pytest.mark.parametrize("name", ["ZENODO_TOKEN", "ZENODO_SHARE_TOKEN"])
@pytest.mark.parametrize("newer", [False, True])
def test_files_are_listed_and_fetched_with_a_token(restricted, tmp_path, monkeypatch, name, newer):
    if newer:
        restricted.files[RECORD] = json.dumps({"files": {"entries": {ENTRY["key"]: ENTRY}}}).encode()
    monkeypatch.setenv(name, " good\n")
    granted = zenodo.access()
    (file,) = zenodo.record_files(7, granted)
    assert (file.name, file.size, file.md5) == ("a (1).zip", len(BODY), ENTRY["checksum"][4:])
    facts = fetch(file, tmp_path / "a.zip", Progress(quiet=True), granted)
    assert (tmp_path / "a.zip").read_bytes() == BODY
    assert "good" not in json.dumps(facts) + repr(granted) + repr(granted.options()["auth"])
    assert all("good" not in path for path, _ in restricted.requests) == (name == "ZENODO_TOKEN")


def test_an_expired_token_is_told_without_showing_it(restricted, tmp_path, monkeypatch):
    monkeypatch.setenv("ZENODO_SHARE_TOKEN", "stale-s3cret")
    with pytest.raises(UserError, match=r"access refused \(403\); check that ZENODO_TOKEN or") as caught:
        zenodo.record_files(7, zenodo.access())
    assert "s3cret" not in str(caught.value)
    # it may also run out between two files
    monkeypatch.setenv("ZENODO_SHARE_TOKEN", "good")
    (file,) = zenodo.record_files(7, zenodo.access())
    monkeypatch.setenv("ZENODO_SHARE_TOKEN", "stale-s3cret")
    with pytest.raises(UserError, match="has not expired") as caught:
        fetch(file, tmp_path / "a.zip", Progress(quiet=True), zenodo.access())
    assert "s3cret" not in str(caught.value)
    assert list(tmp_path.iterdir()) == []


@pytest.mark.parametrize(
    ("answer", "expected"),
    [
        (b'{"metadata": {}}', "shows no files; check that"),
        (b'{"files": []}', "shows no files"),
        (b"[1, 2]", "shows no files"),
        (b"<html>log in</html>", "no JSON"),
        (b'{"files": [{"key": "../../evil.zip"}]}', "shows no files"),
    ],
)
def test_odd_answers_are_one_line(restricted, monkeypatch, answer, expected):
    monkeypatch.setenv("ZENODO_TOKEN", "good")
    restricted.files[RECORD] = answer
    with pytest.raises(UserError, match=expected):
        zenodo.record_files(7, zenodo.access())


def test_a_busy_server_is_asked_again(restricted, monkeypatch):
    monkeypatch.setenv("ZENODO_TOKEN", "good")
    restricted.faults[RECORD] = [status(503), status(429)]
    assert len(zenodo.record_files(7, zenodo.access())) == 1
    restricted.faults[RECORD] = [html]
    with pytest.raises(UserError, match="no JSON"):
        zenodo.record_files(7, zenodo.access())


@pytest.mark.parametrize("fault", [cut(20), stalled(20)])
def test_half_an_answer_is_asked_for_again(restricted, monkeypatch, fault):
    monkeypatch.setenv("ZENODO_TOKEN", "good")
    restricted.faults[RECORD] = [fault]
    assert len(zenodo.record_files(7, zenodo.access())) == 1
    restricted.faults[RECORD] = [fault] * 5
    with pytest.raises(UserError, match=r"could not be asked for its files \((the connection broke off|timed out)\)"):
        zenodo.record_files(7, zenodo.access())


def test_the_users_netrc_does_not_replace_the_token(restricted, monkeypatch, tmp_path):
    (tmp_path / "netrc").write_text("machine 127.0.0.1 login me password else\n")
    monkeypatch.setenv("NETRC", str(tmp_path / "netrc"))
    monkeypatch.setenv("ZENODO_TOKEN", "good")
    assert len(zenodo.record_files(7, zenodo.access())) == 1


def test_a_token_does_not_follow_to_another_host(restricted, monkeypatch):
    from tests.download.server import Server, redirect

    monkeypatch.setenv("ZENODO_TOKEN", "good")
    other = Server()
    other.files["/elsewhere"] = restricted.files[RECORD]
    # another name of the same machine is another host
    restricted.faults[RECORD] = [redirect(other.url.replace("127.0.0.1", "localhost") + "/elsewhere")]
    try:
        zenodo.record_files(7, zenodo.access())
        assert [headers.get("Authorization") for _, headers in other.requests] == [None]
    finally:
        other.close()

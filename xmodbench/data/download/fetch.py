"""Fetching a file: resumed where it broke off, retried with patience, checked, whole or not there at all."""

from __future__ import annotations

import hashlib
import os
import random
import re
import time
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import requests
from tenacity import RetryCallState, Retrying, retry_if_exception_type

from xmodbench.data.download.access import OPEN, Access
from xmodbench.data.download.disk import check_space, disk_errors, exclusive
from xmodbench.data.download.errors import Damaged, NotFetched
from xmodbench.data.download.http import Different, Failed, Missing, Temporary, get, sorted_errors
from xmodbench.data.download.remote import human_size, mirrored, public
from xmodbench.errors import UserError
from xmodbench.files import read_json, write_json
from xmodbench.plugins import RemoteFile
from xmodbench.progress import Progress

ATTEMPTS = 5
LONGEST_WAIT_S = 60.0
_CHUNK = 1 << 20
_STARTS = {".zip": (b"PK\x03\x04", b"PK\x05\x06"), ".gz": (b"\x1f\x8b",)}


def fetch(file: RemoteFile, target: Path, progress: Progress, access: Access = OPEN) -> dict[str, Any]:
    """Fetch `file` to `target`. Until it is whole and checked it is ``<target>.part``, from which a later call goes on.

    Returns:
        What belongs in the lock file: url (without query; the mirror's where one was asked), size, md5, sha256, date.

    Raises:
        NotFetched: no address gives it.
        Damaged: what one gives is not what was published.
        UserError: the disk is full or may not be written, or another process is fetching the file.
    """
    with disk_errors(target):
        target.parent.mkdir(parents=True, exist_ok=True)
    job = _Job(file, target.with_name(target.name + ".part"), progress, access)
    problems: dict[str, Failed] = {}
    with exclusive(job.part), disk_errors(target):
        for url in file.urls:
            try:
                facts = job.run(url)
            except Failed as error:
                problems[url] = error
                continue
            os.replace(job.part, target)
            job.state.unlink(missing_ok=True)
            return facts
        if not job.size:
            job.part.unlink()
            job.state.unlink(missing_ok=True)
    raise _problem(problems, target)


def _problem(found: dict[str, Failed], target: Path) -> UserError:
    text = "; ".join(f"{public(url)}: {error}" for url, error in found.items())
    what, fix = f"could not be fetched ({text})", f"run again later, or put {target.name} there by hand"
    if any(isinstance(error, Different) for error in found.values()):
        return Damaged(what, target, fix)
    return NotFetched(what, target, fix, gone=all(isinstance(error, Missing) for error in found.values()))


@dataclass
class _Patience:
    """Stop after ATTEMPTS tries in a row that got no further; wait longer after each."""

    job: _Job
    best: int = 0
    idle: int = 0

    def stop(self, state: RetryCallState) -> bool:
        self.idle = 0 if self.job.size > self.best else self.idle + 1
        self.best = max(self.best, self.job.size)
        return self.idle >= ATTEMPTS

    def wait(self, state: RetryCallState) -> float:
        assert state.outcome is not None  # there was an attempt
        asked = getattr(state.outcome.exception(), "after", 0.0)
        return min(LONGEST_WAIT_S, max(asked, 2.0 ** max(0, self.idle - 1) * random.uniform(0.8, 1.2)))


@dataclass
class _Job:
    """A file on its way; `part` holds what has come, `state` what is known of it."""

    file: RemoteFile
    part: Path
    progress: Progress
    access: Access

    @property
    def state(self) -> Path:
        return self.part.with_name(self.part.name + ".json")

    @property
    def size(self) -> int:
        return self.part.stat().st_size

    def run(self, url: str) -> dict[str, Any]:
        """Download and check; a resumed file that turns out wrong is fetched once more from the start."""
        resumed = self.size > 0
        self._download(url)
        digests = self._digests()
        problem = self._compare(digests)
        if problem and resumed:
            self.progress.say(f"{self.file.name}: {problem}; starting over")
            self._forget()
            self._download(url)
            digests = self._digests()
            problem = self._compare(digests)
        if problem:
            self._forget()
            raise Different(problem)
        now = time.strftime("%Y-%m-%dT%H:%M:%SZ", time.gmtime())
        return {"url": public(mirrored(url)), "size": self.size, **digests, "fetched": now}

    def _download(self, url: str) -> None:
        patience = _Patience(self, best=self.size)
        retrying = Retrying(
            retry=retry_if_exception_type(Temporary), stop=patience.stop, wait=patience.wait, reraise=True,
            before_sleep=self._report,
        )  # fmt: skip
        try:
            retrying(self._attempt, url)
        except Temporary as error:
            raise Failed(f"{error}, {ATTEMPTS} times in a row") from None

    def _report(self, state: RetryCallState) -> None:
        assert state.next_action is not None and state.outcome is not None  # there was an attempt, and another will be
        wait = state.next_action.sleep
        self.progress.say(f"{self.file.name}: {state.outcome.exception()}; trying again in {wait:.0f} s")

    def _attempt(self, url: str) -> None:
        known = self._known(url)
        if known.get("total") is not None and self.size == known["total"]:
            return  # all there: an earlier job was killed before it had checked it
        start = self.size if known else 0
        headers = {"Range": f"bytes={start}-"} if start else {}
        if start and known.get("validator"):
            headers["If-Range"] = known["validator"]
        with get(url, self.access, headers) as response:
            start = self._start(response, start, known)
            total = self._total(response, start)
            write_json(self.state, {"url": public(url), "validator": _validator(response), "total": total})
            if total is not None:
                check_space(self.part.parent, total - start)
            self._receive(response, start, total)

    def _known(self, url: str) -> dict[str, Any]:
        """What is known of the partial file, empty where it is of no use for this address."""
        if not self.size or not self.state.is_file():
            return {}
        try:
            known = read_json(self.state)
        except UserError:
            return {}
        same = known.get("url") == public(url)
        if same and known.get("validator"):
            return known
        # without a validator, or from a mirror, only a published digest can tell whether the pieces fit
        checkable = self.file.md5 or self.file.sha256
        return {"total": known.get("total")} if checkable else {}

    def _start(self, response: requests.Response, start: int, known: dict[str, Any]) -> int:
        """Where in the file the body begins; 0 where the server starts over (no ranges, or a changed file)."""
        if response.status_code == 200:
            return 0
        found = re.fullmatch(r"bytes (\d+)-\d+/(\d+|\*)", response.headers.get("Content-Range", ""))
        total = int(found[2]) if found and found[2] != "*" else known.get("total")
        if response.status_code == 416 or not found or int(found[1]) != start or total != known.get("total", total):
            self._forget()
            raise Temporary("the partial file does not fit the server's")
        return start

    def _total(self, response: requests.Response, start: int) -> int | None:
        if "text/html" in response.headers.get("Content-Type", "") and not self.file.name.endswith((".html", ".htm")):
            raise Failed(f"sends a web page instead of the file, for a login perhaps; {self.access.hint}")
        length = response.headers.get("Content-Length")
        if length is None or response.headers.get("Content-Encoding", "identity") != "identity":
            return self.file.size
        total = start + int(length)
        if self.file.size is not None and total != self.file.size:
            raise Different(f"offers {total:,} bytes, {self.file.size:,} were published")
        return total

    def _receive(self, response: requests.Response, start: int, total: int | None) -> None:
        chunks = response.raw.stream(_CHUNK, decode_content=False)
        with open(self.part, "r+b") as out, self.progress.meter(self.file.name, total, start) as came:
            out.truncate(start)
            out.seek(start)
            while True:
                with sorted_errors():
                    chunk = next(chunks, None)
                if chunk is None:
                    break
                if not out.tell():
                    self._check_beginning(chunk)
                out.write(chunk)
                came(len(chunk))
            out.flush()
            os.fsync(out.fileno())
        if total is not None and self.size < total:
            raise Temporary(f"ended after {self.size:,} of {total:,} bytes")

    def _check_beginning(self, chunk: bytes) -> None:
        if chunk[:200].lstrip().lower().startswith((b"<!doctype html", b"<html")):
            raise Failed(f"sends a web page instead of the file; {self.access.hint}")
        starts = _STARTS.get(Path(self.file.name).suffix)
        if starts and not chunk.startswith(starts):
            raise Failed(f"sends something else than a {Path(self.file.name).suffix[1:]} file")

    def _digests(self) -> dict[str, str]:
        md5, sha256 = hashlib.md5(usedforsecurity=False), hashlib.sha256()
        with open(self.part, "rb") as handle, self.progress.meter(f"check {self.file.name}", self.size) as read:
            while chunk := handle.read(_CHUNK):
                md5.update(chunk)
                sha256.update(chunk)
                read(len(chunk))
        return {"md5": md5.hexdigest(), "sha256": sha256.hexdigest()}

    def _compare(self, digests: dict[str, str]) -> str | None:
        if self.file.size is not None and self.size != self.file.size:
            return f"came with {human_size(self.size)} instead of {human_size(self.file.size)}"
        for name, found in digests.items():
            wanted = getattr(self.file, name)
            if wanted and found != wanted:
                return f"{name} is {found}, {wanted} was expected"
        return None

    def _forget(self) -> None:
        os.truncate(self.part, 0)
        self.state.unlink(missing_ok=True)


def _validator(response: requests.Response) -> str | None:
    """What tells a changed file: a strong ETag, else the date (weak tags are not allowed in If-Range)."""
    tag = response.headers.get("ETag")
    return tag if tag and not tag.startswith("W/") else response.headers.get("Last-Modified")

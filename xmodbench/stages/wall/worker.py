"""The process that a plugin's code runs in, seen from inside: first the wall, then the plugin, then its tasks.

Imports nothing but the standard library and the wall before that stands: what is imported earlier could start threads,
which would stay outside. Requests and answers are lines of JSON; the last answer is ``done`` with facts, or ``failed``
with what, where and fix.
"""

from __future__ import annotations

import json
import os
import resource
import socket
import sys
from collections.abc import Callable, Iterator
from contextlib import contextmanager, suppress
from functools import partial
from importlib import import_module
from typing import Any, TextIO

from xmodbench import isolation
from xmodbench.errors import UserError
from xmodbench.lean_imports import Uncollected


def main(descriptor: int) -> None:
    """Serve the process at the other end of a socket until it says no more."""
    sys.argv[:] = ["xmodbench"]
    isolation.die_with_parent()
    channel = socket.socket(fileno=descriptor).makefile("rw", encoding="utf-8")
    first = json.loads(channel.readline())
    wall = first["wall"] and isolation.Wall(**{key: _tuple(value) for key, value in first["wall"].items()})
    _answer(channel, lambda: _described(wall, first))
    for line in channel:
        request = json.loads(line)
        os.environ.update(request["environment"])
        _answer(channel, partial(_performed, request))
    # what the method left running (threads, its own exit handlers) is not waited for
    sys.stdout.flush()
    os._exit(0)


def _tuple(value: Any) -> Any:
    return tuple(value) if isinstance(value, list) else value


def _answer(channel: TextIO, work: Callable[[], dict[str, Any]]) -> None:
    try:
        answer = {"done": work()}
    except UserError as error:
        answer = {"failed": {"what": error.what, "where": error.where and str(error.where), "fix": error.fix}}
    channel.write(json.dumps(answer) + "\n")
    channel.flush()
    if "failed" in answer:
        os._exit(1)


_asked: Any = None  # the conversation about one plugin, kept between its requests


def _described(wall: isolation.Wall | None, request: dict[str, Any]) -> dict[str, Any]:
    if request["limits"]:
        _limit(**request["limits"])
    if wall is not None:
        isolation.enter(wall)
    sys.meta_path.insert(0, Uncollected("torch", "numba"))
    module, _, name = request["tasks"].partition(":")
    global _asked
    with _settled(request.get("elsewhere")):
        tasks = getattr(import_module(module), name)
    _asked = tasks(request, wall)
    return _asked.described()


@contextmanager
def _settled(elsewhere: dict[str, Any] | None) -> Iterator[None]:
    """In an environment of the plugin's own: find its packages, and after them what is lent to it."""
    if elsewhere is None:
        yield
        return
    import site

    sys.prefix = sys.exec_prefix = elsewhere["prefix"]
    sys.executable = elsewhere["python"]
    for folder in elsewhere["site"]:
        site.addsitedir(folder)
    sys.path.append(elsewhere["lent"])
    try:
        yield
    except ImportError as error:
        fix = "let it have pydantic 2, PyYAML and NumPy, or none of them: then they are lent to it"
        raise UserError(f"in its environment xmodbench cannot be imported ({error})", elsewhere["file"], fix) from None


def _limit(seconds: float, memory_mb: int, file_mb: int) -> None:
    """Take no more than this, and end before anything else of this machine does; the seconds are counted outside."""
    limits = {resource.RLIMIT_DATA: memory_mb * 2**20, resource.RLIMIT_FSIZE: file_mb * 2**20, resource.RLIMIT_CORE: 0}
    for kind, wanted in limits.items():
        hard = resource.getrlimit(kind)[1]
        with suppress(OSError, ValueError):
            resource.setrlimit(kind, (wanted if hard == resource.RLIM_INFINITY else min(wanted, hard), hard))
    with suppress(OSError), open("/proc/self/oom_score_adj", "w") as score:
        score.write("1000")


def _performed(request: dict[str, Any]) -> dict[str, Any]:
    return _asked.perform(request)

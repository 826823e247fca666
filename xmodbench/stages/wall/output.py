"""What a method's process says, passed on to the job's log; of a flood its beginning and its end."""

from __future__ import annotations

import os
import threading
from contextlib import suppress
from typing import IO, Any

MOST = 10 * 2**20
"""Bytes that are passed on as they come: a training of weeks says less."""
LAST = 16 * 2**10
"""Bytes of the end that are passed on where there were more: what went wrong stands there."""


def passing_on(output: IO[bytes], stream: Any) -> threading.Thread:
    """A thread, started, that passes what comes from a pipe on to `stream`, until the other end is closed."""
    thread = threading.Thread(target=_pass_on, args=(output, descriptor(stream)), daemon=True)
    thread.start()
    return thread


def _pass_on(output: Any, to: int) -> None:
    passed, left_out, end = 0, 0, b""
    with output:
        while chunk := output.read1(2**16):
            now, later = chunk[: MOST - passed], chunk[MOST - passed :]
            _write(to, now)
            passed += len(now)
            left_out += len(later)
            end = (end + later)[-LAST:]
    if left_out > len(end):
        _write(to, f"\n[{left_out - len(end)} bytes of output are left out here]\n".encode())
    _write(to, end)


def _write(to: int, data: bytes) -> None:
    with suppress(OSError):  # nobody reads it any more: it is still taken, or the method would wait for ever
        while data:
            data = data[os.write(to, data) :]


def descriptor(stream: Any) -> int:
    """A stream's file descriptor; that of standard error where a test has put something else in its place."""
    try:
        return stream.fileno()
    except (AttributeError, OSError, ValueError):
        return 2

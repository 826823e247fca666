"""The folder of a training's state: one owner at a time."""

from __future__ import annotations

import os
import platform
import time
from collections.abc import Iterator
from contextlib import ExitStack, contextmanager, suppress
from pathlib import Path
from typing import Any, BinaryIO

from xmodbench.data.download.disk import Busy, NoLocks, exclusive
from xmodbench.errors import UserError
from xmodbench.files import read_json
from xmodbench.plan.lifeline import lives
from xmodbench.progress import Progress

OWNER = ".owner.json"
GRACE_S = 10.0
"""How long what a killed owner left running may take to end."""


@contextmanager
def owned(state: Path, progress: Progress) -> Iterator[tuple[int, ...]]:
    """Hold a state folder, made where it is missing, against other trainings until the block ends.

    Yields:
        File descriptors for the method's process to keep open: the folder stays held until that has ended as well, so that
        nothing trains on beside a successor when this process is killed.

    Raises:
        UserError: another process, which the message names, trains into it.
    """
    with ExitStack() as stack:
        try:
            handle = _held(state, stack)
        except NoLocks as error:
            progress.say(f"{error.what}: see to it that no other job trains into {state}")
            yield ()
            return
        handle.truncate(0)
        handle.write(_me())
        handle.flush()
        yield (handle.fileno(),)


def _held(state: Path, stack: ExitStack) -> BinaryIO:
    """The owner's file, held."""
    path, until = state / OWNER, time.monotonic() + GRACE_S
    while True:
        state.mkdir(parents=True, exist_ok=True)
        with ExitStack() as attempt:
            try:
                handle = attempt.enter_context(exclusive(path))
            except Busy:
                owner = _owner(path)
                if _lives(owner) or time.monotonic() > until:
                    raise _problem(state, owner) from None
                time.sleep(0.05)
                continue
            # an owner that ends well removes the folder, and a file that is gone holds nothing
            with suppress(FileNotFoundError):
                if os.path.samestat(os.fstat(handle.fileno()), path.stat()):
                    stack.push(attempt.pop_all())
                    return handle


def _me() -> bytes:
    since = time.strftime("%Y-%m-%dT%H:%M:%SZ", time.gmtime())
    return f'{{"pid": {os.getpid()}, "host": "{platform.node()}", "since": "{since}"}}\n'.encode()


def _owner(path: Path) -> dict[str, Any]:
    """What the file says of its owner, nothing where that is still being written."""
    try:
        found = read_json(path)
    except UserError:
        return {}
    return found if isinstance(found, dict) and isinstance(found.get("pid"), int) else {}


def _lives(owner: dict[str, Any]) -> bool:
    """Whether an owner runs, as far as can be told from here."""
    if owner.get("host") != platform.node():
        return bool(owner)
    return lives(owner["pid"])


def _problem(state: Path, owner: dict[str, Any]) -> UserError:
    where = f"--state {state}"
    if not owner:
        return UserError("another process trains into it", where, "wait for it or end it, or give a folder of its own")
    named = f"process {owner['pid']} on {owner.get('host')}"
    if _lives(owner):
        problem = f"{named} trains into it since {owner.get('since')}"
        return UserError(problem, where, "wait for it or end it, or give a folder of its own")
    return UserError(f"{named} has ended, but what it started has not", where, "end that")

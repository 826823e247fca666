"""Processes of a plugin made by forking one that has imported the libraries: in hundredths of a second, not in halves.

For checks, which need many that do little. Each is as alone as one that was started anew: it has its own session, folder and
variables, and enters its own wall; of the process that it was forked from it has what that had imported, no plugin's code.
"""

from __future__ import annotations

import json
import os
import signal
import socket
import subprocess
import sys
import tempfile
from collections.abc import Iterable
from contextlib import ExitStack, suppress
from importlib import import_module
from pathlib import Path
from typing import IO

from xmodbench.isolation import die_with_parent
from xmodbench.stages.wall import worker
from xmodbench.stages.wall.system import environment

PRELOADED = ("numpy", "xmodbench.stages.check.method_tasks")
ONE_THREAD = dict.fromkeys(("OMP_NUM_THREADS", "OPENBLAS_NUM_THREADS", "MKL_NUM_THREADS"), "1")


class Forked:
    """A forked process, as `xmodbench.stages.wall.walled.Started`."""

    stdout: IO[bytes] | None = None

    def __init__(self, pid: int, server: socket.socket):
        self.pid, self._server = pid, server
        self._code: int | None = None

    def wait(self) -> int:
        """Wait for its end; its exit code, or minus the signal that ended it."""
        if self._code is None:
            self._code = _told(self._server, "ended")
        return self._code

    def kill(self) -> None:
        """End it."""
        self.send_signal(signal.SIGKILL)

    def send_signal(self, number: int) -> None:
        """Send it a signal, unless it has ended."""
        if self._code is None:
            with suppress(ProcessLookupError):
                os.kill(self.pid, number)


def _told(server: socket.socket, what: str) -> int:
    """A number that the server says; RuntimeError where it says something else, or nothing as it has ended."""
    word, _, number = server.recv(64).decode().partition(" ")
    if word != what:
        raise RuntimeError(f"the server of forked processes said '{word}', not '{what}'")
    return int(number)


class ForkServer:
    """The process that others are forked from, one after the other; a context manager that ends it.

    Args:
        preloaded: modules that it imports. None may leave threads running, which would stay outside a wall.
    """

    def __init__(self, preloaded: Iterable[str] = PRELOADED):
        self.preloaded = list(preloaded)

    def __enter__(self) -> ForkServer:
        with ExitStack() as stack:
            folder = stack.enter_context(tempfile.TemporaryDirectory(prefix="xmodbench-check-"))
            self._server, theirs = socket.socketpair(socket.AF_UNIX, socket.SOCK_SEQPACKET)
            stack.callback(self._end)
            with theirs:
                code = f"from xmodbench.stages.wall.forking import serve; serve({theirs.fileno()}, {self.preloaded!r})"
                self._process = subprocess.Popen(
                    [sys.executable, "-P", "-c", code],
                    env={**environment(Path(folder)), **ONE_THREAD},
                    stdin=subprocess.DEVNULL,
                    stdout=subprocess.DEVNULL,
                    pass_fds=[theirs.fileno()],
                    start_new_session=True,  # Ctrl-C is for who waits for it
                )
            self._stack = stack.pop_all()
        return self

    def __exit__(self, *_: object) -> None:
        self._stack.close()

    def _end(self) -> None:
        self._server.close()
        if hasattr(self, "_process"):
            self._process.kill()
            self._process.wait()

    def start(self, channel: int, work: Path, variables: dict[str, str], output: int, held: tuple[int, ...]) -> Forked:
        """Fork a process that serves the socket `channel`: see `xmodbench.stages.wall.walled.Start`."""
        request = json.dumps({"work": str(work), "variables": {**variables, **ONE_THREAD}}).encode()
        socket.send_fds(self._server, [request], [channel, output, *held])
        pid = _told(self._server, "forked")
        assert pid > 1  # a signal to 0 or less would go to others
        return Forked(pid, self._server)


def serve(descriptor: int, preloaded: list[str]) -> None:
    """Fork a process for each request that comes, say its number, and how it ended once it has."""
    die_with_parent()
    for module in preloaded:
        import_module(module)
    asked = socket.socket(fileno=descriptor)
    while True:
        message, handed, _, _ = socket.recv_fds(asked, 2**18, 16)
        if not message:
            os._exit(0)
        pid = os.fork()
        if pid == 0:
            asked.close()
            _become(json.loads(message), *handed)
        for handle in handed:
            os.close(handle)
        asked.send(f"forked {pid}".encode())
        asked.send(f"ended {os.waitstatus_to_exitcode(os.waitpid(pid, 0)[1])}".encode())


def _become(request: dict, channel: int, output: int, *held: int) -> None:
    """In the forked process: be as one that was started anew, and serve."""
    code = 1
    try:
        os.setsid()
        os.dup2(output, 1)
        os.dup2(output, 2)
        os.close(output)
        os.chdir(request["work"])
        os.environ.clear()
        os.environ.update(request["variables"])
        tempfile.tempdir = None  # of the server's own folder
        if (numpy := sys.modules.get("numpy")) is not None:
            numpy.random.seed()  # or all would draw the same
        if (numba := sys.modules.get("numba")) is not None:
            numba.core.config.reload_config()  # its caches are in the server's folder else
        worker.main(channel)
    except SystemExit as error:
        code = error.code if isinstance(error.code, int) else int(error.code is not None)
    except BaseException:
        sys.excepthook(*sys.exc_info())
    finally:
        sys.stdout.flush()
        sys.stderr.flush()
        os._exit(code & 0xFF)

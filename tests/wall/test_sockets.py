"""System calls that lead past the file system, behind a wall: no sockets, or those that several processes and GPUs need."""

from __future__ import annotations

import json
import platform
import subprocess
import sys

import pytest

from xmodbench import isolation

pytestmark = pytest.mark.skipif(not isolation.landlock_version(), reason="this kernel has no Landlock")

PROGRAM = """
import json, socket, sys
from xmodbench import isolation
device, several = json.loads(sys.argv[1])
ports = isolation.rendezvous_ports() if several else ()
isolation.enter(isolation.Wall(("/",), ports=ports, families=isolation.families_for(device, several)))
kinds = {
    "tcp": (socket.AF_INET, socket.SOCK_STREAM),
    "tcp6": (socket.AF_INET6, socket.SOCK_STREAM),
    "udp": (socket.AF_INET, socket.SOCK_DGRAM),
    "raw": (socket.AF_INET, socket.SOCK_RAW, 1),
    "mptcp": (socket.AF_INET, socket.SOCK_STREAM, 262),
    "unix": (socket.AF_UNIX, socket.SOCK_STREAM),
    "netlink": (socket.AF_NETLINK, socket.SOCK_RAW),
    "packet": (socket.AF_PACKET, socket.SOCK_RAW),
    "vsock": (socket.AF_VSOCK, socket.SOCK_STREAM),
}
made = []
for name, kind in kinds.items():
    try:
        socket.socket(*kind).close()
        made.append(name)
    except PermissionError as error:
        assert error.errno == 13, (name, error)
socket.socketpair()[0].close()
if several:  # the other processes can be met
    with socket.create_server(("127.0.0.1", 0)) as server:
        socket.create_connection(server.getsockname()).close()
print(json.dumps(made))
"""


@pytest.mark.parametrize(
    ("device", "several", "expected"),
    [
        ("cpu", False, []),
        ("cpu", True, ["tcp", "tcp6", "netlink"]),
        ("cuda", False, ["unix"]),
        ("cuda", True, ["tcp", "tcp6", "unix", "netlink"]),
    ],
)
def test_only_what_is_needed_can_be_made(device, several, expected):
    arguments = [sys.executable, "-c", PROGRAM, json.dumps([device, several])]
    done = subprocess.run(arguments, capture_output=True, text=True, check=False)
    assert done.returncode == 0, done.stderr
    assert json.loads(done.stdout) == expected


CALLS = """
import ctypes, errno, json, platform, sys
from xmodbench import isolation
_, _, calls = isolation._ARCHITECTURES[platform.machine()]
libc = ctypes.CDLL(None, use_errno=True)
if json.loads(sys.argv[1]):
    isolation.enter(isolation.Wall(("/",)))
refused = [number for number in (*calls, isolation.IO_URING_SETUP)
           if libc.syscall(number, -1, 0, 0, 0, 0) < 0 and ctypes.get_errno() == errno.EACCES]
print(json.dumps([len(refused), len(calls) + 1]))
"""


@pytest.mark.skipif(platform.machine() not in isolation._ARCHITECTURES, reason="its system calls are not known here")
@pytest.mark.parametrize("walled", [False, True])
def test_memory_queues_and_keyrings_of_others_are_refused(walled):
    """Shared memory, message queues, keyrings and io_uring, asked for nonsense: without a wall other errors come."""
    done = subprocess.run(
        [sys.executable, "-c", CALLS, json.dumps(walled)], capture_output=True, text=True, check=False
    )
    assert done.returncode == 0, done.stderr
    refused, asked = json.loads(done.stdout)
    assert refused == (asked if walled else 0)

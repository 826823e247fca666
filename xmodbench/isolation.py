"""The wall around a process that runs a plugin's code: what it may read, write and connect to (design invariant 1).

The kernel holds the process and its children to it: Landlock for files and TCP ports (Linux 5.13 and newer), a seccomp
filter for every other kind of socket. Neither can be taken back. Threads that run already stay outside a wall, so it has
to be entered before any foreign code is imported, while the process has one thread.

Numbers and structures are those of ``linux/landlock.h``, ``linux/seccomp.h`` and ``linux/filter.h``.
"""

from __future__ import annotations

import ctypes
import os
import platform
import struct
import sys
from collections.abc import Iterable
from dataclasses import dataclass
from functools import cache
from pathlib import Path

from xmodbench.errors import UserError

# rights of files, by the bit that names them
EXECUTE, WRITE_FILE, READ_FILE, READ_DIR = 1 << 0, 1 << 1, 1 << 2, 1 << 3
REMOVE_DIR, REMOVE_FILE, MAKE_DIR, MAKE_REG, MAKE_SOCK, MAKE_FIFO, MAKE_SYM = (
    1 << bit for bit in (4, 5, 7, 8, 9, 10, 12)
)
REFER, TRUNCATE, IOCTL_DEV = 1 << 13, 1 << 14, 1 << 15
READ = EXECUTE | READ_FILE | READ_DIR
WRITE = READ | WRITE_FILE | REMOVE_DIR | REMOVE_FILE | MAKE_DIR | MAKE_REG | MAKE_SOCK | MAKE_FIFO | REFER | TRUNCATE
DEVICE = READ_FILE | WRITE_FILE | IOCTL_DEV
OF_FILES = EXECUTE | WRITE_FILE | READ_FILE | TRUNCATE | IOCTL_DEV  # rights that a file, no folder, can have
BIND_TCP, CONNECT_TCP = 1 << 0, 1 << 1
SCOPES = 1 << 0 | 1 << 1  # abstract Unix sockets and signals stay within the wall

CREATE_RULESET, ADD_RULE, RESTRICT_SELF = 444, 445, 446  # the same on all architectures
NO_NEW_PRIVS, SET_SECCOMP, DIE_WITH_PARENT = 38, 22, 1  # of prctl


@dataclass(frozen=True)
class Wall:
    """What lies within. Paths that do not exist are passed over.

    Attributes:
        read: files and folders, with all below them.
        listed: folders whose names, and those of all below them, may be listed; their files are named in `read`.
        write: folders that may be read and written; no symbolic link can be made there.
        scratch: folders that may be read and written freely.
        devices: device files that may be read, written and controlled.
        ports: TCP ports that may be connected to; None for no sockets at all, but Unix sockets.
    """

    read: tuple[str, ...]
    listed: tuple[str, ...] = ()
    write: tuple[str, ...] = ()
    scratch: tuple[str, ...] = ()
    devices: tuple[str, ...] = ()
    ports: tuple[int, ...] | None = None

    def holds(self, path: str) -> bool:
        """Whether an absolute path lies within."""
        return any(path == root or path.startswith(root.rstrip("/") + "/") for root in self.roots)

    @property
    def roots(self) -> tuple[str, ...]:
        """All that may be opened."""
        return (*self.read, *self.write, *self.scratch, *self.devices)


@cache
def landlock_version() -> int:
    """Version of the kernel's Landlock (its ABI); 0 where it has none, or where it is switched off."""
    if not sys.platform.startswith("linux"):
        return 0
    return max(0, _syscall(CREATE_RULESET, None, 0, 1))


def enter(wall: Wall) -> None:
    """Put this process behind a wall, for good.

    Raises:
        UserError: the kernel refuses, or threads run already, which would stay outside.
    """
    threads = os.listdir("/proc/self/task")
    if len(threads) > 1:
        raise UserError(f"{len(threads)} threads run already", "isolation", "this is a fault of xmodbench: report it")
    version = landlock_version()
    _prctl(NO_NEW_PRIVS, 1)
    rights = _all_rights(version)
    ruleset = _ruleset(rights, version)
    for access, paths in (
        (READ, wall.read),
        (READ_DIR, wall.listed),
        (WRITE, wall.write),
        (WRITE | MAKE_SYM, wall.scratch),
        (DEVICE, wall.devices),
    ):
        _allow_paths(ruleset, access & rights, paths)
    if version >= 4 and wall.ports is not None:
        _allow_ports(ruleset, wall.ports)
    if _syscall(RESTRICT_SELF, ruleset, 0) < 0:
        raise _refused("landlock_restrict_self")
    os.close(ruleset)
    if wall.ports is None:
        _refuse_sockets()


def die_with_parent() -> None:
    """Let the kernel kill this process when the one that started it ends, however it ends."""
    if sys.platform.startswith("linux"):
        _prctl(DIE_WITH_PARENT, 9)


def _all_rights(version: int) -> int:
    newer = {2: REFER, 3: TRUNCATE, 5: IOCTL_DEV}
    return (1 << 13) - 1 | sum(right for since, right in newer.items() if version >= since)


def _ruleset(rights: int, version: int) -> int:
    fields = [rights] + ([BIND_TCP | CONNECT_TCP] if version >= 4 else []) + ([SCOPES] if version >= 6 else [])
    attributes = struct.pack(f"={len(fields)}Q", *fields)
    found = _syscall(CREATE_RULESET, attributes, len(attributes), 0)
    if found < 0:
        raise _refused("landlock_create_ruleset")
    return found


def _allow_paths(ruleset: int, access: int, paths: Iterable[str]) -> None:
    for path in dict.fromkeys(paths):
        try:
            handle = os.open(path, os.O_PATH | os.O_CLOEXEC)
        except OSError:
            continue
        rights = access if os.path.isdir(path) else access & OF_FILES
        failed = _syscall(ADD_RULE, ruleset, 1, struct.pack("=Qi", rights, handle), 0) < 0
        os.close(handle)
        if failed:
            raise _refused(f"landlock_add_rule for {path}")


def _allow_ports(ruleset: int, ports: Iterable[int]) -> None:
    for port in ports:
        if _syscall(ADD_RULE, ruleset, 2, struct.pack("=QQ", CONNECT_TCP | BIND_TCP, port), 0) < 0:
            raise _refused(f"landlock_add_rule for port {port}")


def rendezvous_ports() -> tuple[int, ...]:
    """Ports by which the processes of one training find and reach each other: the launcher's, and those the kernel picks.

    Well-known services listen below the range the kernel picks from, so that none of them can be reached.
    """
    try:
        low, high = map(int, Path("/proc/sys/net/ipv4/ip_local_port_range").read_text().split())
    except (OSError, ValueError):
        low, high = 32768, 60999
    return (0, int(os.environ.get("MASTER_PORT", 29500)), *range(low, high + 1))


# architecture, its number for the kernel, and that of its system call `socket`
_ARCHITECTURES = {"x86_64": (0xC000003E, 41), "aarch64": (0xC00000B7, 198)}
IO_URING_SETUP = 425  # would make sockets that no filter sees


def _refuse_sockets() -> None:
    """Refuse sockets but Unix ones; on architectures whose numbers are not known here, Landlock alone refuses TCP."""
    known = _ARCHITECTURES.get(platform.machine())
    if known is None:
        return
    architecture, socket_call = known
    load, equal, at_least, leave = 0x20, 0x15, 0x35, 0x06
    refuse, allow = 0x00050000 | 13, 0x7FFF0000  # errno EACCES
    number, arch, first_argument = 0, 4, 16  # offsets in struct seccomp_data (little-endian)
    program = [
        (load, 0, 0, arch),
        (equal, 0, 6, architecture),  # a 32-bit call has other numbers: refused
        (load, 0, 0, number),
        (at_least, 4, 0, 0x40000000),  # as has the x32 ABI
        (equal, 3, 0, IO_URING_SETUP),
        (equal, 0, 3, socket_call),
        (load, 0, 0, first_argument),
        (equal, 1, 0, 1),  # AF_UNIX
        (leave, 0, 0, refuse),
        (leave, 0, 0, allow),
    ]
    code = ctypes.create_string_buffer(b"".join(struct.pack("=HBBI", *line) for line in program))
    header = ctypes.create_string_buffer(struct.pack("@HP", len(program), ctypes.addressof(code)))
    if _libc().prctl(SET_SECCOMP, 2, header, 0, 0) != 0:
        raise _refused("prctl(PR_SET_SECCOMP)")


def _libc() -> ctypes.CDLL:
    return ctypes.CDLL(None, use_errno=True)


def _syscall(number: int, *arguments: object) -> int:
    values = [ctypes.c_long(item) if isinstance(item, int) else item for item in arguments]
    return _libc().syscall(ctypes.c_long(number), *values)


def _prctl(option: int, value: int) -> None:
    if _libc().prctl(option, value, 0, 0, 0) != 0:
        raise _refused(f"prctl({option})")


def _refused(what: str) -> UserError:
    return UserError(f"{what} failed ({os.strerror(ctypes.get_errno())})", "isolation", "the job cannot be walled in")

"""The wall around a process that runs a plugin's code: what it may read, write and connect to (design invariant 1).

The kernel holds the process and its children to it: Landlock for files and TCP ports (Linux 5.13 and newer), a seccomp
filter for every other kind of socket and for what processes share that is no file. Neither can be taken back. Threads that
run already stay outside a wall, so it has to be entered before any foreign code is imported, while the process has one
thread.

Numbers and structures are those of ``linux/landlock.h``, ``linux/seccomp.h`` and ``linux/filter.h``.
"""

from __future__ import annotations

import ctypes
import os
import platform
import socket
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
        ports: TCP ports that may be connected to and listened at.
        families: address families of which sockets can be made (``socket.AF_INET`` and so on).
    """

    read: tuple[str, ...]
    listed: tuple[str, ...] = ()
    write: tuple[str, ...] = ()
    scratch: tuple[str, ...] = ()
    devices: tuple[str, ...] = ()
    ports: tuple[int, ...] = ()
    families: tuple[int, ...] = ()

    def holds(self, path: str) -> bool:
        """Whether an absolute path lies within."""
        return path in self.listed or any(
            path == root or path.startswith(root.rstrip("/") + "/") for root in self.roots
        )

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
    if version >= 4:
        _allow_ports(ruleset, wall.ports)
    if _syscall(RESTRICT_SELF, ruleset, 0) < 0:
        raise _refused("landlock_restrict_self")
    os.close(ruleset)
    _filter_calls(wall.families)


def families_for(device: str, several: bool) -> tuple[int, ...]:
    """Address families that a job needs sockets of: none, but with several processes or on a GPU.

    Processes of one training meet over TCP and ask the kernel for network interfaces. CUDA's and ROCm's runtimes may speak
    with the driver's services through Unix sockets, which Landlock cannot tell apart.
    """
    network = (socket.AF_INET, socket.AF_INET6, socket.AF_NETLINK) if several else ()
    return tuple(map(int, (*network, *(() if device == "cpu" else (socket.AF_UNIX,)))))


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


# architecture, its number for the kernel, and those of system calls: `socket`; and what other processes may have left
# things in that are no files, memory segments and message queues of both kinds (shmget, shmat, msgget, msgrcv, mq_open)
# and keyrings (add_key, request_key, keyctl)
_ARCHITECTURES = {
    "x86_64": (0xC000003E, 41, (29, 30, 68, 70, 240, 248, 249, 250)),
    "aarch64": (0xC00000B7, 198, (194, 196, 186, 188, 180, 217, 218, 219)),
}
IO_URING_SETUP = 425  # would make sockets that no filter sees; the same on all architectures
STREAM, TCP = 1, 6
_LOAD, _AND, _EQUAL, _AT_LEAST, _LEAVE = 0x20, 0x54, 0x15, 0x35, 0x06  # instructions of the filter's language
_NUMBER, _ARCHITECTURE, _FIRST, _SECOND, _THIRD = 0, 4, 16, 24, 32  # offsets in struct seccomp_data (little-endian)
_ALLOW, _REFUSE = 0x7FFF0000, 0x00050000 | 13  # errno EACCES


def _filter_calls(families: Iterable[int]) -> None:
    """Refuse system calls that lead to what other processes hold, by ways that Landlock does not know.

    Sockets of `families` can be made, over IP those of plain TCP alone, which Landlock then holds to its ports; pairs of
    connected sockets, which lead nowhere, always. On architectures whose numbers are not known here, Landlock stands alone.
    """
    known = _ARCHITECTURES.get(platform.machine())
    if known is None:
        return
    program = _assembled(_filter(*known, sorted(families)))
    code = ctypes.create_string_buffer(program)
    header = ctypes.create_string_buffer(struct.pack("@HP", len(program) // 8, ctypes.addressof(code)))
    if _libc().prctl(SET_SECCOMP, 2, header, 0, 0) != 0:
        raise _refused("prctl(PR_SET_SECCOMP)")


_Line = tuple[str, int, int, str, str]  # label, instruction, value, where to go if it holds, and if not ("": on)


def _filter(architecture: int, socket_call: int, refused: Iterable[int], families: list[int]) -> list[_Line]:
    over_ip = (int(socket.AF_INET), int(socket.AF_INET6))
    return [
        ("", _LOAD, _ARCHITECTURE, "", ""),
        ("", _EQUAL, architecture, "", "refuse"),  # a 32-bit call has other numbers
        ("", _LOAD, _NUMBER, "", ""),
        ("", _AT_LEAST, 0x40000000, "refuse", ""),  # as has the x32 ABI
        *(("", _EQUAL, call, "refuse", "") for call in (IO_URING_SETUP, *refused)),
        ("", _EQUAL, socket_call, "", "allow"),
        ("", _LOAD, _FIRST, "", ""),
        *(("", _EQUAL, family, "ip" if family in over_ip else "allow", "") for family in families),
        ("refuse", _LEAVE, _REFUSE, "", ""),
        ("ip", _LOAD, _SECOND, "", ""),
        ("", _AND, 0xF, "", ""),  # flags stand above the type
        ("", _EQUAL, STREAM, "", "no"),
        ("", _LOAD, _THIRD, "", ""),
        ("", _EQUAL, 0, "allow", ""),
        ("", _EQUAL, TCP, "allow", ""),  # others, MPTCP say, go past Landlock's ports
        ("no", _LEAVE, _REFUSE, "", ""),
        ("allow", _LEAVE, _ALLOW, "", ""),
    ]


def _assembled(lines: list[_Line]) -> bytes:
    """The program in the kernel's form, where jumps say how many lines they pass over."""
    places = {label: number for number, (label, *_) in enumerate(lines) if label}
    return b"".join(
        struct.pack("=HBBI", code, *(places[to] - number - 1 if to else 0 for to in (true, false)), value)
        for number, (_, code, value, true, false) in enumerate(lines)
    )


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

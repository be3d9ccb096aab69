"""Lock this process in before it opens a stranger's file: no network, no new process, no other file, bounded cost."""

from __future__ import annotations

import contextlib
import ctypes
import os
import platform
import resource
import signal
import struct
import sys
import sysconfig
from pathlib import Path
from typing import TypedDict

from workers.ingest.parsers.limits import Limits

_PR_SET_PDEATHSIG, _PR_SET_DUMPABLE = 1, 4
_PR_SET_SECCOMP, _PR_SET_NO_NEW_PRIVS = 22, 38
_CLONE_NEWUSER, _CLONE_NEWNET, _CLONE_THREAD = 0x10000000, 0x40000000, 0x00010000
_SYS_LANDLOCK = (444, 445, 446)
_EPERM, _ENOSYS = 1, 38


class _Table(TypedDict):
    arch: int
    capset: int
    clone: int
    clone3: int
    tgkill: int
    denied: tuple[int, ...]


# Numbers from the kernel's tables. Denied: sockets, other programs, other processes, namespaces,
# kernel doors that go round a filter, and changing a file's mode or owner.
_X86_64: _Table = {
    "arch": 0xC000003E,
    "capset": 126,
    "clone": 56,
    "clone3": 435,
    "tgkill": 234,
    "denied": (
        *(41, 42, 43, 44, 46, 49, 50, 288, 307),  # socket .. sendmmsg; socketpair reaches nobody
        *(57, 58, 59, 322),  # fork, vfork, execve, execveat
        *(62, 200, 129, 297, 424, 434, 438),  # kill, tkill, *sigqueueinfo, pidfd_*
        *(101, 310, 311, 312),  # ptrace, process_vm_*, kcmp
        *(272, 308, 155, 165, 166, 161, 428, 429, 430, 431, 432, 442),  # namespaces, mounts
        *(298, 321, 323, 425, 426, 427),  # perf, bpf, userfaultfd, io_uring
        *(248, 249, 250, 303, 304),  # keys, file handles
        *(29, 30, 31, 64, 65, 66, 68, 69, 70, 71, 240),  # System V and POSIX queues
        *(90, 91, 268, 452, 92, 93, 94, 260),  # chmod, chown
        *(105, 106, 113, 114, 116, 117, 119, 126),  # set*id, capset
    ),
}
_AARCH64: _Table = {
    "arch": 0xC00000B7,
    "capset": 91,
    "clone": 220,
    "clone3": 435,
    "tgkill": 131,
    "denied": (
        *(198, 200, 201, 202, 203, 206, 211, 242, 269),
        *(221, 281),
        *(129, 130, 138, 240, 424, 434, 438),
        *(117, 270, 271, 272),
        *(97, 268, 41, 40, 39, 51, 428, 429, 430, 431, 432, 442),
        *(241, 280, 282, 425, 426, 427),
        *(217, 218, 219, 264, 265),
        *(194, 195, 196, 186, 187, 188, 189, 190, 191, 193, 180),
        *(52, 53, 54, 55, 452),
        *(143, 144, 145, 146, 147, 149, 159, 91),
    ),
}
_TABLES = {"x86_64": _X86_64, "aarch64": _AARCH64}


def die_with_parent(parent_pid: int) -> None:
    """Be killed when the parent dies, also when that happened before this line ran."""
    if sys.platform != "linux":
        return
    _libc().prctl(_PR_SET_PDEATHSIG, signal.SIGKILL, 0, 0, 0)
    if os.getppid() != parent_pid:
        os.kill(os.getpid(), signal.SIGKILL)


def bound_cost(limits: Limits) -> None:
    """Bound memory, processor time and open files; forbid writing files and core dumps."""
    pairs = [
        (resource.RLIMIT_AS, limits.memory_bytes, 0),
        # The signal at the soft limit has a name of its own; the hard one is a plain kill.
        (resource.RLIMIT_CPU, limits.cpu_seconds, 2),
        (resource.RLIMIT_NOFILE, 128, 0),
        (resource.RLIMIT_FSIZE, 0, 0),
        (resource.RLIMIT_CORE, 0, 0),
    ]
    for which, soft, more in pairs:
        _, ceiling = resource.getrlimit(which)
        hard = soft + more
        if ceiling != resource.RLIM_INFINITY:
            hard = min(hard, ceiling)
        resource.setrlimit(which, (min(soft, hard), hard))
    with contextlib.suppress(OSError):
        Path("/proc/self/oom_score_adj").write_text("1000")


def confine(*, readable: list[Path]) -> frozenset[str]:
    """Give up network, files outside `readable`, privileges and new processes; say what took hold.

    Each measure that the kernel refuses is absent from the answer; the caller decides what it needs.
    """
    if sys.platform != "linux":
        return frozenset()
    libc = _libc()
    table = _TABLES.get(platform.machine())
    held = set()
    if libc.unshare(_CLONE_NEWNET) == 0 or libc.unshare(_CLONE_NEWUSER | _CLONE_NEWNET) == 0:
        held.add("network-namespace")
    if libc.prctl(_PR_SET_NO_NEW_PRIVS, 1, 0, 0, 0) == 0:
        held.add("no-new-privileges")
    # A core dump piped to a collector ignores RLIMIT_CORE; one of a non-dumpable process is not made.
    libc.prctl(_PR_SET_DUMPABLE, 0, 0, 0, 0)
    if _restrict_files(libc, readable):
        held.add("files")
    if table is not None:
        if _drop_capabilities(libc, table):
            held.add("capabilities")
        if _filter_system_calls(libc, table):
            held.add("system-calls")
    return frozenset(held)


def interpreter_paths(source_root: Path) -> list[Path]:
    """List what a parser must read: the interpreter, installed packages, shared libraries, `workers`."""
    folders = {Path(sys.prefix), Path(sys.base_prefix), source_root / "workers"}
    folders |= {Path(sysconfig.get_path(name)) for name in ("stdlib", "purelib", "platlib")}
    folders |= {Path(p) for p in ("/usr/lib", "/usr/lib64", "/lib", "/lib64", "/etc/ld.so.cache")}
    return sorted(path for path in folders if path.exists())


def _libc() -> ctypes.CDLL:
    return ctypes.CDLL(None, use_errno=True)


def _restrict_files(libc: ctypes.CDLL, readable: list[Path]) -> bool:
    """Apply Landlock: read-only below `readable`, nothing elsewhere, no TCP."""
    create, add, restrict = _SYS_LANDLOCK
    abi = libc.syscall(create, None, 0, 1)
    if abi < 1:
        return False
    files = 0x1FFF | (0x2000 if abi >= 2 else 0) | (0x4000 if abi >= 3 else 0)
    files |= 0x8000 if abi >= 5 else 0
    attributes = struct.pack("=QQQ", files, 3 if abi >= 4 else 0, 3 if abi >= 6 else 0)
    size = 24 if abi >= 6 else 16 if abi >= 4 else 8
    ruleset = libc.syscall(create, attributes, size, 0)
    if ruleset < 0:
        return False
    read_file, read_dir = 0x4, 0x8
    try:
        for path in readable:
            at = os.open(path, os.O_PATH | os.O_CLOEXEC)
            access = read_file | (read_dir if path.is_dir() else 0)
            failed = libc.syscall(add, ruleset, 1, struct.pack("=Qi", access, at), 0)
            os.close(at)
            if failed:
                return False
        return bool(libc.syscall(restrict, ruleset, 0) == 0)
    finally:
        os.close(ruleset)


def _drop_capabilities(libc: ctypes.CDLL, table: _Table) -> bool:
    header, nothing = struct.pack("=Ii", 0x20080522, 0), bytes(24)
    return bool(libc.syscall(table["capset"], header, nothing) == 0)


class _Program(ctypes.Structure):
    _fields_ = (("length", ctypes.c_ushort), ("filter", ctypes.c_void_p))


def _filter_system_calls(libc: ctypes.CDLL, table: _Table) -> bool:
    """Install a seccomp filter: the denied calls fail with EPERM, threads stay possible."""
    load, equal, any_bit, at_least, answer = 0x20, 0x15, 0x45, 0x35, 0x06
    allow, kill = 0x7FFF0000, 0x80000000
    refuse, unknown = 0x00050000 | _EPERM, 0x00050000 | _ENOSYS
    code = [
        (load, 0, 0, 4),
        (equal, 1, 0, table["arch"]),
        (answer, 0, 0, kill),
        (load, 0, 0, 0),
        # The x32 numbers of x86-64 name the same calls again.
        (at_least, 0, 1, 0x40000000),
        (answer, 0, 0, refuse),
        # clone3 hides its flags behind a pointer; told that it is unknown, libc uses clone.
        (equal, 0, 1, table["clone3"]),
        (answer, 0, 0, unknown),
        (equal, 0, 4, table["clone"]),
        (load, 0, 0, 16),
        (any_bit, 0, 1, _CLONE_THREAD),
        (answer, 0, 0, allow),
        (answer, 0, 0, refuse),
        # abort() signals its own process; nobody else's.
        (equal, 0, 4, table["tgkill"]),
        (load, 0, 0, 16),
        (equal, 0, 1, os.getpid()),
        (answer, 0, 0, allow),
        (answer, 0, 0, refuse),
    ]
    for number in table["denied"]:
        code += [(equal, 0, 1, number), (answer, 0, 0, refuse)]
    code.append((answer, 0, 0, allow))
    raw = b"".join(struct.pack("=HBBI", *instruction) for instruction in code)
    buffer = ctypes.create_string_buffer(raw, len(raw))
    program = _Program(len(code), ctypes.cast(buffer, ctypes.c_void_p))
    return bool(libc.prctl(_PR_SET_SECCOMP, 2, ctypes.byref(program), 0, 0) == 0)

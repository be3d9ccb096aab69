"""Become one supervised part: drop to its user, die with the supervisor, then exec.

Run by its path and without imports of ours, so that it takes milliseconds under `python -I -S`.
"""

from __future__ import annotations

import ctypes
import os
import sys

PR_SET_PDEATHSIG = 1


def become(*, supervisor: int, death_signal: int, uid: int, gid: int, command: list[str]) -> None:
    """Replace this process by the command; never returns, and exits if the supervisor is gone."""
    os.umask(0o077)
    if uid >= 0:
        os.setgroups([gid])
        os.setgid(gid)
        os.setuid(uid)
    # After the change of user, which clears it.
    if sys.platform == "linux":
        ctypes.CDLL(None).prctl(PR_SET_PDEATHSIG, death_signal, 0, 0, 0)
    if os.getppid() != supervisor:
        sys.exit("the supervisor is gone")
    os.execv(command[0], command)  # noqa: S606 - fixed argument lists, never a shell


if __name__ == "__main__":
    _supervisor, _signal, _uid, _gid = (int(value) for value in sys.argv[1:5])
    become(
        supervisor=_supervisor,
        death_signal=_signal,
        uid=_uid,
        gid=_gid,
        command=sys.argv[5:],
    )

"""Run the whole stack in the foreground; what `manage.py serve` becomes.

Loads settings, which stop the start in production mode, but never Django: it stays small.
"""

from __future__ import annotations

import argparse
import signal
import sys
from types import ModuleType

from ambit.config.env import InvalidSetting, env_str
from ambit.config.runtime.account import AccountMissing
from ambit.config.runtime.lock import DataDirBusy
from ambit.config.runtime.network import PortTaken, free_port
from ambit.config.runtime.postgres import PostgresUnusable
from ambit.config.runtime.slots import StackFailed
from ambit.config.runtime.supervisor import ALL_PARTS, Stack, StartInterrupted

# Part -> the variable that replaces it.
REPLACED_BY = {"postgres": "DATABASE_URL", "redis": "REDIS_URL", "embed": "AMBIT_EMBED_URL"}
DATABASE_URLS = (
    "AMBIT_OWNER_DATABASE_URL",
    "AMBIT_OPERATOR_DATABASE_URL",
    "AMBIT_DISPATCH_DATABASE_URL",
    "AMBIT_SEQUENCER_DATABASE_URL",
    "AMBIT_SCRUBBER_DATABASE_URL",
)


def main(arguments: list[str] | None = None) -> int:
    """Serve until a signal; return 0 then, 1 if a part failed, 2 if nothing could be started."""
    options = _parser().parse_args(arguments)
    try:
        stack = _stack(_settings(), options)
    except InvalidSetting as error:
        _complain(str(error))
        return 2
    for number in (signal.SIGINT, signal.SIGTERM, signal.SIGHUP):
        signal.signal(number, lambda *_: stack.interrupt())
    try:
        stack.start()
    except (DataDirBusy, PortTaken, AccountMissing) as error:
        _complain(str(error))
        return 2
    except (StackFailed, PostgresUnusable) as error:
        _complain(str(error))
        _show_first_password(stack)
        return 1
    except StartInterrupted:
        _show_first_password(stack)
        _say("stopped")
        return 0
    _welcome(stack)
    try:
        stack.watch()
    except StackFailed as error:
        _complain(str(error))
        return 1
    finally:
        _say("stopping …")
        stack.stop()
    _say("stopped")
    return 0


def _parser() -> argparse.ArgumentParser:
    parser = argparse.ArgumentParser(
        prog="manage.py serve", description="Run Ambit and all its parts here."
    )
    parser.add_argument(
        "--port",
        type=int,
        help="the web server's port (default AMBIT_PORT or 8000; 0 takes a free one)",
    )
    parser.add_argument("--parts", help="comma separated, of: " + ", ".join(ALL_PARTS))
    return parser


def _settings() -> ModuleType:
    # Here and not above: reading the settings raises where one is missing.
    from ambit.config import settings

    return settings


def _stack(settings: ModuleType, options: argparse.Namespace) -> Stack:
    parts = set(options.parts.split(",")) if options.parts else set(ALL_PARTS)
    if not parts <= set(ALL_PARTS):
        raise InvalidSetting(f"--parts knows only {', '.join(ALL_PARTS)}")
    parts -= {part for part, name in REPLACED_BY.items() if env_str(name)}
    if env_str("DATABASE_URL"):
        missing = [name for name in DATABASE_URLS if not env_str(name)]
        if missing:
            raise InvalidSetting(
                f"Set {', '.join(missing)} too: "
                "DATABASE_URL replaces the embedded Postgres for every role"
            )
    port = settings.AMBIT_PORT if options.port is None else options.port
    host = env_str("AMBIT_HOST", "127.0.0.1")
    return Stack(settings.EMBEDDED, host=host, port=port or free_port(), parts=parts, say=_say)


def _welcome(stack: Stack) -> None:
    _say("")
    _say(f"Ambit runs: {stack.url}/")
    _say(f"  admin UI  {stack.url}/admin/")
    _say(f"  API docs  {stack.url}/docs")
    _say(f"  data      {stack.embedded.data_dir}")
    _say("  API key   python manage.py operator_key --name NAME (with .venv/bin/python)")
    _show_first_password(stack)
    _say("Ctrl-C stops everything.")


def _show_first_password(stack: Stack) -> None:
    # Also when the start failed after making the account: it is never shown again.
    if stack.first_password:
        _say("First administrator, password shown once and changed at the first sign-in:")
        _say(f"  sign in as  operator\n  password    {stack.first_password}")


def _say(line: str) -> None:
    sys.stdout.write(line + "\n")
    sys.stdout.flush()


def _complain(sentence: str) -> None:
    sys.stderr.write(f"ambit: {sentence}\n")


if __name__ == "__main__":
    sys.exit(main())

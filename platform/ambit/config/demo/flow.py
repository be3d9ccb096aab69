"""The demonstration from start to end: stack up, seven acts, stack down, nothing left behind."""

from __future__ import annotations

import os
import shutil
import signal
import subprocess
import sys
import tempfile
from collections.abc import Callable
from pathlib import Path
from types import FrameType

import httpx2

from ambit.config.demo.board import Board
from ambit.config.demo.client import Caller
from ambit.config.demo.forgetting import erase_person
from ambit.config.demo.people import set_up_tenants
from ambit.config.demo.questions import ask_everybody
from ambit.config.demo.refusals import compare_refusals
from ambit.config.demo.replacement import replace_version
from ambit.config.demo.revocation import revoke_bob
from ambit.config.demo.samples import read_manifest
from ambit.config.demo.uploads import upload_samples
from ambit.config.demo.world import World
from ambit.config.embedded import Embedded
from ambit.config.runtime.network import free_port
from ambit.config.runtime.supervisor import Stack

ROOT = Path(__file__).resolve().parents[4]
ACTS: tuple[Callable[[World], None], ...] = (
    set_up_tenants,
    upload_samples,
    ask_everybody,
    compare_refusals,
    revoke_bob,
    replace_version,
    erase_person,
)
# Would point the demonstration's parts at somebody's real database or queue. A model server holds
# nothing of anybody's and may write its answers.
FOREIGN = ("DATABASE_URL", "REDIS_URL")
KEPT = ("AMBIT_VLLM_URL", "AMBIT_VLLM_KEY", "AMBIT_VLLM_MODEL", "AMBIT_VLLM_TOKENIZER")
LOG_LINES = 15


def play() -> int:
    """Play all acts on a stack of their own; return 0 only if every check held."""
    board = Board(sys.stdout)
    for number in (signal.SIGINT, signal.SIGTERM, signal.SIGHUP):
        signal.signal(number, _interrupt)
    data_dir = Path(tempfile.mkdtemp(prefix="ambit-demo-"))
    try:
        _use_only(data_dir)
        _on_a_stack(board, Embedded(data_dir))
    except KeyboardInterrupt:
        board.check("the demonstration was interrupted", ok=False)
    finally:
        shutil.rmtree(data_dir)
    board.close()
    return 0 if board.passed and not board.failed else 1


def _on_a_stack(board: Board, embedded: Embedded) -> None:
    board.act("Starting Postgres, Redis, embeddings, worker, beat and web")
    board.say(f"data directory {embedded.data_dir}, removed at the end")
    stack = Stack(embedded, port=free_port(), say=board.say)
    try:
        stack.start()
        stack.watch_in_background()
        board.check(f"everything is up at {stack.url}", ok=True)
        if os.environ.get("AMBIT_VLLM_URL"):
            model = os.environ.get("AMBIT_VLLM_MODEL", "")
            board.say(f"answers are written by {model}; what it is given is held to the story")
        with httpx2.Client(base_url=stack.url, timeout=60, trust_env=False) as http:
            _play_acts(World(board, read_manifest(), Caller(http, _operator_key())))
        if board.failed:
            _show_logs(board, embedded)
    except Exception as error:  # noqa: BLE001 - the outermost edge: whatever broke is a failed check
        board.check(f"the stack broke: {type(error).__name__}", ok=False, seen=error)
        _show_logs(board, embedded)
    finally:
        for number in (signal.SIGINT, signal.SIGTERM, signal.SIGHUP):
            signal.signal(number, lambda *_: stack.interrupt())
        board.act("Stopping everything")
        stack.stop()


def _show_logs(board: Board, embedded: Embedded) -> None:
    # They go with the data directory, so what they say last is shown now.
    for log in sorted(embedded.log_dir.glob("*.log")):
        lines = log.read_text(errors="replace").splitlines()[-LOG_LINES:]
        board.say("\n".join([f"— {log.name}", *lines]))


def _play_acts(world: World) -> None:
    for act in ACTS:
        try:
            act(world)
        except Exception as error:  # noqa: BLE001 - a broken act is a failed check
            what = f"{act.__name__} broke off with {type(error).__name__}; the rest is not played"
            world.board.check(what, ok=False, seen=error)
            return


def _operator_key() -> str:
    command = [sys.executable, str(ROOT / "manage.py"), "operator_key", "--name", "demo"]
    done = subprocess.run(command, check=True, stdout=subprocess.PIPE, text=True, cwd=ROOT)
    return done.stdout.strip()


def _use_only(data_dir: Path) -> None:
    for name in list(os.environ):
        foreign = name.startswith("AMBIT_") and name not in KEPT
        if foreign or name in FOREIGN:
            del os.environ[name]
    os.environ["AMBIT_DATA_DIR"] = str(data_dir)


def _interrupt(_number: int, _frame: FrameType | None) -> None:
    raise KeyboardInterrupt

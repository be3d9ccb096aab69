"""Check an audit trail, and receipts of erasures with it, offline: `python ambit_verify.pyz FOLDER`.

FOLDER is an export, unpacked. It asks nobody: no server, no network. Checkpoints that were kept elsewhere
(--checkpoints) and a key noted before (--key) show that nobody wrote everything anew. A receipt (--receipt, as JSON) is
held against the trail; where FOLDER holds none, its signature alone is checked, with --key.

Exit status: 0 all holds, 1 something does not, 2 the files cannot be read, 3 nothing is wrong, but not everything that
a receipt says could be checked.
"""

from __future__ import annotations

import argparse
import sys
from collections.abc import Iterator, Sequence
from datetime import UTC, datetime
from pathlib import Path

from ambit.audit.receipts import Findings, Receipt, Watch, check_receipts, read_receipt
from ambit.audit.verify import (
    Key,
    Report,
    Unreadable,
    check_events,
    read_lines,
    read_notes,
    unnumbered_of,
)

HOLDS, BROKEN, UNREADABLE, NOT_ALL = range(4)
WHAT_IT_IS = (
    "A receipt that holds is what the server wrote then, unchanged. That the server told the truth then is shown by"
    " other means: see what the receipt does not claim, and the scanner."
)


def main(arguments: Sequence[str] | None = None) -> int:
    """Check and print."""
    asked = _parser().parse_args(arguments)
    events: Path = asked.folder / "events.jsonl"
    try:
        key = Key.read(asked.key or (asked.folder / "key.txt").read_text())
        _require_notes(asked.checkpoints)
        broken: list[str] = []
        watch = Watch(_receipts(asked.receipt, key, asked.erasure, broken))
        report = None
        if events.exists() or not asked.receipt:
            kept = read_notes([asked.folder, *asked.checkpoints])
            lines = watch.along(read_lines(events))
            report = check_events(
                lines, kept, key, unnumbered=unnumbered_of(events), values_since=asked.values_since
            )
        found = check_receipts(
            watch,
            key,
            n_signed=report.n_signed if report else 0,
            n_unnumbered=report.n_unnumbered if report else 0,
        )
    except (OSError, ValueError, RecursionError) as error:
        sys.stderr.write(f"cannot be checked: {error}\n")
        return UNREADABLE
    for line in (*_told(report), *broken, *_told_of(found)):
        sys.stdout.write("".join(c if c.isprintable() else "?" for c in line) + "\n")
    if not asked.key:
        sys.stdout.write(f"the key came with the export; compare it with yours: {key.text}\n")
    if report and not asked.checkpoints:
        sys.stdout.write("checkpoints came with it; --checkpoints adds those kept elsewhere\n")
    if broken or (report and report.faults) or any(one.faults for one in found):
        return BROKEN
    return NOT_ALL if any(one.unchecked for one in found) else HOLDS


def _parser() -> argparse.ArgumentParser:
    parser = argparse.ArgumentParser(
        description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter
    )
    parser.add_argument(
        "folder", nargs="?", type=Path, default=Path(), help="an export, unpacked (default: here)"
    )
    parser.add_argument(
        "--checkpoints", type=Path, action="append", default=[], metavar="PATH",
        help="signed checkpoints kept elsewhere: a file, or a folder of *.notes; more than once as you like",
    )  # fmt: skip
    parser.add_argument(
        "--values-since", type=_moment, metavar="DATE",
        help="when values about people that are erased are a fault: of events since then, such as 2021-01-31",
    )  # fmt: skip
    parser.add_argument("--key", help="the log's public key as you noted it: name+id+key")
    parser.add_argument(
        "--receipt", type=Path, action="append", default=[], metavar="FILE",
        help="a receipt of an erasure, as JSON; more than once as you like",
    )  # fmt: skip
    parser.add_argument("--erasure", metavar="ID", help="the case that the receipts must be of")
    return parser


def _moment(text: str) -> datetime:
    found = datetime.fromisoformat(text)
    return found if found.tzinfo else found.replace(tzinfo=UTC)


def _require_notes(paths: Sequence[Path]) -> None:
    for path in paths:
        if not any(f.stat().st_size for f in (path.glob("*.notes") if path.is_dir() else [path])):
            raise Unreadable(f"{path} holds no checkpoint: nothing was compared with it")


def _receipts(
    paths: Sequence[Path], key: Key, erasure: str | None, broken: list[str]
) -> Iterator[Receipt]:
    for path in paths:
        try:
            receipt = read_receipt(_text_of(path), key, place=path.name)
        except Unreadable as error:
            broken += [f"{path.name}: NOT WHOLE", f"- {error}"]
            continue
        if erasure is not None and erasure != f"era_{receipt.erasure.hex}":
            broken += [f"{path.name}: NOT WHOLE", f"- it is of era_{receipt.erasure.hex}"]
            continue
        yield receipt


def _text_of(path: Path) -> str:
    content = path.read_bytes()
    if content.startswith(b"%PDF"):
        raise Unreadable("a PDF: what was signed is the receipt.json attached to it")
    return content.decode()


def _told(report: Report | None) -> Iterator[str]:
    if report is None:
        return
    yield f"{report.n_events} events, {len(report.checkpoints)} checkpoints"
    yield "NOT WHOLE" if report.faults else f"signed and whole: the first {report.n_signed}"
    if waiting := report.n_events - report.n_signed + report.n_unnumbered:
        yield f"not signed yet: {waiting}"
    if report.n_erased:
        yield f"erased, but committed to: {report.n_erased} values, the latest of {report.erased_until}"
    yield from (f"- {fault}" for fault in report.faults)


def _told_of(found: Sequence[Findings]) -> Iterator[str]:
    for one in found:
        receipt = one.receipt
        verdict = (
            "NOT WHOLE" if one.faults else "not all could be checked" if one.unchecked else "holds"
        )
        yield (
            f"{receipt.place}: {verdict}: receipt {receipt.serial} of era_{receipt.erasure.hex},"
            f" {'by age: ' if receipt.subject == 'retention' else ''}{receipt.outcome}, written {receipt.written_at}"
        )
        yield from (f"- {fault}" for fault in one.faults)
        yield from (f"  checked: {line}" for line in one.held)
        yield from (f"  not checked: {line}" for line in one.unchecked)
    if found:
        yield WHAT_IT_IS


if __name__ == "__main__":
    sys.exit(main())

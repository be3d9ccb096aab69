"""Print the tables of a run, and whether what is to be reached was."""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any

from tests.bench.retrieval.measure import Cell, Filled

OURS = "ambit"
# In memory and without a store: a floor, not a peer that could take Ambit's place.
FLOOR = "faiss flat"
# Reported beside the goal, which names peers that search all tenants' rows through one index: this one
# scans a btree's rows where they are few, as Ambit does, with audiences handed over for nothing.
PLANNER = "pgvector planner"
GOOD_RECALL = 0.95
MANY_CLIENTS = 8


def show_cells(cells: Sequence[Cell]) -> None:
    """Print a table for each bucket and k."""
    for bucket, k in dict.fromkeys((c.bucket, c.k) for c in cells):
        here = [c for c in cells if (c.bucket, c.k) == (bucket, k)]
        numbers = sorted({c.clients for c in here})
        print(
            f"\n{bucket}: {here[0].visible} rows visible, k = {k}; ms, ratio = ambit's p50 / its p50"
        )
        head = "".join(
            f"{f'{n} cl. p50':>11} {'p95':>8} {'per s':>8} {'ratio':>6}" for n in numbers
        )
        print(f"  {'':24} {'recall':>7} {'min':>5} {'rows':>5}{head}")
        for line in dict.fromkeys(c.line for c in here):
            of_line = {c.clients: c for c in here if c.line == line}
            print(_row(line, of_line, here, numbers))
            if line == OURS:
                print(_statements(of_line, numbers))


def _row(line: str, of_line: dict[int, Cell], here: list[Cell], numbers: list[int]) -> str:
    failed = next((c.failed for c in of_line.values() if c.failed), "")
    if failed:
        return f"  {line:24} failed: {failed}"
    some = next(iter(of_line.values()))
    text = f"  {line:24} {some.recall:7.3f} {some.recall_min:5.2f} {some.rows:5.1f}"
    for n in numbers:
        cell = of_line.get(n)
        if cell is None:
            text += f"{'':36}"
            continue
        ratio = ratio_to(cell, here)
        shown = f"{ratio:6.2f}" if ratio is not None else f"{'':6}"
        text += f"{cell.p50:11.2f} {cell.p95:8.2f} {cell.per_second:8.0f} {shown}"
    if any(c.foreign for c in of_line.values()):
        text += f"  {sum(c.foreign for c in of_line.values())} ROWS OF OTHERS"
    return text


def _statements(of_line: dict[int, Cell], numbers: list[int]) -> str:
    text = f"  {'  its statements alone':24} {'':7} {'':5} {'':5}"
    for n in numbers:
        spent = of_line[n].parts.get("statement") if n in of_line else None
        text += f"{spent:11.2f} {'':24}" if spent is not None else f"{'':36}"
    return text


def ratio_to(cell: Cell, cells: Sequence[Cell]) -> float | None:
    """Return Ambit's p50 over this line's, with as many clients."""
    ours = next((c for c in cells if _same(c, cell) and c.line == OURS and not c.failed), None)
    return ours.p50 / cell.p50 if ours and cell.p50 else None


def _same(one: Cell, other: Cell) -> bool:
    return (one.bucket, one.k, one.clients) == (other.bucket, other.k, other.clients)


def show_costs(filled: Sequence[Filled]) -> None:
    """Print what filling each store took and holds."""
    print("\nload, index (s); disk (MB); memory (MB, PSS) of server + clients")
    for store in filled:
        if store.failed:
            print(f"  {store.line:24} failed: {store.failed}")
            continue
        disk = ", ".join(f"{size / 2**20:.0f} {what}" for what, size in store.built.disk.items())
        memory = ", ".join(
            f"{n} client{'s' * (n > 1)} {server:.0f} + {clients:.0f}"
            for n, (server, clients) in store.memory.items()
        )
        notes = f"; {'; '.join(store.built.notes)}" if store.built.notes else ""
        built = f"{store.built.load_s:.1f}, {store.built.index_s:.1f}"
        print(f"  {store.line:24} {built:>14}; {disk}; {memory}{notes}")


def show_tax(tax: dict[str, Any]) -> None:
    """Print what row-level security and clearance cost."""
    if "failed" in tax:
        print(f"\nrow-level security tax and clearance: failed: {tax['failed']}")
        return
    print(
        "\nthe same statements under row-level security / as superuser with the predicates; p50 ms"
    )
    for one in tax["rls"]:
        print(
            f"  {one['bucket']:24} {one['with']:8.2f} / {one['without']:8.2f} = {one['ratio']:.2f}"
        )
    one = tax["clearance"]
    print(
        f"clearance of a member of {one['groups']} groups, {one['audiences']} audiences:"
        f" p50 {one['p50']:.2f} ms, p95 {one['p95']:.2f} ms"
    )


def verdicts(cells: Sequence[Cell], tax: dict[str, Any]) -> list[dict[str, Any]]:
    """Return each thing to reach with what was measured, and whether it was met."""
    ours = [c for c in cells if c.line == OURS and not c.failed]
    if not ours:
        return [_verdict("ambit was measured", 0.0, 1.0, more=True)]
    found = [
        _verdict(
            f"recall@{k}, least bucket", min(c.recall for c in ours if c.k == k), 0.99, more=True
        )
        for k in sorted({c.k for c in ours})
    ]
    least = min(c.rows / c.rows_expected for c in ours)
    found += [
        _verdict("rows returned / rows due, least", least, 1.0, more=True),
        _verdict("rows of others", sum(c.foreign for c in ours), 0.0),
    ]
    single = [c for c in ours if c.clients == 1]
    for cell in single:
        peers = [
            c for c in cells
            if _same(c, cell) and not c.failed and c.line not in {OURS, FLOOR, PLANNER} and c.recall >= GOOD_RECALL
        ]  # fmt: skip
        if peers:
            best = min(peers, key=lambda c: c.p50)
            what = f"p50 / fastest peer ({best.line}), {cell.bucket}, k {cell.k}"
            found.append(_verdict(what, cell.p50 / best.p50, 1.0))
        planner = next((c for c in cells if _same(c, cell) and c.line == PLANNER), None)
        if planner and not planner.failed and "statement" in cell.parts:
            what = f"its statements / {PLANNER}, {cell.bucket}, k {cell.k}"
            found.append(_verdict(what, cell.parts["statement"] / planner.p50, None))
    for cell in single:
        found.append(_verdict(f"p95 / p50, {cell.bucket}, k {cell.k}", cell.p95 / cell.p50, 3.0))
        for other in (c for c in ours if (c.bucket, c.k) == (cell.bucket, cell.k)):
            if other.clients < MANY_CLIENTS:
                continue
            what = f"throughput {other.clients} clients / 1, {cell.bucket}, k {cell.k}"
            found.append(_verdict(what, other.per_second / cell.per_second, 1.6, more=True))
    for bucket in tax.get("rls", []):
        found.append(_verdict(f"row-level security tax, {bucket['bucket']}", bucket["ratio"], 1.15))
    if "clearance" in tax:
        one = tax["clearance"]
        what = f"clearance of a member of {one['groups']} groups, p50 ms"
        found.append(_verdict(what, one["p50"], 1.5))
    return found


def _verdict(
    what: str, measured: float, goal: float | None, *, more: bool = False
) -> dict[str, Any]:
    met = None
    if goal is not None:
        met = measured >= goal if more else measured <= goal
    return {"what": what, "measured": measured, "goal": goal, "more": more, "met": met}


def show_verdicts(found: Sequence[dict[str, Any]]) -> None:
    """Print them, and how many were met."""
    print(f"\n{'to reach':72} {'measured':>9}  goal")
    for one in found:
        goal = "" if one["goal"] is None else f"{'≥' if one['more'] else '≤'} {one['goal']:g}"
        missed = "  MISSED" if one["met"] is False else ""
        print(f"{one['what']:72} {one['measured']:9.3f}  {goal}{missed}")
    judged = [one["met"] for one in found if one["met"] is not None]
    print(f"{sum(judged)} of {len(judged)} met")

"""Act 2: the sample documents are uploaded in nine formats and become ready."""

from __future__ import annotations

import time
from collections import Counter
from typing import Any

from ambit.config.demo.client import Caller, form_fields
from ambit.config.demo.people import grants_body
from ambit.config.demo.samples import Sample
from ambit.config.demo.world import CLINIC, HARBOR, World

READY_WITHIN_S = 180
DONE = {"ready", "failed", "erased"}


class StillIngesting(TimeoutError):
    """Some documents did not become ready in time; the text counts their states."""


def upload_samples(world: World) -> None:
    """Upload every sample as the manifest says and wait for the last."""
    board = world.board
    samples = world.manifest.samples
    kinds = sorted({s.path.suffix.lstrip(".").upper() for s in samples})
    board.act(f"{len(samples)} documents in {len(kinds)} formats: {', '.join(kinds)}")
    began = time.monotonic()
    for sample in samples:
        if sample.send != "batch":
            _upload_one(world, sample)
    _upload_batch(world, [s for s in samples if s.send == "batch"])
    board.say(f"all accepted after {time.monotonic() - began:.1f} s; the workers go on")
    states = wait_until_ready(world, dict(world.documents))
    board.check(
        f"all {len(samples)} documents are ready, {time.monotonic() - began:.1f} s after the first",
        set(states.values()) == {"ready"},
        seen=states,
    )


def _caller(world: World, sample: Sample) -> Caller:
    return world.services[sample.tenant].acting_for(sample.by)


def _fields(world: World, sample: Sample) -> dict[str, Any]:
    fields: dict[str, Any] = {
        "collection": world.collections[sample.tenant, sample.collection],
        "title": sample.title,
        "external_id": sample.external_id,
        "subjects": list(sample.subjects),
    }
    if sample.grants is not None:
        fields["grants"] = grants_body(world, sample.tenant, sample.grants)
    return fields


def _upload_one(world: World, sample: Sample) -> None:
    caller, fields = _caller(world, sample), _fields(world, sample)
    if sample.send == "text":
        body = fields | {"text": sample.path.read_text(encoding="utf-8")}
        made = caller.post("/v1/documents", body, expect=202)
    else:
        made = caller.call(
            "POST",
            "/v1/documents",
            expect=202,
            files={"file": (sample.path.name, sample.path.read_bytes())},
            data=form_fields(fields),
        )
    world.documents[sample.tenant, sample.external_id] = made["id"]


def _upload_batch(world: World, samples: list[Sample]) -> None:
    documents = [_fields(world, s) | {"text": s.path.read_text(encoding="utf-8")} for s in samples]
    outcome = _caller(world, samples[0]).post(
        "/v1/documents/batch", {"documents": documents}, expect=202
    )
    for sample, one in zip(samples, outcome["results"], strict=True):
        world.documents[sample.tenant, sample.external_id] = one["id"]


def wait_until_ready(world: World, wanted: dict[tuple[str, str], str]) -> dict[str, str]:
    """Poll until each document is ready or failed, on a live line; raises StillIngesting."""
    owners = {CLINIC: world.people["Alice"], HARBOR: world.people["Mallory"]}
    states = dict.fromkeys((name for _, name in wanted), "received")
    open_ = dict(wanted)
    until = time.monotonic() + READY_WITHIN_S
    while open_ and time.monotonic() < until:
        for (tenant, name), document_id in list(open_.items()):
            seen = owners[tenant].get(f"/v1/documents/{document_id}")
            failure = f": {seen['reason']['detail']}" if seen["state"] == "failed" else ""
            states[name] = seen["state"] + failure
            if seen["state"] in DONE:
                del open_[tenant, name]
        world.board.live(_tally(states))
        time.sleep(0.2 if open_ else 0)
    world.board.settle()
    if open_:
        raise StillIngesting(_tally(states))
    return states


def _tally(states: dict[str, str]) -> str:
    counts = Counter(state.partition(":")[0] for state in states.values())
    order = ("received", "parsed", "chunked", "embedded", "ready", "failed")
    return "   ".join(f"{state} {counts[state]:2d}" for state in order if counts[state])

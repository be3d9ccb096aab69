"""Make adapters as a tenant's administrator would, with weights small enough for any test."""

from __future__ import annotations

import hashlib
import json
from collections.abc import Sequence
from io import BytesIO
from typing import Any
from uuid import UUID

from django.conf import settings
from django.utils import timezone

from ambit.access.clearance import clearance_for
from ambit.adapters.models import Adapter
from ambit.adapters.services import (
    finish_registration,
    promote_adapter,
    register_adapter,
    write_weights,
)
from ambit.adapters.types import TrainedOn
from ambit.adapters.weights import LoraConfig, check_tensors, read_config
from ambit.corpus.queries import current_versions
from ambit.jobs.kinds import PLACE_ADAPTER
from ambit.jobs.models import Job
from ambit.jobs.services import claim
from tests.database.worlds import working
from workers.adapters.flow import place

BASE = settings.AMBIT_LORA_BASE
RANK = 8
CONFIG: dict[str, Any] = {
    "peft_type": "LORA",
    "task_type": "CAUSAL_LM",
    "base_model_name_or_path": BASE,
    "r": RANK,
    "lora_alpha": 16,
    "target_modules": ["q_proj", "v_proj"],
    "bias": "none",
}
PREFIX = "base_model.model.model.layers.0.self_attn"


def tensors(*, rank: int = RANK, dtype: str = "F32") -> dict[str, Any]:
    """Return a safetensors header for two target modules, its tensors back to back."""
    header: dict[str, Any] = {}
    begin = 0
    for module in ("q_proj", "v_proj"):
        for half, shape in (("A", [rank, 4]), ("B", [4, rank])):
            end = begin + 4 * shape[0] * shape[1]
            header[f"{PREFIX}.{module}.lora_{half}.weight"] = {
                "dtype": dtype,
                "shape": shape,
                "data_offsets": [begin, end],
            }
            begin = end
    return header


def weights(header: dict[str, Any] | None = None, *, n_bytes: int | None = None) -> bytes:
    """Return a safetensors file of zeros."""
    said = tensors() if header is None else header
    head = json.dumps({"__metadata__": {"format": "pt"}, **said}).encode()
    ends = [entry["data_offsets"][1] for entry in said.values()]
    return len(head).to_bytes(8, "little") + head + bytes(max(ends) if n_bytes is None else n_bytes)


def lora_config(**changed: Any) -> LoraConfig:
    """Return what is kept of an adapter_config.json."""
    data = json.dumps(CONFIG | changed).encode()
    return read_config(data, base=str((CONFIG | changed)["base_model_name_or_path"]), max_rank=16)


def register(
    tenant_id: UUID, by: UUID, documents: Sequence[UUID], *, name: str = "Letters"
) -> UUID:
    """Register an adapter trained on the current versions of documents, weights stored."""
    config, data = lora_config(), weights()
    check_tensors(BytesIO(data), size=len(data), config=config)
    with working(tenant_id):
        clearance = clearance_for(member_id=by)
        found = current_versions(document_ids=documents, clearance=clearance)
        made = register_adapter(
            name=name,
            config=config,
            sha256=hashlib.sha256(data).hexdigest(),
            n_bytes=len(data),
            trained_on=[
                TrainedOn(one, found[one].number if one in found else 1) for one in documents
            ],
            clearance=clearance,
        )
    write_weights(made, config=config, weights=[data])
    with working(tenant_id):
        finish_registration(made)
    return made.id


def make_live(
    tenant_id: UUID, by: UUID, documents: Sequence[UUID], *, name: str = "Letters"
) -> UUID:
    """Register an adapter and promote it; no worker but a test's places it."""
    adapter_id = register(tenant_id, by, documents, name=name)
    with working(tenant_id):
        promote_adapter(adapter_id=adapter_id)
    return adapter_id


def row_of(tenant_id: UUID, adapter_id: UUID) -> Adapter:
    """Return an adapter's row."""
    with working(tenant_id):
        return Adapter.objects.get(pk=adapter_id)


def job_of(tenant_id: UUID, adapter_id: UUID) -> Job | None:
    """Return the job that keeps an adapter in line."""
    with working(tenant_id):
        return Job.objects.filter(name=PLACE_ADAPTER.name, object_id=adapter_id).first()


def work(tenant_id: UUID, adapter_id: UUID) -> bool:
    """Do an adapter's job as a worker would, whenever it is due; return whether there was one."""
    with working(tenant_id):
        jobs = Job.objects.filter(name=PLACE_ADAPTER.name, object_id=adapter_id)
        jobs.update(run_after=timezone.now(), lease=None, leased_until=None)
        job = jobs.first()
        held = claim(tenant_id=tenant_id, job_id=job.pk) if job else None
    if held is not None:
        place(held)
    return held is not None

"""Empty the prefix caches of the model's servers."""

from __future__ import annotations

from typing import Any

from django.core.management.base import BaseCommand, CommandError

from ambit.inference.caches import ResetOutcome, reset_prefix_caches

WORDS: dict[ResetOutcome, str] = {
    "emptied": "emptied.",
    "held": "not emptied: requests at work hold some of it. Run this again.",
    "not_offered": "not emptied: it does not offer that. Behind the proxy, start it with VLLM_SERVER_DEV_MODE=1; or"
    " restart it, which empties the cache as well.",
    "credentials": "not emptied: AMBIT_VLLM_ADMIN_KEY is not its key.",
    "unreachable": "not emptied: nobody answers there.",
    "failed": "not emptied: its answer was not vLLM's, or an error. Its log may say why.",
}


class Command(BaseCommand):
    help = (
        "Empty the prefix cache of every server in AMBIT_VLLM_ADMIN_URL, and say of each what became of it. What is "
        "erased is out of everybody's reach without this; after it no request finds what was computed from it, "
        "whatever its salt. The bytes go as others take the room, or with a restart. Requests at work are computed "
        "again. Ends with an error where one cache could not be emptied. Servers offer it with "
        "VLLM_SERVER_DEV_MODE=1 alone: see deploy/vllm/README.md, Erasure."
    )
    requires_system_checks = []

    def handle(self, *args: Any, **options: Any) -> None:
        resets = reset_prefix_caches()
        if not resets:
            raise CommandError("AMBIT_VLLM_ADMIN_URL names no server, so there is no cache.")
        for reset in resets:
            self.stdout.write(f"Replica {reset.replica}: {WORDS[reset.outcome]}")
        n_left = sum(reset.outcome != "emptied" for reset in resets)
        if n_left:
            raise CommandError(
                f"{n_left} of {len(resets)} not emptied. Replicas are numbered as in AMBIT_VLLM_ADMIN_URL."
            )

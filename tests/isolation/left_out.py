"""What of the domain's functions is not attacked, and what says yes or no, for test_predicates_removed."""

from __future__ import annotations

LEFT_OUT = {  # no business inside a tenant, or nothing sent to the database
    "tenants.services.create_operator_key": "the operator's own connection",
    "tenants.services.create_tenant": "the operator's own connection",
    "tenants.queries.operator_key": "the operator's own connection",
    "tenants.queries.list_slugs": "the operator's own connection",
    "ambit.access.services.plant_canary_collection": "the start-up check's own tenant",
    "ambit.answers.queries.open_exchange": "opens what it is given",
    "ambit.answers.conversations.record_turns": "notes what it is given",
    "ambit.corpus.queries.reading": "a context, used by all the others",
    "ambit.erasure.services.cover": "a part of request_erasure, which is attacked as a whole",
    "ambit.erasure.queries.holding_counts": "counts what it is given",
    "ambit.erasure.queries.refusal_receipt": "words what it is given",
}
# What says yes or no has no marks in it: what it is to say of what is another's.
SAYS = {"ambit.answers.conversations.still_seen": "False"}

"""Act 3: the same questions, asked by people who may see different things."""

from __future__ import annotations

from ambit.config.demo.client import Caller
from ambit.config.demo.world import CLINIC, HARBOR, Reply, World

LEAVE = "How many days of annual leave do employees get?"
EXPENSES = "Who approves expenses above 500 euros?"
DOSE = "What is the highest dose of paracetamol a day?"
NURSES = "After which test may new nurses give intravenous medicines alone?"
NOROVIRUS = "How long is a patient with norovirus isolated?"
MERGER = "Which company does the clinic plan to merge with, and at what price?"
PAY = "What is the base salary of the chief executive?"
ALLERGY = "Which medicine is Jonas Feldt allergic to?"
MERGER_QUERY = "Project Lantern merger Eastgate Day Surgery purchase price"
PAY_QUERY = "chief executive base salary bonus"
# One question, two tenants: what the clinic's papers say, what the harbor's say.
BOTH = (
    (LEAVE, "27 days", "22 days"),
    (EXPENSES, "Director of Finance", "Terminal Manager"),
)
# Words that stand in the confidential files and nowhere else.
SECRETS = ("Eastgate", "41.5 million", "312000", "312,000")


def ask_everybody(world: World) -> None:
    """Ask as Alice, Bob, Carol and Mallory and check what each gets."""
    _alice(world)
    _two_tenants(world)
    _bob(world)
    _trap(world)
    _outside(world)


def _alice(world: World) -> None:
    world.board.act("Alice asks; every quote is looked up in the document it names")
    reply = world.ask("Alice", LEAVE)
    world.board.check(
        "Alice gets 27 days, from page 2 of the handbook (PDF)",
        reply.says("27 days") and 2 in reply.pages_of(world.document("staff-handbook")),
        seen=reply.raw,
    )
    answers = [
        _asks(world, "Alice", DOSE, "4 g", "ward-formulary"),
        _asks(world, "Alice", NURSES, "practical test", "ward-induction"),
        _asks(world, "Alice", MERGER, "Eastgate", "project-lantern"),
        _asks(world, "Alice", PAY, "312000", "executive-pay"),
    ]
    _quotes_hold(world, world.people["Alice"], [reply, *answers])


def _asks(world: World, who: str, question: str, fact: str, source: str) -> Reply:
    reply = world.ask(who, question)
    world.board.check(
        f"{who} finds “{fact}” in {source}",
        reply.says(fact) and world.document(source) in reply.document_ids,
        seen=reply.raw,
    )
    return reply


def _quotes_hold(world: World, caller: Caller, replies: list[Reply]) -> None:
    texts: dict[tuple[str, int], str] = {}
    wrong = []
    quotes = [quote for reply in replies for quote in reply.quotes]
    for document, version, start, end, quote in quotes:
        at = (document, version)
        if at not in texts:
            texts[at] = caller.text_of(*at)
        if texts[at][start:end] != quote:
            wrong.append(quote)
    world.board.check(
        f"each of {len(quotes)} quotes stands in its document's text at the cited offsets",
        bool(quotes) and not wrong,
        seen=wrong,
    )


def _two_tenants(world: World) -> None:
    world.board.act("The same question in two tenants")
    for question, clinic, harbor in BOTH:
        ours, theirs = world.ask("Alice", question), world.ask("Mallory", question)
        world.board.check(
            f"the clinic says “{clinic}”, the harbor says “{harbor}”, and neither says the other's",
            (ours.says(clinic), theirs.says(harbor)) == (True, True)
            and not ours.says(harbor)
            and not theirs.says(clinic),
            seen=(ours.raw, theirs.raw),
        )


def _bob(world: World) -> None:
    world.board.act("Bob reads what his groups may read")
    _asks(world, "Bob", NOROVIRUS, "48 hours", "infection-control")
    _asks(world, "Bob", LEAVE, "27 days", "staff-handbook")
    _asks(world, "Bob", ALLERGY, "cefuroxime", "note-feldt-allergy")


def _trap(world: World) -> None:
    board = world.board
    board.act("The trap: a confidential file in a collection that Bob reads, and the board's pay")
    lantern, pay = world.document("project-lantern"), world.document("executive-pay")
    for question in (MERGER, PAY):
        reply = world.ask("Bob", question)
        board.check(
            "Bob learns nothing of it",
            not {lantern, pay} & reply.document_ids and not reply.says_any(*SECRETS),
            seen=reply.raw,
        )
    for query in (MERGER_QUERY, PAY_QUERY):
        found = world.people["Bob"].search(query)
        leaks = [
            passage
            for passage in found
            if passage["document"]["id"] in {lantern, pay}
            or any(secret in passage["text"] for secret in SECRETS)
        ]
        board.check(
            f"nor does his search for “{query}”: {len(found)} passages, none of it",
            not leaks,
            seen=leaks,
        )
    first = world.people["Alice"].search(MERGER_QUERY)[:1]
    board.check(
        "Alice's search has it first", [p["document"]["id"] for p in first] == [lantern], seen=first
    )


def _outside(world: World) -> None:
    board = world.board
    board.act("Carol, who has no grant, and Mallory, who is not from here")
    reply = world.ask("Carol", LEAVE)
    found = world.people["Carol"].search(LEAVE)
    board.check(
        "Carol gets no answer, no citation and no passage",
        reply.nothing and not found,
        seen=(reply.raw, found),
    )
    clinic_ids = {i for (tenant, _), i in world.documents.items() if tenant == CLINIC}
    for question in (MERGER, ALLERGY):
        reply = world.ask("Mallory", question)
        found = world.people["Mallory"].search(question)
        seen = reply.document_ids | {r["document"]["id"] for r in found}
        board.check(
            "Mallory gets nothing of the clinic's",
            not seen & clinic_ids and not reply.says_any(*SECRETS, "cefuroxime"),
            seen=reply.raw,
        )
    alice_id = world.members[CLINIC, "alice"]
    made_up = "mem_" + "0" * 32
    as_alice, as_nobody = (
        world.services[HARBOR].acting_for(m).send("POST", "/v1/search", json={"query": LEAVE})
        for m in (alice_id, made_up)
    )
    board.check(
        "the harbor's key cannot act for Alice: she is as unknown to it as a made-up member",
        as_alice.status_code == as_nobody.status_code and as_alice.status_code >= 400,
        seen=(as_alice.status_code, as_nobody.status_code),
    )

"""What the acts share: who calls with which key, and the ids of what they made."""

from __future__ import annotations

from dataclasses import dataclass, field
from typing import Any

from ambit.config.demo.board import Board
from ambit.config.demo.client import Caller, flat
from ambit.config.demo.samples import Manifest

CLINIC = "northwind-clinic"
HARBOR = "harbor-logistics"


@dataclass(slots=True)
class World:
    """The stage; ids are looked up by (tenant's slug, external id or name)."""

    board: Board
    manifest: Manifest
    operator: Caller
    services: dict[str, Caller] = field(default_factory=dict)
    members: dict[tuple[str, str], str] = field(default_factory=dict)
    groups: dict[tuple[str, str], str] = field(default_factory=dict)
    collections: dict[tuple[str, str], str] = field(default_factory=dict)
    documents: dict[tuple[str, str], str] = field(default_factory=dict)
    people: dict[str, Caller] = field(default_factory=dict)

    def document(self, external_id: str, *, tenant: str = CLINIC) -> str:
        """Return a document's id."""
        return self.documents[tenant, external_id]

    def ask(self, who: str, question: str) -> Reply:
        """Ask as a person, print question and answer with citations, and return the answer."""
        answer = self.people[who].ask(question)
        reply = Reply(answer)
        self.board.say(f"{who}: “{question}”", indent=4)
        if reply.abstained:
            self.board.say(f"→ (no answer) {reply.text}", indent=6)
        else:
            self.board.say(f"→ {reply.text}", indent=6)
        for citation in reply.citations:
            quote = flat(citation["quote"])
            shown = quote if len(quote) <= 110 else f"{quote[:107]}…"
            place = f"[{citation['marker']}] {citation['title']}{_pages(citation)}"
            self.board.say(f"{place}: “{shown}”", indent=8)
        return reply


@dataclass(frozen=True, slots=True)
class Reply:
    """An answer as the API gave it."""

    raw: dict[str, Any]

    @property
    def text(self) -> str:
        """The answer's words on one line."""
        return flat(self.raw["answer"] or "")

    @property
    def abstained(self) -> bool:
        """Whether the platform said that it cannot answer."""
        return bool(self.raw["abstained"])

    @property
    def citations(self) -> list[dict[str, Any]]:
        """The citations."""
        found: list[dict[str, Any]] = self.raw["citations"]
        return found

    @property
    def document_ids(self) -> set[str]:
        """The ids of the cited documents."""
        return {c["document"] for c in self.citations}

    @property
    def nothing(self) -> bool:
        """Whether the answer gives and cites nothing."""
        return self.abstained and not self.citations

    def says(self, *facts: str) -> bool:
        """Say whether every fact stands in the answer or in a quote."""
        words = " ".join([self.text, *(flat(c["quote"]) for c in self.citations)]).lower()
        return all(fact.lower() in words for fact in facts)

    def says_any(self, *facts: str) -> bool:
        """Say whether at least one fact stands in the answer or in a quote."""
        return any(self.says(fact) for fact in facts)


def _pages(citation: dict[str, Any]) -> str:
    first, last = citation["page_first"], citation["page_last"]
    if first is None:
        return ""
    return f", page {first}" if first == last else f", pages {first}–{last}"

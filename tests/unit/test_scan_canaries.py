"""The file of canaries is understood or refused, and a refusal never repeats what stands there."""

from __future__ import annotations

import json
from pathlib import Path

import pytest

from ambit.scan.canaries import CanariesInvalid, read_canaries

SECRET = "Anna Keller"


def _file(tmp_path: Path, *lines: object) -> Path:
    path = tmp_path / "canaries"
    path.write_text("\n".join(x if isinstance(x, str) else json.dumps(x) for x in lines))
    return path


def test_a_canary_has_texts_words_a_vector_and_bytes(tmp_path: Path) -> None:
    path = _file(
        tmp_path,
        {
            "id": "a",
            "text": SECRET,
            "words": ["keller"],
            "vector": [1, 0.5],
            "bytes": ["000102030405"],
        },
        "",
        {"id": "b", "text": "Bob Meier"},
    )

    first, second = read_canaries(path)

    assert first.texts == (SECRET, "keller")
    assert first.vector == (1.0, 0.5)
    assert first.raw == (bytes(range(6)),)
    assert second.id == "b"


@pytest.mark.parametrize(
    ("line", "why"),
    [
        ("{", "not JSON"),
        ('{"id": "a", "text": "Anna Keller"', "not JSON"),
        ("[1]", "an object of"),
        ({"id": "a", "text": SECRET, "name": SECRET}, "an object of"),
        ({"text": SECRET}, "`id`"),
        ({"id": "", "text": SECRET}, "`id`"),
        ({"id": 1, "text": SECRET}, "`id`"),
        ({"id": "a\nb", "text": SECRET}, "`id`"),
        ({"id": "a"}, "must be given"),
        ({"id": "a", "text": ""}, "by chance"),
        ({"id": "a", "text": "Kelle"}, "by chance"),
        ({"id": "a", "text": "aAaaaaaabb"}, "by chance"),
        ({"id": "a", "text": SECRET * 400}, "longer"),
        ({"id": "a", "text": SECRET + "\ud800"}, "half a character"),
        ({"id": "a", "text": 5}, "must be a text"),
        ({"id": "a", "words": SECRET}, "must be a list"),
        ({"id": "a", "vector": [1, "2"]}, "finite numbers"),
        ({"id": "a", "vector": [1, True]}, "finite numbers"),
        ('{"id": "a", "vector": [NaN]}', "finite numbers"),
        ({"id": "a", "bytes": ["xyz"]}, "hexadecimal"),
        ({"id": "a", "bytes": [7]}, "hexadecimal"),
        ({"id": "a", "bytes": ["0102030405"]}, "must be 6"),
        ({"id": "a", "bytes": ["00" * 8]}, "different"),
    ],
)
def test_a_line_that_cannot_be_used_is_named_and_never_quoted(
    tmp_path: Path, line: object, why: str
) -> None:
    path = _file(tmp_path, {"id": "z", "text": "Zoe Zander"}, line)

    with pytest.raises(CanariesInvalid) as refused:
        read_canaries(path)

    assert "line 2" in str(refused.value)
    assert why in str(refused.value)
    assert "Kelle" not in str(refused.value)


def test_an_id_given_twice_is_refused(tmp_path: Path) -> None:
    path = _file(tmp_path, {"id": "a", "text": SECRET}, {"id": "a", "text": "Bob Meier"})

    with pytest.raises(CanariesInvalid, match="line 2: this id was given before"):
        read_canaries(path)


def test_looking_for_nothing_is_refused(tmp_path: Path) -> None:
    for content in ("", "\n\n"):
        with pytest.raises(CanariesInvalid, match="holds no canary"):
            read_canaries(_file(tmp_path, content))


def test_a_file_that_is_not_there_is_refused(tmp_path: Path) -> None:
    with pytest.raises(CanariesInvalid, match="cannot be read"):
        read_canaries(tmp_path / "none")

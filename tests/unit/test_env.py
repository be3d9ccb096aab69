"""Environment variables: understood, or refused with a sentence that names them."""

from __future__ import annotations

from pathlib import Path

import pytest

from ambit.config.env import InvalidSetting, env_bool, env_int, env_required, env_str, env_urls


@pytest.mark.parametrize("value", ["1", "true", "YES", "on"])
def test_yes_is_read_in_every_usual_spelling(monkeypatch: pytest.MonkeyPatch, value: str) -> None:
    monkeypatch.setenv("AMBIT_TEST", value)

    assert env_bool("AMBIT_TEST", default=False) is True


@pytest.mark.parametrize("value", ["0", "False", "no", "off"])
def test_no_is_read_in_every_usual_spelling(monkeypatch: pytest.MonkeyPatch, value: str) -> None:
    monkeypatch.setenv("AMBIT_TEST", value)

    assert env_bool("AMBIT_TEST", default=True) is False


@pytest.mark.parametrize("value", ["ja", "2", "tru", "none"])
def test_a_switch_that_makes_no_sense_is_refused(
    monkeypatch: pytest.MonkeyPatch, value: str
) -> None:
    monkeypatch.setenv("AMBIT_TEST", value)

    with pytest.raises(InvalidSetting, match="AMBIT_TEST must be one of"):
        env_bool("AMBIT_TEST", default=True)


def test_empty_counts_as_unset(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("AMBIT_TEST", "  ")

    assert env_bool("AMBIT_TEST", default=True) is True
    assert env_int("AMBIT_TEST", default=7) == 7
    with pytest.raises(InvalidSetting, match="Set AMBIT_TEST"):
        env_required("AMBIT_TEST", why="a test wants it")


@pytest.mark.parametrize(
    ("value", "words"),
    [
        ("many", "a whole number"),
        ("1.5", "a whole number"),
        ("2", "at least 3"),
        ("2147483648", "at most 2147483647"),
    ],
)
def test_a_number_that_makes_no_sense_is_refused(
    monkeypatch: pytest.MonkeyPatch, value: str, words: str
) -> None:
    monkeypatch.setenv("AMBIT_TEST", value)

    with pytest.raises(InvalidSetting, match=f"AMBIT_TEST must be {words}"):
        env_int("AMBIT_TEST", default=5, minimum=3)


def test_a_value_may_come_from_a_file(monkeypatch: pytest.MonkeyPatch, tmp_path: Path) -> None:
    secret = tmp_path / "secret"
    secret.write_text("from the file\n")
    monkeypatch.setenv("AMBIT_TEST", "from the variable")
    monkeypatch.setenv("AMBIT_TEST_FILE", str(secret))

    assert env_str("AMBIT_TEST") == "from the file"
    assert env_required("AMBIT_TEST", why="a test wants it") == "from the file"


def test_a_file_that_cannot_be_read_is_named(
    monkeypatch: pytest.MonkeyPatch, tmp_path: Path
) -> None:
    monkeypatch.setenv("AMBIT_TEST_FILE", str(tmp_path / "absent"))

    with pytest.raises(InvalidSetting, match="AMBIT_TEST_FILE names a file that cannot be read"):
        env_str("AMBIT_TEST", default="never this")


@pytest.mark.parametrize(
    ("value", "urls"),
    [
        ("", ""),
        (" http://10.0.0.5:8000/v1/ ", "http://10.0.0.5:8000"),
        ("http://a:1, https://b/vllm/v1", "http://a:1,https://b/vllm"),
        ("http://[::1]:8000", "http://[::1]:8000"),
    ],
)
def test_addresses_of_servers_are_read_to_their_roots(
    monkeypatch: pytest.MonkeyPatch, value: str, urls: str
) -> None:
    monkeypatch.setenv("AMBIT_TEST", value)

    assert env_urls("AMBIT_TEST") == urls


@pytest.mark.parametrize(
    ("value", "words"),
    [
        ("10.0.0.5:8000", "must be addresses that begin with http://"),
        ("unix:///run/vllm.sock", "must be addresses"),
        ("http://a:1,", "must be addresses"),
        ("http://a:1 http://b:1", "one of them is 'http://a:1 http://b:1'"),
        ("http://a:nine", "must be addresses"),
        ("http://a:99999", "must be addresses"),
        ("http://:8000", "must be addresses"),
        ("http://[::1", "must be addresses"),
        ("http://a:1?key=1", "the addresses of servers alone"),
        ("http://a:1,http://a:1/v1", "names a server twice"),
        ("http://me:pass-3f9a@a:1", "holds a name or password"),
    ],
)
def test_addresses_that_make_no_sense_are_refused(
    monkeypatch: pytest.MonkeyPatch, value: str, words: str
) -> None:
    monkeypatch.setenv("AMBIT_TEST", value)

    with pytest.raises(InvalidSetting) as raised:
        env_urls("AMBIT_TEST")

    assert str(raised.value).startswith("AMBIT_TEST ")
    assert words in str(raised.value)
    assert "pass-3f9a" not in str(raised.value)

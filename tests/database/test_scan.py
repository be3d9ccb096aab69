"""The scanner catches what DELETE and VACUUM leave behind, and finds nothing once it is scrubbed."""

from __future__ import annotations

import json
import os
import random
import subprocess
import sys
from collections.abc import Iterator
from dataclasses import dataclass
from pathlib import Path
from typing import LiteralString

import numpy as np
import psycopg
import pytest
from psycopg.sql import SQL, Identifier

from ambit.config.runtime.postgres import postgres_bin
from ambit.scan import pglz
from ambit.scan.canaries import Canary
from ambit.scan.flow import scan
from ambit.scan.report import Report
from ambit.scan.stores import Store
from tests.architecture.sources import ROOT
from tests.database.private import PrivateDatabase, superuser_url

pytestmark = pytest.mark.long

ERASED, KEPT = 40, 120
# Here and there among the others: what VACUUM leaves in a hole depends on who was last in the page.
GONE = frozenset(random.Random(1).sample(range(ERASED + KEPT), ERASED))
# What of a person stands where: each is a canary of its own.
PARTS = ("who", "cut", "packed", "short", "profile", "tag", "half", "single")
TABLE: LiteralString = """
DROP TABLE IF EXISTS people;
CREATE TABLE people (
    id int PRIMARY KEY, gone boolean, who text, cut text, packed text, short text, profile jsonb,
    half halfvec(384), single vector(384), tags tsvector
) WITH (autovacuum_enabled = off, toast.autovacuum_enabled = off);
ALTER TABLE people ALTER cut SET STORAGE EXTERNAL, ALTER packed SET COMPRESSION pglz,
    ALTER short SET COMPRESSION pglz, ALTER short SET STORAGE MAIN,
    ALTER half SET STORAGE PLAIN, ALTER single SET STORAGE EXTERNAL;
CREATE INDEX ON people (who);
CREATE INDEX ON people USING gin (profile);
CREATE INDEX ON people USING gin (tags);
CREATE INDEX ON people USING brin (who) WITH (pages_per_range = 1);
CREATE INDEX ON people USING hnsw (half halfvec_cosine_ops);
"""
COMMON = ("the", "patient", "came", "with", "a", "cough", "and", "fever", "again")


@dataclass(frozen=True)
class Person:
    """Somebody of whom every part is looked for."""

    id: int
    canaries: dict[str, Canary]
    row: tuple[object, ...]


def _person(number: int) -> Person:
    drawn = random.Random(number)

    def word(size: int) -> str:
        return "".join(drawn.choice("abcdefghijklmnopqrstuvwxyz") for _ in range(size))

    def story(n_words: int, name: str) -> str:
        words = [drawn.choice((*COMMON, word(5))) for _ in range(n_words)]
        words.insert(drawn.randrange(n_words), name)
        return " ".join(words)

    texts = {part: f"{word(9)} {word(8)}" for part in ("who", "cut", "packed", "short")}
    texts |= {part: word(14) for part in ("profile", "tag")}
    # Seeds of its own: other tests leave vectors of small ones in the same database.
    numbers = np.random.default_rng([20_261_122, number]).standard_normal((2, 384)) / 20
    vectors = dict(zip(("half", "single"), numbers.tolist(), strict=True))
    canaries = {p: Canary(f"{p}-{number}", texts=(text,)) for p, text in texts.items()}
    canaries |= {p: Canary(f"{p}-{number}", vector=tuple(v)) for p, v in vectors.items()}
    row = (
        number, number in GONE, texts["who"], story(1200, texts["cut"]),
        story(3500, texts["packed"]), story(500, texts["short"]),
        json.dumps({"name": texts["profile"]}), str(vectors["half"]), str(vectors["single"]),
        texts["tag"],
    )  # fmt: skip
    return Person(number, canaries, row)


@dataclass
class Town:
    """People in a table of a private Postgres, some of whom are erased."""

    private: PrivateDatabase
    erased: list[Person]
    kept: list[Person]

    def run(self, *statements: LiteralString) -> None:
        """Run statements as the superuser, each in a transaction of its own."""
        with self.private.superuser() as connection:
            for statement in statements:
                connection.execute(statement)

    def scan(self) -> Report:
        """Look for everybody."""
        canaries = [c for p in self.erased + self.kept for c in p.canaries.values()]
        store = Store("data", self.private.embedded.data_dir, is_data_dir=True)
        return scan(canaries, [store], database=superuser_url(self.private.embedded))

    def places(self, report: Report, people: list[Person], part: str) -> dict[str, int]:
        """Return of how many of these people a part was found, by place."""
        wanted = {person.canaries[part].id for person in people}
        found: dict[str, set[str]] = {}
        for each in report.findings:
            if each.canary in wanted:
                place = "pg_stats" if each.store == "statistics" else each.kind
                place = "pg_statistic" if "pg_statistic" in each.relation else place
                place = "pg_statistic" if each.relation.startswith("pg_toast_2619 ") else place
                found.setdefault(place, set()).add(each.canary)
        return {place: len(ids) for place, ids in found.items()}


@pytest.fixture
def town(private: PrivateDatabase) -> Iterator[Town]:
    people = [_person(number) for number in range(ERASED + KEPT)]
    made = Town(
        private, [p for p in people if p.id in GONE], [p for p in people if p.id not in GONE]
    )
    with private.superuser() as connection:
        connection.execute(TABLE)
        connection.cursor().executemany(
            "INSERT INTO people VALUES (%s,%s,%s,%s,%s,%s,%s,%s,%s,to_tsvector('simple',%s))",
            [person.row for person in people],
        )
    made.run("ANALYZE people")
    yield made
    made.run("DROP TABLE people", "VACUUM FULL pg_statistic")
    _forget_log(made)


def _forget_log(town: Town) -> None:
    """Let the log's old segments go instead of being used again with what they hold.

    A checkpoint of the server's own may have made old segments future ones before: those go only
    once the log has come past them.
    """
    town.run("ALTER SYSTEM SET wal_recycle = off", "SELECT pg_reload_conf()")
    with town.private.superuser() as connection:
        made = connection.execute("SELECT max(name) FROM pg_ls_waldir()").fetchone()
        written = made
        while made and written and written <= made:
            connection.execute("SELECT pg_switch_wal()")
            connection.execute("CHECKPOINT")
            written = connection.execute(
                "SELECT pg_walfile_name(pg_current_wal_insert_lsn())"
            ).fetchone()
    town.run("ALTER SYSTEM RESET wal_recycle", "SELECT pg_reload_conf()")


def test_delete_and_vacuum_are_caught_in_every_place_and_a_scrub_leaves_nothing(town: Town) -> None:
    # As a server does when it is time: what is old in the log is to be used again, far ahead.
    town.run("ALTER SYSTEM SET wal_recycle = on", "SELECT pg_reload_conf()")
    for _ in range(4):
        town.run("SELECT pg_switch_wal()", "SELECT txid_current()")
    town.run("CHECKPOINT", "DELETE FROM people WHERE gone", "VACUUM people")

    left = town.scan()

    places = {part: town.places(left, town.erased, part) for part in PARTS}
    # Holes: VACUUM closes the ranks, and the old bytes stay before them, here and there overwritten.
    kinds = {"who": "table", "short": "table", "half": "table"}
    kinds |= {"cut": "toast", "packed": "toast", "single": "toast"}
    for part, kind in kinds.items():
        assert 0 < places[part][kind] < ERASED, part
    assert places["profile"]["gin"] == places["tag"]["gin"] == ERASED
    assert 0 < places["who"]["btree"] <= ERASED
    for part, kind in (("tag", "pg_statistic"), ("tag", "pg_stats"), ("half", "pg_stats")):
        assert places[part][kind] > 0
    # pgvector wipes what it removes.
    assert "hnsw" not in places["half"]
    assert [part for part in PARTS if places[part]["wal"] < ERASED] == []
    assert left.exit_code == 1

    town.run("VACUUM FULL people", "ANALYZE people", "VACUUM FULL pg_statistic")
    _forget_log(town)
    scrubbed = town.scan()

    assert {p: town.places(scrubbed, town.erased, p) for p in PARTS} == {p: {} for p in PARTS}
    for part in PARTS:
        assert KEPT in town.places(scrubbed, town.kept, part).values(), part
    assert scrubbed.unread == []


def test_an_open_snapshot_that_keeps_rows_through_vacuum_full_is_caught(town: Town) -> None:
    with town.private.superuser() as other:
        other.execute("BEGIN ISOLATION LEVEL REPEATABLE READ")
        other.execute("SELECT 1")
        town.run("DELETE FROM people WHERE gone", "VACUUM FULL people", "ANALYZE people")
        town.run("VACUUM FULL pg_statistic")
        _forget_log(town)

        report = town.scan()

    assert town.places(report, town.erased, "short")["table"] == ERASED
    assert town.places(report, town.erased, "packed")["toast"] == ERASED


def test_page_images_packed_in_the_log_are_caught(town: Town) -> None:
    # Text that pglz packs well, which a page with vectors is not.
    town.run(
        "CREATE TABLE letters AS SELECT id, gone, who || repeat(' and so on', 80) AS body FROM people",
        "CHECKPOINT",
    )
    _forget_log(town)
    # The first change of a page after a checkpoint writes the page whole, with all who are on it.
    town.run("UPDATE letters SET id = -id WHERE NOT gone")
    try:
        report = town.scan()
    finally:
        town.run("DROP TABLE letters")

    assert town.places(report, town.erased, "who")["wal"] == ERASED


def test_statistics_that_are_left_of_a_dropped_part_are_caught(town: Town) -> None:
    town.run(
        "CREATE TABLE cities (city text, who text) PARTITION BY LIST (city)",
        "CREATE TABLE ulm PARTITION OF cities FOR VALUES IN ('ulm')",
        "INSERT INTO cities SELECT 'ulm', who FROM people",
        "ANALYZE cities",
        "DROP TABLE ulm",
        "DELETE FROM pg_statistic WHERE starelid = 'people'::regclass",
    )
    try:
        report = town.scan()
    finally:
        town.run("DROP TABLE cities")

    in_statistics = [
        f for f in report.findings if f.store == "statistics" and f.relation == "cities"
    ]
    assert len({f.canary for f in in_statistics if f.canary.startswith("who")}) > ERASED / 2


def test_pglz_is_unpacked_as_postgres_packed_it(town: Town) -> None:
    drawn = random.Random(5)
    texts = ["ab" * 3000, "x" * 9000, "".join(chr(drawn.randrange(33, 38)) for _ in range(9000))]
    texts += [str(person.row[4]) for person in town.kept[:20]]
    with town.private.superuser() as connection:
        connection.execute("CREATE TEMPORARY TABLE texts (id int, body text)")
        connection.execute("ALTER TABLE texts ALTER body SET COMPRESSION pglz")
        connection.execute("ALTER TABLE texts SET (toast_tuple_target = 128)")
        for number, text in enumerate(texts):
            connection.execute("INSERT INTO texts VALUES (%s, %s)", [number, text * 4])
        name = connection.execute(
            "SELECT relnamespace::regnamespace::text, relname FROM pg_class "
            "WHERE oid = (SELECT reltoastrelid FROM pg_class WHERE oid = 'texts'::regclass)"
        ).fetchone()
        assert name
        wanted = SQL(
            "SELECT string_agg(chunk_data, '' ORDER BY chunk_seq) FROM {} GROUP BY chunk_id"
        )
        chunks = connection.execute(wanted.format(Identifier(*name))).fetchall()

    unpacked = set()
    for (chunk,) in chunks:
        size = int.from_bytes(chunk[:4], "little")
        unpacked.add(pglz.unpack(chunk[4:], size).decode())
        cut = pglz.unpack(chunk[4 : len(chunk) // 2], size)
        assert unpacked & {text * 4 for text in texts if (text * 4).encode().startswith(cut)}

    assert unpacked
    assert unpacked <= {text * 4 for text in texts}
    assert len(unpacked) >= 20


def _command(town: Town, tmp_path: Path, *arguments: str) -> subprocess.CompletedProcess[str]:
    canaries = [{"id": c.id, "text": c.texts[0]} for c in (p.canaries["packed"] for p in town.kept)]
    (tmp_path / "canaries").write_text("\n".join(map(json.dumps, canaries)))
    return subprocess.run(
        [
            sys.executable, "manage.py", "scan_bytes", "--canaries", str(tmp_path / "canaries"),
            "--json", str(tmp_path / "report"), *arguments,
        ],
        cwd=ROOT,
        env={
            **os.environ,
            "DJANGO_SETTINGS_MODULE": "ambit.config.settings",
            "AMBIT_DATA_DIR": str(town.private.embedded.data_dir),
            "TMPDIR": str(tmp_path),
        },
        capture_output=True,
        text=True,
        check=False,
    )  # fmt: skip


def test_the_command_says_where_and_never_what(town: Town, tmp_path: Path) -> None:
    done = _command(town, tmp_path)

    assert done.returncode == 1, done.stderr
    report = json.loads((tmp_path / "report").read_text())
    assert report["n_found"] == KEPT
    assert report["counts"]["postgres toast"] == KEPT
    assert "FOUND: 120 of 120" in done.stdout
    assert "CHECKPOINT" in done.stdout
    for person in town.kept:
        text = person.canaries["packed"].texts[0]
        assert text not in done.stdout + done.stderr + (tmp_path / "report").read_text()


def test_the_command_is_content_only_where_nothing_is_left_and_all_was_read(
    town: Town, tmp_path: Path
) -> None:
    town.run(
        "TRUNCATE people",
        "ANALYZE people",
        "DELETE FROM pg_statistic WHERE starelid = 'people'::regclass",
    )
    town.run("VACUUM FULL pg_statistic")
    _forget_log(town)

    clean = _command(town, tmp_path)

    assert clean.returncode == 0, clean.stdout
    assert _command(town, tmp_path, "--no-database").returncode == 2
    assert _command(town, tmp_path, "--path", f"exports={tmp_path / 'none'}").returncode == 2


def test_backups_are_searched_inside(town: Town, tmp_path: Path) -> None:
    town.run("CHECKPOINT")
    embedded = town.private.embedded
    env = {**os.environ, "PGPASSWORD": embedded.secrets["password_postgres"]}
    login = ["-h", str(embedded.socket_dir), "-U", "postgres"]
    backups = tmp_path / "backups"
    backups.mkdir()
    for command in (
        ["pg_dump", *login, "-Fc", "-f", str(backups / "dump"), "-d", "ambit"],
        ["pg_dump", *login, "-Fd", "-f", str(backups / "folder"), "-d", "ambit"],
        ["pg_dump", *login, "-f", str(backups / "plain.sql"), "-d", "ambit"],
    ):
        subprocess.run([str(postgres_bin() / command[0]), *command[1:]], check=True, env=env)
    canaries = [c for p in town.kept for c in p.canaries.values()]

    report = scan(canaries, [Store("backups", backups)], database=None)

    by_file: dict[str, set[str]] = {}
    for each in report.findings:
        by_file.setdefault(Path(each.place).relative_to(backups).parts[0], set()).add(each.canary)
    everybody = {canary.id for canary in canaries}
    assert {name: everybody - found for name, found in by_file.items()} == {
        "dump": set(), "folder": set(), "plain.sql": set()
    }  # fmt: skip


def test_a_login_that_may_not_look_makes_the_report_incomplete(private: PrivateDatabase) -> None:
    store = Store("run", private.embedded.socket_dir)
    for role, why in (("ambit_owner", "superuser"), ("nobody", "refuses the login")):
        url = superuser_url(private.embedded).replace("postgres:", f"{role}:", 1)
        if role == "ambit_owner":
            url = private.embedded.database_url(role)

        report = scan([Canary("a", texts=("Anna Keller",))], [store], database=url)

        assert report.exit_code == 2
        assert why in report.unread[0].reason


def test_the_server_is_asked_in_every_database(private: PrivateDatabase) -> None:
    with private.superuser() as connection:
        connection.execute("CREATE DATABASE another")
    url = superuser_url(private.embedded)
    try:
        with psycopg.connect(url.replace("/ambit?", "/another?"), autocommit=True) as connection:
            connection.execute(
                "CREATE TABLE people AS SELECT 'Anna Keller' AS who FROM generate_series(1, 9)"
            )
            connection.execute("ANALYZE people")

        report = scan(
            [Canary("a", texts=("Anna Keller",))],
            [Store("none", private.embedded.socket_dir)],
            database=url,
        )
    finally:
        with private.superuser() as connection:
            connection.execute("DROP DATABASE another")

    assert [finding.relation for finding in report.findings] == ["people"]

"""A worker without the login that rewrites tables says so: at its start, and to the operator."""

from __future__ import annotations

import os
import subprocess
import sys

import pytest

from ambit.admin.health import workers_part
from ambit.config.runtime.processes import ROOT
from ambit.jobs.broker import workers_that_scrub
from tests.flows.service import wait_until

_WITHOUT = """
from django.conf import settings
del settings.DATABASES["scrubber"]
import workers.app
workers.app.say_what_is_missing()
print(workers.app.may_scrub(None))
"""


@pytest.mark.usefixtures("workers")
def test_the_workers_that_run_are_asked() -> None:
    # One that has just begun does not listen yet.
    wait_until(workers_that_scrub, "a worker answers")
    assert workers_that_scrub() == [True]


def test_a_worker_without_the_login_says_so_at_its_start() -> None:
    done = subprocess.run(
        [sys.executable, "-W", "ignore", "-c", _WITHOUT],
        cwd=ROOT,
        env={**os.environ, "DJANGO_SETTINGS_MODULE": "ambit.config.settings"},
        capture_output=True,
        text=True,
        check=True,
        timeout=60,
    )

    assert "scrub.no_login" in done.stderr
    assert "AMBIT_SCRUBBER_DATABASE_URL" in done.stderr
    assert "False" in done.stdout


@pytest.mark.parametrize(
    ("found", "is_well", "words"),
    [
        ([], False, "none answers"),
        ([False, False], False, "AMBIT_SCRUBBER_DATABASE_URL"),
        ([False, True], True, "2 answered"),
    ],
)
def test_the_operator_sees_it(found: list[bool], is_well: object, words: str) -> None:
    part = workers_part(found)

    assert (part.ok, words in part.words) == (is_well, True)

"""Let Hypothesis draw random histories, each anew, and shrink the first that fails."""

from __future__ import annotations

from hypothesis import HealthCheck, Phase, settings
from hypothesis.internal.conjecture.providers import AVAILABLE_PROVIDERS, HypothesisProvider
from hypothesis.stateful import run_state_machine_as_test

from tests.histories.machine import Histories, Tally

DEEDS = 6


class EachAnew(HypothesisProvider):
    """Hypothesis' own way to draw, under a name of its own.

    Beside drawing, Hypothesis repeats variations of what it has drawn. Here a history costs half a
    second and ten thousand shall be ten thousand different ones; of a provider that is not its
    default it asks nothing but to draw.
    """


AVAILABLE_PROVIDERS["each-anew"] = f"{__name__}.{EachAnew.__name__}"


def draw_histories(
    count: int,
    *,
    seed: int,
    answers: bool = False,
    thorough: int = 8,
    deeds: frozenset[str] = frozenset(),
    shrink: bool = True,
    tally: Tally | None = None,
) -> Tally:
    """Run so many histories; raise Leak or FalseDenial, with a script, for the shortest that fails."""

    class Drawn(Histories):
        pass

    Drawn.deeds = deeds
    Drawn.tally, Drawn.answers, Drawn.thorough = tally or Tally(), answers, thorough
    # What hypothesis.seed sets on a machine.
    Drawn._hypothesis_internal_use_seed = seed
    phases = [Phase.generate, Phase.shrink] if shrink else [Phase.generate]
    run_state_machine_as_test(
        Drawn,
        settings=settings(
            max_examples=count,
            stateful_step_count=DEEDS,
            deadline=None,
            database=None,
            derandomize=False,
            report_multiple_bugs=False,
            suppress_health_check=list(HealthCheck),
            phases=phases,
            backend="each-anew",
        ),
    )
    return Drawn.tally

"""What a caller is told about questions that are not answered: part of the one table."""

from __future__ import annotations

from ambit.answers.flow import ReachChanged
from ambit.api.asking import ModelNeeded, ModelNotFound
from ambit.api.problem import Problem

ANSWER_PROBLEMS: dict[type[BaseException], Problem] = {
    ModelNeeded: Problem(
        400,
        "model_needed",
        "This takes a language model",
        "Without one Ambit answers by quoting: leave out `schema` and `adapter`, or have the operator"
        " set AMBIT_VLLM_URL.",
    ),
    ModelNotFound: Problem(
        404, "model_not_found", "No such model", "GET /v1/models lists those you may ask."
    ),
    ReachChanged: Problem(
        409,
        "reach_changed",
        "What you may see changed",
        "It changed while this answer was being written: ask again.",
    ),
}

"""What a caller is told about questions that are not answered: part of the one table."""

from __future__ import annotations

from ambit.answers.flow import ReachChanged
from ambit.api.asking import AnswerNotKept, ModelNeeded, ModelNotFound
from ambit.api.problem import Problem
from ambit.inference.vllm import ContextOverflow, GenerationRefused, SchemaNotServed

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
        "It changed while this answer was being written, or could not be looked up then: ask again.",
    ),
    AnswerNotKept: Problem(
        503,
        "answer_not_kept",
        "The answer could not be kept",
        "It was written, and its tokens count, but the database did not take it, and what is not kept is not given."
        " Ask again in a while; if it goes on, tell the operator the request_id.",
    ),
    SchemaNotServed: Problem(
        400,
        "schema_not_served",
        "The model server cannot write to this schema",
        "It refuses something in the schema, such as `multipleOf`. Make the schema simpler.",
    ),
    ContextOverflow: Problem(
        400,
        "question_too_long",
        "The question is too long for the model",
        "Question, instructions and answer do not fit into the model's context: shorten them, or ask for a"
        " lower `max_tokens`.",
    ),
    # It would refuse the same again: no word of trying again.
    GenerationRefused: Problem(
        503,
        "generation_refused",
        "The model server refused",
        "It does not take what Ambit sends it, which the operator has to mend: tell the operator the request_id."
        " Searching works meanwhile.",
    ),
}

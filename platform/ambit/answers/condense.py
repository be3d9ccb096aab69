def messages_to_condense(*, question, turns):
    return [{"role": "user", "content": question}]


def standalone(*, question, turns, rewritten):
    return question

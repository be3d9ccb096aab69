"""Hand work to the workers: a row in the transaction, a message by name after its commit."""

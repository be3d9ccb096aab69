"""Documents, versions, chunks and vectors, and the one door to passage text."""

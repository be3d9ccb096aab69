"""The parts of one machine under one supervisor: Postgres, Redis, embeddings, worker, beat and web."""

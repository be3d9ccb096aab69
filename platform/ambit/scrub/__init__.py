"""Rewrite what Postgres keeps of rows that are gone: pages of tables and indexes, and its log."""

"""The admin web UI: an edge like the API; every page asks the same functions."""

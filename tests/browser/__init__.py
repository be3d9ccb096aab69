"""The admin web UI, in this process and in a real browser."""

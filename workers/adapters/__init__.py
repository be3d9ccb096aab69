"""Bring model servers in line with which adapters are live."""

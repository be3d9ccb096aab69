"""Destroy what was asked to be forgotten, and prove it as far as it is true."""

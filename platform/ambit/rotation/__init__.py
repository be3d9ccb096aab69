"""Rotation of the tenants' wrapping keys: a new one, every data key wrapped by it, the old one destroyed."""

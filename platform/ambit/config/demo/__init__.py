"""The demonstration: a stack of its own, two tenants, and each promise checked over HTTP."""

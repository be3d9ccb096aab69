"""HTTP in, HTTP out: one module per resource, one table of problems."""

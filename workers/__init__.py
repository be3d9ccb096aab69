"""Everything off the request path: reading untrusted files, destroying data, upkeep."""

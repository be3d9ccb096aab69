"""Keys and sealing: what is written down can be read only while its key exists."""

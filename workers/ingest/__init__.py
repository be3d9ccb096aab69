"""Flow 1: upload → parse → chunk → embed → store."""

"""The keyring, what protects it, and the rotation of its keys."""

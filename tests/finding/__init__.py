"""How much of what is written about a person is found: measured on invented people planted in notes."""

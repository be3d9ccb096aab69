"""Originals and extracted texts, sealed, one folder per tenant and document."""

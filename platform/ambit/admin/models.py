"""Table of failed sign-ins: keyed hashes and counts, so that guessing a password takes years."""

from __future__ import annotations

from django.db import models


class SignInGuess(models.Model):
    """How often one sign-in name was tried wrongly from one address, both known as a hash only."""

    place_hash = models.CharField(max_length=64, primary_key=True)
    n_failures = models.PositiveIntegerField(default=0)
    last_at = models.DateTimeField()

    class Meta:
        indexes = [models.Index(fields=["last_at"], name="sign_in_guess_by_time")]

    def __str__(self) -> str:
        return "sign-in guess"

"""Exports: what a person is given of themselves (Art. 15 and 20 GDPR), sealed, and for some days."""

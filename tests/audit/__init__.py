"""The proof of the audit trail."""

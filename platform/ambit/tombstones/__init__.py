"""What must stay gone whatever backup is restored, and which backups there are; outside the database."""

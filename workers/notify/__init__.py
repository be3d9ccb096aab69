"""Tell recipients what happened to documents they got."""

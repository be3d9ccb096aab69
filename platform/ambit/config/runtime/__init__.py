"""The parts of one machine under one supervisor."""

"""Leases on named resources, waiting for them, and overlapping edits."""

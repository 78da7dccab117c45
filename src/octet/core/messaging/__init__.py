"""Durable messages and the log of events."""

"""Heartbeats, dead agents, and what happens to their work."""

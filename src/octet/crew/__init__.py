"""A crew of sessions on one machine: planned, started, supervised, ended."""

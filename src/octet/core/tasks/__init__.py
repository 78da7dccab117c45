"""Tasks from `add` to `done`: plans, claims, gates, verdicts."""

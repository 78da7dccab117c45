"""The life of an agent's worktree, and the rescue of work in it."""

"""The git program, and worktrees, remotes and snapshots by it. Cold path only, never in a hook."""

"""The git program, and what a repository holds: worktrees, remotes, snapshots. Cold path only,
never in a hook.
"""

"""An agent's worktree: creation, set-up, ports, ownership, inventory, removal, rescued work."""

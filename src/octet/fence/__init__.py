"""What git's hooks ask before a ref moves, and the answer when no daemon gives one."""

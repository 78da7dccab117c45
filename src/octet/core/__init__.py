"""What the mission is about, over the store: agents, tasks, locks, messages, usage."""

"""What an agent is told when its turn begins or ends, and why an idle one is woken."""

"""Who takes part: registry, identity, the elected orchestrator, and what each agent is at."""

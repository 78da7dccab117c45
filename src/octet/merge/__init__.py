"""From submitted work to a moved branch: queue, combination, tests, landing, recovery."""

"""One answer for each hook event."""

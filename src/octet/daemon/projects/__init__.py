"""The projects that a daemon serves, and their events."""

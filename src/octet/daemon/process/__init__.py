"""The daemon as a process: start, stop, supervision, hand-over to a newer version."""

"""The daemon: one per user and machine; it answers hooks and keeps the machine's agents alive."""

"""A crew: the sessions of Claude Code on one machine, planned, started, supervised and ended.

`plan` and `capacity` decide whom to start; `up` and `down` write the crew that is wanted
(`record`); `supervisor` keeps it running, on a host: `headless` or `tmux`.
"""

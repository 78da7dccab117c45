"""The daemon: one per user and machine, answers hooks, keeps the agents of this machine alive. Run
by `octet daemon start`.
"""

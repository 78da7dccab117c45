"""What a hook decides, without Redis and without a daemon: parse the event, say what it needs,
judge the answer, word the reply.
"""

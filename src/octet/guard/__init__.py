"""What a hook decides, without Redis and without a daemon: parse the event, find its needs, judge the
answer, word the reply.
"""

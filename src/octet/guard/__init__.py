"""What a hook decides, without Redis and a daemon: parse, find needs, judge, word the reply."""

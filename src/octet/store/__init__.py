"""The store: key names, Lua scripts and the connection to Redis."""

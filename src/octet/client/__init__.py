"""`octet.connect()`: the library as its users see it."""

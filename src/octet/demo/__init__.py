"""`octet demo`: a crew at work on a sample repository."""

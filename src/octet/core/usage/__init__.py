"""Tokens used: read from transcripts, summed, held against budgets."""

"""Primitives for people's own coordination: queue, state, counter, key-value, map, pipeline,
errors, progress.
"""

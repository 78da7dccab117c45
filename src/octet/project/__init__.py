"""A repository as Octet sees it: its settings, where it lies, whether this machine approved it.
Standard library only.
"""

"""The names that the package offers."""

from __future__ import annotations

import pytest

import octet as package


def test_the_public_names() -> None:
    """Everything that the package offers can be imported from it."""
    for name in package.__all__:
        assert getattr(package, name)
    with pytest.raises(AttributeError):
        _ = package.nonsense

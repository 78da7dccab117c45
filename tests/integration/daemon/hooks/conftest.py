"""The handlers of hooks on one server: what may differ between two is shown by core and store."""

from __future__ import annotations

from tests.support.redis_fixtures import single_redis_url

redis_url = single_redis_url

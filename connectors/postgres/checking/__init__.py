"""What stands between a database and its data map, before anything relies on either."""

from connectors.postgres.checking.fitting import findings

__all__ = ["findings"]

"""How the libraries of table formats reach the bucket.

In: a bucket. Out: its endpoint and keys in each library's words, and the bucket itself, by which
old versions of files go that a library would leave behind a delete marker.
"""

from __future__ import annotations

from dataclasses import dataclass
from functools import cached_property
from typing import Any

import boto3

from connectors.s3.config import Config
from connectors.s3.server.bucket import Bucket, Spend


@dataclass(frozen=True)
class Lake:
    """One bucket, as somebody who may open tables in it."""

    bucket: Bucket
    config: Config
    spend: Spend

    def for_delta(self) -> dict[str, str]:
        """Options of deltalake."""
        found = {
            "AWS_REGION": self.config.region,
            "AWS_ENDPOINT_URL": self.config.endpoint_url,
            "AWS_ALLOW_HTTP": "true" if self._unencrypted else None,
            "AWS_ACCESS_KEY_ID": self._credential("access_key"),
            "AWS_SECRET_ACCESS_KEY": self._credential("secret_key"),
            "AWS_SESSION_TOKEN": self._credential("token"),
            "connect_timeout": f"{self.config.connect_timeout_s}s",
            "timeout": f"{self.config.read_timeout_s}s",
            "max_retries": "3",
            "retry_timeout": f"{self.config.read_timeout_s}s",
        }
        return {name: value for name, value in found.items() if value}

    def for_iceberg(self) -> dict[str, str]:
        """Properties of a pyiceberg catalogue."""
        found = {
            "s3.region": self.config.region,
            "s3.endpoint": self.config.endpoint_url,
            "s3.access-key-id": self._credential("access_key"),
            "s3.secret-access-key": self._credential("secret_key"),
            "s3.session-token": self._credential("token"),
            "s3.connect-timeout": str(self.config.connect_timeout_s),
            "s3.request-timeout": str(self.config.read_timeout_s),
        }
        return {name: value for name, value in found.items() if value}

    @property
    def _unencrypted(self) -> bool:
        return (self.config.endpoint_url or "").startswith("http://")

    def _credential(self, part: str) -> str | None:
        return None if self._keys is None else getattr(self._keys, part)

    @cached_property
    def _keys(self) -> Any:
        """Those of the configuration, or what the usual chain finds."""
        key_id, secret = self.config.access_key_id, self.config.secret_access_key
        session = boto3.Session(
            aws_access_key_id=key_id.get_secret_value() if key_id else None,
            aws_secret_access_key=secret.get_secret_value() if secret else None,
        )
        found = session.get_credentials()
        return None if found is None else found.get_frozen_credentials()

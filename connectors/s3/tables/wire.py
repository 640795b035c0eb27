"""How the libraries of table formats reach the bucket.

In: a bucket. Out: its endpoint and keys in each library's words, and the bucket itself, by which
old versions of files go that a library would leave behind a delete marker.
"""

from __future__ import annotations

from dataclasses import dataclass
from functools import cached_property

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
        key_id, secret, token = self._keys
        found = {
            "AWS_REGION": self.config.region,
            "AWS_ENDPOINT_URL": self.config.endpoint_url,
            "AWS_ALLOW_HTTP": "true" if self._unencrypted else None,
            "AWS_ACCESS_KEY_ID": key_id,
            "AWS_SECRET_ACCESS_KEY": secret,
            "AWS_SESSION_TOKEN": token,
            "connect_timeout": f"{self.config.connect_timeout_s}s",
            "timeout": f"{self.config.read_timeout_s}s",
            "max_retries": "3",
            "retry_timeout": f"{self.config.read_timeout_s}s",
        }
        return {name: value for name, value in found.items() if value}

    def for_iceberg(self) -> dict[str, str]:
        """Properties of a pyiceberg catalogue."""
        key_id, secret, token = self._keys
        found = {
            "s3.region": self.config.region,
            "s3.endpoint": self.config.endpoint_url,
            "s3.access-key-id": key_id,
            "s3.secret-access-key": secret,
            "s3.session-token": token,
            "s3.connect-timeout": str(self.config.connect_timeout_s),
            "s3.request-timeout": str(self.config.read_timeout_s),
        }
        return {name: value for name, value in found.items() if value}

    @property
    def _unencrypted(self) -> bool:
        return (self.config.endpoint_url or "").startswith("http://")

    @cached_property
    def _keys(self) -> tuple[str | None, str | None, str | None]:
        """Id, secret and token: those of the configuration, or what the usual chain finds."""
        key_id, secret = self.config.access_key_id, self.config.secret_access_key
        if key_id and secret:
            return key_id.get_secret_value(), secret.get_secret_value(), None
        chain = boto3.Session().get_credentials()
        if chain is None:
            return None, None, None
        found = chain.get_frozen_credentials()
        return found.access_key, found.secret_key, found.token

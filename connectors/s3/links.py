"""What a link in a row means: a key of this bucket, or a place elsewhere.

In: the text of a field and where the bucket is. Out: an object's key, or None. Pure; nothing is
followed. A link is a key, an `s3://` URI or an `http(s)` URL of this bucket, with the bucket in the
host or in the path (S3 user guide, "Methods for accessing a bucket"), or of a host that the map
names.
"""

from __future__ import annotations

import re
from collections.abc import Iterable
from dataclasses import dataclass
from typing import Self
from urllib.parse import unquote, urlsplit

from connectors.s3.config import Config

_SCHEME = re.compile(r"[A-Za-z][A-Za-z0-9+.-]*://")
_CONTROLS = re.compile(r"[\x00-\x20]")  # a URL holds none, and a lenient parser drops them
_PORTS = {"http": ":80", "https": ":443"}  # what a URL may leave out (RFC 9110, section 4.2)
_AWS = re.compile(r"s3[.-](?:[a-z0-9-]+[.])*amazonaws[.]com(?:[.]cn)?")


@dataclass(frozen=True, slots=True)
class Addresses:
    """How objects of one bucket under one prefix are linked."""

    bucket: str
    endpoint_host: str  # with its port; empty for AWS itself
    prefix: str
    hosts: tuple[str, ...] = ()  # in lower case, as all hosts are compared

    @classmethod
    def of(cls, config: Config, prefix: str, hosts: Iterable[str] = ()) -> Self:
        """Of the bucket of a config; `hosts` are further ones whose paths are keys of it."""
        host = urlsplit(config.endpoint_url).netloc.lower() if config.endpoint_url else ""
        return cls(config.bucket, host, prefix, tuple(map(str.lower, hosts)))

    def key(self, link: str) -> str | None:
        """The key that a link means; None where it leads out of this bucket or prefix."""
        key = self._key(link.strip()) if _SCHEME.match(link.strip()) else link.strip()
        return key if key and key.startswith(self.prefix) and key != self.prefix else None

    def _key(self, link: str) -> str | None:
        if link.lower().startswith("s3://"):
            bucket, _, key = link[len("s3://") :].partition("/")
            return key if bucket == self.bucket else None
        if _CONTROLS.search(link):
            return None
        try:
            url = urlsplit(link)
            path = unquote(url.path.removeprefix("/"), errors="strict")
        except ValueError:
            return None
        host = url.netloc.rpartition("@")[2].lower()
        if url.scheme not in _PORTS:
            return None
        host = host.removesuffix(_PORTS[url.scheme])
        if host in self.hosts or self._is_bucket(host):
            return path
        bucket, _, key = path.partition("/")
        return key if bucket == self.bucket and self._is_endpoint(host) else None

    def _is_endpoint(self, host: str) -> bool:
        if self.endpoint_host:
            return host == self.endpoint_host
        return _AWS.fullmatch(host) is not None

    def _is_bucket(self, host: str) -> bool:
        first = f"{self.bucket}."
        return host.startswith(first) and self._is_endpoint(host.removeprefix(first))

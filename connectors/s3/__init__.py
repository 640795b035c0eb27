"""S3 buckets: objects under a prefix per person, and shared objects with a record a line.

Enters: the data map's collections and subjects. Leaves: records, keys, receipts, by the contract.
"""

from connectors.s3.config import Config
from connectors.s3.replicas import S3

__all__ = ["S3", "Config"]

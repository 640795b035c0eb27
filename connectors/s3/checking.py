"""What `dsr check` says of a bucket as a whole, whatever its collections are.

In: a bucket. Out: findings: what of it is versioned, locked and conditional; copies that nobody
listed, unfinished uploads, and where logs, inventories and query results go, whose lines hold
object keys and so ids (hard case 36).
"""

from __future__ import annotations

from collections.abc import Callable, Collection, Iterator, Mapping
from typing import Any

from botocore.exceptions import ClientError

from connectors.s3.server.bucket import Bucket, with_no_budget
from connectors.s3.server.probe import probe
from connectors.s3.server.refusals import DENIED, MISCONFIGURED, TRANSIENT, code_of, translated
from connectors.s3.server.uploads import uploads_under
from dsr_worker.contract import Finding, NeedsHuman, Severity

_ATHENA_RESULTS = ("athena-results/", "athena/", "Unsaved/")  # where consoles put them by default


def versioning(bucket: Bucket) -> Finding:
    """Whether old versions stay when an object is written or erased."""
    state = bucket.versioning(with_no_budget)
    if state == "Never":
        return Finding(Severity.OK, "versioning", "off: an erased object is gone at once")
    told = f"{state}: old versions and delete markers are erased by id"
    return Finding(Severity.OK, "versioning", told)


def protection(bucket: Bucket) -> Finding:
    """Whether versions may be locked, and objects have access lists of their own."""
    lock = "on" if bucket.locking else "off"
    lists = "kept" if bucket.acls else "switched off"
    return Finding(Severity.OK, "protection", f"Object Lock {lock}; access lists {lists}")


def conditional_writes(bucket: Bucket) -> Finding:
    """Whether objects can be rewritten here: conditions are tried against an ETag of no object."""
    found = probe(bucket, with_no_budget)
    if not found.put:
        return Finding(
            Severity.ERROR,
            "conditional writes",
            "the endpoint ignores If-Match: rewriting could overwrite a concurrent writer",
            "use an endpoint with conditional writes, or take the `shared` collections out",
        )
    if not found.complete:
        told = "hold, but not of multipart uploads: objects above 5 GiB cannot be rewritten"
    else:
        told = "hold" + ("" if found.copy else "; the server copies ranges of versions alone")
    return Finding(Severity.OK, "conditional writes", told)


def unlisted_replicas(bucket: Bucket, listed: Collection[str]) -> Iterator[Finding]:
    """The buckets to which this one is copied and that the map does not name."""
    answer = _asked(bucket, "GetBucketReplication", bucket.reads.get_bucket_replication)
    if answer is None:
        yield _untold("replication")
        return
    rules = answer.get("ReplicationConfiguration", {}).get("Rules", [])
    targets = {_name(rule["Destination"]["Bucket"]) for rule in rules}
    for target in sorted(targets - set(listed)):
        yield Finding(
            Severity.ERROR,
            "replication",
            f"copies go to {target}, which the map does not name: erased versions stay there",
            "add it to `replicas` in the system's config",
        )


def unfinished_uploads(bucket: Bucket, prefixes: Collection[str]) -> Iterator[Finding]:
    """Unfinished uploads under the prefixes of shared objects, which no listing shows."""
    for prefix in prefixes:
        try:
            begun = [u.last_modified for u in uploads_under(bucket, prefix, with_no_budget)]
        except NeedsHuman:
            yield _untold("uploads")
            return
        if begun:
            yield Finding(
                Severity.WARNING,
                "uploads",
                f"{len(begun)} unfinished under {prefix}, the oldest since {min(begun):%Y-%m-%d}:"
                " whose data they hold nobody can see",
                "set `abort_uploads_after_days`, or a lifecycle rule that aborts them",
            )


def places_with_ids(bucket: Bucket) -> Iterator[Finding]:
    """Where object keys, and with them ids, are written by S3 and its kin."""
    logs = _asked(bucket, "GetBucketLogging", bucket.reads.get_bucket_logging)
    if logs is None:
        yield _untold("access logs")
    elif enabled := logs.get("LoggingEnabled"):
        yield _holds_ids("access logs", enabled["TargetBucket"], enabled.get("TargetPrefix", ""))
    lists = _asked(
        bucket,
        "ListBucketInventoryConfigurations",
        bucket.reads.list_bucket_inventory_configurations,
    )
    if lists is None:
        yield _untold("inventory")
    for inventory in (lists or {}).get("InventoryConfigurationList", []):
        place = inventory["Destination"]["S3BucketDestination"]
        yield _holds_ids("inventory", _name(place["Bucket"]), place.get("Prefix", ""))
    for prefix in _ATHENA_RESULTS:
        if next(iter(bucket.pages(prefix, with_no_budget)), []):
            yield _holds_ids("query results", bucket.name, prefix)


def _asked(
    bucket: Bucket, operation: str, ask: Callable[..., Mapping[str, Any]]
) -> Mapping[str, Any] | None:
    """An answer about the bucket's set-up; empty where nothing is set up, None where denied."""
    with translated(operation):
        try:
            return ask(Bucket=bucket.name)
        except ClientError as error:
            if code_of(error) in TRANSIENT | MISCONFIGURED:
                raise
            return None if code_of(error) in DENIED else {}


def _holds_ids(what: str, bucket: str, prefix: str) -> Finding:
    return Finding(
        Severity.WARNING,
        what,
        f"go to {bucket}/{prefix}: they hold object keys, so ids, which no erasure reaches there",
        "let them expire by a lifecycle rule, or map them as a collection",
    )


def _untold(what: str) -> Finding:
    return Finding(
        Severity.WARNING,
        what,
        "the grants do not let the worker see how they are set up",
        "grant GetReplicationConfiguration, GetBucketLogging, GetInventoryConfiguration and"
        " ListBucketMultipartUploads",
    )


def _name(arn: str) -> str:
    return arn.rpartition(":")[2]

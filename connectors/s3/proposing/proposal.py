"""From a bucket to a proposed map: walks, samples, judges and drafts, in this order.

In: a bucket, and the map as it stands (it may be empty). Out: the contract's `Proposal`. All
requests are reads, their number and bytes are bounded, and no value leaves.
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from functools import partial

from connectors.s3.config import Config
from connectors.s3.links import Addresses
from connectors.s3.proposing.comparing import drift
from connectors.s3.proposing.drafting import Draft
from connectors.s3.proposing.sampling import sample
from connectors.s3.proposing.walking import walk
from connectors.s3.server.bucket import Bucket, Version, with_no_budget
from connectors.s3.server.folders import folder
from connectors.s3.server.labels import metadata_of, tags_of
from connectors.s3.server.refusals import GoneError
from dsr_worker.contract import NeedsHuman, Proposal, System

_LABELLED = 5  # objects of a place whose labels are asked for
_DEEPEST = 12


def propose(system: System, bucket: Bucket, config: Config) -> Proposal:
    """The proposed map, and where the present one does not fit. Changes nothing."""
    sampled = partial(sample, bucket)
    draft = Draft(partial(Addresses.of, config), sampled, partial(_labels, bucket))
    draft.take(walk(bucket))
    found = tuple(drift(system, draft, partial(_some_objects, bucket), sampled))
    return Proposal(draft.collections, draft.grounds, tuple(draft.left_out), found)


def _labels(bucket: Bucket, objects: Sequence[Version]) -> list[Mapping[str, str]]:
    """The tags and metadata of a few objects, by the names under which a map takes them."""
    found: list[Mapping[str, str]] = []
    for version in objects[:_LABELLED]:
        try:
            tags = tags_of(bucket, version, with_no_budget)
            metadata = metadata_of(bucket, version, with_no_budget)
        except GoneError:
            continue
        except NeedsHuman:  # not granted: then nobody finds by labels either
            return []
        named = {f"tag:{name}": value for name, value in tags.items()}
        found.append(named | {f"meta:{name}": value for name, value in metadata.items()})
    return found


def _some_objects(bucket: Bucket, prefix: str) -> list[Version]:
    """Some objects under a prefix: the first, and the last folders' first."""
    for _ in range(_DEEPEST):
        found = folder(bucket, prefix, with_no_budget)
        if found.objects or not found.folders:
            return list(found.objects)
        prefix = found.folders[-1]
    return []

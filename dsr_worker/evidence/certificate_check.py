"""Whether a certificate is what was signed: for whoever holds the file and a public key.

In: a file, of this version or an earlier one. Out: what is wrong with it, in words.
"""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any

import orjson

from dsr_worker.evidence.certificate import COUNTED, FORMAT, LABEL
from dsr_worker.evidence.chain import (
    Checkpoint,
    canonical_json,
    is_signed,
    verify_checkpoint,
    verify_inclusion,
)


def verify_certificate(file: bytes, public_key: bytes | None = None) -> list[str]:
    """What is wrong with a certificate file; an empty list when nothing is.

    With `public_key` (from the organisation, by another way than the file) the signature must be
    that key's; without it, only that the file agrees with the key it names.
    """
    try:
        content = orjson.loads(file)
        statement, signature = content["certificate"], content["signature"]
        named_key = bytes.fromhex(signature["public_key"])
        value = str(signature["value"])
    except (orjson.JSONDecodeError, KeyError, TypeError, ValueError):
        return ["The file is not a certificate."]
    problems = []
    if not isinstance(statement, dict) or statement.get("format") != FORMAT:
        problems.append("The format is not known to this version.")
    if public_key is not None and named_key != public_key:
        problems.append("The certificate names another public key than the one given.")
    if not is_signed(public_key or named_key, LABEL + canonical_json(statement), value):
        problems.append(
            "The signature does not fit: the file was altered, or another key signed it."
        )
        return problems
    try:
        return problems + _inner_problems(statement, public_key or named_key)
    except (KeyError, TypeError, ValueError, AttributeError):
        return [*problems, "The certificate is not well formed."]


def _inner_problems(statement: Mapping[str, Any], public_key: bytes) -> list[str]:
    """What does not hold although it is signed."""
    problems = []
    for system in statement["systems"]:
        for r in system["collections"]:
            accounted = sum(r.get(p, 0) for p in COUNTED) + sum(k["rows"] for k in r["kept"])
            if r["found"] != accounted:
                problems.append(f"{system['system']}.{r['collection']}: the counts do not add up.")
    if statement["checkpoint"] is not None:
        checkpoint = Checkpoint.from_json(statement["checkpoint"])
        if not verify_checkpoint(checkpoint, public_key):
            problems.append("The checkpoint is not signed by the certificate's key.")
        if not _is_included(statement["inclusion"], checkpoint):
            problems.append("The case's last event is not under the checkpoint.")
    return problems


def _is_included(inclusion: Mapping[str, Any] | None, checkpoint: Checkpoint) -> bool:
    if inclusion is None:
        return True
    proof = [bytes.fromhex(node) for node in inclusion["proof"]]
    leaf, root = bytes.fromhex(inclusion["leaf"]), bytes.fromhex(checkpoint.root)
    return verify_inclusion(leaf, inclusion["index"], checkpoint.size, proof, root)

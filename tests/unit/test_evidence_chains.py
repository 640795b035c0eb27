"""Events take no prose, and no change to a chain, a tree or a checkpoint goes unseen."""

from __future__ import annotations

import hashlib
import time
from dataclasses import replace
from datetime import UTC, datetime
from typing import Any

import orjson
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from dsr_worker.evidence import (
    BODIES,
    GENESIS,
    ChainedEvent,
    Checkpoint,
    Event,
    EventRefused,
    Kind,
    chain_hash,
    commit,
    commitment,
    inclusion_proof,
    leaf_hash,
    merkle_root,
    sign_checkpoint,
    verify_chain,
    verify_checkpoint,
    verify_inclusion,
)
from dsr_worker.evidence.checkpoints import flaw, flaw_of_copy, flaw_of_more, flaw_of_silence
from dsr_worker.evidence.event import FIELDS
from tests.examples import examples
from tests.unit.evidence_made import AT, DIGEST, JOB, Keys, chained, event

# ---- events


def test_every_kind_has_a_body_of_known_fields() -> None:
    """The registry is whole: each kind has a body, each field a shape, no field is unused."""
    assert set(BODIES) == set(Kind)
    used = frozenset[str]().union(*BODIES.values())
    assert used <= set(FIELDS)
    assert set(FIELDS) <= used


def test_canonical_bytes_are_one_form() -> None:
    """Equal events give equal bytes, whatever the order of their fields."""
    one = event(records=3, system="shop", outcomes=[{"outcome": "erased", "rows": 2}]).canonical()
    two = event(outcomes=[{"rows": 2, "outcome": "erased"}], system="shop", records=3).canonical()
    assert one == two
    assert one == (
        b'{"actor":"system","at":"2026-03-01T12:00:00.000000Z","body":{"outcomes":[{"outcome":"erased"'
        b',"rows":2}],"records":3,"system":"shop"},"job":"'
        + JOB.encode()
        + b'","kind":"step_done",'
        b'"seq":1,"v":1}'
    )


PERSONAL = [
    "Anna Example",
    "anna@shop.example",
    "+49 170 1234567",
    "0170 1234567",
    "Jane Doe, 12 High Street",
    "Key (email)=(a@b.example) already exists.",
    "ÄÖÜ",
    "line\nbreak",
    "",
    "x" * 500,
    "<b>",
]


@pytest.mark.parametrize("value", PERSONAL)
def test_no_field_takes_prose(value: str) -> None:
    """No field of any kind takes free text, an address or a phone number, alone or nested."""
    for kind, names in BODIES.items():
        for name in names:
            for shape in (value, [value], {value: 1}, {"kind": value}, [{"ground": value}]):
                with pytest.raises(EventRefused) as refused:
                    Event(JOB, 1, AT, kind, "system", {name: shape}).canonical()
                assert not value or value not in str(refused.value)


@pytest.mark.parametrize(
    "fields",
    [
        {"comment": "x"},
        {"records": -1},
        {"records": True},
        {"records": 1.5},
        {"until_at": datetime(2026, 1, 1)},  # noqa: DTZ001 - a naive instant is what is refused
        {"outcomes": [{"rows": 1, "name": "x"}]},
        {"step": "not-an-id"},
        {"system": ["shop"]},
    ],
)
def test_malformed_fields_are_refused(fields: dict[str, Any]) -> None:
    """Unknown fields and values of another shape are refused."""
    with pytest.raises(EventRefused):
        event(kind=Kind.WAITING, **fields).canonical()
    with pytest.raises(EventRefused):
        event(kind=Kind.STEP_DONE, **fields).canonical()


@pytest.mark.parametrize(
    "head",
    [{"job": "anna"}, {"actor": "Anna Example"}, {"at": datetime(2026, 1, 1)}, {"seq": -1}],  # noqa: DTZ001 - a naive instant is what is refused
)
def test_the_head_is_checked_too(head: dict[str, Any]) -> None:
    """Job, actor, instant and number are of their shapes as well."""
    with pytest.raises(EventRefused):
        replace(event(), **head).canonical()


def test_events_are_cheap() -> None:
    """An event is made, checked and chained in well under a millisecond of CPU."""
    started = time.process_time()
    head = GENESIS
    outcomes = [{"system": "shop", "collection": "orders", "outcome": "erased", "rows": 3}]
    for seq in range(1, 2001):
        made = event(seq, system="shop", connector="postgres", outcomes=outcomes, attempt=1)
        head = chain_hash(head, leaf_hash(made.canonical()))
    assert (time.process_time() - started) / 2000 < 0.0005


# ---- chains


def test_a_true_chain_verifies() -> None:
    """An untouched chain has no bad event, with its job and head too."""
    events = chained(20)
    assert verify_chain(events) is None
    assert verify_chain(events, job=JOB, head=events[-1].chain) is None
    assert verify_chain([]) is None
    assert verify_chain([], head=GENESIS) is None


def _damaged(old: ChainedEvent, what: str) -> ChainedEvent:
    other = hashlib.sha256(b"x").digest()
    return replace(old, leaf=other) if what == "leaf" else replace(old, chain=other)


@given(
    st.integers(0, 11),
    st.sampled_from(["change", "drop", "swap", "double", "insert", "leaf", "chain", "job"]),
)
@settings(max_examples=examples(120))
def test_the_first_bad_event_is_named(index: int, what: str) -> None:
    """Whatever is done to one event, the verifier names the first number that does not hold."""
    events = chained(12)
    head, old = events[-1].chain, events[index]
    expected = index + 1
    if what == "change":
        events[index] = replace(old, event=old.event.replace(b'"records":', b'"records":9'))
    elif what == "drop":
        del events[index]
    elif what == "swap":
        other = (index + 1) % 12
        events[index], events[other] = events[other], events[index]
        expected = min(index, other) + 1
    elif what == "double":
        events.insert(index, old)
        expected = index + 2
    elif what == "insert":
        forged = event(index + 1, rows=1).canonical()
        events.insert(index, ChainedEvent(index + 1, forged, leaf_hash(forged), old.chain))
    elif what == "job":
        forged = old.event.replace(JOB.encode(), JOB.replace("1", "2").encode())
        leaf = leaf_hash(forged)
        before = events[index - 1].chain if index else GENESIS
        events[index] = ChainedEvent(old.seq, forged, leaf, chain_hash(before, leaf))
    else:
        events[index] = _damaged(old, what)
    assert verify_chain(events, job=JOB, head=head) == expected


def test_a_rewritten_chain_differs_from_its_head() -> None:
    """Who recomputes a whole chain is caught by the head kept elsewhere."""
    events = chained(5)
    forged, head = [], GENESIS
    for stored in events:
        data = stored.event.replace(b'"records":', b'"records":1')
        leaf = leaf_hash(data)
        head = chain_hash(head, leaf)
        forged.append(ChainedEvent(stored.seq, data, leaf, head))
    assert verify_chain(forged) is None
    assert verify_chain(forged, head=events[-1].chain) == 6


def test_commitments_hold_and_can_be_cut() -> None:
    """A commitment proves its value with its salt, and differs each time."""
    salt, digest = commit(b"a reason")
    assert commitment(salt, b"a reason") == digest
    assert commitment(salt, b"another") != digest
    assert commit(b"a reason")[1] != digest


def rfc6962_root(leaves: list[bytes]) -> bytes:
    """The definition of RFC 6962, section 2.1, word for word, over leaf hashes."""
    if not leaves:
        return hashlib.sha256(b"").digest()
    if len(leaves) == 1:
        return leaves[0]
    split = 1
    while split * 2 < len(leaves):
        split *= 2
    left, right = rfc6962_root(leaves[:split]), rfc6962_root(leaves[split:])
    return hashlib.sha256(b"\x01" + left + right).digest()


def test_the_root_is_the_published_one() -> None:
    """The tree agrees with RFC 6962's definition at every size, and with a published root."""
    # Test vectors of the certificate-transparency project: inputs "", 00, 10, 2021, 3031, 40414243.
    inputs = ["", "00", "10", "2021", "3031", "40414243", "5051525354555657"]
    leaves = [leaf_hash(bytes.fromhex(text)) for text in inputs]
    assert merkle_root(leaves).hex() == (
        "ddb89be403809e325750d3d263cd78929c2942b7942a34b77e122c9594a74c8c"
    )
    many = [hashlib.sha256(bytes([n])).digest() for n in range(70)]
    for size in range(71):
        assert merkle_root(many[:size]) == rfc6962_root(many[:size])


@given(st.integers(1, 40), st.data())
@settings(max_examples=examples(150))
def test_inclusion_proofs_prove_their_leaf_only(size: int, data: st.DataObject) -> None:
    """A proof holds for its leaf, index, size and root, and for nothing else."""
    leaves = [hashlib.sha256(bytes([n])).digest() for n in range(size)]
    index = data.draw(st.integers(0, size - 1))
    root, proof = merkle_root(leaves), inclusion_proof(leaves, index)
    assert verify_inclusion(leaves[index], index, size, proof, root)
    foreign = hashlib.sha256(b"foreign").digest()
    assert not verify_inclusion(foreign, index, size, proof, root)
    assert not verify_inclusion(leaves[index], index, size, [*proof, foreign], root)
    assert not verify_inclusion(leaves[index], index, size, proof[:-1], foreign)
    assert not verify_inclusion(leaves[index], size, size, proof, root)
    for other in range(size):
        if other != index:
            assert not verify_inclusion(leaves[index], other, size, proof, root)


def test_checkpoints_chain_and_are_signed() -> None:
    """A checkpoint is signed, follows the one before, and no field can be changed."""
    keys, leaves = Keys(), [e.leaf for e in chained(7)]
    first = sign_checkpoint(keys, leaves[:4], at=AT)
    second = sign_checkpoint(keys, iter(leaves[4:]), at=AT, after=first)
    assert (second.number, second.first, second.size) == (2, 4, 3)
    assert second.previous == first.digest
    assert Checkpoint.from_json(orjson.loads(orjson.dumps(second.to_json()))) == second
    assert verify_checkpoint(second, keys.public_key)
    assert not verify_checkpoint(second, Keys(2).public_key)
    changes: list[dict[str, Any]] = [
        {"root": DIGEST},
        {"size": 4},
        {"first": 0},
        {"number": 3},
        {"previous": DIGEST},
        {"at": datetime(2026, 1, 1, tzinfo=UTC)},
        {"signature": "00"},
    ]
    for change in changes:
        assert not verify_checkpoint(replace(second, **change), keys.public_key)


def test_each_flaw_of_a_checkpoint_is_told() -> None:
    """A gap, a foreign key, a wrong place, other events and another copy each have a sentence."""
    keys, other, leaves = Keys(), Keys(2), [e.leaf for e in chained(7)]
    first = sign_checkpoint(keys, leaves[:4], at=AT)
    second = sign_checkpoint(keys, leaves[4:], at=AT, after=first)
    foreign = sign_checkpoint(other, leaves[4:], at=AT, after=first)
    elsewhere = sign_checkpoint(keys, leaves[4:], at=AT, after=replace(first, root=DIGEST))
    mine = (other.public_key, keys.public_key)

    assert flaw(first, None, leaves[:4], mine) is None
    assert flaw(second, first, leaves[4:], mine) is None
    assert "checkpoint 1 is missing" in (flaw(second, None, leaves[4:], mine) or "")
    assert "no key of this installation" in (
        flaw(foreign, first, leaves[4:], (keys.public_key,)) or ""
    )
    assert "does not follow" in (flaw(elsewhere, first, leaves[4:], mine) or "")
    assert "does not fit" in (flaw(second, first, leaves[3:], mine) or "")
    assert "does not fit" in (flaw(second, first, leaves[4:6], mine) or "")

    assert flaw_of_copy(second, orjson.dumps(second.to_json())) is None
    assert "is not in the checkpoint store" in (flaw_of_copy(second, None) or "")
    for copy in (b"", b"[]", b"{}", orjson.dumps(foreign.to_json())):
        assert "is another" in (flaw_of_copy(second, copy) or "")
    assert flaw_of_more({1, 2}, 2) is None
    assert "checkpoint 2 is in the checkpoint store" in (flaw_of_more({1, 2, 3}, 1) or "")
    assert flaw_of_silence(0, 0) is None
    assert "there is none at all" in (flaw_of_silence(3, 0) or "")

"""Evidence: nothing personal can enter it, and nothing in it can be changed unseen."""

from __future__ import annotations

import hashlib
import time
from collections.abc import Callable
from dataclasses import replace
from datetime import UTC, date, datetime
from html.parser import HTMLParser
from pathlib import Path
from typing import Any

import orjson
import pytest
from cryptography.exceptions import InvalidSignature
from cryptography.hazmat.primitives.asymmetric.ed25519 import Ed25519PrivateKey
from hypothesis import given, settings
from hypothesis import strategies as st

from dsr_worker.evidence import (
    BODIES,
    GENESIS,
    Certificate,
    CertificateRefused,
    ChainedEvent,
    Checkpoint,
    CollectionResult,
    Deferred,
    Event,
    EventRefused,
    Ground,
    Kept,
    Kind,
    MentionsLeft,
    Requery,
    SystemResult,
    build_certificate,
    chain_hash,
    commit,
    commitment,
    inclusion_proof,
    leaf_hash,
    merkle_root,
    render_certificate,
    sign_checkpoint,
    verify_certificate,
    verify_chain,
    verify_checkpoint,
    verify_inclusion,
)
from dsr_worker.evidence.checkpoints import flaw, flaw_of_copy, flaw_of_more, flaw_of_silence
from dsr_worker.evidence.event import FIELDS

JOB = "6f0c1d0a-0000-4000-8000-000000000001"
AT = datetime(2026, 3, 1, 12, tzinfo=UTC)
DIGEST = "ab" * 32


class Keys:
    """A signer with a fixed key."""

    def __init__(self, seed: int = 1) -> None:
        self._key = Ed25519PrivateKey.from_private_bytes(bytes([seed]) * 32)

    @property
    def public_key(self) -> bytes:
        """The public key."""
        return self._key.public_key().public_bytes_raw()

    def sign(self, message: bytes) -> bytes:
        """The signature."""
        return self._key.sign(message)


def event(seq: int = 1, kind: Kind = Kind.STEP_DONE, **fields: Any) -> Event:
    """An event of the job."""
    return Event(JOB, seq, AT, kind, "system", fields)


def chained(count: int) -> list[ChainedEvent]:
    """A chain of events as stored."""
    events, head = [], GENESIS
    for seq in range(1, count + 1):
        data = event(seq, records=seq).canonical()
        leaf = leaf_hash(data)
        head = chain_hash(head, leaf)
        events.append(ChainedEvent(seq, data, leaf, head))
    return events


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
@settings(max_examples=120, deadline=None)
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


# ---- trees and checkpoints


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
@settings(max_examples=150, deadline=None)
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


# ---- certificates


def certificate(**changes: Any) -> Certificate:
    """A certificate of an erasure with everything in it."""
    kept = (Kept(2, "de-ao-147-voucher", date(2035, 12, 31), masked=True),)
    orders = CollectionResult("orders", found=9, erased=6, already_gone=1, kept=kept)
    shop = SystemResult(
        "shop",
        "postgres",
        "0.1.0",
        DIGEST,
        DIGEST,
        "2026.1",
        (orders, CollectionResult("carts", 0)),
        Requery(AT, "second-path", 0),
    )
    made = Certificate(
        kind="erasure",
        number="C-1",
        case=JOB,
        controller="Shop GmbH",
        regime="eu-gdpr",
        country="DE",
        request_kind="erasure",
        received_at=AT,
        manner="email",
        responded_at=AT,
        response="partly_granted",
        issued_at=AT,
        systems=(shop,),
        deferred=(
            Deferred("shop", "orders", 2, "de-ao-147-voucher", date(2036, 1, 1)),
            Deferred("shop", "customers", 1, "needed_by_kept", None),
        ),
        mentions=(MentionsLeft("helpdesk", "comments", 3),),
        denial_grounds=("de-ao-147-voucher",),
        grounds=(Ground("de-ao-147-voucher", "tax law asks for it: 8 years", "AO s.147(3)"),),
        not_asked=("archive",),
        contested=("phone",),
        backups="Copies in backups are overwritten within 35 days.",
    )
    return replace(made, **changes)


def test_a_certificate_verifies_with_the_public_key_alone() -> None:
    """A certificate holds with the key of who signed it, and with no other."""
    keys = Keys()
    file = build_certificate(certificate(), keys)
    assert verify_certificate(file) == []
    assert verify_certificate(file, keys.public_key) == []
    assert verify_certificate(file, Keys(2).public_key)
    assert file == build_certificate(certificate(), keys)


def test_the_documented_check_needs_nothing_of_ours() -> None:
    """The few lines in docs/evidence.md accept a true certificate and refuse a changed one."""
    page = Path(__file__).parents[2].joinpath("docs", "evidence.md").read_text()
    code = page.split("```python\n")[1].split("```")[0]
    assert "dsr_worker" not in code
    names: dict[str, Any] = {}
    exec(code, names)  # noqa: S102 - our own documentation is what is tried
    file = build_certificate(certificate(controller="Käse & Söhne"), Keys())
    names["check"](file, Keys().public_key)
    with pytest.raises(InvalidSignature):
        names["check"](file.replace(b'"erased": 6', b'"erased": 7'), Keys().public_key)
    with pytest.raises(InvalidSignature):
        names["check"](file, Keys(2).public_key)


def _every_leaf(value: Any, path: tuple[Any, ...] = ()) -> list[tuple[Any, ...]]:
    if isinstance(value, dict):
        return [p for key in value for p in _every_leaf(value[key], (*path, key))]
    if isinstance(value, list):
        return [p for n, item in enumerate(value) for p in _every_leaf(item, (*path, n))]
    return [path]


def test_no_value_of_a_certificate_can_be_changed() -> None:
    """Whatever single value is changed in the file, the check says so."""
    file = build_certificate(certificate(), Keys())
    paths = _every_leaf(orjson.loads(file)["certificate"])
    assert len(paths) > 40
    for path in paths:
        content = orjson.loads(file)
        *above, last = path
        place = content["certificate"]
        for step in above:
            place = place[step]
        place[last] = 77 if place[last] != 77 else 78
        assert verify_certificate(orjson.dumps(content)) != []


@pytest.mark.parametrize("file", [b"", b"[]", b"{}", b"null", b'{"certificate":1,"signature":{}}'])
def test_garbage_is_no_certificate(file: bytes) -> None:
    """A file that is something else is called so, without an error."""
    assert verify_certificate(file) == ["The file is not a certificate."]


def test_the_wording_never_claims_more() -> None:
    """A certificate says what was not returned, by whom, how and when, and what it leaves out."""
    file = build_certificate(certificate(), Keys())
    page, stated = render_certificate(file), orjson.loads(file)["certificate"]
    (system,) = stated["systems"]
    assert system["requery"]["path"] == "second-path"
    assert "(read a second time, by another way than before" in system["finding"]
    assert "at 2026-03-01T12:00:00+00:00, beside the 2 kept rows" in system["finding"]
    assert "at 1 March 2026, 12:00 (UTC), beside the 2 kept rows listed here" in page
    for sentence in stated["not_covered"]:
        assert sentence.replace("'", "&#39;") in page
    parts = ("It does not speak of other systems", "archive", "Telephone number", "Recipients")
    for part in (*parts, "materialised views, search indexes"):
        assert any(part in sentence for sentence in stated["not_covered"]), part
    for claim in ("no copy exists", "all data", "completely", "permanently"):
        assert claim not in page.lower()


def test_a_repeat_of_the_first_look_is_not_called_another_way() -> None:
    """A connector without a second path is certified as looked up again in the same way."""
    requery = Requery(AT, "located-again", 0)
    shop = replace(certificate().systems[0], requery=requery)
    page = render_certificate(build_certificate(certificate(systems=(shop,)), Keys()))
    assert "in the same way as before the erasure" in page
    assert "by another way" not in page


@pytest.mark.parametrize(
    ("backups", "said"),
    [
        ("", "copies in backups are not covered"),
        ("Overwritten within 35 days.", "Shop GmbH says of them: Overwritten within 35 days."),
    ],
)
def test_backups_are_always_spoken_of(backups: str, said: str) -> None:
    """With or without a text of the organisation, backups are named as neither seen nor changed."""
    page = render_certificate(build_certificate(certificate(backups=backups), Keys()))
    assert said in page
    assert "neither looked at nor changed" in page


@pytest.mark.parametrize(
    ("language", "expected"),
    [
        (
            "en",
            (
                *("Germany", "carried out in part", "until 31 December 2035", "by e-mail"),
                *("tax law asks for it: 8 years (AO s.147(3))", "1 January 2036"),
                *("an entry that has to stay refers to it", "after the legal hold has ended"),
            ),
        ),
        (
            "de",
            (
                *("Deutschland", "teilweise ausgeführt", "bis 31. Dezember 2035", "per E-Mail"),
                *("ein Eintrag, der bleiben muss, bezieht sich darauf", "1. Januar 2036"),
                "nachdem die Sperre",
            ),
        ),
    ],
)
def test_the_page_is_in_words(language: str, expected: tuple[str, ...]) -> None:
    """The page speaks the certificate's language; its codes stand in the signed JSON alone."""
    file = build_certificate(certificate(language=language), Keys())
    page = render_certificate(file)
    assert f'lang="{language}"' in page
    for words in expected:
        assert words in page, words
    for code in ("needed_by_kept", "de-ao-147", "second-path", "partly_granted", "eu-gdpr"):
        assert code not in page
        assert code.encode() in file


def test_rows_still_returned_are_not_certified() -> None:
    """When the second look finds rows, the certificate says that they are not erased."""
    shop = replace(certificate().systems[0], requery=Requery(AT, "second-path", 4))
    page = render_certificate(build_certificate(certificate(systems=(shop,)), Keys()))
    assert "4 rows were still returned by shop" in page
    assert "not certified as erased" in page


@pytest.mark.parametrize(
    "change",
    [
        lambda s: replace(s, requery=None),
        lambda s: replace(s, collections=(CollectionResult("orders", found=9, erased=8),)),
        lambda s: replace(s, collections=(CollectionResult("orders", found=1, erased=2),)),
    ],
)
def test_what_does_not_add_up_is_not_certified(
    change: Callable[[SystemResult], SystemResult],
) -> None:
    """Counts that differ, or a system not looked at again, refuse the certificate."""
    with pytest.raises(CertificateRefused):
        build_certificate(certificate(systems=(change(certificate().systems[0]),)), Keys())


def test_a_sweep_is_certified_by_its_commit() -> None:
    """A sweep needs no request and no second look; it names the commit's counts."""
    shop = replace(certificate().systems[0], requery=None)
    sweep = certificate(kind="sweep", received_at=None, systems=(shop,), response="swept")
    file = build_certificate(sweep, Keys())
    assert verify_certificate(file) == []
    assert "Counted by shop when the change was committed." in render_certificate(file)


def test_the_checkpoint_proves_the_case() -> None:
    """With checkpoint and inclusion proof a certificate holds; with another leaf it does not."""
    keys, leaves = Keys(), [e.leaf for e in chained(6)]
    checkpoint = sign_checkpoint(keys, leaves, at=AT)
    proof = [node.hex() for node in inclusion_proof(leaves, 5)]
    inclusion = {"leaf": leaves[5].hex(), "index": 5, "proof": proof}
    good = certificate(checkpoint=checkpoint, inclusion=inclusion)
    assert verify_certificate(build_certificate(good, keys), keys.public_key) == []
    lying = certificate(checkpoint=checkpoint, inclusion={**inclusion, "leaf": DIGEST})
    assert verify_certificate(build_certificate(lying, keys)) == [
        "The case's last event is not under the checkpoint."
    ]
    foreign = certificate(checkpoint=sign_checkpoint(Keys(2), leaves, at=AT))
    assert verify_certificate(build_certificate(foreign, keys)) == [
        "The checkpoint is not signed by the certificate's key."
    ]


class Tags(HTMLParser):
    """Collects the elements of a page."""

    def __init__(self) -> None:
        super().__init__()
        self.tags: set[str] = set()

    def handle_starttag(self, tag: str, attrs: list[tuple[str, str | None]]) -> None:
        """Note the element."""
        self.tags.add(tag)


def test_texts_of_the_organisation_cannot_inject() -> None:
    """A controller's name or a ground with markup stays text on the page."""
    evil = "<script>alert(1)</script><img src=x onerror=alert(1)>"
    page = render_certificate(build_certificate(certificate(controller=evil, backups=evil), Keys()))
    tags = Tags()
    tags.feed(page)
    assert tags.tags.isdisjoint({"script", "img", "iframe", "object"})
    assert "default-src &#39;none&#39;" in page or "default-src 'none'" in page

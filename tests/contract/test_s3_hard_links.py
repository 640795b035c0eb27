"""Hard layouts: rows link whole objects. All is invented."""

from __future__ import annotations

import json
from dataclasses import replace
from functools import partial
from typing import TYPE_CHECKING

import pytest

from dsr_worker.contract import (
    Action,
    Configuration,
    DecisionTable,
    HeldPeople,
    Identity,
    LeakScope,
    Rule,
    SweepOrder,
    Taken,
)
from dsr_worker.testing.context import TrialContext
from tests.contract.s3_erasures import ERASE, Crash, crash, erased, outcomes
from tests.contract.s3_support import affected, connector, number, versioned

if TYPE_CHECKING:
    from mypy_boto3_s3 import S3Client

from tests.contract.s3_layouts import LINKED, ORDERS, keys, order, put, shop


def test_what_a_row_links_goes_with_its_owner(
    s3: S3Client, s3_endpoint: str, bucket_name: str
) -> None:
    """Hard case 18: linked by key, s3:// and https://, found, exported, erased with versions."""
    versioned(s3, bucket_name)
    mine = ["papers/1.pdf", "papers/2 ü.pdf", "papers/3.pdf", "papers/4.pdf"]
    put(s3, bucket_name, *mine, "papers/1.pdf", "papers/9.pdf", "papers/1.pdf.old", "orders.txt")
    s3.delete_object(Bucket=bucket_name, Key="papers/4.pdf")
    links = [f"s3://{bucket_name}/papers/2 ü.pdf", f"{s3_endpoint}/{bucket_name}/papers/3.pdf?x=1"]
    elsewhere = [
        "https://files.example/papers/9.pdf",
        "s3://other-bucket/papers/9.pdf",
        "orders.txt",
    ]
    shop(
        s3,
        bucket_name,
        order(1, "7", "papers/1.pdf", *links, "papers/none.pdf", *elsewhere),
        order(2, "7", "https://cdn.example/papers/4.pdf", "papers/1.pdf"),
        order(3, "8", "papers/9.pdf"),
    )
    linked = replace(LINKED, source={**LINKED.source, "hosts": ["cdn.example"]})
    made = connector(s3_endpoint, bucket_name, ORDERS, linked)
    records = [r for r in made.find([number("7")], TrialContext()) if r.collection == "papers"]
    texts = sorted(b"".join(r.attachment.open()).decode() for r in records if r.attachment)
    assert texts == sorted([*mine, "papers/1.pdf"])
    told = {json.loads(r.body)["link"] for r in records if r.withheld}
    assert told == set(elsewhere)
    located = list(made.locate([number("7")], TrialContext()))
    planned = outcomes(erased(made, [number("7")], TrialContext(dry_run=True)))
    receipts = erased(made, [number("7")], TrialContext())
    assert outcomes(receipts) == planned == {"erased": 8, "retained": 3}
    assert {o.ground for r in receipts for o in r.outcomes} == {"", "s3-link-elsewhere"}
    assert keys(s3, bucket_name) == {"papers/9.pdf", "papers/1.pdf.old", "orders.txt", "orders/a"}
    assert list(made.recheck([number("7")], located, TrialContext(second_path=True))) == []


def test_what_others_link_stays_while_they_do(
    s3: S3Client, s3_endpoint: str, bucket_name: str
) -> None:
    """Hard case 18: an object of two people's rows stays with a ground, until both have gone."""
    put(s3, bucket_name, "papers/both.pdf", "papers/both.pdf.md5")
    shop(s3, bucket_name, order(1, "7", "papers/both.pdf"), order(2, "8", "papers/both.pdf"))
    linked = replace(LINKED, source={**LINKED.source, "derived": ["{key}.md5"]})
    made = connector(s3_endpoint, bucket_name, ORDERS, linked)
    receipts = erased(made, [number("7")], TrialContext())
    assert outcomes(receipts) == {"erased": 1, "retained": 2}
    assert {o.ground for r in receipts for o in r.outcomes} == {"", "s3-linked-by-others"}
    assert {"papers/both.pdf", "papers/both.pdf.md5"} < keys(s3, bucket_name)
    assert outcomes(erased(made, [number("8")], TrialContext())) == {"erased": 3}
    assert keys(s3, bucket_name) == {"orders/a"}


def test_two_people_of_one_batch_take_what_both_link(
    s3: S3Client, s3_endpoint: str, bucket_name: str
) -> None:
    """Hard case 18: where all who link an object go together, it goes, and counts for each."""
    put(s3, bucket_name, "papers/both.pdf")
    shop(s3, bucket_name, order(1, "7", "papers/both.pdf"), order(2, "8", "papers/both.pdf"))
    made = connector(s3_endpoint, bucket_name, ORDERS, LINKED)
    assert outcomes(erased(made, [number("7"), number("8")], TrialContext())) == {"erased": 4}
    assert keys(s3, bucket_name) == {"orders/a"}


def _crash_at(ctx: TrialContext, last: int) -> None:
    if len(ctx.intents) == last:
        crash()


def test_a_crash_between_object_and_row_orphans_nothing(
    s3: S3Client, s3_endpoint: str, bucket_name: str
) -> None:
    """Hard case 18: after a death at any intent, a repeat from the sealed keys ends the work."""
    for last in (1, 2):
        put(s3, bucket_name, "papers/1.pdf", "papers/2.pdf")
        shop(s3, bucket_name, order(1, "7", "papers/1.pdf"), order(2, "8", "papers/2.pdf"))
        made = connector(s3_endpoint, bucket_name, ORDERS, LINKED)
        located = list(made.locate([number("7")], TrialContext()))
        ctx = TrialContext()
        ctx.on_intent = partial(_crash_at, ctx, last)
        with pytest.raises(Crash):
            list(made.erase([number("7")], located, ctx))
        receipts = list(made.erase([number("7")], located, TrialContext()))
        assert sum(r.rows for r in receipts) == len(located) == 2
        assert keys(s3, bucket_name) == {"orders/a", "papers/2.pdf"}


def test_a_row_without_its_link_leaves_the_sealed_keys(
    s3: S3Client, s3_endpoint: str, bucket_name: str
) -> None:
    """Hard case 18: what was located goes although no row links it any more."""
    put(s3, bucket_name, "papers/1.pdf")
    shop(s3, bucket_name, order(1, "7", "papers/1.pdf"))
    made = connector(s3_endpoint, bucket_name, ORDERS, LINKED)
    located = [k for k in made.locate([number("7")], TrialContext()) if k.collection == "papers"]
    shop(s3, bucket_name, order(1, "7"))
    assert set(made.recheck([number("7")], located, TrialContext(second_path=True))) > set(located)
    receipts = list(made.erase([number("7")], located, TrialContext()))
    assert outcomes(receipts) == {"erased": 1}


def test_a_hold_on_a_person_keeps_what_their_rows_link(
    s3: S3Client, s3_endpoint: str, bucket_name: str
) -> None:
    """A sweep spares the linked objects of a held person; a leak of them reaches their owners."""
    put(s3, bucket_name, "papers/1.pdf", "papers/2.pdf", "papers/orphan.pdf")
    shop(s3, bucket_name, order(1, "7", "papers/1.pdf"), order(2, "8", "papers/2.pdf"))
    made = connector(s3_endpoint, bucket_name, ORDERS, LINKED)
    people = {p.identities for p in affected(made, LeakScope("papers", ()))}
    assert people == {(Identity("customer_number", n),) for n in ("7", "8")}
    held = HeldPeople((Identity("customer_number", "8"),))
    table = DecisionTable("papers", (Rule("hold", held, Action.KEEP, "dispute"), ERASE))
    swept = list(
        made.sweep([SweepOrder("papers", table, 10)], TrialContext(tables={"papers": table}))
    )
    assert outcomes(swept) == {"erased": 2, "retained": 1}
    assert keys(s3, bucket_name) == {"orders/a", "papers/2.pdf"}


def test_a_linked_collection_says_whose_it_is() -> None:
    """Takes that are not those of the rows, or rows that are not mapped, are no map."""
    for wrong in (
        replace(LINKED, takes={"customer_number": Taken("row:customer")}),
        replace(LINKED, source={**LINKED.source, "from": "nothing"}),
    ):
        with pytest.raises(Configuration):
            connector("http://127.0.0.1:1", "some-bucket", ORDERS, wrong)

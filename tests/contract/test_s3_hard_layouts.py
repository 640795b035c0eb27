"""Hard layouts: where in a bucket a person's objects are, and whose they are. All is invented."""

from __future__ import annotations

import json
from dataclasses import replace
from functools import partial
from typing import TYPE_CHECKING, Any

import pytest

from dsr_worker.contract import (
    OWNER_CHANGED,
    Action,
    Collection,
    Configuration,
    DecisionTable,
    Field,
    Form,
    HeldPeople,
    HeldRows,
    Identity,
    LeakScope,
    Rule,
    SweepOrder,
    Taken,
)
from dsr_worker.testing.context import TrialContext
from tests.contract.s3_erasures import ERASE, Crash, crash, erased, outcomes
from tests.contract.s3_support import connector, content, lines, number, person, versioned

if TYPE_CHECKING:
    from collections.abc import Mapping

    from mypy_boto3_s3 import S3Client

    from connectors.s3 import S3

_WHOLE = ("key", "size", "last_modified", "body")


def objects(name: str, takes: Mapping[str, str | Taken], **source: Any) -> Collection:
    """A collection of whole objects."""
    taken = {kind: t if isinstance(t, Taken) else Taken(t) for kind, t in takes.items()}
    fields = {*_WHOLE, *(t.field for t in taken.values())}
    return Collection(
        name,
        ("key",),
        {field: Field(field, "user.content") for field in sorted(fields)},
        takes=taken,
        clocks={"record_date": "last_modified"},
        source=source,
    )


def by_key(template: str, *kinds: str, **more: Any) -> Collection:
    """Objects whose keys hold these kinds of identity."""
    takes = dict.fromkeys(kinds or ("customer_number",), "key")
    return objects("files", takes, layout="prefix", template=template, **more)


def put(s3: S3Client, bucket: str, *keys: str) -> None:
    """An object under each key, which holds its own key."""
    for key in keys:
        s3.put_object(Bucket=bucket, Key=key, Body=key.encode())


def keys(s3: S3Client, bucket: str) -> set[str]:
    """The keys of all versions and markers."""
    return {key for key, _ in content(s3, bucket)}


def found(made: S3, *people: Any) -> dict[str, set[str]]:
    """What is located, by subject: the object keys of both paths, which must be the same."""
    by_ref: dict[str, set[str]] = {}
    located = list(made.locate(people, TrialContext()))
    assert len(set(located)) == len(located)
    assert set(made.recheck(people, (), TrialContext(second_path=True))) == set(located)
    for key in located:
        by_ref.setdefault(key.subject_ref, set()).add(key.key[0])
    return by_ref


# ---- in the key


@pytest.mark.parametrize(
    ("template", "mine", "others"),
    [
        (
            "exports/{year}/customers/{customer_number}/**",
            ["exports/2025/customers/7/a", "exports/2026/customers/7/b/c.csv"],
            [
                "exports/2025/customers/70/a",
                "exports/customers/7/a",
                "exports/2025/x/customers/7/a",
            ],
        ),
        (
            "events/dt=*/customer_id={customer_number}/*",
            [
                "events/dt=2026-01-01/customer_id=7/part-0.gz",
                "events/dt=2026-01-02/customer_id=7/x",
            ],
            [
                "events/dt=2026-01-01/customer_id=70/part-0.gz",
                "events/dt=2026-01-01/customer_id=7/deep/x",
                "events/dt=2026-01-01/customer_id=__HIVE_DEFAULT_PARTITION__/x",
                "events/customer_id=7/x",
            ],
        ),
        ("img/{customer_number}.jpg", ["img/7.jpg"], ["img/7.jpg.bak", "img/17.jpg", "img/7_jpg"]),
        ("{customer_number}", ["7"], ["70", "7/a", "x7"]),
        ("a/*/{customer_number}-photo/", ["a/b/7-photo/x", "a//7-photo/"], ["a/b/7-photos/x"]),
    ],
)
def test_the_identity_is_a_segment_anywhere_in_the_key(
    s3: S3Client,
    s3_endpoint: str,
    bucket_name: str,
    template: str,
    mine: list[str],
    others: list[str],
) -> None:
    """Hard case 16: the id inside a key or a Hive partition; the objects go, and no neighbour's."""
    put(s3, bucket_name, *mine, *others)
    made = connector(s3_endpoint, bucket_name, by_key(template))
    assert found(made, number("7")) == {"case-7": set(mine)}
    assert outcomes(erased(made, [number("7")], TrialContext())) == {"erased": len(mine)}
    assert keys(s3, bucket_name) == set(others)


def test_a_partition_may_be_written_encoded(
    s3: S3Client, s3_endpoint: str, bucket_name: str
) -> None:
    """Hard case 16: an e-mail in a partition, as it is and percent-encoded, is that e-mail only."""
    mine = ["p/email=anna@shop.example/a", "p/email=anna%40shop.example/b"]
    mine += ["p/email=anna%40shop.example/c/d"]
    others = ["p/email=anna@shop.example.org/a", "p/email=anna%2540shop.example/a"]
    others += ["p/email=hanna@shop.example/a", "p/email=%61nna@shop.example/a", "p/email=anna%/a"]
    put(s3, bucket_name, *mine, *others)
    made = connector(s3_endpoint, bucket_name, by_key("p/email={email}/**", "email"))
    anna = person("case", ("email", "anna@shop.example"))
    assert found(made, anna) == {"case": set(mine)}
    folded = by_key("p/email={email}/**", "email")
    folded = replace(folded, takes={"email": Taken("key", Form.ASCII_CASE)})
    put(s3, bucket_name, "p/email=Anna@Shop.Example/e")
    made = connector(s3_endpoint, bucket_name, folded)
    assert found(made, anna) == {"case": {*mine, "p/email=Anna@Shop.Example/e"}}


def test_sibling_prefixes_are_others(s3: S3Client, s3_endpoint: str, bucket_name: str) -> None:
    """Hard case 17: cus_1 beside cus_10, cus_1x and cus_1 as a name of something else."""
    versioned(s3, bucket_name)
    mine = ["customers/cus_1/a", "customers/cus_1/deep/b"]
    others = ["customers/cus_10/a", "customers/cus_1x/a", "customers/cus_1", "customers/Cus_1/a"]
    others += ["customers/x/cus_1/a", "customers/cus_1%2Fx/a", "customers//cus_1/a"]
    put(s3, bucket_name, *mine, *others, *mine)
    made = connector(s3_endpoint, bucket_name, by_key("customers/{customer_number}/"))
    assert outcomes(erased(made, [number("cus_1")], TrialContext())) == {"erased": 4}
    assert keys(s3, bucket_name) == set(others)


def test_all_identities_of_a_key_must_be_the_subjects(
    s3: S3Client, s3_endpoint: str, bucket_name: str
) -> None:
    """One of two identities in a key finds nothing, and whoever is named beside is mentioned."""
    template = by_key("{tenant}/u/{customer_number}/**", "tenant", "customer_number")
    put(s3, bucket_name, "t1/u/7/a", "t2/u/7/a", "t1/u/8/a")
    made = connector(s3_endpoint, bucket_name, template)
    whole = person("whole", ("tenant", "t1"), ("customer_number", "7"))
    assert found(made, whole, number("7")) == {"whole": {"t1/u/7/a"}}
    named = {(m.subject_ref, m.key[0]) for m in made.mentions([whole], TrialContext())}
    assert named == {("whole", "t2/u/7/a"), ("whole", "t1/u/8/a")}
    people = {p.identities for p in made.affected([LeakScope("files", ())], TrialContext())}
    assert (Identity("customer_number", "7"), Identity("tenant", "t2")) in people
    assert len(people) == 3


def test_a_hostile_identity_finds_no_key(s3: S3Client, s3_endpoint: str, bucket_name: str) -> None:
    """Neither nothing, nor dots, nor a wildcard finds keys of others, whatever these hold."""
    put(s3, bucket_name, "u/no address/a", "u/a@b.example/a", "u//a", "u/%/a")
    for form in Form:
        template = replace(by_key("u/{email}/", "email"), takes={"email": Taken("key", form)})
        made = connector(s3_endpoint, bucket_name, template)
        people = [
            person(f"case-{n}", ("email", value))
            for n, value in enumerate(("", ".", "..", "*", "%", "/", "@", "u/", "\x00", "\ud800"))
        ]
        assert found(made, *people) == {}
        assert all(found(made, one) == {} for one in people)


def test_a_listing_per_person_where_the_key_begins_with_them(
    s3: S3Client, s3_endpoint: str, bucket_name: str
) -> None:
    """One request for a person where the prefix leads to them, one listing of all otherwise."""
    put(s3, bucket_name, *(f"x/{n}/a" for n in range(30)), *(f"y/2026/{n}/a" for n in range(30)))
    # a listing of objects and one of unfinished uploads each
    for template, calls in (("x/{customer_number}/**", 4), ("y/*/{customer_number}/**", 2)):
        ctx = TrialContext()
        made = connector(s3_endpoint, bucket_name, by_key(template))
        assert len(list(made.locate([number("7"), number("8")], ctx))) == 2
        assert ctx.calls == calls


@pytest.mark.parametrize(
    "template",
    [
        "a/{email}/",
        "a/{customer_number}-{email}/",
        "a/**/{customer_number}/",
        "a/{customer_number*/",
    ],
)
def test_a_template_that_could_reach_others_is_refused(template: str) -> None:
    """A template without the identity, or with a second part in its segment, is no map."""
    with pytest.raises(Configuration):
        connector("http://127.0.0.1:1", "some-bucket", by_key(template))


# ---- linked from rows


ORDERS = Collection(
    name="orders",
    key=("order_id",),
    fields={n: Field(n, "user.content") for n in ("order_id", "customer", "email", "papers", "at")},
    takes={"customer_number": Taken("customer"), "email": Taken("email", Form.ASCII_CASE)},
    clocks={"record_date": "at"},
    source={"layout": "shared", "prefix": "orders/", "format": "ndjson"},
)
LINKED = objects(
    "papers",
    {"customer_number": "row:customer", "email": Taken("row:email", Form.ASCII_CASE)},
    layout="linked",
    **{"from": "orders"},
    field="papers",
    prefix="papers/",
)


def order(n: int, customer: str, *papers: str) -> dict[str, Any]:
    """An invented order and what it links."""
    return {"order_id": f"o{n}", "customer": customer, "papers": list(papers), "at": "2026-01-01"}


def shop(s3: S3Client, bucket: str, *orders: Mapping[str, Any]) -> None:
    """The orders of a shop, as one object."""
    s3.put_object(Bucket=bucket, Key="orders/a", Body=lines(orders))


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
    people = {p.identities for p in made.affected([LeakScope("papers", ())], TrialContext())}
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


# ---- tags and metadata


LABELLED = objects(
    "uploads",
    {"customer_number": "tag:customer", "email": Taken("meta:owner", Form.ASCII_CASE)},
    layout="objects",
    prefix="up/",
    derived=["{stem}.thumb.jpg"],
)


def test_tags_and_metadata_name_the_owner(s3: S3Client, s3_endpoint: str, bucket_name: str) -> None:
    """Hard case 19: each version is whose its own tag or metadata says; the others' stay."""
    versioned(s3, bucket_name)
    for tag, body in (("8", b"8s"), ("7", b"7s")):
        s3.put_object(Bucket=bucket_name, Key="up/a", Body=body, Tagging=f"customer={tag}")
    s3.put_object(
        Bucket=bucket_name, Key="up/b", Body=b"7m", Metadata={"Owner": "Anna@Shop.example"}
    )
    s3.put_object(Bucket=bucket_name, Key="up/c", Body=b"70", Tagging="customer=70")
    s3.put_object(Bucket=bucket_name, Key="up/d", Body=b"-", Tagging="reviewer=7")
    s3.put_object(Bucket=bucket_name, Key="up/e", Body=b"-")
    s3.put_object(Bucket=bucket_name, Key="elsewhere/f", Body=b"-", Tagging="customer=7")
    made = connector(s3_endpoint, bucket_name, LABELLED)
    anna = person("case", ("customer_number", "7"), ("email", "anna@shop.example"))
    ctx = TrialContext()
    records = list(made.find([anna], ctx))
    assert {b"".join(r.attachment.open()) for r in records if r.attachment} == {b"7s", b"7m"}
    assert ctx.calls > 2 * 6
    assert found(made, anna) == {"case": {"up/a", "up/b"}}
    people = {p.identities for p in made.affected([LeakScope("uploads", ())], TrialContext())}
    assert people == {(Identity("customer_number", n),) for n in ("7", "8", "70")} | {
        (Identity("email", "anna@shop.example"),)
    }
    assert outcomes(erased(made, [anna], TrialContext())) == {"erased": 2}
    assert sorted(content(s3, bucket_name).values()) == [
        b"(marker)",
        b"-",
        b"-",
        b"-",
        b"70",
        b"8s",
    ]


def test_a_label_that_changed_hands_is_believed(
    s3: S3Client, s3_endpoint: str, bucket_name: str
) -> None:
    """Hard case 19: located, then labelled as somebody else's, it stays; with no label it goes."""
    for key in ("up/a", "up/b"):
        s3.put_object(Bucket=bucket_name, Key=key, Body=b"x", Tagging="customer=7")
    made = connector(s3_endpoint, bucket_name, LABELLED)
    located = list(made.locate([number("7")], TrialContext()))
    hers: Any = {"TagSet": [{"Key": "customer", "Value": "8"}]}
    s3.put_object_tagging(Bucket=bucket_name, Key="up/a", Tagging=hers)
    s3.delete_object_tagging(Bucket=bucket_name, Key="up/b")
    (receipt,) = made.erase([number("7")], located, TrialContext())
    assert outcomes([receipt]) == {"erased": 1, "retained": 1}
    assert {o.ground for o in receipt.outcomes} == {"", OWNER_CHANGED}
    assert keys(s3, bucket_name) == {"up/a"}


def test_a_hold_by_a_label_or_by_a_row(s3: S3Client, s3_endpoint: str, bucket_name: str) -> None:
    """A tag's value holds its versions; a row's field cannot hold what it links, and says so."""
    for n in ("7", "8"):
        s3.put_object(Bucket=bucket_name, Key=f"up/{n}", Body=b"x", Tagging=f"customer={n}")
    put(s3, bucket_name, "papers/1.pdf")
    shop(s3, bucket_name, order(1, "7", "papers/1.pdf"))
    made = connector(s3_endpoint, bucket_name, LABELLED, ORDERS, LINKED)
    for name, field in (("uploads", "tag:customer"), ("papers", "row:customer")):
        hold = Rule("hold", HeldRows(field, ("7",)), Action.KEEP, "dispute")
        ctx = TrialContext(tables={name: DecisionTable(name, (hold, ERASE))})
        keys_ = [k for k in made.locate([number("7")], ctx) if k.collection == name]
        if name == "papers":
            with pytest.raises(Configuration):
                list(made.erase([number("7")], keys_, ctx))
        else:
            assert outcomes(list(made.erase([number("7")], keys_, ctx))) == {"retained": 1}
    assert {"up/7", "papers/1.pdf"} < keys(s3, bucket_name)


def test_a_label_is_not_taken_from_the_wrong_place() -> None:
    """A collection of labelled objects takes tags and metadata, and nothing else."""
    for field in ("key", "tag:", "customer"):
        wrong = objects("x", {"customer_number": field}, layout="objects", prefix="")
        with pytest.raises(Configuration):
            connector("http://127.0.0.1:1", "some-bucket", wrong)


# ---- derived


def test_what_is_derived_goes_with_its_object(
    s3: S3Client, s3_endpoint: str, bucket_name: str
) -> None:
    """Hard case 20: thumbnails and checksums beside an object or elsewhere, it there or not."""
    mine = ["img/7.jpg", "img/7.thumb.jpg", "img/7.jpg.md5", "small/img/7.jpg"]
    others = ["img/70.jpg", "img/70.thumb.jpg", "img/7.thumb.jpg.x", "small/img/70.jpg"]
    put(s3, bucket_name, *mine, *others)
    derived = ["{stem}.thumb.jpg", "{key}.md5", "small/{key}"]
    made = connector(s3_endpoint, bucket_name, by_key("img/{customer_number}.jpg", derived=derived))
    assert found(made, number("7")) == {"case-7": set(mine)}
    s3.delete_object(Bucket=bucket_name, Key="img/7.jpg")
    assert outcomes(erased(made, [number("7")], TrialContext())) == {"erased": 3}
    assert keys(s3, bucket_name) == set(others)


def test_what_is_derived_lies_in_another_folder(
    s3: S3Client, s3_endpoint: str, bucket_name: str
) -> None:
    """Hard case 20: a folder of previews mirrors the person's; within theirs all is theirs."""
    mine = ["c/7/a.jpg", "c/7/a.jpg.md5", "previews/c/7/a.jpg"]
    put(s3, bucket_name, *mine, "previews/c/70/a.jpg", "previews/c/7")
    layout = by_key("c/{customer_number}/", derived=["previews/{key}", "{key}.md5"])
    ctx = TrialContext()
    made = connector(s3_endpoint, bucket_name, layout)
    assert {k.key[0] for k in made.locate([number("7")], ctx)} == set(mine)
    assert ctx.calls == 4  # objects and unfinished uploads, of each template that begins otherwise
    assert outcomes(erased(made, [number("7")], TrialContext())) == {"erased": 3}


def test_what_is_derived_of_labelled_objects_goes_too(
    s3: S3Client, s3_endpoint: str, bucket_name: str
) -> None:
    """Hard case 20: a thumbnail with no label is its object's; with another's label it is not."""
    s3.put_object(Bucket=bucket_name, Key="up/a.jpg", Body=b"x", Tagging="customer=7")
    s3.put_object(Bucket=bucket_name, Key="up/b.jpg", Body=b"x", Tagging="customer=7")
    s3.put_object(Bucket=bucket_name, Key="up/b.thumb.jpg", Body=b"x", Tagging="customer=8")
    put(s3, bucket_name, "up/a.thumb.jpg", "up/c.thumb.jpg")
    made = connector(s3_endpoint, bucket_name, LABELLED)
    assert found(made, number("7")) == {"case-7": {"up/a.jpg", "up/a.thumb.jpg", "up/b.jpg"}}
    located = list(made.locate([number("7")], TrialContext()))
    s3.delete_object(Bucket=bucket_name, Key="up/a.jpg")
    receipts = list(made.erase([number("7")], located, TrialContext()))
    assert outcomes(receipts) == {"already_gone": 1, "erased": 2}
    assert keys(s3, bucket_name) == {"up/b.thumb.jpg", "up/c.thumb.jpg"}

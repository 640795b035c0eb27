"""Hard layouts: the identity stands in the key. All is invented."""

from __future__ import annotations

from dataclasses import replace
from typing import TYPE_CHECKING

import pytest

from dsr_worker.contract import (
    Configuration,
    Form,
    Identity,
    LeakScope,
    Taken,
)
from dsr_worker.testing.context import TrialContext
from tests.contract.s3_erasures import erased, outcomes
from tests.contract.s3_support import affected, connector, number, person, versioned

if TYPE_CHECKING:
    from mypy_boto3_s3 import S3Client

from tests.contract.s3_layouts import by_key, found, keys, put


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
    people = {p.identities for p in affected(made, LeakScope("files", ()))}
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

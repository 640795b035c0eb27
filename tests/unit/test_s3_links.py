"""What a link in a row means: a key of this bucket under its prefix, or a place elsewhere."""

from __future__ import annotations

import pytest

from connectors.s3.links import Addresses

HERE = Addresses("shop-files", "", "papers/", ("cdn.example",))
OWN = Addresses("shop-files", "127.0.0.1:9000", "papers/")


@pytest.mark.parametrize(
    ("link", "key"),
    [
        ("papers/1.pdf", "papers/1.pdf"),
        (" papers/1 2%20.pdf ", "papers/1 2%20.pdf"),
        ("s3://shop-files/papers/1%20.pdf", "papers/1%20.pdf"),
        ("https://shop-files.s3.amazonaws.com/papers/1%20a.pdf", "papers/1 a.pdf"),
        ("https://shop-files.s3.eu-central-1.amazonaws.com/papers/1.pdf?x=1#y", "papers/1.pdf"),
        ("https://s3.dualstack.eu-west-1.amazonaws.com/shop-files/papers/1.pdf", "papers/1.pdf"),
        ("HTTPS://CDN.example/papers/%C3%BC.pdf", "papers/ü.pdf"),
        ("https://cdn.example:443/papers/1.pdf", "papers/1.pdf"),
        ("https://cdn.example:8443/papers/1.pdf", None),
        ("https://cdn.example/papers/%ff.pdf", None),
        ("https://cdn.example.invalid/papers/1.pdf", None),
        ("https://cdn.example@other.example/papers/1.pdf", None),
        ("https://shop-files.s3.amazonaws.com.invalid/papers/1.pdf", None),
        ("https://other.s3.amazonaws.com/papers/1.pdf", None),
        ("https://s3.amazonaws.com/other/papers/1.pdf", None),
        ("s3://shop-files-2/papers/1.pdf", None),
        ("ftp://cdn.example/papers/1.pdf", None),
        ("https://[/papers/1.pdf", None),
        ("customers/7/passport.pdf", None),
        ("papers/", None),
        ("", None),
    ],
)
def test_a_link_is_a_key_or_leads_elsewhere(link: str, key: str | None) -> None:
    """Only this bucket, under this prefix; look-alike hosts and other buckets are elsewhere."""
    assert HERE.key(link) == key


def test_an_endpoint_of_ones_own_is_compared_with_its_port() -> None:
    """With an endpoint in the config, that one is the bucket's, and Amazon's is not."""
    assert OWN.key("http://127.0.0.1:9000/shop-files/papers/1") == "papers/1"
    assert OWN.key("http://shop-files.127.0.0.1:9000/papers/1") == "papers/1"
    assert OWN.key("http://127.0.0.1:9001/shop-files/papers/1") is None
    assert OWN.key("https://shop-files.s3.amazonaws.com/papers/1") is None

"""The organisation's file: strict, with the careful choice as its default."""

from __future__ import annotations

import pytest

from dsr_worker.datamap import SecretMissing
from dsr_worker.documents import DocumentError
from dsr_worker.documents import read as read_document
from dsr_worker.domain.identity import IdentityRefused, claimed
from dsr_worker.organisation import Approval, read_organisation, unfilled

GOOD = """\
controller:
  name: Muster Shop GmbH
  address: Musterweg 1, 10115 Berlin
  contact: privacy@shop.example
establishment: {country: DE, zone: Europe/Berlin}
markets: [DE, GB-ENG, US-CA]
languages: [en, de]
policies: [de-shop]
warnings:
  lead_times: [P7D, P1D]
  chain:
    - {name: privacy team, email: privacy@shop.example}
    - {name: on call, command: [notify, --urgent]}
complaints: {acknowledge_within: P3D, resolve_within: P30D, refer_after: P60D, rest_at_most: P7D,
             refer_to: {DE: "Conciliation, Kehl", GB: "Ombudsman, London", US: "Bureau, Arlington"}}
information:
  en: {rights: You may ask., complaint: Ask the authority.}
  de: {}
smtp:
  host: smtp.shop.example
  sender: privacy@shop.example
  user: worker
  password: {env: SMTP_PASSWORD}
"""

BAD = [
    ("  name: Muster Shop GmbH\n", "", "controller.name: missing"),
    ("contact: privacy@shop.example", "contact: Privacy <p@x.example>", "bare e-mail"),
    ("markets: [DE,", "markets: [Germany,", "markets.0"),
    ("markets: [DE, GB-ENG, US-CA]", "markets: []", "markets"),
    ("languages:", "declared: [us-ca-dorp]\nlanguages:", "did you mean us-ca-drop"),
    ("zone: Europe/Berlin", "zone: Mars", "unknown time zone"),
    ("policies: [de-shop]", "policys: [de-shop]", "did you mean policies"),
    ("policies: [de-shop]", "approval: {erasure: nobody}", "second_actor"),
    ("policies: [de-shop]", "approval: {erasure: automatic}", "cannot be undone"),
    ("[P7D, P1D]", "[P7D, 24h]", "not a calendar duration"),
    ("[P7D, P1D]", "[P0D]", "empty"),
    ("email: privacy@shop.example}", "pager: 7}", "unknown key"),
    ("command: [notify, --urgent]", "webhook: http://hook.example/", "https"),
    ("command: [notify, --urgent]", "email: a@b.example, webhook: https://h.example", "exactly"),
    ("  de: {}\n", "", "no texts for de"),
    ("password: {env: SMTP_PASSWORD}", "password: zq-marker", "smtp.password: a secret is written"),
    ("password: {env: SMTP_PASSWORD}", "password: zq-marker", "write {env: NAME}"),
    ("password: {env: SMTP_PASSWORD}", "password: [zq-marker]", "write {env: NAME}"),
    ("password: {env: SMTP_PASSWORD}", "password: {env: A, file: b}", "{env: NAME}"),
    ("  user: worker\n", "", "user and password"),
    ("  user: worker\n", "  user: worker\n  tls: none\n", "without TLS"),
]


@pytest.mark.parametrize(("old", "new", "says"), BAD)
def test_a_wrong_file_is_refused_with_file_and_line(old: str, new: str, says: str) -> None:
    """Every mistake names file, line and what is wrong, and no value that may be a secret."""
    assert old in GOOD
    with pytest.raises(DocumentError, match=r"^o\.yaml:\d+: ") as error:
        read_organisation(GOOD.replace(old, new, 1), "o.yaml")
    assert says in str(error.value)
    assert "zq-marker" not in str(error.value)


def test_a_second_actor_approves_unless_the_file_says_otherwise() -> None:
    """Without a word on approval, nothing goes ahead by itself."""
    organisation = read_organisation(GOOD)
    assert organisation.approval.access is Approval.SECOND_ACTOR
    assert organisation.approval.erasure is Approval.SECOND_ACTOR
    relaxed = read_organisation(GOOD + "approval: {access: automatic}\n")
    assert relaxed.approval.access is Approval.AUTOMATIC
    assert relaxed.approval.erasure is Approval.SECOND_ACTOR


def test_a_frozen_text_is_read_again_the_same() -> None:
    """The canonical text gives the same organisation and hash, and holds no secret."""
    organisation = read_organisation(GOOD)
    again = read_organisation(organisation.text)
    assert again == organisation
    assert again.hash == organisation.hash


def test_missing_texts_are_named() -> None:
    """What Art. 15 asks for and the file does not say can be listed long before a deadline."""
    information = read_organisation(GOOD).information
    assert information["en"].missing == ("retention", "automated_decisions", "transfers")
    assert len(information["de"].missing) == 5


def test_secrets_are_read_when_they_are_needed() -> None:
    """The mail password is a reference, followed at the moment of use."""
    password = read_organisation(GOOD).smtp.password
    assert password is not None
    assert password.read({"SMTP_PASSWORD": "zq"}) == "zq"
    with pytest.raises(SecretMissing, match="SMTP_PASSWORD"):
        password.read({})


def test_the_house_denies_its_own_domain() -> None:
    """The file's deny lists become rules for claims, in any case of letters."""
    organisation = read_organisation(GOOD + "claims: {denied_domains: [Shop.Example]}\n")
    with pytest.raises(IdentityRefused, match="role_address"):
        claimed("email", "mara@shop.example", organisation.claims.rules)


def test_what_nobody_filled_in_is_named_by_line() -> None:
    """Words that `dsr init` wrote and nobody replaced are faults, wherever they stand."""
    assert list(unfilled(read_document(GOOD, "o.yaml"))) == []
    text = GOOD.replace("Muster Shop GmbH", "Replace me Ltd").replace(
        "email: privacy@shop.example", "email: privacy@replace-me.example"
    )
    faults = list(unfilled(read_document(text, "o.yaml")))
    assert [fault.split(": ")[:2] for fault in faults] == [
        ["o.yaml:2", "controller.name"],
        ["o.yaml:12", "warnings.chain.0.email"],
    ]
    assert all("write your own" in fault for fault in faults)

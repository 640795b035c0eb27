"""Data maps: read strictly, refused with file and line, frozen and parsed again."""

from __future__ import annotations

from pathlib import Path

import pytest
from pydantic import BaseModel, SecretStr

from dsr_worker.contract import Form, Mask, MaskKind, Restriction, RestrictionKind
from dsr_worker.datamap import (
    SecretMissing,
    connector_config,
    load_systems,
    parse_maps,
    read_system,
)
from dsr_worker.documents import DocumentError
from dsr_worker.map_file import CollectionFile

GOOD = """\
system: shop
connector: postgres
parallel: 3
config:
  dsn: {env: SHOP_DSN}
  timeout_s: 5
collections:
  customers:
    source: {table: customers}
    key: [id]
    person: true
    takes:
      email: {field: email, form: ascii-case}
      customer_number: id
    yields: {customer_number: id}
    contact: {email: email}
    residence: country
    class: customer-account
    clocks: {last_contact: seen_at}
    purpose: Your account.
    recipients: [our hosting provider]
    fields:
      id: user.unique_id
      email: {category: user.contact.email, mask: tombstone}
      name: {category: user.name, mask: {constant: "erased"}}
      phone: {category: user.contact.phone_number, mask: "null"}
      agent: {category: user.name, third_party: true}
      note: {category: user.content, free_text: true}
      country: user.contact.address.country
      seen_at: user.behavior
  orders:
    source: {table: orders}
    key: [id]
    parent: {collection: customers, on: {customer_id: id}}
    keeps: [id, customer_id]
    fields:
      id: user.unique_id
      customer_id: user.unique_id
      note: {category: user.content, mask: pseudonym}
"""


def _faults(old: str, new: str, text: str = GOOD) -> tuple[str, ...]:
    assert old in text
    with pytest.raises(DocumentError) as error:
        read_system(text.replace(old, new, 1), "shop.yaml")
    return error.value.faults


def test_a_map_becomes_what_connectors_know() -> None:
    """Short and long forms give the contract's values."""
    system = read_system(GOOD).system
    customers, orders = system.collections["customers"], system.collections["orders"]
    assert (system.name, system.connector, system.parallel) == ("shop", "postgres", 3)
    assert customers.takes["email"].form is Form.ASCII_CASE
    assert customers.takes["customer_number"].form is Form.EXACT
    assert customers.fields["email"].mask == Mask(MaskKind.TOMBSTONE)
    assert customers.fields["name"].mask == Mask(MaskKind.CONSTANT, "erased")
    assert customers.fields["phone"].mask == Mask(MaskKind.NULL)
    assert customers.fields["id"].mask is None
    assert customers.fields["agent"].third_party
    assert customers.fields["note"].free_text
    assert customers.record_class == "customer-account"
    assert customers.recipients == ("our hosting provider",)
    assert list(customers.fields)[:3] == ["id", "email", "name"]
    assert orders.kept_fields == frozenset({"id", "customer_id"})
    assert orders.parent is not None
    assert dict(orders.parent.on) == {"customer_id": "id"}


MEANS = (
    GOOD
    + """\
  aside:
    source: {table: aside}
    key: [id]
    parent: {collection: customers, on: {customer_id: id}}
    keeps: [id, customer_id]
    fields:
      id: user.unique_id
      customer_id: user.unique_id
      note: user.content
  listed:
    source: {table: listed}
    key: [order_id]
    parent: {collection: orders, on: {order_id: id}}
    fields: {order_id: user.unique_id}
"""
)


@pytest.mark.parametrize(
    ("collection", "written", "means"),
    [
        (
            "customers",
            "{flag: agent}",
            Restriction(RestrictionKind.FLAG, "agent", "true", "false"),
        ),
        (
            "customers",
            '{flag: agent, value: "1", free: null}',
            Restriction(RestrictionKind.FLAG, "agent", "1", None),
        ),
        ("orders", "{list: listed}", Restriction(RestrictionKind.LIST, collection="listed")),
    ],
)
def test_means_of_restriction_are_read(collection: str, written: str, means: Restriction) -> None:
    """Each kind in its short form; the frozen text gives the same again, under another hash."""
    place = f"{{table: {collection}}}\n"
    mapped = read_system(MEANS.replace(place, f"{place}    restrict: {written}\n"))
    assert mapped.system.collections[collection].restriction == means
    assert read_system(mapped.text).system == mapped.system
    assert mapped.hash != read_system(MEANS).hash


def test_rows_without_children_may_be_moved() -> None:
    """A collection of moved rows has the same key and fields."""
    text = GOOD.replace("{table: orders}\n", "{table: orders}\n    restrict: {move: aside}\n")
    aside = MEANS[len(GOOD) : MEANS.index("  listed:")]
    moved = Restriction(RestrictionKind.MOVE, collection="aside")
    assert read_system(text + aside).system.collections["orders"].restriction == moved


@pytest.mark.parametrize(
    ("collection", "written", "told"),
    [
        ("customers", "{}", "one of flag, move and list"),
        ("customers", "{flag: agent, list: listed}", "one of flag, move and list"),
        ("customers", "agent", "{flag: field}"),
        ("customers", "{flag: blocked}", "not among the fields"),
        ("customers", "{flag: id}", "key finds"),
        ("customers", "{flag: name}", "take the mask out"),
        ("customers", '{flag: agent, value: "1", free: "1"}', "let value and free differ"),
        ("customers", "{flag: agent, column: x}", "column"),
        ("orders", '{list: listed, value: "1"}', "belong to a flag"),
        ("orders", "{move: nowhere}", "known: aside, customers, listed"),
        ("orders", "{move: orders}", "no other collection"),
        ("orders", "{move: listed}", "the key of listed"),
        ("orders", "{move: aside}", "would lose their owner"),
        ("customers", "{move: aside}", "same fields"),
        ("customers", "{move: aside}", "give aside the takes of customers"),
        ("customers", "{list: listed}", "parent of listed"),
    ],
)
def test_wrong_means_are_refused_at_their_line(collection: str, written: str, told: str) -> None:
    """A means that would restrict nothing, or lose rows, is refused with file, line and remedy."""
    place = f"{{table: {collection}}}\n"
    faults = _faults(place, f"{place}    restrict: {written}\n", MEANS)
    assert any(told in fault for fault in faults), faults
    assert all(fault.startswith("shop.yaml:") for fault in faults)


def test_each_collection_has_its_own_place_for_what_is_restricted() -> None:
    """Of a row in a shared one nobody could tell where it came from."""
    one = MEANS.replace("{table: orders}\n", "{table: orders}\n    restrict: {list: listed}\n")
    faults = _faults(
        "{table: customers}\n", "{table: customers}\n    restrict: {list: listed}\n", one
    )
    assert any("give each its own" in fault for fault in faults), faults


BAD = [
    ("parallel: 3", "paralel: 3", "did you mean parallel"),
    ("person: true", "persn: true", "did you mean person"),
    ("person: true", "person: maybe", "boolean"),
    ("parallel: 3", "parallel: 0", "greater than or equal to 1"),
    ("parallel: 3", 'parallel: "3"', "integer"),
    ("    residence: country", "    person: true", "duplicate key person"),
    ("key: [id]", "key: [ident]", "not among the fields"),
    ("key: [id]", "key: []", "at least 1"),
    ("key: [id]", "key: [id, id]", "stands twice"),
    ("customer_number: id", "customer_number: ident", "not among"),
    ("yields: {customer_number: id}", "yields: {a: b}", "not among"),
    ("contact: {email: email}", "contact: {email: mail}", "not among"),
    ("contact: {email: email}", "contact: {fax: email}", "email or a phone"),
    ("residence: country", "residence: land", "not among"),
    ("last_contact: seen_at", "last_contact: seen", "not among"),
    ("form: ascii-case", "form: like", "ascii-case"),
    ("mask: tombstone", "mask: null", "quotes"),
    ("mask: tombstone", "mask: blur", "tombstone"),
    ('mask: "null"', "mask: tombstone", "user.contact.email alone"),
    ("id: user.unique_id", "id: {category: user, mask: pseudonym}", "key finds"),
    ("seen_at: user.behavior", 'seen_at: {category: user, mask: "null"}', "periods"),
    ("id: user.unique_id", "id: person.id", "pattern"),
    ("on: {customer_id: id}", "on: {customer_id: number}", "fields of customers"),
    ("on: {customer_id: id}", "on: {buyer: id}", "not among the fields"),
    ("on: {customer_id: id}", "on: {}", "at least 1"),
    ("collection: customers", "collection: customer", "known: customers"),
    ("collection: customers", "collection: orders", "circle"),
    ("keeps: [id, customer_id]", "keeps: [customer_id]", "keeps its key"),
    ("keeps: [id, customer_id]", "keeps: [id, vat]", "not among"),
    ("dsn: {env: SHOP_DSN}", "dsn: postgresql://u:zq-marker@h/d", "written out"),
    ("timeout_s: 5", "url: https://u:zq-marker@h/", "written out"),
    ("timeout_s: 5", "nested: {api_key: zq-marker}", "written out"),
    ("purpose: Your account.", "purpose: !!python/name:os.system x", "tags"),
    ("purpose: Your account.", "purpose: &a Your account.\n    origin: *a", "anchors"),
    ("timeout_s: 5", "timeout_s: " + "[" * 50 + "]" * 50, "nested too deeply"),
    ("timeout_s: 5", "timeout_s: " + "[" * 50_000, "nested too deeply"),
    ("purpose: Your account.", "purpose: [a", "expected"),
    ("purpose: Your account.", "1: x", "a key is a word"),
    ("parallel: 3", 'left_out: {orders.note: ""}', "at least 1"),
]


@pytest.mark.parametrize(("old", "new", "says"), BAD)
def test_a_wrong_map_is_refused_with_file_and_line(old: str, new: str, says: str) -> None:
    """Every mistake names its file, its line and what to do, and never a value of the config."""
    text = "\n".join(_faults(old, new))
    assert says in text
    line = GOOD[: GOOD.index(old)].count("\n") + 1
    assert f"shop.yaml:{line}: " in text or f"shop.yaml:{line + 1}: " in text, text
    assert "zq-marker" not in text


def test_all_faults_come_at_once() -> None:
    """One reading lists every fault, so that one round of mending is enough."""
    faults = _faults(
        "key: [id]\n    person: true",
        "key: [x]\n    residence: y\n    person: true",
        GOOD.replace("    residence: country\n", ""),
    )
    assert len(faults) == 2


def test_longer_circles_are_found() -> None:
    """Three collections that own each other in a ring are refused, and reading ends."""
    text = "system: s\nconnector: c\ncollections:\n" + "".join(
        f"  {name}:\n    source: {{}}\n    key: [id]\n"
        f"    parent: {{collection: {above}, on: {{id: id}}}}\n    fields: {{id: user}}\n"
        for name, above in (("a", "b"), ("b", "c"), ("c", "a"), ("d", "a"))
    )
    with pytest.raises(DocumentError) as error:
        read_system(text)
    assert sum("circle" in fault for fault in error.value.faults) == 3


def test_masks_on_joining_fields_are_refused() -> None:
    """A masked join field would cut parent from child."""
    faults = _faults("customer_id: user.unique_id", 'customer_id: {category: user, mask: "null"}')
    assert "joined" in faults[0]
    by_name = GOOD.replace("on: {customer_id: id}", "on: {customer_id: name}")
    with pytest.raises(DocumentError, match=r"customers\.fields\.name\.mask: parent and child"):
        read_system(by_name)


@pytest.mark.parametrize("text", ["", "- a\n", "shop", "a: b: c\n", "\x00", "a: \t- x\n"])
def test_what_is_no_mapping_is_refused(text: str) -> None:
    """An empty file, a list, a word or broken YAML is a fault with a line."""
    with pytest.raises(DocumentError, match=r"^x.yaml:\d+: "):
        read_system(text, "x.yaml")


def test_words_stay_words() -> None:
    """`no` and `on` are words: Norway is not false, and `on` is a key."""
    system = read_system(GOOD.replace("Your account.", "no")).system
    assert system.collections["customers"].purpose == "no"


def test_a_folder_is_read_whole_and_names_all_faults(tmp_path: Path) -> None:
    """Every file of the folder counts; faults of all files are listed together."""
    (tmp_path / "a.yaml").write_text(GOOD)
    (tmp_path / "b.yaml").write_text(GOOD)
    (tmp_path / "c.yaml").write_bytes(b"system: \xff\n")
    with pytest.raises(DocumentError) as error:
        load_systems(tmp_path)
    assert f"shop is mapped by {tmp_path}/a.yaml too" in str(error.value)
    assert "not UTF-8" in str(error.value)
    with pytest.raises(DocumentError, match="one file per system"):
        load_systems(tmp_path / "empty")


def test_a_frozen_map_is_read_again_the_same(tmp_path: Path) -> None:
    """A job's frozen text gives the same systems and the same hash, order of fields included."""
    (tmp_path / "shop.yaml").write_text(GOOD)
    (tmp_path / "files.yaml").write_text(GOOD.replace("system: shop", "system: files"))
    maps = load_systems(tmp_path)
    again = parse_maps(maps.text)
    assert again == maps
    fields = again.by_name["shop"].collections["customers"].fields
    assert list(fields) == list(maps.by_name["shop"].collections["customers"].fields)
    with pytest.raises(DocumentError):
        parse_maps("no json")


def test_the_hash_is_of_the_meaning() -> None:
    """Comments and spacing change no hash; any value does."""
    same = read_system("# a comment\n" + GOOD.replace("parallel: 3", "parallel:   3"))
    assert same.hash == read_system(GOOD).hash
    assert read_system(GOOD.replace("parallel: 3", "parallel: 4")).hash != same.hash


class _Config(BaseModel):
    dsn: SecretStr
    timeout_s: int


def test_secrets_are_resolved_when_a_connector_is_made(tmp_path: Path) -> None:
    """References are followed each time anew, and no frozen text holds what they lead to."""
    mapped = read_system(GOOD)
    config = connector_config(mapped, _Config, {"SHOP_DSN": "zq-one"})
    assert config.dsn.get_secret_value() == "zq-one"
    again = connector_config(mapped, _Config, {"SHOP_DSN": "zq-two"})
    assert again.dsn.get_secret_value() == "zq-two"
    assert "zq-" not in mapped.text
    assert "zq-" not in repr(mapped)
    (tmp_path / "secret").write_text("zq-three\n")
    by_file = read_system(GOOD.replace("{env: SHOP_DSN}", "{file: secret}"))
    assert connector_config(by_file, _Config, {}, tmp_path).dsn.get_secret_value() == "zq-three"


def test_a_reference_that_leads_nowhere_is_named(tmp_path: Path) -> None:
    """An unset variable or a missing file is named, before anything is tried with it."""
    with pytest.raises(SecretMissing, match="SHOP_DSN"):
        connector_config(read_system(GOOD), _Config, {})
    by_file = read_system(GOOD.replace("{env: SHOP_DSN}", "{file: nowhere}"))
    with pytest.raises(SecretMissing, match="nowhere"):
        connector_config(by_file, _Config, {}, tmp_path)


def test_config_that_does_not_fit_the_connector_hides_values() -> None:
    """The connector's own model refuses with the key's name and without its value."""
    mapped = read_system(GOOD.replace("timeout_s: 5", "timeout_s: zq-marker"))
    with pytest.raises(DocumentError, match=r"config\.timeout_s") as error:
        connector_config(mapped, _Config, {"SHOP_DSN": "zq-secret"})
    assert "zq-" not in str(error.value)


def test_a_secret_field_takes_references_only() -> None:
    """What the connector calls a secret is refused when written out, whatever its name."""

    class Door(BaseModel):
        word: SecretStr

    mapped = read_system(GOOD.replace("dsn: {env: SHOP_DSN}", "word: zq-marker"))
    with pytest.raises(DocumentError, match=r"config\.word: a secret is written out") as error:
        connector_config(mapped, Door, {})
    assert "zq-marker" not in str(error.value)


def test_the_documented_map_is_valid() -> None:
    """The example of the documentation reads, and every key of a collection is explained there."""
    text = (Path(__file__).parents[2] / "docs" / "data-map.md").read_text("utf-8")
    example = text.split("```yaml\n")[1].split("```")[0]
    assert set(read_system(example).system.collections) == {"customers", "invoices"}
    for name, info in CollectionFile.model_fields.items():
        assert f"`{info.alias or name}`" in text, name

"""Three systems of a plain shop: a database of ten tables, and two kept in memory.

In: how many people, and how many rows each has. Out: the systems filled, and the configuration that
describes them. Every person has one row in the table of customers and in each of the two systems in
memory; the nine other tables hold the rest.
"""

from __future__ import annotations

from pathlib import Path

from benchmarks._installation import connected
from dsr_worker.testing.memory import store

CHILD_TABLES = 9
DSN = "BENCH_WAREHOUSE_DSN"
"""The environment variable by which the map refers to the database."""

TEXTS = """
    purpose: Trial.
    legal_basis: Contract.
    recipients: [nobody]
    origin: You.
"""
CUSTOMERS = f"""
  customers:
    source: {{table: customers}}
    key: [id]
    person: true
    takes: {{email: {{field: email, form: ascii-case}}, customer_number: id}}
    yields: {{customer_number: id}}
    contact: {{email: email}}
    class: customer-account
    clocks: {{record_date: created_at}}
    fields:
      id: user.unique_id
      email: {{category: user.contact.email, mask: tombstone}}
      name: {{category: user.name, mask: {{constant: erased}}}}
      created_at: user.account
{TEXTS}"""
_CHILD = f"""
  part_NUMBER:
    source: {{table: part_NUMBER}}
    key: [id]
    parent: {{collection: customers, on: {{customer_id: id}}}}
    class: order
    clocks: {{record_date: made_at}}
    fields:
      id: user.unique_id
      customer_id: user.unique_id
      title: user.content
      amount: user.financial
      made_at: user.content
{TEXTS}"""
_MEMORY = f"""
system: NAME
connector: memory
parallel: 2
config: {{path: PATH}}
collections:
  notes:
    source: {{}}
    key: [id]
    takes: {{TAKES}}
    class: attachment
    fields:
      id: user.unique_id
      owner: user.unique_id
      text: {{category: user.content, free_text: true}}
{TEXTS}"""
ORGANISATION = """
controller: {name: Shop, address: "Street 1, Town", contact: privacy@shop.example}
establishment: {country: DE, zone: Europe/Berlin}
markets: [DE]
policies: [trial]
approval: {access: automatic, erasure: second_actor}
warnings: {chain: [{name: team, email: privacy@shop.example}]}
complaints: {acknowledge_within: P3D, resolve_within: P30D, refer_after: P60D, rest_at_most: P7D,
             refer_to: {DE: "Conciliation body, Kehl"}}
information:
  en: {retention: "as needed", rights: "yours", complaint: "to", automated_decisions: "none",
       transfers: "none"}
smtp: {host: 127.0.0.1, port: 9, sender: privacy@shop.example, tls: none}
"""
POLICY = """
policy: trial
version: 1.0.0
title: Trial
owner: privacy-team
jurisdictions: [DE]
zone: Europe/Berlin
limits: {rows: 1000, share: 0.5}
rules:
  - id: accounts
    class: customer-account
    keep_at_most: {period: P10Y, anchor: record_date, citation: "house rule"}
    clock: record_date
"""


def email(number: int) -> str:
    """The address of the person of this number."""
    return f"person.{number}@mail.example"


def configure(folder: Path) -> Path:
    """Write the configuration; its folder."""
    config = folder / "config"
    (config / "systems").mkdir(parents=True)
    (config / "policies").mkdir()
    head = f"system: shop\nconnector: postgres\nparallel: 2\nconfig: {{dsn: {{env: {DSN}}}}}\n"
    children = "".join(_CHILD.replace("NUMBER", str(n)) for n in range(CHILD_TABLES))
    _write(config / "systems" / "shop.yaml", f"{head}collections:{CUSTOMERS}{children}")
    takes = {"letters": "customer_number: owner", "calls": "email: owner"}
    for name, how in takes.items():
        text = _MEMORY.replace("NAME", name).replace("TAKES", how)
        _write(config / "systems" / f"{name}.yaml", text.replace("PATH", str(_rows(folder, name))))
    _write(config / "policies" / "trial.yaml", POLICY)
    _write(config / "organisation.yaml", ORGANISATION)
    return config


def fill(folder: Path, dsn: str, people: int, rows_a_table: int) -> None:
    """Fill all three systems."""
    with connected(dsn) as connection, connection.cursor() as cursor:
        cursor.execute(
            "CREATE TABLE customers (id bigint PRIMARY KEY, email text NOT NULL, name text,"
            " created_at timestamptz NOT NULL DEFAULT now());"
            "CREATE INDEX ON customers"
            " (translate(email, 'ABCDEFGHIJKLMNOPQRSTUVWXYZ', 'abcdefghijklmnopqrstuvwxyz')"
            ' COLLATE "C");'
            "CREATE INDEX ON customers (email)"
        )
        cursor.execute(
            "INSERT INTO customers (id, email, name) SELECT n, 'person.' || n || '@mail.example',"
            " 'Person ' || n FROM generate_series(0, %s) AS n",
            (people - 1,),
        )
        for number in range(CHILD_TABLES):
            table = f"part_{number}"
            cursor.execute(
                f"CREATE TABLE {table} (id bigint PRIMARY KEY, customer_id bigint NOT NULL,"
                " title text NOT NULL, amount numeric NOT NULL, made_at timestamptz NOT NULL)"
            )
            cursor.execute(
                f"INSERT INTO {table} SELECT p * %s + n, p, 'A lamp of the series ' || n, 19.90,"  # noqa: S608 - a table of ours
                " now() FROM generate_series(0, %s) AS p, generate_series(0, %s) AS n",
                (rows_a_table, people - 1, rows_a_table - 1),
            )
            cursor.execute(f"CREATE INDEX ON {table} (customer_id)")
        cursor.execute("ANALYZE")
    owners = {"letters": list(map(str, range(people))), "calls": list(map(email, range(people)))}
    for name, names in owners.items():
        rows = [
            {"id": str(n), "owner": owner, "text": f"a note about {n}"}
            for n, owner in enumerate(names)
        ]
        store(path=_rows(folder, name)).load({"notes": rows}, {"notes": ("id",)})


def _rows(folder: Path, name: str) -> Path:
    return folder / f"{name}.sqlite"


def _write(file: Path, text: str) -> None:
    file.write_text(text, "utf-8")

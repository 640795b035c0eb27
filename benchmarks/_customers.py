"""A database of ten tables in which one customer has very much, one some, and many a little.

In: how many rows. Out: the database filled, the configuration that describes it, and what a script
without an engine would send to it. A row as JSON takes about 250 bytes: numbers, texts, an amount,
a flag, an instant.
"""

from __future__ import annotations

from pathlib import Path

import psycopg2.extensions

from benchmarks._installation import connected
from benchmarks._warehouse import CUSTOMERS, ORGANISATION, POLICY, TEXTS

DSN = "BENCHCUSTOMERS_DSN"
MUCH, SOME = 0, 1
"""The customers who have very much, and 10,000 rows or a hundredth of that."""
CHILD_TABLES = 9
ROWS_OF_EACH = 10
"""A row in each table, and one more as a customer: what everybody else has."""
_FIRST = 2
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
      number: user.unique_id
      title: user.content
      state: user.content
      amount: user.financial
      paid: user.financial
      note: user.content
      made_at: user.content
{TEXTS}"""
_TABLES = """
CREATE TABLE customers (id bigint PRIMARY KEY, email text NOT NULL, name text,
    created_at timestamptz NOT NULL DEFAULT now());
CREATE INDEX ON customers
    (translate(email, 'ABCDEFGHIJKLMNOPQRSTUVWXYZ', 'abcdefghijklmnopqrstuvwxyz') COLLATE "C");
CREATE INDEX ON customers (email);
"""
_PART = """
CREATE TABLE part_{0} (id bigint PRIMARY KEY, customer_id bigint NOT NULL, number text NOT NULL,
    title text NOT NULL, state text, amount numeric(10, 2) NOT NULL, paid boolean NOT NULL,
    note text, made_at timestamptz NOT NULL);
INSERT INTO part_{0}
SELECT n, CASE WHEN n < {1} THEN 0 WHEN n < {2} THEN 1 ELSE 2 + n % {3} END,
    'A-{0}-' || n, 'A lamp of the series ' || n || ', glass and steel',
    (array['open', 'sent', 'paid', NULL])[1 + n % 4], (n % 100000) / 100.0, n % 3 = 0,
    md5(n::text) || ' left at the neighbour''s door, floor ' || n % 9,
    timestamptz '2026-01-01' + n % 400000 * interval '1 minute'
FROM generate_series(0, {4} - 1) n;
CREATE INDEX ON part_{0} (customer_id);
"""


def email(number: int) -> str:
    """The address of the customer of this number."""
    return f"person.{number}@mail.example"


def ordinary(count: int) -> list[int]:
    """The numbers of so many customers who have a little."""
    return list(range(_FIRST, _FIRST + count))


def rows_of(number: int, rows: int) -> int:
    """How many rows a customer has where the first of all has `rows`."""
    if number == MUCH:
        return 1 + _share(rows) * CHILD_TABLES
    if number == SOME:
        return 1 + _share(_some(rows)) * CHILD_TABLES
    return 1 + ROWS_OF_EACH * CHILD_TABLES


def configure(folder: Path) -> Path:
    """Write the configuration; its folder."""
    config = folder / "config"
    (config / "systems").mkdir(parents=True)
    (config / "policies").mkdir()
    head = f"system: shop\nconnector: postgres\nparallel: 2\nconfig: {{dsn: {{env: {DSN}}}}}\n"
    children = "".join(_CHILD.replace("NUMBER", str(n)) for n in range(CHILD_TABLES))
    (config / "systems" / "shop.yaml").write_text(f"{head}collections:{CUSTOMERS}{children}")
    (config / "policies" / "trial.yaml").write_text(POLICY)
    (config / "organisation.yaml").write_text(ORGANISATION)
    return config


def fill(dsn: str, rows: int, people: int) -> None:
    """Make the tables: `rows` of the first customer, a little for each of `people` others."""
    with connected(dsn) as connection, connection.cursor() as cursor:
        cursor.execute(_TABLES)
        cursor.execute(
            "INSERT INTO customers (id, email, name) SELECT n, 'person.' || n || '@mail.example',"
            " 'Person ' || n FROM generate_series(0, %s) AS n",
            (people + _FIRST - 1,),
        )
        much, some = _share(rows), _share(_some(rows))
        total = much + some + ROWS_OF_EACH * people
        for number in range(CHILD_TABLES):
            cursor.execute(_PART.format(number, much, much + some, people, total))
        cursor.execute("VACUUM ANALYZE")


class Null:
    """Where rows go that nobody keeps."""

    def write(self, data: bytes) -> int:
        """Drop it."""
        return len(data)


def copy_by_number(connection: psycopg2.extensions.connection, number: int) -> None:
    """All rows of a customer whose number is known, by COPY and thrown away."""
    with connection.cursor() as cursor:
        _copy(cursor, f"SELECT row_to_json(t) FROM customers t WHERE id = {int(number)}")  # noqa: S608 - a number of ours
        for part in range(CHILD_TABLES):
            _copy(
                cursor,
                f"SELECT row_to_json(t) FROM part_{part} t WHERE customer_id = {int(number)}",  # noqa: S608 - numbers of ours
            )


def copy_by_email(connection: psycopg2.extensions.connection, number: int) -> None:
    """The bare statements of a request: one snapshot, each table asked by the address."""
    address = email(number)
    with connection.cursor() as cursor:
        cursor.execute("BEGIN ISOLATION LEVEL REPEATABLE READ")
        _copy(cursor, f"SELECT row_to_json(t) FROM customers t WHERE email = '{address}'")  # noqa: S608 - an address of ours
        for part in range(CHILD_TABLES):
            _copy(
                cursor,
                f"SELECT row_to_json(t) FROM part_{part} t JOIN customers c"  # noqa: S608 - an address of ours
                f" ON c.id = t.customer_id WHERE c.email = '{address}'",
            )
        cursor.execute("COMMIT")


def _copy(cursor: psycopg2.extensions.cursor, query: str) -> None:
    cursor.copy_expert(f"COPY ({query}) TO STDOUT", Null())


def _share(rows: int) -> int:
    return -(-rows // CHILD_TABLES)


def _some(rows: int) -> int:
    return max(rows // 100, 1)

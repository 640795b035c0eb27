"""The shop as somebody's own, and the roles that the printed grants make for it."""

from __future__ import annotations

from dataclasses import dataclass

from dsr_worker.contract import Finding, Severity, System
from tests.contract.postgres_shop import connector, execute, query, subject

OWNER, READER, ERASER = "zq_owner", "dsr_shop_reader", "dsr_shop_eraser"
CASCADING = """
ALTER TABLE order_lines DROP CONSTRAINT order_lines_order_id_fkey;
ALTER TABLE order_lines ADD FOREIGN KEY (order_id) REFERENCES orders ON DELETE CASCADE;
CREATE TABLE suppliers (id int PRIMARY KEY, name text);
ALTER TABLE customers ADD COLUMN scoring int;
"""


@dataclass(frozen=True)
class Shop:
    """The shop's database, as each of its roles connects to it."""

    dsn: str

    def by(self, role: str) -> str:
        """The DSN of a role."""
        return self.dsn.replace("//dsr@", f"//{role}@")

    def granted(self, mapped: System | None = None) -> None:
        """Run the printed statements as the owner."""
        for role in connector(self.by(OWNER), mapped).grants():
            execute(self.by(OWNER), "\n".join(role.statements))

    def checked(self, mapped: System | None = None) -> list[Finding]:
        """What the check says of the two roles, beyond what is in order."""
        made = connector(self.by(ERASER), mapped, reader_dsn=self.by(READER))
        return [f for f in made.check() if f.severity is not Severity.OK]


def drop_roles(dsn: str) -> None:
    """Take away the roles that the grants made."""
    for (role,) in query(dsn, "SELECT rolname FROM pg_roles WHERE rolname ~ '^dsr_shop_'"):
        execute(dsn, f"DROP OWNED BY {role}; DROP ROLE {role}")


ANNA = subject("a", email="anna@shop.example", number="1")

"""The proposal on schemas that others wrote: recall and precision against labels made before it."""

from __future__ import annotations

import pytest

from tests.contract.other_schemas import KEPT_BACK, MEASURED, labels, tables


@pytest.mark.parametrize("name", [*MEASURED, KEPT_BACK])
def test_labels_name_columns_that_are_there(name: str) -> None:
    """A label that names nothing would count as missed for ever, or hide a slip."""
    there = {(table.name, c.name) for table in tables(name).values() for c in table.columns}
    assert labels(name) <= there
    assert len(labels(name)) > 10

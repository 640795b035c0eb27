"""What a worker does when the reviewed files change under it."""

from __future__ import annotations

import logging
from pathlib import Path
from types import SimpleNamespace
from typing import Any

import pytest

from dsr_worker.logs import only_allowed
from dsr_worker.queue.watching import Watch


def test_a_broken_file_is_logged_with_its_line(
    tmp_path: Path, caplog: pytest.LogCaptureFixture
) -> None:
    """Whoever broke a map under running workers finds file, line and fault in their log, once."""
    loaded: Any = SimpleNamespace(digest="as before")
    watch = Watch(tmp_path, loaded)
    (tmp_path / "organisation.yaml").write_text("controller: {}\nmarktes: [DE]\n", "utf-8")
    with caplog.at_level(logging.ERROR):
        watch.restart_when_files_change()
        watch.restart_when_files_change()
    (record,) = caplog.records
    line = only_allowed(None, "error", {"logger": record.name, **vars(record)})
    assert record.getMessage() == "files_not_loaded"
    assert line["error"] == "DocumentError"
    assert str(line["at"]).startswith(str(tmp_path / "organisation.yaml") + ":")
    assert str(line["why"]).startswith(str(line["at"]))
    assert line["count"] > 1

"""Installed connectors, by name, from the entry-point group `dsr_worker.connectors`.

In: the data map's connector names. Out: connector classes, checked against the contract. Ours are
found the same way as anybody's; nothing here imports a connector by path.
"""

from __future__ import annotations

from importlib.metadata import EntryPoint, entry_points
from pathlib import Path
from typing import Any

from dsr_worker.contract import Configuration, Connector
from dsr_worker.datamap import MappedSystem, connector_config

GROUP = "dsr_worker.connectors"


class Registry:
    """Connector classes by name. `extra` adds classes without an installed entry point (trials)."""

    def __init__(self, extra: dict[str, type[Any]] | None = None) -> None:
        self._extra = dict(extra or {})
        self._entries: dict[str, EntryPoint] = {}
        for entry in entry_points(group=GROUP):
            if entry.name in self._entries and self._entries[entry.name].value != entry.value:
                message = (
                    f"two installed packages offer a connector named {entry.name!r}; "
                    "uninstall one of them"
                )
                raise Configuration(message)
            self._entries[entry.name] = entry

    @property
    def names(self) -> list[str]:
        """Every connector that can be used."""
        return sorted({*self._entries, *self._extra})

    def connector_class(self, name: str) -> type[Any]:
        """The class of a connector. Raises Configuration naming those that are installed."""
        if name in self._extra:
            return self._extra[name]
        if name not in self._entries:
            message = (
                f"no connector named {name!r} is installed; there are: {', '.join(self.names)}"
            )
            raise Configuration(message)
        loaded: type[Any] = self._entries[name].load()
        return loaded

    def make(
        self, mapped: MappedSystem, base: Path | None = None, *, needed_alone: bool = False
    ) -> Connector:
        """The connector of a mapped system; its secrets are read now, files of them from `base`.

        With `needed_alone` it does without optional secrets that are not there (yet).

        Raises Configuration; SecretMissing and DocumentError as `connector_config` does.
        """
        cls = self.connector_class(mapped.connector)
        config = connector_config(mapped, cls.Config, base=base, needed_alone=needed_alone)
        made = cls(mapped.system, config)
        if not isinstance(made, Connector):
            message = f"{mapped.connector!r} is no connector: it lacks `check` or `find`"
            raise Configuration(message)
        return made

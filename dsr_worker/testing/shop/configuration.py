"""The shop's configuration, as its privacy team would have written it.

In: where the three systems are, and the names of the environment variables that hold secrets. Out:
a folder with `systems/*.yaml`, `policies/*.yaml` and `organisation.yaml`, never with a secret.
"""

from __future__ import annotations

from dataclasses import asdict, dataclass
from importlib.resources import files as resources
from importlib.resources.abc import Traversable
from pathlib import Path
from string import Template
from typing import Final

POLICY: Final = "de-shop"  # the one in force at the shop's main establishment


@dataclass(frozen=True, slots=True, kw_only=True)
class Places:
    """Where the shop's systems are. `…_env` name environment variables that hold secrets."""

    dsn_env: str = "SHOP_DSN"
    s3_endpoint: str
    s3_bucket: str = "shop"
    s3_region: str = "eu-central-1"
    s3_key_env: str = "SHOP_S3_KEY"
    s3_secret_env: str = "SHOP_S3_SECRET"  # noqa: S105 - a variable's name
    zendesk_url: str
    zendesk_email: str = "worker@shop.example"
    zendesk_token_env: str = "SHOP_ZENDESK_TOKEN"  # noqa: S105 - a variable's name
    smtp_host: str = "127.0.0.1"
    smtp_port: int = 25


def write_configuration(
    folder: Path, places: Places, *, policies: tuple[str, ...] = (POLICY,)
) -> None:
    """Write the configuration of a running shop; files of the same names are replaced."""
    values = {name: str(value) for name, value in asdict(places).items()}
    here = resources(__package__)
    for name in ("shop", "files", "helpdesk"):
        _write(folder / "systems" / f"{name}.yaml", here / "systems" / f"{name}.yaml", values)
    _write(folder / "organisation.yaml", here / "organisation.yaml", values)
    for policy in policies:
        text = (resources("retention_policies") / f"{policy}.yaml").read_text("utf-8")
        _put(folder / "policies" / f"{policy}.yaml", text)


def _write(to: Path, source: Traversable, values: dict[str, str]) -> None:
    _put(to, Template(source.read_text("utf-8")).substitute(values))


def _put(to: Path, text: str) -> None:
    to.parent.mkdir(parents=True, exist_ok=True)
    to.write_text(text, "utf-8")

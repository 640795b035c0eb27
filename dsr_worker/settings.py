"""Settings of one installation, read once from the environment (prefix `DSR_`).

In: environment variables, or files named like them in the folder `DSR_SECRETS_DIR`. Out: one frozen
`Settings`. What describes the customer's systems stands in reviewed files in `config_dir`, not
here.
"""

from __future__ import annotations

import os
from pathlib import Path
from typing import Annotated

from pydantic import AfterValidator, Field, SecretStr
from pydantic_settings import BaseSettings, SettingsConfigDict


def _absolute(path: Path) -> Path:
    return path.expanduser().absolute()


Folder = Annotated[Path, AfterValidator(_absolute)]


def _xdg(variable: str, default: str) -> Path:
    return Path(os.environ.get(variable) or Path.home() / default) / "dsr"


class Settings(BaseSettings):
    """Every setting with its default; the field's name in capitals after `DSR_` is the variable."""

    model_config = SettingsConfigDict(
        env_prefix="DSR_",
        secrets_dir=os.environ.get("DSR_SECRETS_DIR"),
        frozen=True,
        extra="ignore",
    )

    config_dir: Folder = Field(
        default_factory=lambda: _xdg("XDG_CONFIG_HOME", ".config"),
        description="systems/*.yaml, policies/*.yaml, organisation.yaml",
    )
    data_dir: Folder = Field(
        default_factory=lambda: _xdg("XDG_DATA_HOME", ".local/share"),
        description="the embedded ledger and broker, and the local store",
    )
    key_ring: Folder | None = Field(
        default=None, description="key ring file; default: key-ring.json in config_dir"
    )
    actor_key: Folder | None = Field(
        default=None, description="the caller's private key; default: actor.key in config_dir"
    )
    actor: str | None = Field(default=None, description="the caller's name in the ledger")
    ledger_dsn: SecretStr | None = Field(default=None, description="unset: embedded Postgres")
    redis_url: SecretStr | None = Field(default=None, description="unset: embedded broker")
    store: str | None = Field(
        default=None, description="folder or s3://bucket/prefix; unset: store/ in data_dir"
    )
    checkpoints: str | None = Field(
        default=None, description="where signed checkpoints go as well; unset: the store"
    )
    worker_processes: int = Field(default=2, ge=1, le=64)
    worker_threads: int = Field(default=4, ge=1, le=64)
    tick_s: float = Field(default=1.0, gt=0, le=60)
    log_level: str = "INFO"
    crash_at: str | None = Field(
        default=None, description="fault drills only: kill this process at the named point"
    )

    @property
    def key_ring_file(self) -> Path:
        """Where the key ring lies: never inside the data folder."""
        return self.key_ring or self.config_dir / "key-ring.json"

    @property
    def actor_key_file(self) -> Path:
        """Where the caller's own private key lies."""
        return self.actor_key or self.config_dir / "actor.key"

    @property
    def store_url(self) -> str:
        """Where sealed blobs lie."""
        return self.store or str(self.data_dir / "store")

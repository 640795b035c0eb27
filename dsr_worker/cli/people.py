"""People and keys: `dsr actor`, `dsr keys`."""

from __future__ import annotations

import base64
from pathlib import Path

import click

from dsr_worker.actors import ActorKey, create_key, load_key
from dsr_worker.bootstrap import Office
from dsr_worker.cli.desk import WORKER_SILENT_S, Opening, pass_opening
from dsr_worker.cli.faults import Fault, not_found, usage
from dsr_worker.cli.output import json_option, show, table
from dsr_worker.fulfil.reindexing import reindex
from dsr_worker.ledger import instances, people, reports
from dsr_worker.vault import KeyRing, KeyRingRefused

_FILE = click.Path(path_type=Path, dir_okay=False)
_SHOWN = 12


@click.group("actor")
def actor_command() -> None:
    """Register people. Each signs with a key of their own, which never leaves their home."""


@actor_command.command("add")
@click.argument("name")
@click.option("--key", "key_file", type=_FILE, help="Their key file; made when it is not there.")
@json_option
@pass_opening
def _add(opening: Opening, *, name: str, key_file: Path | None, as_json: bool) -> None:
    """Register a person: makes their key where there is none, and files the public part."""
    if not _is_name(name):
        raise usage("an actor is called in small letters, digits, dot, dash, underscore")
    with opening.office() as office:
        file = (key_file or office.settings.actor_key_file).expanduser()
        known = _find(office, name)
        made = not file.exists()
        if known is not None and made:
            message = f"{name} is registered with another key, and there is none at {file}"
            raise Fault(
                "actor_refused", f"{message}: point --key at theirs, or retire {name} first"
            )
        key = create_key(file) if made else load_key(file)
        added = _register(office, name, key, known)
    data = {"actor": name, "public_key": key.public_key, "key_file": str(file), "added": added}
    what = "is registered" if added else "was registered with this key before"
    show(data, [f"{name} {what}; their key lies at {file} (keep a copy)."], as_json=as_json)


def _is_name(name: str) -> bool:
    return (
        bool(name)
        and len(name) <= 64  # noqa: PLR2004 - the ledger's own limit
        and name[0].isascii()
        and name[0].isalpha()
        and all(letter in "abcdefghijklmnopqrstuvwxyz0123456789._-" for letter in name)
    )


def _find(office: Office, name: str) -> people.Actor | None:
    with office.ledger.transaction() as cursor:
        return people.find(cursor, name)


def _register(office: Office, name: str, key: ActorKey, known: people.Actor | None) -> bool:
    raw = base64.b64decode(key.public_key)
    if known is not None:
        if known.retired_at is not None:
            raise Fault("actor_refused", f"{name} was retired; choose another name")
        if known.public_key != raw:
            message = f"{name} is registered with another key; choose another name, or --key"
            raise Fault("actor_refused", message)
        return False
    with office.ledger.transaction() as cursor:
        if not people.add(cursor, name, raw):
            message = "this key belongs to somebody else here; give each person --key FILE"
            raise Fault("actor_refused", message)
    return True


@actor_command.command("list")
@json_option
@pass_opening
def _list(opening: Opening, *, as_json: bool) -> None:
    """List everybody who may act."""
    with opening.office() as office, office.ledger.transaction() as cursor:
        everyone = people.everyone(cursor)
    rows = [
        {
            "actor": person.name,
            "public_key": base64.b64encode(person.public_key).decode(),
            "added_at": person.added_at,
            "retired_at": person.retired_at,
        }
        for person in everyone
    ]
    lines = table(
        ("actor", "public key", "since", ""),
        (
            (
                person.name,
                base64.b64encode(person.public_key).decode()[:_SHOWN] + "…",
                f"{person.added_at:%Y-%m-%d}",
                "retired" if person.retired_at else "",
            )
            for person in everyone
        ),
    )
    empty = ["Nobody is registered: `dsr actor add NAME`."]
    show({"actors": rows}, lines if rows else empty, as_json=as_json)


@actor_command.command("retire")
@click.argument("name")
@json_option
@pass_opening
def _retire(opening: Opening, *, name: str, as_json: bool) -> None:
    """Let a person act no longer. What they signed stays valid."""
    with opening.office() as office, office.ledger.transaction() as cursor:
        retired = people.retire(cursor, name)
    if not retired:
        raise not_found(
            "there is nobody of that name who may act; `dsr actor list` shows everybody"
        )
    show({"actor": name, "retired": True}, [f"{name} acts no longer."], as_json=as_json)


# ---- the key ring


@click.group("keys")
def keys_command() -> None:
    """The key ring, without which nothing that is sealed can be opened."""


@keys_command.command("backup")
@click.argument("file", type=_FILE)
@json_option
@pass_opening
def _backup(opening: Opening, *, file: Path, as_json: bool) -> None:
    """Copy the key ring to a new file, readable by you alone. Keep it away from the ledger."""
    ring = KeyRing.load(opening.read_settings().key_ring_file)
    try:
        made = ring.backup(file.expanduser())
    except KeyRingRefused as error:  # of the copy, while the ring itself is in order
        raise Fault("key_ring", str(error)) from None
    data = {"file": str(made), "fingerprint": ring.fingerprint}
    show(data, [f"The key ring {ring.fingerprint} is copied to {made}."], as_json=as_json)


@keys_command.command("rotate")
@json_option
@pass_opening
def _rotate(opening: Opening, *, as_json: bool) -> None:
    """Add a new version of the keys; old ones stay for what was made under them.

    Stop the workers first: one that holds the old ring cannot open what is made under the new.
    Everybody who can still be opened is indexed anew; if that is interrupted, rotate again.
    """
    with opening.office() as office:
        if reports.live_workers(office.ledger, WORKER_SILENT_S):
            message = "workers are running with the ring of today: `dsr down`, rotate, `dsr up`"
            raise Fault("workers_running", message)
        ring = office.keys.rotate()
        instances.require(office.ledger, ring.knows, ring.fingerprint)
        indexed = reindex(office.ledger, ring)
    data = {"fingerprint": ring.fingerprint, "version": ring.version, "indexed": indexed}
    lines = [
        f"The key ring is at version {ring.version} now ({ring.fingerprint}).",
        f"{indexed} identities and promises are indexed anew.",
        "Back it up before anything else: dsr keys backup FILE",
    ]
    show(data, lines, as_json=as_json)


@keys_command.command("fingerprint")
@json_option
@pass_opening
def _fingerprint(opening: Opening, *, as_json: bool) -> None:
    """Print the fingerprint and the public key by which certificates are checked."""
    ring = KeyRing.load(opening.read_settings().key_ring_file)
    data = {
        "fingerprint": ring.fingerprint,
        "version": ring.version,
        "public_key": ring.public_key.hex(),
    }
    lines = [
        f"fingerprint  {ring.fingerprint} (version {ring.version})",
        f"public key   {ring.public_key.hex()}",
    ]
    show(data, lines, as_json=as_json)

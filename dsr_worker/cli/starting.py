"""`dsr init`: a first configuration, commented, that loads as it is. It overwrites nothing."""

from __future__ import annotations

from importlib.resources import files
from pathlib import Path

import click

from dsr_worker.cli.desk import Opening, pass_opening
from dsr_worker.cli.faults import usage
from dsr_worker.cli.names import near
from dsr_worker.cli.output import json_option, show

_STARTER = "dsr_worker.cli.starter"
_POLICIES = "retention_policies"


@click.command("init")
@click.option(
    "--policy",
    "policy",
    default="de-shop",
    show_default=True,
    metavar="NAME",
    help="Which ready-made retention policy to begin with.",
)
@json_option
@pass_opening
def init_command(opening: Opening, *, policy: str, as_json: bool) -> None:
    """Write a first, commented configuration: organisation, an example system, a policy."""
    folder = opening.read_settings().config_dir
    texts = {
        Path("organisation.yaml"): _starter("organisation.yaml").replace("$policy", policy),
        Path("systems/example.yaml"): _starter("example.yaml"),
        Path(f"policies/{policy}.yaml"): _policy(policy),
    }
    if any((folder / "systems").glob("*.yaml")):
        del texts[Path("systems/example.yaml")]
    written = [path for path, text in texts.items() if _write_new(folder / path, text)]
    kept = [path for path in texts if path not in written]
    data = {"folder": str(folder), "written": [*map(str, written)], "kept": [*map(str, kept)]}
    lines = [
        *(f"wrote {folder / path}" for path in written),
        *(f"kept  {folder / path} (it was there)" for path in kept),
        "Now edit them, then: dsr check; dsr up; dsr actor add NAME",
    ]
    show(data, lines, as_json=as_json)


def _starter(name: str) -> str:
    return files(_STARTER).joinpath(name).read_text("utf-8")


def _policy(name: str) -> str:
    ready = sorted(e.name for e in files(_POLICIES).iterdir() if e.name.endswith(".yaml"))
    if f"{name}.yaml" not in ready:
        names = [entry.removesuffix(".yaml") for entry in ready]
        raise usage(f"there is no ready-made policy of that name; {near(name, names)}")
    return files(_POLICIES).joinpath(f"{name}.yaml").read_text("utf-8")


def _write_new(file: Path, text: str) -> bool:
    file.parent.mkdir(mode=0o700, parents=True, exist_ok=True)
    try:
        with file.open("x", encoding="utf-8") as target:
            target.write(text)
    except FileExistsError:
        return False
    return True

"""The commands about keys for backend services: keys list, create, revoke."""

from __future__ import annotations

from typing import Annotated

import typer

from tagwright_admin import account_jsonl, account_screen, moments
from tagwright_admin.connection import USAGE, Json, Refused, Url, connected, only_alone
from tagwright_client import Client

app = typer.Typer(help="List, make and revoke keys for backend services.")

_KEY_BEGINS = "twk_"


@app.callback(invoke_without_command=True)
def _keys(context: typer.Context, url: Url = None, json: Json = False) -> None:
    if only_alone(context):
        list_keys(url=url, json=json)


@app.command("list")
def list_keys(
    user: Annotated[str | None, typer.Option(metavar="NAME", help="Another account's (administrators).")] = None,
    url: Url = None,
    json: Json = False,
) -> None:
    """Show your keys, the newest first, revoked and expired ones included."""
    with connected(url) as client:
        keys = client.list_api_keys(username=user)
        if json:
            for key in keys:
                print(account_jsonl.api_key(key), flush=True)
        else:
            account_screen.show_keys(keys, now=moments.now())


@app.command()
def create(
    name: Annotated[str, typer.Argument(metavar="NAME", help="What the key is for, in your words.")],
    scope: Annotated[
        list[str], typer.Option(help="What it may do: tagging:read, tagging:write, search or admin. May be repeated.")
    ],
    expires: Annotated[
        str | None,
        typer.Option(
            metavar="WHEN", help="After a span (90d, 8w, 12h) or from a date on (2027-01-31). Default: never."
        ),
    ] = None,
    url: Url = None,
    json: Json = False,
) -> None:
    """Make a key and print it, alone, on standard output. It is shown this once."""
    with connected(url) as client:
        expire_time = moments.after(moments.now(), expires, option="--expires") if expires is not None else None
        made = client.create_api_key(name, scope, expire_time=expire_time)
        if json:
            print(account_jsonl.new_api_key(made), flush=True)
        else:
            print(account_screen.safe(made.key), flush=True)
            account_screen.explain_new_key(made.api_key)


@app.command()
def revoke(
    key: Annotated[str, typer.Argument(metavar="ID_OR_PREFIX", help="The key's id, or how it begins (your own keys).")],
    url: Url = None,
    json: Json = False,
) -> None:
    """Make a key invalid, at once and for ever."""
    with connected(url) as client:
        revoked = client.revoke_api_key(_resolved(client, key))
        if json:
            print(account_jsonl.api_key(revoked), flush=True)
        else:
            account_screen.say(f"Revoked {revoked.prefix} ({revoked.name})")


def _resolved(client: Client, given: str) -> str:
    """Return the id meant. The whole key will do as well, yet never leaves this machine as somebody's id."""
    if not given:
        raise Refused("name the key by its id or by how it begins", exit_code=USAGE)
    keys = list(client.list_api_keys())
    if any(key.id == given for key in keys):
        return given
    meant = [key for key in keys if key.prefix.startswith(given) or (key.prefix and given.startswith(key.prefix))]
    meant = [key for key in meant if key.revoke_time is None] or meant[:1]
    if len(meant) > 1:
        several = ", ".join(f"{key.prefix} ({key.name})" for key in meant)
        raise Refused(f"several keys begin so: {several}", exit_code=USAGE)
    if meant:
        return meant[0].id
    if given.startswith(_KEY_BEGINS):
        raise Refused("none of your keys begins so; see: tagwright keys list", exit_code=USAGE)
    return given  # perhaps another account's, which administrators may revoke by its id

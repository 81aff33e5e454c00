"""The commands about oneself: login, logout, whoami, password."""

from __future__ import annotations

import os
from typing import Annotated

import typer

from tagwright_admin import account_jsonl, account_screen, credentials, prompts, screen
from tagwright_admin.connection import (
    FAILED,
    TOKEN_VARIABLE,
    Json,
    Refused,
    Url,
    at_server,
    chosen,
    connected,
    ending,
    open_client,
)
from tagwright_admin.credentials import CredentialsUnusable, Entry
from tagwright_client import Login, TagwrightError, TokenInvalid

PasswordFile = Annotated[
    str | None,
    typer.Option(metavar="FILE", help="Read the password from FILE, - for standard input, instead of asking."),
]


def login(
    username: Annotated[str | None, typer.Argument(help="Who signs in. Default: asked for.")] = None,
    password_file: PasswordFile = None,
    url: Url = None,
    ca_file: Annotated[
        str | None, typer.Option(metavar="FILE", help="The server's certificate is signed by this authority (PEM).")
    ] = None,
    client_certificate: Annotated[
        str | None, typer.Option(metavar="FILE", help="Show this certificate to a server that asks for one (PEM).")
    ] = None,
    client_key: Annotated[str | None, typer.Option(metavar="FILE", help="The key of that certificate (PEM).")] = None,
    insecure: Annotated[
        bool, typer.Option("--insecure", help="Send password and token to another machine in plaintext.")
    ] = False,
    json: Json = False,
) -> None:
    """Sign in to a server; later commands go there and are signed with the session.

    The session and the options of the connection are kept in a file that only you can read.
    """
    with ending():
        kept = credentials.load()  # before anybody types a password
        where = chosen(url, kept)
        before = kept.servers.get(where)
        connection = Entry(
            token="",
            username="",
            ca_file=_whole(ca_file) or (before.ca_file if before else None),
            client_certificate_file=_whole(client_certificate) or (before.client_certificate_file if before else None),
            client_key_file=_whole(client_key) or (before.client_key_file if before else None),
            insecure=insecure or (before is not None and before.insecure),
        )
        with at_server(where), open_client(where, connection, token=None) as client:
            if username is None:
                username = prompts.ask("User name", otherwise="name the user: tagwright login NAME")
            password = prompts.read_passwords(password_file)[0] if password_file else prompts.ask_password()
            session = client.login(username, password)
            try:
                credentials.keep(where, _entry(session, connection))
            except CredentialsUnusable:
                client.logout()  # nobody could use it
                raise
        if os.environ.get(TOKEN_VARIABLE):
            screen.complain(f"{TOKEN_VARIABLE} is set and goes before this login; unset it to use the login")
        if json:
            print(account_jsonl.login(session, url=where), flush=True)
        else:
            account_screen.show_login(session, url=where)


def logout(url: Url = None, json: Json = False) -> None:
    """End the session on the server and forget it here."""
    with ending():
        kept = credentials.load()
        where = chosen(url, kept)
        entry = kept.servers.get(where)
        if entry is None:
            hint = f" ({TOKEN_VARIABLE} is set: unset it)" if os.environ.get(TOKEN_VARIABLE) else ""
            raise Refused(f"Not signed in to {where}{hint}")
        try:
            with open_client(where, entry, token=entry.token) as client:
                client.logout()
        except TokenInvalid:
            pass  # it had ended by itself
        except TagwrightError as err:
            credentials.forget(where, token=entry.token)
            screen.complain(f"Forgot the session of {where}, but could not end it on the server: {err}")
            raise typer.Exit(FAILED) from err
        credentials.forget(where, token=entry.token)
        if json:
            print(account_jsonl.logout(url=where), flush=True)
        else:
            account_screen.say(f"Signed out of {where}")


def who_am_i(url: Url = None, json: Json = False) -> None:
    """Show who you are to the server, and what you may do."""
    with connected(url) as client:
        me = client.who_am_i()
        if json:
            print(account_jsonl.who_am_i(me, url=client.url), flush=True)
        else:
            account_screen.show_who_am_i(me, url=client.url)


def password(
    password_file: Annotated[
        str | None,
        typer.Option(
            metavar="FILE",
            help="Read the current password from the first line of FILE and the new one from the second, - for "
            "standard input, instead of asking.",
        ),
    ] = None,
    url: Url = None,
    json: Json = False,
) -> None:
    """Change your own password; your other sessions end, your keys stay valid."""
    with connected(url) as client:
        if password_file:
            current, new = prompts.read_passwords(password_file, count=2)
        else:
            current = prompts.ask_password("Current password")
            new = prompts.ask_new_password()
        client.change_password(current, new)
        if json:
            print(account_jsonl.password_changed(url=client.url), flush=True)
        else:
            account_screen.say("Password changed; your other sessions have ended")


def _entry(session: Login, connection: Entry) -> Entry:
    return Entry(
        token=session.access_token,
        username=session.user.username,
        expire_time=credentials.time_text(session.expire_time),
        ca_file=connection.ca_file,
        client_certificate_file=connection.client_certificate_file,
        client_key_file=connection.client_key_file,
        insecure=connection.insecure,
    )


def _whole(path: str | None) -> str | None:
    return os.path.abspath(path) if path is not None else None  # later commands run in other folders

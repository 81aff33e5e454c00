"""The commands about accounts, for administrators: users list, show, create, update, delete."""

from __future__ import annotations

from enum import Enum
from typing import Annotated

import typer

from tagwright_admin import account_jsonl, account_screen, prompts
from tagwright_admin.connection import USAGE, Json, Refused, Url, connected, ending, only_alone
from tagwright_admin.sign_in import PasswordFile
from tagwright_client import User

app = typer.Typer(help="List, make, change and delete accounts (administrators).")

Name = Annotated[str, typer.Argument(metavar="NAME", help="The account's user name.")]


class Role(str, Enum):
    """The roles, as they are written on a command line."""

    USER = "user"
    ADMIN = "admin"


@app.callback(invoke_without_command=True)
def _users(context: typer.Context, url: Url = None, json: Json = False) -> None:
    if only_alone(context):
        list_users(url=url, json=json)


@app.command("list")
def list_users(url: Url = None, json: Json = False) -> None:
    """Show all accounts, by name."""
    with connected(url) as client:
        users = client.list_users()
        if json:
            for user in users:
                print(account_jsonl.user(user), flush=True)
        else:
            account_screen.show_users(users)


@app.command()
def show(name: Name, url: Url = None, json: Json = False) -> None:
    """Show one account."""
    with connected(url) as client:
        _tell(client.get_user(name), json=json)


@app.command()
def create(
    name: Name,
    admin: Annotated[bool, typer.Option("--admin", help="Make an administrator.")] = False,
    password_file: PasswordFile = None,
    url: Url = None,
    json: Json = False,
) -> None:
    """Make an account; asks for its first password."""
    with connected(url) as client:
        password = _new_password(password_file)
        _tell(client.create_user(name, password, role="ADMIN" if admin else "USER"), json=json)


@app.command()
def update(
    name: Name,
    role: Annotated[Role | None, typer.Option(help="Its new role.")] = None,
    disabled: Annotated[
        bool | None,
        typer.Option("--disable/--enable", help="Switch the account and its keys off or on. Off ends its sessions."),
    ] = None,
    reset_password: Annotated[
        bool, typer.Option("--reset-password", help="Ask for a new password; ends its sessions.")
    ] = False,
    password_file: PasswordFile = None,
    url: Url = None,
    json: Json = False,
) -> None:
    """Change an account: its role, whether it is disabled, its password."""
    with ending():
        if role is None and disabled is None and not reset_password and not password_file:
            options = "--role, --disable, --enable, --reset-password or --password-file"
            raise Refused(f"say what shall change: {options}", exit_code=USAGE)
        if reset_password and password_file:
            raise Refused("--reset-password asks for a password, --password-file reads it: not both", exit_code=USAGE)
    with connected(url) as client:
        user = client.update_user(
            name,
            role=role.name if role is not None else None,
            disabled=disabled,
            password=_new_password(password_file) if reset_password or password_file else None,
        )
        _tell(user, json=json)


@app.command()
def delete(
    name: Name,
    yes: Annotated[bool, typer.Option("--yes", "-y", help="Do not ask.")] = False,
    url: Url = None,
    json: Json = False,
) -> None:
    """Delete an account with its sessions and keys."""
    with connected(url) as client:
        question = f"Delete {account_screen.safe(name)} with its sessions and keys at {client.url}?"
        if not yes and not prompts.confirmed(question, otherwise="say --yes"):
            raise Refused("nothing was deleted")
        client.delete_user(name)
        if json:
            print(account_jsonl.user_deleted(name), flush=True)
        else:
            account_screen.say(f"Deleted {name}")


def _new_password(password_file: str | None) -> str:
    return prompts.read_passwords(password_file)[0] if password_file else prompts.ask_new_password()


def _tell(user: User, *, json: bool) -> None:
    if json:
        print(account_jsonl.user(user), flush=True)
    else:
        account_screen.show_users([user])

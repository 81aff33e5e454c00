"""Passwords and tokens leave no trace: not in the database, not in the log, not in errors, not in a repr.

Everything that handles a secret is done once, and then what is left of it is searched, in every form it could have.
"""

from __future__ import annotations

import base64
import uuid
from collections.abc import Callable, Iterable
from dataclasses import dataclass, field
from datetime import timedelta
from pathlib import Path
from typing import Any

import grpc
import postgres
import pytest
from accounts import signed_in
from clocks import MovedClock
from google.protobuf.message import Message
from processes import serving
from secrecy import WATCH, found, token_forms
from servers import ADMIN, PASSWORD, PATIENCE_S, Running, bearer, connected, failure_of, running
from stores import database_of

from tagwright.v1 import auth_service_pb2 as pb
from tagwright.v1.auth_service_pb2_grpc import AuthServiceStub
from tagwright_server.app import App
from tagwright_server.clock import SystemClock
from tagwright_server.data import open_data
from tagwright_server.domain import tokens
from tagwright_server.domain.access import Actor, Caller
from tagwright_server.domain.deadline import Deadline
from tagwright_server.errors import StartupError
from tagwright_server.settings import Settings
from tagwright_server.store.records import Role, Scope

# Mixed case and more than ASCII, so that folding one or storing it in another way would show as well.
FIRST, CHANGED, RESET = "Färst-Passwort zum Anmelden", "Chänged-Passwort danach", "Räset-Passwort vom Chef"
AS_NAME, WRONG = "Getippt-Wo-Der-Name-Hingehört", "Fälsches-Passwort beim Anmelden"
ANN = "ann-in-the-tests"  # long enough to be searched for
SHORT, LONG, COMMON = "Kürz-77", "Länge-" * 40, "Password1"
PASSWORDS = [PASSWORD, FIRST, CHANGED, RESET, AS_NAME, WRONG, LONG]
WATCH.know(*PASSWORDS)


@dataclass
class Life:
    """All the secrets that went through a server, and how it refused."""

    tokens: list[str] = field(default_factory=list)
    answers: list[bytes] = field(default_factory=list)
    request_ids: list[uuid.UUID] = field(default_factory=list)
    errors: list[bytes] = field(default_factory=list)
    seen: list[bytes] = field(default_factory=list)  # what the database has to hold, so that a search can find anything

    def secrets(self) -> list[bytes]:
        """Everything that must not be found."""
        random = [form for token in self.tokens for form in token_forms(token)]
        names = [name for id in self.request_ids for name in (str(id).encode(), id.bytes)]
        return [*(password.encode() for password in PASSWORDS), *random, *names, *self.answers]


class Living:
    """Makes calls, and remembers what of them is secret."""

    def __init__(self, stranger: grpc.Channel) -> None:
        self.life = Life()
        self._stub: Any = AuthServiceStub(stranger)

    def call(self, method: str, request: Any, token: str | None = None) -> Any:
        return getattr(self._stub, method)(request, **self._options(token))

    def once(self, method: str, request: Any, token: str) -> Any:
        """The call with a request_id, twice: the second answer is the first one, replayed."""
        request_id = uuid.uuid4()
        request.request_id = str(request_id)
        self.life.request_ids.append(request_id)
        answer, again = (self.call(method, request, token) for _ in range(2))
        assert answer == again
        if len(answer.SerializeToString()) >= 8:  # some say nothing
            self.life.answers.append(answer.SerializeToString())
        return answer

    def refused(self, reason: str, method: str, request: Message, token: str | None = None) -> None:
        failure = failure_of(getattr(self._stub, method), request, **self._options(token))
        assert failure.info.reason == reason, failure
        self.life.errors.append(failure.status.SerializeToString() + failure.text.encode())

    def sign_in(self, username: str, password: str) -> str:
        answer = self.call("Login", pb.LoginRequest(username=username, password=password))
        self.life.tokens.append(answer.access_token)
        self.life.answers.append(answer.SerializeToString())
        return str(answer.access_token)

    def make_key(self, name: str, token: str, **options: Any) -> Any:
        request = pb.CreateApiKeyRequest(name=name, scopes=["tagging:read"], **options)
        made = self.once("CreateApiKey", request, token)
        self.life.tokens.append(made.key)
        self.life.seen += [made.api_key.prefix.encode(), tokens.digest(made.key)]
        return made

    def _options(self, token: str | None) -> dict[str, Any]:
        return {"timeout": PATIENCE_S, "metadata": bearer(token) if token is not None else ()}


def lived(stranger: grpc.Channel, admin: str) -> Life:
    """Do whatever handles a secret, right and wrong."""
    living = Living(stranger)
    living.life.tokens.append(admin)
    living.once("CreateUser", pb.CreateUserRequest(username=ANN, password=FIRST), admin)
    living.life.seen.append(ANN.encode())
    session, other = (living.sign_in(ANN, FIRST) for _ in range(2))
    _sign_in_wrongly(living)
    made = living.make_key("a key for ann", session)
    assert living.call("WhoAmI", pb.WhoAmIRequest(), made.key).user.username == ANN
    _change_passwords(living, session)
    living.refused("TOKEN_INVALID", "WhoAmI", pb.WhoAmIRequest(), other)
    living.once("UpdateUser", pb.UpdateUserRequest(username=ANN, password=RESET), admin)
    living.refused("TOKEN_INVALID", "WhoAmI", pb.WhoAmIRequest(), session)
    for password in (SHORT, LONG, COMMON):
        for method, kind in (("CreateUser", pb.CreateUserRequest), ("UpdateUser", pb.UpdateUserRequest)):
            username = "bob" if method == "CreateUser" else ANN
            living.refused("ARGUMENT_INVALID", method, kind(username=username, password=password), admin)
    reused = pb.CreateUserRequest(username="bob", password=WRONG, request_id=str(living.life.request_ids[0]))
    living.refused("REQUEST_ID_REUSED", "CreateUser", reused, admin)
    living.once("RevokeApiKey", pb.RevokeApiKeyRequest(id=made.api_key.id), admin)
    living.refused("TOKEN_INVALID", "WhoAmI", pb.WhoAmIRequest(), made.key)
    ending = living.sign_in(ANN, RESET)
    living.call("Logout", pb.LogoutRequest(), ending)
    living.refused("TOKEN_INVALID", "WhoAmI", pb.WhoAmIRequest(), ending)
    living.refused("TOKEN_INVALID", "WhoAmI", pb.WhoAmIRequest(), f"tws_{FIRST}".encode().hex())
    return living.life


def _sign_in_wrongly(living: Living) -> None:
    for username, password in ((ANN, WRONG), ("nobody", WRONG), (AS_NAME, ""), (AS_NAME, FIRST), (ANN, AS_NAME)):
        living.refused("LOGIN_FAILED", "Login", pb.LoginRequest(username=username, password=password))


def _change_passwords(living: Living, token: str) -> None:
    for current, new, reason in (
        (WRONG, CHANGED, "LOGIN_FAILED"),
        (FIRST, SHORT, "ARGUMENT_INVALID"),
        (FIRST, LONG, "ARGUMENT_INVALID"),
        (FIRST, COMMON, "ARGUMENT_INVALID"),
    ):
        request = pb.ChangePasswordRequest(current_password=current, new_password=new)
        living.refused(reason, "ChangePassword", request, token)
    living.once("ChangePassword", pb.ChangePasswordRequest(current_password=FIRST, new_password=CHANGED), token)


@pytest.fixture
def dump(tmp_path: Path, database: dict[str, Any]) -> Callable[[], bytes]:
    """All that the database keeps, as whoever steals it has it: the files of SQLite, the rows of PostgreSQL."""

    def files() -> bytes:
        kept = [path for path in (tmp_path / "data").iterdir() if path.name.startswith("tagwright.sqlite3")]
        return b"\n".join(path.read_bytes() for path in kept)

    def rows() -> bytes:
        server, name = postgres.server(), database_of(database["database"])
        of_ours = (
            "SELECT format('%I.%I', schemaname, tablename) FROM pg_tables WHERE schemaname !~ '^(pg_|information)'"
        )
        tables = [table for (table,) in server.sql(of_ours, database=name)]
        kept = [row for table in tables for (row,) in server.sql(f"SELECT t::text FROM {table} t", database=name)]
        return "\n".join(kept).encode()

    return rows if database else files


def sought(secrets: Iterable[bytes], *places: bytes) -> list[bytes]:
    """The secrets that are in one of the places."""
    return [secret for place in places for secret in found(place, secrets)]


def test_neither_the_database_nor_an_error_holds_a_secret(
    repository: Path, tmp_path: Path, database: dict[str, Any], dump: Callable[[], bytes]
) -> None:
    clock = MovedClock()
    free: dict[str, Any] = {"account_failures_max": 1000, "peer_failures_max": 1000}
    with running(repository, clock=clock, data_folder=tmp_path / "data", **free, **database) as server:
        life = lived(server.stranger, server.token)
        life.tokens += _expired(server, clock)
        while_it_runs = dump()
    afterwards = dump()
    for kept in (while_it_runs, afterwards):
        assert sought(life.seen, kept) == life.seen  # or it was not the database that was searched
        assert sought(life.secrets(), kept) == []
    assert len(life.errors) > 15
    assert sought(life.secrets(), *life.errors) == []
    assert sought([COMMON.encode()], while_it_runs, afterwards, *life.errors) == []
    assert not any(SHORT.encode() in place for place in (while_it_runs, afterwards, *life.errors))


def _expired(server: Running, clock: MovedClock) -> list[str]:
    """Tokens that were refused for their age, after which the store has other things to write."""
    living = Living(server.stranger)
    session = server.sign_in("eve")
    request = pb.CreateApiKeyRequest(name="short", scopes=["search"])
    request.expire_time.FromDatetime(clock.now() + timedelta(hours=1))
    key = living.call("CreateApiKey", request, session).key
    with clock.moved(timedelta(hours=13)):
        for token in (session, key, server.token):
            living.refused("TOKEN_INVALID", "WhoAmI", pb.WhoAmIRequest(), token)
    return [session, key]


def test_the_log_of_a_server_that_tells_everything_holds_no_secret(
    repository: Path, tmp_path: Path, database: dict[str, Any]
) -> None:
    folder = tmp_path / "data"
    admin = signed_in(folder, **database)
    expired = signed_in(folder, lasts=timedelta(hours=-1), **database)
    flags = ["--data-folder", folder, "--bcrypt-cost", 4, "--log-level", "debug", "--stop-notice-s", 0]
    flags += ["--account-failures-max", 1000, "--peer-failures-max", 1000]
    flags += [flag for name, value in database.items() for flag in (f"--{name}", value)]
    with serving(repository, *flags) as (process, address), connected(address) as stranger:
        life = lived(stranger, admin)
        Living(stranger).refused("TOKEN_INVALID", "WhoAmI", pb.WhoAmIRequest(), expired)
        process.process.terminate()
        code, rest = process.end()
    log = "\n".join([*process.said, rest]).encode()
    assert code == 0
    assert log.count(b"AuthService/Login: ") >= 8  # it did tell everything
    assert sought([*life.secrets(), *token_forms(expired)], log) == []
    assert sought([COMMON.encode()], log) == []


def test_no_repr_of_a_setting_or_an_error_at_the_start_shows_the_databases_password(tmp_path: Path) -> None:
    secret = "S3cret-of-the-database"
    settings = Settings(
        data_folder=tmp_path, database=f"postgresql://ada:{secret}@127.0.0.1:1/none", database_timeout_s=0.5
    )
    assert secret in settings.database
    assert secret not in repr(settings) + str(settings)
    with pytest.raises(StartupError) as caught, open_data(settings):
        pass
    assert secret not in str(caught.value) + repr(caught.value)


def test_no_repr_of_what_the_domain_hands_on_shows_a_secret(server: Running) -> None:
    app: App = server.app
    soon = Deadline(PATIENCE_S, SystemClock())
    made = app.auth.sign_in.login(ADMIN, PASSWORD, peer="test", group="test", deadline=soon)
    caller = Caller(made.account, frozenset(Scope), "test", session=made.session)
    key = app.auth.api_keys.create("key", ["search"], expires=None, by=caller)
    hashed = app.auth.passwords.hash(FIRST)
    reset = app.auth.accounts.create("reset", password_hash=hashed, role=Role.USER, by=Actor("", "local", ""))
    change = app.auth.sign_in.check_change(caller, current=PASSWORD, new=FIRST, group="test", deadline=soon)
    pepper = app.data.pepper
    secrets = [*token_forms(made.token), *token_forms(key.token), PASSWORD.encode(), FIRST.encode(), pepper]
    secrets += [hashed.encode(), change.kept.encode(), change.instead_of.encode()]
    for value in (made, key, caller, caller.actor, reset, change, app.data, app.auth):
        shown = f"{value!r} {value}".encode()
        assert sought(secrets, shown) == []
        assert repr(pepper).encode() not in shown
    assert sought([base64.b64encode(pepper)], repr(app.data).encode()) == []

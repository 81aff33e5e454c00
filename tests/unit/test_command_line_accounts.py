"""The commands about users, keys and the record of what was done: tables, JSON lines, exit codes."""

from __future__ import annotations

import json
import time
from collections.abc import Callable, Iterator
from dataclasses import dataclass
from datetime import datetime, timedelta, timezone
from pathlib import Path
from typing import Any

import fake_auth
import fake_tagging
import pytest
from fake_auth import PASSWORD, FakeAuth
from google.protobuf.timestamp_pb2 import Timestamp
from terminals import converse
from typer.testing import CliRunner

from tagwright.v1 import audit_pb2, user_pb2
from tagwright_admin import moments
from tagwright_admin.commands import app
from tagwright_admin.connection import Refused


@dataclass(frozen=True)
class Done:
    """How the command ended and what it wrote."""

    returncode: int
    stdout: str
    stderr: str

    @property
    def lines(self) -> list[dict[str, Any]]:
        return [json.loads(line) for line in self.stdout.splitlines()]


def run(*arguments: str, stdin: str | None = None) -> Done:
    done = CliRunner().invoke(app, list(arguments), input=stdin)
    return Done(done.exit_code, done.stdout, done.stderr)


@pytest.fixture
def environment(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("TAGWRIGHT_CONFIG_DIR", str(tmp_path / "config"))
    monkeypatch.setenv("COLUMNS", "80")
    monkeypatch.setenv("TZ", "UTC")
    time.tzset()


@pytest.fixture
def fake(environment: None, monkeypatch: pytest.MonkeyPatch) -> Iterator[FakeAuth]:
    """Give a server at which an administrator is signed in, as the environment says."""
    with fake_auth.serving() as fake:
        monkeypatch.setenv("TAGWRIGHT_URL", fake.url)
        monkeypatch.setenv("TAGWRIGHT_TOKEN", fake.session("ada"))
        yield fake


@pytest.fixture
def password_file(tmp_path: Path) -> str:
    (tmp_path / "password").write_text("a first password\n")
    return f"--password-file={tmp_path / 'password'}"


def names(done: Done) -> list[str]:
    """The first column of a table, without its title."""
    return [line.split()[0] for line in done.stdout.splitlines()[1:]]


def test_users_are_a_table_for_people_and_lines_for_programs(fake: FakeAuth) -> None:
    fake.users["bob"].disabled = True
    fake.users["zoë\x1b[31m"] = user_pb2.User(username="zoë\x1b[31m", role=user_pb2.ROLE_USER)
    for arguments in (["users"], ["users", "list"]):
        done = run(*arguments)
        assert (done.returncode, done.stderr) == (0, "")
        assert names(done) == ["ada", "bob", r"zoë\x1b[31m"]
        assert "administrator" in done.stdout
        assert "disabled" in done.stdout
    for arguments in (["users", "--json"], ["users", "list", "--json"]):
        first, second, third = run(*arguments).lines
        assert set(first) == {"id", "username", "role", "disabled", "create_time", "update_time", "last_login_time"}
        assert (first["username"], first["role"], first["create_time"]) == ("ada", "ADMIN", "2026-11-01T08:00:00+00:00")
        assert (second["disabled"], third["create_time"]) == (True, None)
    shown = run("users", "show", "ada", "--json").lines
    assert shown == [first]


def test_a_user_is_made_changed_and_deleted(fake: FakeAuth, password_file: str) -> None:
    made = run("users", "create", "eve", "--admin", password_file, "--json")
    assert (made.returncode, made.lines[0]["role"]) == (0, "ADMIN")
    assert fake.passwords["eve"] == "a first password"
    assert run("users", "update", "eve", "--role=user", "--json").lines[0]["role"] == "USER"
    assert run("users", "update", "eve", "--disable", "--json").lines[0]["disabled"]
    assert not run("users", "update", "eve", "--enable", "--json").lines[0]["disabled"]
    changed = CliRunner().invoke(app, ["users", "update", "eve", "--password-file=-"], input="wörd, with a blank \n")
    assert changed.exit_code == 0
    assert fake.passwords["eve"] == "wörd, with a blank "
    deleted = run("users", "delete", "eve", "--yes", "--json")
    assert (deleted.returncode, deleted.lines) == (0, [{"username": "eve", "deleted": True}])
    assert "eve" not in fake.users
    assert run("users", "create", "joe", password_file).returncode == 0
    assert fake.users["joe"].role == user_pb2.ROLE_USER


@pytest.mark.parametrize(
    "arguments",
    [
        ["users", "update", "bob"],
        ["users", "update", "bob", "--role=owner"],
        ["users", "update", "bob", "--reset-password", "--password-file=-"],
        ["users", "create", "eve"],  # no terminal to ask on
        ["users", "delete", "bob"],
        ["users", "show"],
        ["users", "show", "nobody"],
        ["users", "--url=grpc://127.0.0.1:1", "show", "bob"],
        ["users", "--json", "list"],
        ["users", "no-such-command"],
        ["keys", "create", "ci"],
        ["keys", "create", "ci", "--scope=search", "--expires=soon"],
        ["keys", "create", "ci", "--scope=search", "--expires=99999999w"],
        ["keys", "revoke", "twk_nobody"],
        ["keys", "revoke", ""],
        ["audit", "--since=yesterday"],
        ["audit", "-n", "0"],
        ["users", "create", "eve", "--password-file=/no/such/file"],
    ],
)
def test_a_wrong_command_line_ends_with_2_and_changes_nothing(fake: FakeAuth, arguments: list[str]) -> None:
    before = {name: user.SerializeToString() for name, user in fake.users.items()}
    done = run(*arguments)
    assert (done.returncode, done.stdout) == (2, "")
    assert done.stderr
    assert {name: user.SerializeToString() for name, user in fake.users.items()} == before
    assert fake.keys == {}


@pytest.mark.parametrize(
    "content",
    [b"", b"\n", b"two\nlines\n", b"\xff\xfe secret", b"secret" * 20_000],
    ids=["empty", "blank", "lines", "binary", "large"],
)
def test_a_password_file_that_is_none_is_refused_and_not_shown(fake: FakeAuth, tmp_path: Path, content: bytes) -> None:
    (tmp_path / "password").write_bytes(content)
    done = run("users", "create", "eve", f"--password-file={tmp_path / 'password'}")
    assert (done.returncode, done.stdout) == (2, "")
    assert str(tmp_path / "password") in done.stderr
    assert "secret" not in done.stderr
    assert fake.called("CreateUser") == []


def test_a_refusal_of_the_server_is_one_line_and_ends_with_1(
    fake: FakeAuth, password_file: str, monkeypatch: pytest.MonkeyPatch
) -> None:
    taken = run("users", "create", "bob", password_file)
    assert (taken.returncode, taken.stdout, taken.stderr) == (1, "", "there is a bob already\n")
    last = run("users", "update", "ada", "--role=user")
    assert (last.returncode, last.stderr) == (1, "nobody would be left\n")
    monkeypatch.setenv("TAGWRIGHT_TOKEN", fake.session("bob"))
    missing = run("users")
    assert (missing.returncode, missing.stderr) == (1, "this takes an administrator\n")


def test_what_the_server_says_cannot_reach_the_terminal_as_it_is(fake: FakeAuth) -> None:
    failure = fake_tagging.status(7, "no\x1b]0;owned\x07", reason="SCOPE_MISSING")
    fake.behave = lambda call, attempt, context: fake_tagging.abort(context, failure)
    done = run("users")
    assert r"no\x1b]0;owned\x07" in done.stderr


@pytest.mark.parametrize(
    "arguments",
    [
        ["whoami"],
        ["users"],
        ["users", "show", "bob"],
        ["keys"],
        ["keys", "create", "ci", "--scope=search"],
        ["audit"],
        ["models"],
        ["tag", "-"],
    ],
)
def test_whoever_is_not_signed_in_is_told_how_in_one_line(
    fake: FakeAuth, arguments: list[str], monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.delenv("TAGWRIGHT_TOKEN")
    refusal = fake_tagging.status(16, "the token is missing", reason="TOKEN_INVALID")

    def refuse(request: object, context: Any) -> Any:
        fake_tagging.abort(context, refusal)

    fake.tagging.behave = lambda attempt, request, context: refuse(request, context)
    fake.tagging.models = refuse
    done = run(*arguments, stdin="dog")
    assert (done.returncode, done.stdout) == (1, "")
    assert done.stderr == f"Sign in first: tagwright login --url {fake.url}\n"
    monkeypatch.setenv("TAGWRIGHT_TOKEN", "tws_ended")
    assert "TAGWRIGHT_TOKEN is set" in run(*arguments, stdin="dog").stderr


def test_a_new_key_is_alone_on_standard_output(fake: FakeAuth) -> None:
    done = run("keys", "create", "ci", "--scope=tagging:read", "--scope", "search")
    (key,) = fake.keys
    assert (done.returncode, done.stdout) == (0, f"{key}\n")
    assert key not in done.stderr
    assert "ci" in done.stderr
    assert list(fake.keys[key].scopes) == ["tagging:read", "search"]
    assert not fake.keys[key].HasField("expire_time")
    (line,) = run("keys", "create", "two", "--scope=search", "--expires=2027-01-31", "--json").lines
    assert line["key"] in fake.keys
    assert line["expire_time"] == "2027-01-31T00:00:00+00:00"
    run("keys", "create", "three", "--scope=search", "--expires=90d")
    expires = list(fake.keys.values())[-1].expire_time.ToDatetime(tzinfo=timezone.utc)
    assert timedelta(days=89, hours=23) < expires - datetime.now(timezone.utc) <= timedelta(days=90)


def test_keys_are_listed_with_their_state(fake: FakeAuth) -> None:
    for name in ("old", "gone", "good"):
        run("keys", "create", name, "--scope=search")
    old, gone, _good = fake.keys.values()
    old.expire_time.CopyFrom(Timestamp(seconds=1_000_000_000))
    gone.revoke_time.CopyFrom(Timestamp(seconds=1_000_000_000))
    for arguments in (["keys"], ["keys", "list"], ["keys", "list", "--user=ada"]):
        done = run(*arguments)
        assert done.returncode == 0
        states = {line.split()[1]: line for line in done.stdout.splitlines()[1:]}
        assert list(states) == ["good", "gone", "old"]
        assert "expired" in states["old"]
        assert "revoked" in states["gone"]
        assert "expired" not in states["good"] + states["gone"]
        assert "key-3" in states["good"]  # nothing is cut, however narrow the terminal
    (first, *_) = run("keys", "--json").lines
    assert set(first) == {
        "id", "name", "prefix", "scopes", "username", "create_time", "expire_time", "last_use_time", "revoke_time",
    }  # fmt: skip


def test_a_key_is_revoked_by_its_id_its_beginning_or_itself(fake: FakeAuth) -> None:
    for name in ("a", "b", "c"):
        run("keys", "create", name, "--scope=search")
    by_id, by_prefix, whole = fake.keys
    for given in ("key-1", by_prefix[:12], whole):
        done = run("keys", "revoke", given)
        assert (done.returncode, done.stderr) == (0, "")
    assert all(key.HasField("revoke_time") for key in fake.keys.values())
    assert [call.request.id for call in fake.called("RevokeApiKey")] == ["key-1", "key-2", "key-3"]
    assert by_id not in fake.tokens


def test_a_beginning_that_several_keys_share_revokes_none(fake: FakeAuth) -> None:
    for name in ("a", "b"):
        run("keys", "create", name, "--scope=search")
    done = run("keys", "revoke", "twk_")
    assert done.returncode == 2
    assert "several keys begin so" in done.stderr
    assert fake.called("RevokeApiKey") == []
    (first, second) = fake.keys.values()
    first.revoke_time.GetCurrentTime()
    assert run("keys", "revoke", "twk_").returncode == 0  # only one is left to mean
    assert second.HasField("revoke_time")


def test_a_whole_key_that_is_not_ours_is_not_sent_anywhere(fake: FakeAuth) -> None:
    done = run("keys", "revoke", "twk_SecretSecretSecret")
    assert done.returncode == 2
    assert "Secret" not in done.stderr
    assert fake.called("RevokeApiKey") == []


def test_another_accounts_key_is_revoked_by_its_id(fake: FakeAuth) -> None:
    done = run("keys", "revoke", "key-of-bob")
    assert (done.returncode, done.stderr) == (2, "no such key\n")
    assert fake.called("RevokeApiKey")[0].request.id == "key-of-bob"


def test_what_was_done_is_shown_the_latest_first(fake: FakeAuth) -> None:
    fake.page_size = 3
    fake.events = [
        audit_pb2.AuditEvent(
            id=number,
            time=Timestamp(seconds=1_800_000_000 + number),
            actor="" if number == 9 else "ada",
            credential="session",
            peer="192.0.2.7",
            action="user.update",
            target="eve\x07",
            details={"role": "ROLE_ADMIN", "disabled": "true"},
        )
        for number in range(9, 0, -1)
    ]
    done = run("audit")
    assert (done.returncode, done.stderr) == (0, "")
    first = done.stdout.splitlines()[1]
    assert first.split()[:3] == ["2027-01-15", "08:00:09", "-"]
    for shown in ("user.update", r"eve\x07", "192.0.2.7", "session", "disabled: true, role: ROLE_ADMIN"):
        assert shown in first
    assert len(done.stdout.splitlines()) == 10
    fake.calls.clear()
    lines = run("audit", "-n", "4", "--json", "--actor=ada", "--action=user.", "--since=7d", "--until=2027-01-31").lines
    assert [line["id"] for line in lines] == [9, 8, 7, 6]
    assert set(lines[0]) == {"id", "time", "actor", "credential", "peer", "action", "target", "details"}
    assert (lines[0]["time"], lines[0]["details"]["role"]) == ("2027-01-15T08:00:09+00:00", "ROLE_ADMIN")
    assert len(fake.calls) == 2  # no page is read that nobody asked for
    request = fake.calls[0].request
    assert (request.actor, request.action) == ("ada", "user.")
    assert request.end_time.ToDatetime() == datetime(2027, 1, 31)
    since = datetime.now(timezone.utc) - request.start_time.ToDatetime(tzinfo=timezone.utc)
    assert timedelta(days=7) <= since < timedelta(days=7, hours=1)


NOW = datetime(2026, 11, 24, 12, 0, tzinfo=timezone.utc)


@pytest.mark.parametrize(
    ("text", "expected"),
    [
        ("90d", NOW + timedelta(days=90)),
        ("12h", NOW + timedelta(hours=12)),
        ("2w", NOW + timedelta(weeks=2)),
        ("2027-01-31", datetime(2027, 1, 31, tzinfo=timezone.utc)),
        ("2027-01-31T10:00:00+02:00", datetime(2027, 1, 31, 8, tzinfo=timezone.utc)),
        ("2027-01-31T10:00:00Z", datetime(2027, 1, 31, 10, tzinfo=timezone.utc)),
    ],
)
def test_moments_are_spans_or_dates(environment: None, text: str, expected: datetime) -> None:
    assert moments.after(NOW, text, option="--expires") == expected
    if not text.startswith("2027"):
        assert moments.before(NOW, text, option="--since") == NOW - (expected - NOW)


@pytest.mark.parametrize("text", ["", "d", "90", "-1d", "1y", "2027-13-01", "999999999w", "٣d", "tomorrow"])
def test_what_is_no_moment_is_refused_with_an_example(text: str) -> None:
    for read in (moments.after, moments.before):
        with pytest.raises(Refused, match="2027-01-31") as caught:
            read(NOW, text, option="--expires")
        assert caught.value.exit_code == 2


@pytest.fixture
def ask(fake: FakeAuth, tmp_path: Path) -> Callable[..., tuple[str, int]]:
    env = {
        "PATH": "/usr/bin:/bin",
        "TAGWRIGHT_URL": fake.url,
        "TAGWRIGHT_CONFIG_DIR": str(tmp_path / "config"),
        "TAGWRIGHT_TOKEN": fake.session("ada"),
    }

    def ask(arguments: list[str], *answers: tuple[str, str]) -> tuple[str, int]:
        return converse(arguments, answers, env=env)

    return ask


def test_passwords_are_asked_for_twice_and_not_shown(fake: FakeAuth, ask: Callable[..., tuple[str, int]]) -> None:
    new = ("New password: ", "Sesame, open\n"), ("New password again: ", "Sesame, open\n")
    shown, exit_code = ask(["users", "create", "eve"], *new)
    assert (exit_code, fake.passwords["eve"]) == (0, "Sesame, open")
    assert "Sesame" not in shown
    shown, exit_code = ask(["users", "update", "bob", "--reset-password"], *new)
    assert (exit_code, fake.passwords["bob"]) == (0, "Sesame, open")
    shown, exit_code = ask(["users", "update", "ada", "--reset-password"], new[0], (new[1][0], "Sesame, close\n"))
    assert (exit_code, fake.passwords["ada"]) == (1, PASSWORD)
    assert "the two differ" in shown


def test_deleting_asks_first(fake: FakeAuth, ask: Callable[..., tuple[str, int]]) -> None:
    question = "Delete bob with its sessions and keys"
    shown, exit_code = ask(["users", "delete", "bob"], (question, "n\n"))
    assert (exit_code, "bob" in fake.users) == (1, True)
    assert "nothing was deleted" in shown
    shown, exit_code = ask(["users", "delete", "bob"], (question, "\x04"))
    assert (exit_code, "bob" in fake.users) == (1, True)
    shown, exit_code = ask(["users", "delete", "bob"], (question, "y\n"))
    assert (exit_code, "bob" in fake.users) == (0, False)
    assert "Deleted bob" in shown

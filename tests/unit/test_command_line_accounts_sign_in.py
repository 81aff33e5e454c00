"""login, logout, whoami, password: what is asked, what is kept, and which server and token later commands use."""

from __future__ import annotations

import json
import os
import stat
import subprocess
import sys
import time
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import fake_auth
import fake_tagging
import grpc
import pytest
import trustme
from fake_auth import PASSWORD, FakeAuth
from terminals import PATIENCE_S, converse
from typer.testing import CliRunner

from tagwright_admin import credentials
from tagwright_admin.commands import app
from tagwright_admin.credentials import Entry


class Result:
    """How the command ended and what it wrote."""

    def __init__(self, exit_code: int, stdout: str, stderr: str) -> None:
        self.exit_code, self.stdout, self.stderr = exit_code, stdout, stderr

    @property
    def line(self) -> dict[str, Any]:
        (line,) = self.stdout.splitlines()
        found: dict[str, Any] = json.loads(line)
        return found


def run(*arguments: str, stdin: str | None = None) -> Result:
    done = CliRunner().invoke(app, list(arguments), input=stdin)
    return Result(done.exit_code, done.stdout, done.stderr)


@pytest.fixture(autouse=True)
def file(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    for name in ("TAGWRIGHT_URL", "TAGWRIGHT_TOKEN", "TAGWRIGHT_CA_FILE"):
        monkeypatch.delenv(name, raising=False)
    monkeypatch.setenv("TAGWRIGHT_CONFIG_DIR", str(tmp_path / "config"))
    monkeypatch.setenv("TZ", "UTC")
    time.tzset()
    return tmp_path / "config" / "credentials.json"


@pytest.fixture
def fake() -> Iterator[FakeAuth]:
    with fake_auth.serving() as fake:
        yield fake


@pytest.fixture
def password_file(tmp_path: Path) -> str:
    (tmp_path / "password").write_text(f"{PASSWORD}\n")
    return f"--password-file={tmp_path / 'password'}"


def test_login_asks_on_the_terminal_and_keeps_the_session_for_its_owner_alone(fake: FakeAuth, file: Path) -> None:
    answers = [("User name: ", "ada\n"), ("Password: ", f"{PASSWORD}\n")]
    shown, exit_code = converse(["login", f"--url={fake.url}"], answers, env=os.environ)
    assert exit_code == 0
    assert f"Signed in to {fake.url} as ada (administrator), until 2027-01-31 12:30\n" in shown
    assert PASSWORD not in shown
    assert stat.S_IMODE(file.stat().st_mode) == 0o600
    (token,) = fake.tokens
    assert token not in shown
    assert credentials.load().servers[fake.url] == Entry(
        token=token, username="ada", expire_time="2027-01-31T12:30:00+00:00"
    )
    assert run("whoami", "--json").line["username"] == "ada"
    assert fake.calls[-1].token == token


def test_no_answer_ends_it_with_1_and_an_interrupt_with_130(fake: FakeAuth) -> None:
    shown, exit_code = converse(["login", "ada", f"--url={fake.url}"], [("Password: ", "\x04")], env=os.environ)
    assert exit_code == 1
    assert "nothing was done" in shown
    script = (
        "import getpass\n"
        "from tagwright_admin import __main__ as command, prompts\n"
        "def interrupt(*given, **named): raise KeyboardInterrupt\n"
        "getpass.getpass, prompts.on_terminal = interrupt, lambda: True\n"
        "command.main()\n"
    )
    command = [sys.executable, "-c", script, "login", "ada", f"--url={fake.url}"]
    assert subprocess.run(command, check=False, timeout=PATIENCE_S, capture_output=True).returncode == 130
    assert fake.calls == []


@pytest.mark.parametrize("arguments", [["login"], ["login", "ada"], ["password"]])
def test_without_a_terminal_a_password_file_is_needed(
    fake: FakeAuth, arguments: list[str], monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setenv("TAGWRIGHT_URL", fake.url)
    done = run(*arguments, stdin=f"ada\n{PASSWORD}\n")
    assert (done.exit_code, done.stdout) == (2, "")
    assert "there is no terminal to ask on" in done.stderr
    assert fake.calls == []


def test_no_option_and_no_variable_takes_a_password(fake: FakeAuth) -> None:
    for command in (["login"], ["password"], ["users", "create"], ["users", "update"]):
        told = run(*command, "--help").stdout
        assert "--password " not in told.replace("--password-file", "").replace("--reset-password", "")
        assert "PASSWORD" not in told
    assert run("login", "ada", f"--password={PASSWORD}", f"--url={fake.url}").exit_code == 2


def test_the_password_may_come_from_a_file_or_standard_input(fake: FakeAuth, password_file: str) -> None:
    done = run("login", "ada", password_file, f"--url={fake.url}", "--json")
    assert (done.exit_code, done.stderr) == (0, "")
    assert done.line == {
        "url": fake.url,
        "username": "ada",
        "role": "ADMIN",
        "expire_time": "2027-01-31T12:30:00+00:00",
        "idle_timeout_s": 1800.0,
    }
    done = run("login", "bob", "--password-file=-", f"--url={fake.url}", stdin=PASSWORD)
    assert done.exit_code == 0
    assert credentials.load().servers[fake.url].username == "bob"


def test_a_failed_login_leaves_the_one_before(fake: FakeAuth, password_file: str, tmp_path: Path) -> None:
    run("login", "ada", password_file, f"--url={fake.url}")
    before = credentials.load()
    (tmp_path / "wrong").write_text("not her password")
    done = run("login", "ada", f"--password-file={tmp_path / 'wrong'}", f"--url={fake.url}")
    assert (done.exit_code, done.stdout, done.stderr) == (1, "", "the user name or the password is wrong\n")
    assert credentials.load() == before


def test_a_file_that_others_can_read_is_refused_before_a_password_is_sent(
    fake: FakeAuth, password_file: str, file: Path
) -> None:
    run("login", "ada", password_file, f"--url={fake.url}")
    file.chmod(0o644)
    fake.calls.clear()
    for command in (["login", "ada", password_file], ["whoami"], ["logout"], ["models"]):
        done = run(*command, f"--url={fake.url}")
        assert (done.exit_code, done.stdout) == (1, "")
        assert f"chmod 600 {file}" in done.stderr
        assert len(done.stderr.splitlines()) == 1
    assert fake.calls == []


def test_a_session_that_cannot_be_kept_is_ended(
    fake: FakeAuth, password_file: str, monkeypatch: pytest.MonkeyPatch
) -> None:
    def full(number: int) -> None:
        raise OSError(28, "No space left on device")

    monkeypatch.setattr(os, "fsync", full)
    done = run("login", "ada", password_file, f"--url={fake.url}")
    assert (done.exit_code, done.stdout) == (1, "")
    assert "No space left" in done.stderr
    assert fake.tokens == {}


def test_the_server_is_the_one_named_else_the_one_signed_in_to_last(
    fake: FakeAuth, password_file: str, monkeypatch: pytest.MonkeyPatch
) -> None:
    with fake_auth.serving() as other:
        run("login", "ada", password_file, f"--url={fake.url}")
        run("login", "bob", password_file, f"--url={other.url}")
        assert run("whoami", "--json").line["url"] == other.url
        assert run("whoami", "--json", f"--url={fake.url}/").line["username"] == "ada"
        monkeypatch.setenv("TAGWRIGHT_URL", fake.url)
        assert run("whoami", "--json").line["url"] == fake.url
        assert run("whoami", "--json", f"--url={other.url}").line["username"] == "bob"


def test_commands_about_photos_are_signed_too(fake: FakeAuth, password_file: str) -> None:
    run("login", "ada", password_file, f"--url={fake.url}")
    (token,) = fake.tokens
    assert run("tag", "-", stdin="dog").exit_code == 0
    assert fake.tagging.metadata[0]["authorization"] == f"Bearer {token}"


def test_the_token_of_the_environment_goes_before_the_file(
    fake: FakeAuth, password_file: str, file: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    run("login", "ada", password_file, f"--url={fake.url}")
    monkeypatch.setenv("TAGWRIGHT_TOKEN", fake.session("bob"))
    assert run("whoami", "--json").line["username"] == "bob"
    again = run("login", "ada", password_file, f"--url={fake.url}")
    assert again.exit_code == 0
    assert "TAGWRIGHT_TOKEN is set and goes before this login" in again.stderr
    file.write_text("broken")  # a service that has its token needs no file
    assert run("whoami", "--json", f"--url={fake.url}").line["username"] == "bob"
    assert run("whoami").exit_code == 1


def test_whoami_says_what_the_token_allows(fake: FakeAuth, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("TAGWRIGHT_URL", fake.url)
    monkeypatch.setenv("TAGWRIGHT_TOKEN", fake.session("ada"))
    shown = run("whoami").stdout
    for part in ("ada (administrator)", fake.url, "a session", "tagging:read, tagging:write", "2027-01-31 12:30"):
        assert part in shown
    key = run("keys", "create", "ci\x07", "--scope=search").stdout.strip()
    monkeypatch.setenv("TAGWRIGHT_TOKEN", key)
    shown = run("whoami").stdout
    for part in (f"key {key[:12]} (ci\\x07)", "search", "never expires"):
        assert part in shown
    assert key not in shown
    line = run("whoami", "--json").line
    assert set(line) == {"url", "username", "role", "scopes", "expire_time", "api_key", "user"}
    assert (line["scopes"], line["expire_time"], line["api_key"]["prefix"]) == (["search"], None, key[:12])


def test_logout_ends_the_session_and_forgets_it(fake: FakeAuth, password_file: str) -> None:
    run("login", "ada", password_file, f"--url={fake.url}")
    done = run("logout")
    assert (done.exit_code, done.stdout, done.stderr) == (0, f"Signed out of {fake.url}\n", "")
    assert fake.tokens == {}
    assert credentials.load().servers == {}
    again = run("logout", f"--url={fake.url}")
    assert (again.exit_code, again.stderr) == (1, f"Not signed in to {fake.url}\n")


def test_a_session_that_had_ended_by_itself_is_forgotten_without_a_fuss(fake: FakeAuth, password_file: str) -> None:
    run("login", "ada", password_file, f"--url={fake.url}")
    fake.tokens.clear()
    assert run("whoami").stderr == f"Sign in first: tagwright login --url {fake.url}\n"
    done = run("logout", "--json")
    assert (done.exit_code, done.line) == (0, {"url": fake.url, "signed_in": False})
    assert credentials.load().servers == {}


def test_logout_from_a_server_that_is_gone_forgets_the_session_and_says_so(password_file: str) -> None:
    with fake_auth.serving() as fake:
        run("login", "ada", password_file, f"--url={fake.url}")
    done = run("logout")
    assert (done.exit_code, done.stdout) == (1, "")
    assert "could not end it on the server" in done.stderr
    assert len(done.stderr.splitlines()) == 1
    assert credentials.load().servers == {}


def test_ones_password_is_changed_by_questions_or_a_file_of_two_lines(
    fake: FakeAuth, password_file: str, tmp_path: Path
) -> None:
    run("login", "ada", password_file, f"--url={fake.url}")
    answers = [
        ("Current password: ", f"{PASSWORD}\n"),
        ("New password: ", "a second password\n"),
        ("New password again: ", "a second password\n"),
    ]
    shown, exit_code = converse(["password"], answers, env=os.environ)
    assert (exit_code, fake.passwords["ada"]) == (0, "a second password")
    assert "Password changed" in shown
    assert "a second password" not in shown
    (tmp_path / "both").write_text("a second password\r\na third password\r\n")
    done = run("password", f"--password-file={tmp_path / 'both'}", "--json")
    assert done.line == {"url": fake.url, "password_changed": True}
    assert fake.passwords["ada"] == "a third password"
    wrong = run("password", f"--password-file={tmp_path / 'both'}")
    assert (wrong.exit_code, wrong.stderr) == (1, "the current password is wrong\n")
    (tmp_path / "both").write_text("only one line\n")
    assert run("password", f"--password-file={tmp_path / 'both'}").exit_code == 2


def test_how_to_connect_is_kept_with_the_login(
    password_file: str, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    authority = trustme.CA()
    pair, ours = authority.issue_cert("127.0.0.1"), authority.issue_cert("ada@example.org")
    authority.cert_pem.write_to_path(tmp_path / "ca.pem")
    ours.private_key_pem.write_to_path(tmp_path / "key.pem")
    ours.cert_chain_pems[0].write_to_path(tmp_path / "cert.pem")
    chain = [(pair.private_key_pem.bytes(), pair.cert_chain_pems[0].bytes())]
    with fake_auth.serving(credentials=grpc.ssl_server_credentials(chain, authority.cert_pem.bytes(), True)) as fake:
        url = f"--url={fake.url}"
        monkeypatch.chdir(tmp_path)  # the files are named as they are seen from here, and kept for everywhere
        files = ["--ca-file=ca.pem", "--client-certificate=cert.pem", "--client-key=key.pem"]
        assert run("login", "ada", password_file, url, *files).exit_code == 0
        monkeypatch.chdir("/")
        assert run("whoami", "--json").line["username"] == "ada"
        assert run("login", "bob", password_file, url).exit_code == 0  # and for the next login there
        assert run("whoami", "--json").line["username"] == "bob"
        monkeypatch.setenv("TAGWRIGHT_TOKEN", fake.session("ada"))
        assert run("whoami", "--json").line["username"] == "ada"
        assert run("login", "ada", password_file, url, "--client-key=/none").exit_code == 2


def test_a_service_names_a_private_authority_in_the_environment(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, fake: FakeAuth
) -> None:
    authority = trustme.CA()
    pair = authority.issue_cert("127.0.0.1")
    authority.cert_pem.write_to_path(tmp_path / "ca.pem")
    chain = [(pair.private_key_pem.bytes(), pair.cert_chain_pems[0].bytes())]
    with fake_auth.serving(credentials=grpc.ssl_server_credentials(chain)) as secure:
        monkeypatch.setenv("TAGWRIGHT_TOKEN", secure.session("bob"))
        unknown = run("whoami", f"--url={secure.url}")
        assert unknown.exit_code == 1
        assert "private authority" in unknown.stderr
        monkeypatch.setenv("TAGWRIGHT_CA_FILE", str(tmp_path / "ca.pem"))
        assert run("whoami", "--json", f"--url={secure.url}").line["username"] == "bob"
        monkeypatch.setenv("TAGWRIGHT_TOKEN", fake.session("bob"))
        assert run("whoami", f"--url={fake.url}").exit_code == 0  # where there is no TLS it does not matter


def test_a_certificate_that_is_not_accepted_is_told_in_one_line() -> None:
    pair = trustme.CA().issue_cert("tags.example")
    chain = [(pair.private_key_pem.bytes(), pair.cert_chain_pems[0].bytes())]
    with fake_auth.serving(credentials=grpc.ssl_server_credentials(chain)) as fake:
        command = [sys.executable, "-m", "tagwright_admin", "whoami", f"--url={fake.url}"]
        done = subprocess.run(command, check=False, timeout=PATIENCE_S, capture_output=True, text=True)
    assert (done.returncode, done.stdout) == (1, "")
    assert "ca_file" in done.stderr
    assert len(done.stderr.splitlines()) == 1  # and none of grpc's own


def test_plaintext_to_another_machine_needs_to_be_said_once(password_file: str) -> None:
    with fake_auth.serving(address="0.0.0.0:0", host="0.0.0.0") as fake:
        url = f"--url={fake.url}"
        refused = run("login", "ada", password_file, url)
        assert (refused.exit_code, refused.stdout) == (2, "")
        assert "--insecure" in refused.stderr
        assert fake.calls == []
        assert run("login", "ada", password_file, url, "--insecure").exit_code == 0
        assert run("whoami", "--json").line["username"] == "ada"


def test_what_the_server_says_about_a_login_cannot_reach_the_terminal_as_it_is(
    fake: FakeAuth, password_file: str
) -> None:
    fake.users["ada"].username = "ada\x1b[31m"
    done = run("login", "ada", password_file, f"--url={fake.url}")
    assert r"ada\x1b[31m" in done.stdout
    failure = fake_tagging.status(16, "no\x07", reason="LOGIN_FAILED")
    fake.behave = lambda call, attempt, context: fake_tagging.abort(context, failure)
    assert run("login", "ada", password_file).stderr == "no\\x07\n"

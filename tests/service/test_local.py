"""`tagwright-server admin`: accounts made on the server's machine, with passwords that no command line shows."""

from __future__ import annotations

import os
import re
import subprocess
import sys
from concurrent.futures import ThreadPoolExecutor
from pathlib import Path

import pytest
from servers import bearer, failure_of, running, serving, sign_in
from terminals import converse

from tagwright.v1 import auth_service_pb2 as pb
from tagwright.v1.auth_service_pb2_grpc import AuthServiceStub
from tagwright_server.data import open_data
from tagwright_server.settings import Settings
from tagwright_server.store.records import Account, Role

COMMAND = [str(Path(sys.executable).with_name("tagwright-server")), "admin"]
PASSWORD = "a fine password"


def admin(folder: Path, *words: str, stdin: str = "") -> subprocess.CompletedProcess[str]:
    command = [*COMMAND, *words, f"--data-folder={folder}", "--bcrypt-cost=4"]
    return subprocess.run(command, input=stdin, capture_output=True, text=True, timeout=60, check=False)


def account(folder: Path, name: str) -> Account | None:
    with open_data(Settings(data_folder=folder)) as data:
        return data.store.accounts.find(name)


def test_an_administrator_is_made_and_signs_in(tmp_path: Path, repository: Path) -> None:
    file = tmp_path / "password"
    file.write_text(f"{PASSWORD}\nthe second line is not it\n")
    made = admin(tmp_path / "data", "create", "ann", f"--password-file={file}")
    assert (made.returncode, made.stdout, made.stderr) == (0, "Made the administrator ann.\n", "")
    with running(repository, data_folder=tmp_path / "data") as server:
        assert sign_in(server.app, "ann", password=PASSWORD)
        found = server.app.data.store.accounts.find("ann")
        assert found is not None
        assert found.role is Role.ADMIN
        (event,) = [one for one in server.app.data.store.audit.page(before=None, limit=9) if one.target == "ann"][-1:]
        assert (event.action, event.actor, event.credential) == ("user.create", "", "local")


def test_it_works_beside_a_server_that_runs(tmp_path: Path, repository: Path) -> None:
    with running(repository, data_folder=tmp_path) as server:
        token = server.sign_in("ann")
        done = admin(tmp_path, "reset", "ann", "--password-file=-", stdin=PASSWORD)
        assert done.returncode == 0, done.stderr
        assert sign_in(server.app, "ann", password=PASSWORD)
        who_am_i = AuthServiceStub(server.stranger).WhoAmI
        assert failure_of(who_am_i, pb.WhoAmIRequest(), metadata=bearer(token)).info.reason == "TOKEN_INVALID"


@pytest.mark.parametrize(
    ("words", "stdin", "said"),
    [
        (["create", "ann", "--password-file=-"], "short", "the password must have 8 to 128 characters"),
        (["create", "ann", "--password-file=-"], "password", "the password is one of the first"),
        (["create", "ann", "--password-file=-"], "", "its first line is empty"),
        (["create", "a b", "--password-file=-"], PASSWORD, "the name may have letters"),
        (["create", "ann", "--password-file=/none"], "", "No such file"),
        (["create", "ann"], PASSWORD, "no terminal to ask"),
        (["create"], PASSWORD, "the name is missing"),
        (["reset", "nobody", "--password-file=-"], PASSWORD, "there is no account 'nobody'"),
        (["first", "ann"], "", "takes neither"),
        (["make", "ann"], "", "invalid choice"),
    ],
)
def test_what_cannot_be_done_is_one_line_and_changes_nothing(
    tmp_path: Path, words: list[str], stdin: str, said: str
) -> None:
    done = admin(tmp_path, *words, stdin=stdin)
    assert (done.returncode, done.stdout) == (2, "")
    assert said in done.stderr
    assert done.stderr.count("\n") == 1
    assert account(tmp_path, "ann") is None


def test_a_name_that_is_taken_is_told_what_to_do_instead(tmp_path: Path) -> None:
    for returncode in (0, 2):
        done = admin(tmp_path, "create", "ann", "--password-file=-", stdin=PASSWORD)
        assert done.returncode == returncode
    assert "admin reset" in done.stderr


def test_the_first_administrator_needs_no_thinking(tmp_path: Path, repository: Path) -> None:
    first, again = admin(tmp_path, "first"), admin(tmp_path, "first")
    assert first.returncode == 0, first.stderr
    assert again.stdout == first.stdout
    file = tmp_path / "admin-password"
    assert str(file) in first.stdout
    assert file.stat().st_mode & 0o777 == 0o600
    password = file.read_text().strip()
    assert re.fullmatch(r"[\w-]{24}", password)
    assert password not in first.stdout + first.stderr
    with serving(repository, data_folder=tmp_path) as app:
        assert sign_in(app, "admin", password=password)
    admin(tmp_path, "reset", "admin", "--password-file=-", stdin=PASSWORD)
    assert admin(tmp_path, "first").stdout == ""  # the file's password is not theirs any more


@pytest.mark.parametrize(("second", "exit_code"), [(PASSWORD, 0), ("another password", 2)])
def test_a_terminal_is_asked_twice_and_shows_nothing(tmp_path: Path, second: str, exit_code: int) -> None:
    words = ["admin", "create", "ann", f"--data-folder={tmp_path}", "--bcrypt-cost=4"]
    answers = [("Password for ann: ", f"{PASSWORD}\n"), ("Once more: ", f"{second}\n")]
    shown, ended = converse(words, answers, env=os.environ, program="tagwright_server")
    assert ended == exit_code
    assert PASSWORD not in shown
    assert (account(tmp_path, "ann") is not None) is (exit_code == 0)


def test_two_who_make_the_first_administrator_at_once_make_one(tmp_path: Path, repository: Path) -> None:
    with ThreadPoolExecutor(3) as many:
        done = list(many.map(lambda _: admin(tmp_path, "first"), range(3)))
    assert [one.returncode for one in done] == [0, 0, 0], done
    with serving(repository, data_folder=tmp_path) as app:
        assert sign_in(app, "admin", password=(tmp_path / "admin-password").read_text().strip())


def test_where_there_are_accounts_no_first_one_is_made(tmp_path: Path) -> None:
    admin(tmp_path, "create", "ann", "--password-file=-", stdin=PASSWORD)
    done = admin(tmp_path, "first")
    assert (done.returncode, done.stdout) == (0, "")
    assert account(tmp_path, "admin") is None
    assert not (tmp_path / "admin-password").exists()

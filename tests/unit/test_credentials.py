"""The file of credentials: for its owner alone, whole at every moment, and nothing in it is ever lost or shown."""

from __future__ import annotations

import json
import os
import stat
import subprocess
import sys
import traceback
from concurrent.futures import ThreadPoolExecutor
from pathlib import Path

import pytest

from tagwright_admin import credentials
from tagwright_admin.credentials import Credentials, CredentialsUnusable, Entry

URL, OTHER = "grpc://127.0.0.1:8470", "grpcs://tags.example:443"
ENTRY = Entry(token="tws_SecretSecret", username="ada", expire_time="2027-01-31T12:30:00+00:00")
FULL = Entry("tws_other", "bob", None, "/ca.pem", "/cert.pem", "/key.pem", True)


@pytest.fixture
def file(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    monkeypatch.setenv("TAGWRIGHT_CONFIG_DIR", str(tmp_path / "config"))
    return tmp_path / "config" / "credentials.json"


def mode(path: Path) -> int:
    return stat.S_IMODE(path.stat().st_mode)


def test_nothing_is_kept_at_first_and_looking_makes_no_file(file: Path) -> None:
    assert credentials.load() == Credentials()
    assert not file.parent.exists()


def test_what_was_kept_comes_back_and_the_latest_is_known(file: Path) -> None:
    credentials.keep(OTHER, FULL)
    credentials.keep(URL, ENTRY)
    assert credentials.load() == Credentials(servers={OTHER: FULL, URL: ENTRY}, latest=URL)
    credentials.forget(URL, token=ENTRY.token)
    assert credentials.load() == Credentials(servers={OTHER: FULL}, latest=None)
    assert os.listdir(file.parent) == [file.name]


def test_the_file_and_its_folder_are_for_their_owner_alone(file: Path) -> None:
    before = os.umask(0)
    try:
        credentials.keep(URL, ENTRY)
    finally:
        os.umask(before)
    assert (mode(file), mode(file.parent)) == (0o600, 0o700)


def test_a_session_that_somebody_renewed_meanwhile_is_not_forgotten(file: Path) -> None:
    credentials.keep(URL, ENTRY)
    credentials.forget(URL, token="tws_an_older_one")
    assert credentials.load().servers == {URL: ENTRY}


@pytest.mark.parametrize("bits", [0o640, 0o604, 0o660, 0o644, 0o620])
def test_a_file_that_others_can_read_or_change_is_not_used(file: Path, bits: int) -> None:
    credentials.keep(URL, ENTRY)
    file.chmod(bits)
    for use in (credentials.load, lambda: credentials.keep(OTHER, FULL)):
        with pytest.raises(CredentialsUnusable, match=f"chmod 600 {file}"):
            use()
    file.chmod(0o600)
    assert credentials.load().servers == {URL: ENTRY}


def test_a_folder_in_which_others_could_replace_the_file_is_not_used(file: Path) -> None:
    credentials.keep(URL, ENTRY)
    file.parent.chmod(0o777)
    with pytest.raises(CredentialsUnusable, match=f"chmod 700 {file.parent}"):
        credentials.load()


@pytest.mark.skipif(os.geteuid() != 0, reason="only root can give a file away")
def test_a_file_or_folder_of_somebody_else_is_not_used(file: Path) -> None:
    credentials.keep(URL, ENTRY)
    os.chown(file, 1234, 1234)
    with pytest.raises(CredentialsUnusable, match="another user"):
        credentials.load()
    os.chown(file, 0, 0)
    os.chown(file.parent, 1234, 1234)
    with pytest.raises(CredentialsUnusable, match="another user"):
        credentials.load()


def test_a_link_in_its_place_is_neither_read_nor_written_through(file: Path, tmp_path: Path) -> None:
    target = tmp_path / "precious.json"
    credentials.keep(URL, ENTRY)
    file.rename(target)
    before = target.read_bytes()
    for where in (target, tmp_path / "nothing-there"):
        file.unlink(missing_ok=True)
        file.symlink_to(where)
        for use in (credentials.load, lambda: credentials.keep(OTHER, FULL)):
            with pytest.raises(CredentialsUnusable, match="link"):
                use()
    assert target.read_bytes() == before
    assert not (tmp_path / "nothing-there").exists()


@pytest.mark.parametrize(
    "text",
    [
        "",
        "tws_SecretSecret",
        "[]",
        '{"version": 2, "servers": {}}',
        '{"version": 1}',
        '{"version": 1, "servers": [], "latest": null}',
        '{"version": 1, "servers": {"u": "tws_SecretSecret"}}',
        '{"version": 1, "servers": {"u": {"token": "tws_SecretSecret"}}}',
        '{"version": 1, "servers": {"u": {"token": "tws_SecretSecret", "username": "a", "ca_file": 7}}}',
        '{"version": 1, "servers": {"u": {"token": "tws_SecretSecret", "username": "a", "insecure": "no"}}}',
        '{"version": 1, "servers": {"u": {"token": "", "username": "a"}}}',
        '{"version": 1, "servers": {"u": {"token": "tws_SecretSecret", ',
        "\udcff",
    ],
)
def test_a_broken_file_is_told_stays_as_it_is_and_is_not_shown(file: Path, text: str) -> None:
    credentials.keep(URL, ENTRY)
    file.write_bytes(os.fsencode(text))
    for use in (credentials.load, lambda: credentials.keep(OTHER, FULL)):
        with pytest.raises(CredentialsUnusable, match=f"{file} is broken") as caught:
            use()
        assert "SecretSecret" not in "".join(traceback.format_exception(caught.value))
    assert file.read_bytes() == os.fsencode(text)


def test_what_is_no_file_is_told_and_does_not_hang(file: Path) -> None:
    file.parent.mkdir(mode=0o700)
    os.mkfifo(file, 0o600)
    with pytest.raises(CredentialsUnusable, match="no file of credentials"):
        credentials.load()
    file.unlink()
    file.mkdir(0o700)
    with pytest.raises(CredentialsUnusable):
        credentials.load()
    file.rmdir()
    file.touch(0o600)
    os.truncate(file, 10 << 20)
    with pytest.raises(CredentialsUnusable, match="no file of credentials"):
        credentials.load()


def test_a_folder_that_cannot_be_is_told(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    (tmp_path / "file").touch()
    monkeypatch.setenv("TAGWRIGHT_CONFIG_DIR", str(tmp_path / "file" / "below"))
    with pytest.raises(CredentialsUnusable, match="cannot write"):
        credentials.keep(URL, ENTRY)


def test_a_disk_that_fills_up_leaves_the_old_file_whole(file: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    credentials.keep(URL, ENTRY)
    before = file.read_bytes()

    def full(number: int) -> None:
        raise OSError(28, "No space left on device")

    monkeypatch.setattr(os, "fsync", full)
    with pytest.raises(CredentialsUnusable, match="No space left"):
        credentials.keep(OTHER, FULL)
    assert file.read_bytes() == before
    assert os.listdir(file.parent) == [file.name]


def test_logins_at_the_same_moment_lose_nothing(file: Path) -> None:
    script = (
        "import sys; from tagwright_admin import credentials\n"
        "for number in range(25):\n"
        "    url = f'grpc://{sys.argv[1]}:{number + 1}'\n"
        "    credentials.keep(url, credentials.Entry(token='t', username=sys.argv[1]))\n"
    )
    with ThreadPoolExecutor(3) as pool:
        runs = [
            pool.submit(subprocess.run, [sys.executable, "-c", script, name], check=True, timeout=120)
            for name in ("a", "b", "c")
        ]
        for run in runs:
            run.result()
    assert len(credentials.load().servers) == 75
    assert os.listdir(file.parent) == [file.name]


def test_the_folder_is_the_users_config_folder_unless_said(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.delenv("TAGWRIGHT_CONFIG_DIR", raising=False)
    monkeypatch.setenv("HOME", "/home/ada")
    for base, expected in (
        ("/elsewhere", "/elsewhere/tagwright"),
        ("", "/home/ada/.config/tagwright"),
        ("relative", "/home/ada/.config/tagwright"),
    ):
        monkeypatch.setenv("XDG_CONFIG_HOME", base)
        assert credentials.path() == Path(expected) / "credentials.json"
    monkeypatch.setenv("TAGWRIGHT_CONFIG_DIR", "/said")
    assert credentials.path() == Path("/said/credentials.json")


def test_no_token_shows_in_a_repr(file: Path) -> None:
    credentials.keep(URL, ENTRY)
    assert ENTRY.token in file.read_text()
    assert json.loads(file.read_text())["version"] == 1
    assert ENTRY.token not in repr(credentials.load())

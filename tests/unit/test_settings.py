"""Settings: where they come from, what is refused, and that their page says what is so."""

from __future__ import annotations

import subprocess
import sys
from ipaddress import ip_network
from pathlib import Path

import pytest

from tagwright_server.errors import StartupError
from tagwright_server.options import load, markdown
from tagwright_server.settings import Settings, flag

ROOT = Path(__file__).resolve().parents[2]
PAGE = ROOT / "docs" / "settings.md"


@pytest.fixture(autouse=True)
def _nothing_in_the_environment(monkeypatch: pytest.MonkeyPatch) -> None:
    for name in ("CONFIG", *(name.upper() for name in Settings.model_fields)):
        monkeypatch.delenv(f"TAGWRIGHT_{name}", raising=False)


def _file(folder: Path, text: str) -> Path:
    file = folder / "settings.toml"
    file.write_text(text, encoding="utf-8")
    return file


def _refusal(*argv: str) -> str:
    with pytest.raises(StartupError) as caught:
        load(argv)
    assert "\n" not in str(caught.value)
    return str(caught.value)


def test_the_page_of_settings_is_the_one_the_code_makes() -> None:
    told = "docs/settings.md is old; make it anew: .venv/bin/python -m tagwright_server.options > docs/settings.md"
    assert PAGE.read_text(encoding="utf-8") == markdown(), told


def test_the_code_prints_its_page() -> None:
    command = [sys.executable, "-m", "tagwright_server.options"]
    assert subprocess.run(command, check=True, capture_output=True, text=True).stdout == markdown()


def test_every_setting_has_a_sentence_a_group_and_a_default_that_passes_its_own_check() -> None:
    for name, field in Settings.model_fields.items():
        assert field.description is not None
        assert field.description.endswith("."), name
    defaults = load([]).model_dump()
    given = [f"{flag(name)}={value}" for name, value in defaults.items() if value not in (None, False, ())]
    assert load(given).model_dump() == defaults


def test_a_flag_wins_over_the_environment_and_that_over_the_file(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    file = _file(tmp_path, "calls_max = 1\nphotos_max = 100\nstop_drain_s = 1.5\n")
    monkeypatch.setenv("TAGWRIGHT_CALLS_MAX", "2")
    monkeypatch.setenv("TAGWRIGHT_PHOTOS_MAX", "200")
    settings = load(["--config", str(file), "--calls-max", "3"])
    assert (settings.calls_max, settings.photos_max, settings.stop_drain_s) == (3, 200, 1.5)


def test_the_environment_can_name_the_file(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("TAGWRIGHT_CONFIG", str(_file(tmp_path, 'photo_bytes_max = "3 MiB"\n')))
    assert load([]).photo_bytes_max == 3 * 1024 * 1024


def test_what_is_on_or_off_has_a_flag_for_either(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("TAGWRIGHT_REFLECTION", "true")
    assert load([]).reflection is True
    assert load(["--no-reflection"]).reflection is False


def test_settings_cannot_be_changed_afterwards() -> None:
    with pytest.raises(ValueError, match="frozen"):
        load([]).calls_max = 1


@pytest.mark.parametrize(
    "address", ["127.0.0.1:8470", "127.1.2.3:0", "localhost:1", "[::1]:65535", "unix:/run/t.sock", "unix:t.sock"]
)
def test_addresses_of_this_machine_are_taken(address: str) -> None:
    assert load(["--listen", address]).listen == address


@pytest.mark.parametrize(
    ("address", "said"),
    [
        ("0.0.0.0:8470", "or --insecure"),
        ("[::]:8470", "or --insecure"),
        ("192.168.1.2:8470", "or --insecure"),
        ("example.org:8470", "or --insecure"),
        ("localhost.example.org:1", "or --insecure"),
        ("8470", "HOST:PORT"),
        (":8470", "HOST:PORT"),
        ("127.0.0.1", "HOST:PORT"),
        ("127.0.0.1:65536", "65535"),
        ("127.0.0.1:-1", "HOST:PORT"),
        ("::1:8470", "HOST:PORT"),
        ("[localhost]:1", "HOST:PORT"),
        ("a b:1", "HOST:PORT"),
        ("unix:", "path"),
        ("", "HOST:PORT"),
    ],
)
def test_addresses_that_others_can_reach_or_that_are_none_are_refused(address: str, said: str) -> None:
    assert said in _refusal("--listen", address)


_TLS = ("--tls-certificate=server.pem", "--tls-key=server.key")


@pytest.mark.parametrize("flags", [_TLS, (*_TLS, "--tls-client-ca=ca.pem"), ("--insecure",)])
@pytest.mark.parametrize("address", ["0.0.0.0:8470", "[::]:0", "192.168.1.2:1", "example.org:1", "127.0.0.1:1"])
def test_other_machines_may_reach_it_with_tls_or_where_plaintext_is_meant(address: str, flags: tuple[str, ...]) -> None:
    assert load(["--listen", address, *flags]).listen == address


@pytest.mark.parametrize(
    ("flags", "said"),
    [
        (_TLS[:1], "give both or neither"),
        (_TLS[1:], "give both or neither"),
        (("--tls-client-ca=ca.pem",), "--tls-client-ca asks for TLS"),
        ((*_TLS, "--insecure"), "contradict each other"),
    ],
)
def test_half_of_tls_and_tls_beside_plaintext_are_refused(flags: tuple[str, ...], said: str) -> None:
    assert said in _refusal(*flags)


def test_trusted_proxies_are_a_text_or_a_list_of_networks(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    networks = (ip_network("10.0.0.0/8"), ip_network("192.168.1.2/32"), ip_network("2001:db8::/32"))
    assert load([]).trusted_proxies == ()
    assert load(["--trusted-proxies="]).trusted_proxies == ()
    assert load(["--trusted-proxies=10.0.0.0/8, 192.168.1.2,2001:db8::/32"]).trusted_proxies == networks
    file = _file(tmp_path, 'trusted_proxies = ["10.0.0.0/8", "192.168.1.2", "2001:db8::/32"]\n')
    assert load(["--config", str(file)]).trusted_proxies == networks
    monkeypatch.setenv("TAGWRIGHT_TRUSTED_PROXIES", "10.0.0.0/8,192.168.1.2,2001:db8::/32")
    assert load([]).trusted_proxies == networks


@pytest.mark.parametrize(
    ("text", "said"),
    [
        ("proxy.example.org", "'proxy.example.org' is no network"),
        ("10.0.0.1/8", "'10.0.0.1/8' is no network"),  # bits beyond the prefix: which is meant?
        ("10.0.0.0/8,10", "'10' is no network"),
        ("0.0.0.0/0", "would trust everybody"),
        ("::/0", "would trust everybody"),
    ],
)
def test_proxies_that_are_no_networks_or_everybody_are_refused(text: str, said: str) -> None:
    told = _refusal("--trusted-proxies", text)
    assert told.startswith("trusted_proxies (--trusted-proxies, TAGWRIGHT_TRUSTED_PROXIES): ")
    assert said in told


def test_a_list_of_proxies_that_is_none_is_refused(tmp_path: Path) -> None:
    assert "trusted_proxies" in _refusal("--config", str(_file(tmp_path, "trusted_proxies = 10\n")))


@pytest.mark.parametrize("engine", ["auto", "local", "triton://127.0.0.1:8001", "triton://[::1]:8001"])
def test_the_engines_are_taken(engine: str) -> None:
    assert load(["--inference", engine]).inference == engine


@pytest.mark.parametrize(
    "engine", ["", "Local", "triton", "triton://", "triton://host", "triton://:8001", "http://h:1"]
)
def test_other_engines_are_refused(engine: str) -> None:
    assert "auto, local or triton://HOST:PORT" in _refusal("--inference", engine)


@pytest.mark.parametrize(
    ("name", "value"),
    [
        ("photo_bytes_max", "lots"),
        ("photo_bytes_max", "-1"),
        ("photo_bytes_max", "0"),
        ("decode_timeout_s", "0"),
        ("decode_timeout_s", "nan"),
        ("call_timeout_s", "inf"),
        ("calls_max", "0"),
        ("calls_max", "1.5"),
        ("photos_max", "63"),
        ("log_level", "loud"),
        ("stop_drain_s", "-1"),
        ("batch_bytes_max", "2GiB"),  # grpc's own options are C ints
        ("metadata_bytes_max", "2147483648"),
        ("request_bytes_in_progress_max", "0"),
        ("health_interval_s", "2.1"),
    ],
)
def test_values_that_make_no_sense_are_refused_by_the_settings_names(name: str, value: str) -> None:
    assert f"{name} ({flag(name)}, TAGWRIGHT_{name.upper()}): " in _refusal(f"{flag(name)}={value}")


def test_the_largest_sizes_that_grpc_takes_are_taken() -> None:
    most = str(2**31 - 1)
    flags = ["--batch-bytes-max", "--metadata-bytes-max", "--request-bytes-in-progress-max"]
    settings = load([f"{flag}={most}" for flag in flags])
    assert settings.batch_bytes_max == settings.metadata_bytes_max == 2**31 - 1


def test_limits_that_contradict_each_other_are_refused() -> None:
    assert "batch_bytes_max must hold a photo" in _refusal("--photo-bytes-max", "64MiB")
    assert "request_bytes_in_progress_max must hold a request" in _refusal("--request-bytes-in-progress-max", "63MiB")


def test_an_unknown_key_in_the_file_is_refused_by_name(tmp_path: Path) -> None:
    file = _file(tmp_path, "calls_max = 1\ncolour = 3\n")
    assert _refusal("--config", str(file)) == f"{file}: there is no setting 'colour'"


def test_a_file_that_is_no_toml_is_refused_with_the_place(tmp_path: Path) -> None:
    file = _file(tmp_path, "calls_max = \n")
    assert str(file) in _refusal("--config", str(file))
    assert "line 1" in _refusal("--config", str(file))


def test_a_file_that_is_not_there_is_refused(tmp_path: Path) -> None:
    assert "there is no file" in _refusal("--config", str(tmp_path / "none.toml"))


@pytest.mark.parametrize("argv", [["--colour", "3"], ["--call", "3"], ["stray"], ["--calls-max"]])
def test_flags_that_are_not_there_are_refused(argv: list[str]) -> None:
    assert "--help lists the flags" in _refusal(*argv)


def test_the_help_is_sorted_into_groups_and_names_every_flag(capsys: pytest.CaptureFixture[str]) -> None:
    with pytest.raises(SystemExit) as ended:
        load(["--help"])
    assert ended.value.code == 0
    text = capsys.readouterr().out
    for name in Settings.model_fields:
        assert flag(name) in text
    for group in ("Serving:", "Security:", "Photos:", "Calls:", "Connections:", "Starting and stopping:"):
        assert group in text

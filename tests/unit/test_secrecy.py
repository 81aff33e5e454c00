"""The watch over the log can fail: it sees secrets wherever a record can carry them."""

from __future__ import annotations

import base64
import logging
import shutil
import subprocess
import sys
from collections.abc import Iterator
from pathlib import Path

import pytest
from secrecy import Watch, found, holds, token_forms

from tagwright_server.domain import tokens

TESTS = Path(__file__).parents[1]
SECRET = "Tr0ub4dor & 3 horses"
log = logging.getLogger("tagwright_server.a_test")


@pytest.fixture
def watch() -> Iterator[Watch]:
    """A watch of its own over one logger, whose records the watch of this run does not see."""
    watch = Watch(SECRET)
    log.addHandler(watch)
    log.propagate = False
    yield watch
    log.propagate = True
    log.removeHandler(watch)


@pytest.mark.parametrize("secret", [SECRET, tokens.make(tokens.SESSION), tokens.make(tokens.API_KEY)], ids="pst")
def test_a_secret_is_seen_in_a_text_an_argument_an_error_its_cause_and_a_stack(watch: Watch, secret: str) -> None:
    log.info("it is %s.", secret)
    log.debug(f"it is {secret}")
    # Not through the log: pytest itself refuses what does not fit its text.
    watch.handle(log.makeRecord(log.name, logging.INFO, __file__, 1, "it does not fit: %d", (secret,), None))
    try:
        try:
            raise ValueError(secret)
        except ValueError as err:
            raise RuntimeError("nothing to see") from err
    except RuntimeError:
        log.exception("failed")
    seen = watch.take()
    assert len(seen) == 4
    assert not any(secret in line for line in seen)
    assert all("test_secrecy.py" in line for line in seen)
    assert watch.take() == []


def test_what_is_no_secret_is_not_seen(watch: Watch) -> None:
    whole = tokens.make(tokens.API_KEY)
    for harmless in ("hello", whole[: tokens.SHOWN], tokens.digest(whole).hex(), SECRET[:-1], "twx_" + "a" * 43):
        log.info("it is %s", harmless)
    assert watch.take() == []


@pytest.mark.parametrize(
    ("body", "passes"),
    [
        ("logging.getLogger('tagwright_server.x').debug('it is %s', tokens.make(tokens.SESSION))", False),
        ("logging.getLogger('another').warning('it is %s', servers.PASSWORD)", False),
        ("logging.getLogger('tagwright_server.x').debug('it is %s', 'nothing')", True),
    ],
)
def test_the_test_that_logs_a_secret_fails(tmp_path: Path, body: str, passes: bool) -> None:
    (tmp_path / "unit").mkdir()
    shutil.copy(TESTS / "conftest.py", tmp_path)
    (tmp_path / "pytest.ini").write_text(f"[pytest]\npythonpath = {TESTS}\nmarkers =\n    unit: a tier\n")
    imports = "import logging\nimport servers\nfrom tagwright_server.domain import tokens\n"
    (tmp_path / "unit" / "test_it.py").write_text(f"{imports}def test_it():\n    {body}\n")
    command = [sys.executable, "-m", "pytest", "-q", "-p", "no:cacheprovider", str(tmp_path)]
    done = subprocess.run(command, cwd=tmp_path, capture_output=True, text=True, check=False)
    assert done.returncode == (0 if passes else 1), done.stdout + done.stderr
    assert ("a secret was logged" in done.stdout) == (not passes)


def test_a_secret_is_found_in_every_form() -> None:
    secret = SECRET.encode()
    for beside in (b"", b"a", b"ab", b"abc"):
        whole = beside + secret + beside
        coded = [
            base64.b64encode(whole),
            base64.urlsafe_b64encode(whole),
            whole.hex().encode(),
            whole.hex().upper().encode(),
        ]
        for dump in (whole, whole.lower(), *coded):
            assert holds(b"before" + dump + b"after", secret), dump
    assert not holds(base64.b64encode(secret[1:]), secret)
    token = tokens.make(tokens.SESSION)
    raw = base64.urlsafe_b64decode(token[4:] + "=")
    assert found(b"x" + raw + b"y", token_forms(token)) == [raw]
    assert found(tokens.digest(token), token_forms(token)) == []

"""From flags, the environment and a TOML file to the settings; and the page and the help that tell of them.

A setting comes from, first wins: a flag (`--photo-bytes-max 10MiB`), the environment (`TAGWRIGHT_PHOTO_BYTES_MAX`), a
TOML file (`--config FILE`: `photo_bytes_max = "10MiB"`), its default. A value that makes no sense, an unknown flag and
an unknown key in the file stop the start with one line.
"""

from __future__ import annotations

import argparse
import os
import sys
from collections.abc import Sequence
from importlib.metadata import PackageNotFoundError, version
from pathlib import Path
from typing import Any, NoReturn

from pydantic import ByteSize, ValidationError
from pydantic_settings import BaseSettings, PydanticBaseSettingsSource, TomlConfigSettingsSource

from tagwright_server.errors import StartupError
from tagwright_server.settings import ENV_PREFIX, Settings, flag

if sys.version_info >= (3, 11):
    from tomllib import TOMLDecodeError
else:
    from tomli import TOMLDecodeError

_LOCAL = """

Commands (each has its own --help):
  admin    make the first administrator, or let one back in: tagwright-server admin create NAME
  backup   copy everything that is kept into a folder, beside a server that runs
  restore  fill an empty data folder or database from a backup
  check    look whether what is kept is whole
  rebuild-index  make the photo indexes anew
"""


def load(argv: Sequence[str]) -> Settings:
    """Read the settings from flags (`argv`, without the program's name), the environment and the TOML file.

    Raises StartupError with one line. `--help` and `--version` print and end the process, as is usual.
    """
    return settings_of(vars(settings_parser(more=_LOCAL).parse_args(argv)))


def settings_of(flags: dict[str, Any]) -> Settings:
    """Read the settings from what `settings_parser` made of the flags, the environment and the TOML file.

    Raises StartupError with one line.
    """
    config = flags.pop("config") or os.environ.get(f"{ENV_PREFIX}CONFIG")
    file = Path(config) if config else None
    if file is not None and not file.is_file():  # the library takes a missing file for an empty one
        raise StartupError(f"--config: there is no file {file}")

    class Sources(Settings):
        @classmethod
        def settings_customise_sources(
            cls,
            settings_cls: type[BaseSettings],
            init_settings: PydanticBaseSettingsSource,
            env_settings: PydanticBaseSettingsSource,
            dotenv_settings: PydanticBaseSettingsSource,
            file_secret_settings: PydanticBaseSettingsSource,
        ) -> tuple[PydanticBaseSettingsSource, ...]:
            return init_settings, env_settings, TomlConfigSettingsSource(settings_cls, toml_file=file)

    try:
        return Sources(**flags)
    except ValidationError as err:
        raise StartupError(_one_line(err, file)) from err
    except (TOMLDecodeError, UnicodeDecodeError, OSError) as err:
        raise StartupError(f"{file}: {err}") from err


def markdown() -> str:
    """Return `docs/settings.md`."""
    lines = [
        "# Settings",
        "",
        "Each setting comes from, first wins: its flag, its environment variable, the TOML file that `--config FILE`",
        "(or `TAGWRIGHT_CONFIG`) names, its default. In the file a setting has its plain name:",
        '`photo_bytes_max = "10MiB"`. Sizes take units (`10MiB`, `64KB`) or are bytes. A value that makes no sense, an',
        "unknown flag or an unknown key in the file stops the start with one line and exit code 2.",
        "",
        "This page is made from `server/src/tagwright_server/settings.py`;",
        "`.venv/bin/python -m tagwright_server.options` prints it.",
    ]
    group = ""
    for name, field in Settings.model_fields.items():
        extra = _extra(name)
        if extra["group"] != group:
            group = extra["group"]
            lines += [
                "",
                f"## {group}",
                "",
                "| setting, flag, environment | default | what it is |",
                "| --- | --- | --- |",
            ]
        names = f"`{name}` `{flag(name)}` `{ENV_PREFIX}{name.upper()}`"
        lines.append(f"| {names} | {_shown(field.default)} | {field.description} |")
    return "\n".join(lines) + "\n"


class _Parser(argparse.ArgumentParser):
    def error(self, message: str) -> NoReturn:
        raise StartupError(f"{message}; --help lists the flags")


def settings_parser(
    prog: str = "tagwright-server",
    *,
    usage: str = "tagwright-server [--SETTING VALUE ...]",
    description: str = "A photo goes in over gRPC, calibrated tags come out.",
    more: str = "",
) -> argparse.ArgumentParser:
    """Return a parser of all settings as flags, to which a local command adds its own arguments."""
    parser = _Parser(
        prog=prog,
        usage=usage,
        description=description,
        formatter_class=argparse.RawDescriptionHelpFormatter,
        epilog=f"Each setting can also come from the environment ({ENV_PREFIX}LISTEN, ...) or the TOML file.{more}",
        argument_default=argparse.SUPPRESS,
        allow_abbrev=False,
    )
    parser.add_argument("--version", action="version", version=f"tagwright-server {own_version()}")
    parser.add_argument("--config", metavar="FILE", default=None, help="TOML file of settings.")
    groups: dict[str, Any] = {}
    for name, field in Settings.model_fields.items():
        extra = _extra(name)
        if extra["group"] not in groups:
            groups[extra["group"]] = parser.add_argument_group(extra["group"])
        group = groups[extra["group"]]
        help_text = f"{field.description} [{_shown(field.default)}]".replace("%", "%%")
        if field.annotation is bool:
            group.add_argument(flag(name), action=argparse.BooleanOptionalAction, help=help_text)
        else:
            group.add_argument(flag(name), metavar=extra["kind"], help=help_text)
    return parser


def _extra(name: str) -> dict[str, Any]:
    extra = Settings.model_fields[name].json_schema_extra
    assert isinstance(extra, dict)  # noqa: S101  (each is made above)
    return extra


def own_version() -> str:
    """Return this distribution's version."""
    try:
        return version("tagwright-server")
    except PackageNotFoundError:  # run from a checkout that is not installed
        return "0+unknown"


def _shown(value: Any) -> str:
    if value is None or value == ():
        return "none"
    if isinstance(value, bool):
        return "yes" if value else "no"
    if isinstance(value, ByteSize):
        return value.human_readable().replace(".0", "")
    return f"{value:g}" if isinstance(value, float) else f"{value:,}" if isinstance(value, int) else str(value)


def _one_line(err: ValidationError, file: Path | None) -> str:
    said = []
    for error in err.errors(include_url=False, include_context=False):
        name = ".".join(str(part) for part in error["loc"])
        text = error["msg"].removeprefix("Value error, ")
        if error["type"] == "extra_forbidden":
            said.append(f"{file or 'settings'}: there is no setting {name!r}")
        elif name:
            said.append(f"{name} ({flag(name)}, {ENV_PREFIX}{name.upper()}): {text[:1].lower()}{text[1:]}")
        else:
            said.append(text)
    return "; ".join(said)


if __name__ == "__main__":
    sys.stdout.write(markdown())

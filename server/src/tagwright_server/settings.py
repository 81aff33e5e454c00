"""Every limit, time-out and choice of the server, in one frozen class, checked before anything starts.

`options` reads them, from flags, the environment and a TOML file. `docs/settings.md` is made from this file; a test
keeps them equal.
"""

from __future__ import annotations

from pathlib import Path
from typing import Annotated, Any, Literal

from pydantic import ByteSize, Field, field_validator, model_validator
from pydantic_settings import BaseSettings, NoDecode, SettingsConfigDict

from tagwright_server.address import Address, Network, parse_networks

ENV_PREFIX = "TAGWRIGHT_"
_MIB = 1024 * 1024

_Seconds = Annotated[float, Field(gt=0, le=86_400, allow_inf_nan=False)]
_Pause = Annotated[float, Field(ge=0, le=3_600, allow_inf_nan=False)]
_Interval = Annotated[float, Field(gt=0, le=2, allow_inf_nan=False)]  # health says within seconds what is so
_Pixels = Annotated[int, Field(ge=1, le=1_000_000_000)]
_Lifetime = Annotated[float, Field(ge=1, le=31_536_000, allow_inf_nan=False)]
_Count = Annotated[int, Field(ge=1, le=1_000_000)]
_Bytes = Annotated[ByteSize, Field(ge=1024, le=1 << 40)]
_GrpcBytes = Annotated[ByteSize, Field(ge=1024, le=(1 << 31) - 1)]  # grpc's options are C ints
_Networks = Annotated[tuple[Network, ...], NoDecode]


def _setting(default: Any, description: str, *, group: str, kind: str, secret: bool = False) -> Any:
    return Field(default, description=description, json_schema_extra={"group": group, "kind": kind}, repr=not secret)


class Settings(BaseSettings):
    """The server's settings; `load` reads them. Units are in the names."""

    model_config = SettingsConfigDict(env_prefix=ENV_PREFIX, extra="forbid", frozen=True, hide_input_in_errors=True)

    listen: str = _setting(
        "127.0.0.1:8470",
        "Where to listen: HOST:PORT (port 0: any free one) or unix:PATH. "
        "Where other machines reach it, only with TLS, or with --insecure.",
        group="Serving",
        kind="ADDRESS",
    )
    inference: str = _setting(
        "auto",
        "What runs the models: a Triton of our own where one can be had, else this process (auto); "
        "this process (local); or a Triton elsewhere (triton://HOST:PORT).",
        group="Serving",
        kind="ENGINE",
    )
    model_repository: Path | None = _setting(
        None,
        "The folder of models, in Triton's layout. Default: the models that come with Tagwright.",
        group="Serving",
        kind="FOLDER",
    )
    default_model: str = _setting(
        "tagger", "The model of requests that name none: NAME or NAME@VERSION.", group="Serving", kind="MODEL"
    )
    reflection: bool = _setting(
        False, "Answer gRPC server reflection, for tools such as grpcurl.", group="Serving", kind=""
    )
    reuse_port: bool = _setting(
        False, "Let several servers share one port (SO_REUSEPORT), to use more cores.", group="Serving", kind=""
    )
    log_level: Literal["debug", "info", "warning", "error"] = _setting(
        "info", "Least urgent log line that is written; debug writes one for every call.", group="Serving", kind="LEVEL"
    )

    tls_certificate: Path | None = _setting(
        None,
        "TLS: the server's certificate, and those between it and its authority, in PEM. Renewed files are taken up.",
        group="Security",
        kind="FILE",
    )
    tls_key: Path | None = _setting(
        None,
        "TLS: the certificate's key, in PEM, not encrypted; nobody but its owner may be able to read it.",
        group="Security",
        kind="FILE",
    )
    tls_client_ca: Path | None = _setting(
        None,
        "Mutual TLS: callers must show a certificate that is signed by one of these, in PEM.",
        group="Security",
        kind="FILE",
    )
    insecure: bool = _setting(
        False,
        "Listen without TLS where other machines reach the server: they, and who listens in, see all that is sent.",
        group="Security",
        kind="",
    )
    trusted_proxies: _Networks = _setting(
        (),
        "Networks of proxies whose x-forwarded-for says who called, as in 10.0.0.0/8,192.168.1.2. "
        "Without any, the header counts for nothing.",
        group="Security",
        kind="NETWORKS",
    )

    data_folder: Path | None = _setting(
        None,
        "The folder of all that is kept. Default: tagwright in $XDG_DATA_HOME, that is ~/.local/share/tagwright.",
        group="Store",
        kind="FOLDER",
    )
    database: str = _setting(
        "",
        "The database: sqlite:///FOLDER/FILE or postgresql://USER:PASSWORD@HOST/NAME. Default: an SQLite file in the "
        "data folder.",
        group="Store",
        kind="URL",
        secret=True,  # it may hold a password
    )
    database_timeout_s: _Seconds = _setting(
        5.0, "Longest wait for the database; then BUSY.", group="Store", kind="SECONDS"
    )
    database_connections_max: Annotated[int, Field(ge=2, le=10_000)] = _setting(
        96,
        "Connections to the database at once; beyond that BUSY. PostgreSQL's max_connections has to hold as many for "
        "each server.",
        group="Store",
        kind="COUNT",
    )

    photos_folder: Path | None = _setting(
        None,
        "The folder of the photos that are kept, on a local disk; servers that share a database share it. "
        "Default: photos in the data folder.",
        group="Store",
        kind="FOLDER",
    )
    account_photos_max: Annotated[int, Field(ge=1, le=1_000_000_000)] = _setting(
        100_000, "Photos that an account keeps; administrators keep any number.", group="Store", kind="COUNT"
    )
    account_photo_bytes_max: _Bytes = _setting(
        ByteSize(50 * 1024 * _MIB),
        "Bytes of photos that an account keeps; administrators keep any number.",
        group="Store",
        kind="SIZE",
    )

    pepper_file: Path | None = _setting(
        None,
        "The secret that password hashes need and the database does not hold; made at the first start. Servers that "
        "share a database share it. Default: pepper in the data folder.",
        group="Accounts",
        kind="FILE",
    )
    bcrypt_cost: Annotated[int, Field(ge=4, le=16)] = _setting(
        12,
        "Cost of a password's hash: one more doubles it. A higher one is applied at the next login.",
        group="Accounts",
        kind="COST",
    )
    session_idle_max_s: _Lifetime = _setting(
        1_800.0, "A session ends when it has not been used for this long.", group="Accounts", kind="SECONDS"
    )
    session_age_max_s: _Lifetime = _setting(
        43_200.0, "A session ends after this, however much it is used.", group="Accounts", kind="SECONDS"
    )
    logins_max: Annotated[int, Field(ge=1, le=4096)] = _setting(
        24,
        "Logins in progress at once, a quarter of them from one address; more are refused with OVERLOADED.",
        group="Accounts",
        kind="COUNT",
    )
    login_message_s: _Seconds = _setting(
        5.0, "Longest that the message of a login may take to come.", group="Accounts", kind="SECONDS"
    )
    account_failures_max: _Count = _setting(
        5, "Failed logins of an account that cost no waiting.", group="Accounts", kind="COUNT"
    )
    account_failures_window_s: _Seconds = _setting(
        900.0, "Time in which as many are forgotten.", group="Accounts", kind="SECONDS"
    )
    peer_failures_max: _Count = _setting(
        20, "Failed logins from one address that cost no waiting.", group="Accounts", kind="COUNT"
    )
    peer_failures_window_s: _Seconds = _setting(
        60.0, "Time in which as many are forgotten.", group="Accounts", kind="SECONDS"
    )
    login_wait_max_s: _Seconds = _setting(
        300.0, "Each further failure doubles the wait, from 1 s up to this.", group="Accounts", kind="SECONDS"
    )
    login_refusal_delay_s: _Pause = _setting(
        0.5,
        "A login that has to wait is told so only after this, so that asking again and again is not worth it.",
        group="Accounts",
        kind="SECONDS",
    )
    audit_days: Annotated[int, Field(ge=1, le=36_500)] = _setting(
        400, "How long the audit log is kept.", group="Accounts", kind="DAYS"
    )

    photo_bytes_max: _Bytes = _setting(ByteSize(20 * _MIB), "Largest encoded photo.", group="Photos", kind="SIZE")
    photo_pixels_max: _Pixels = _setting(
        32_000_000, "Most pixels of a photo, width times height.", group="Photos", kind="PIXELS"
    )
    photo_side_max_px: _Pixels = _setting(16_384, "Longest side of a photo.", group="Photos", kind="PIXELS")
    decode_timeout_s: _Seconds = _setting(
        5.0, "Longest that decoding one photo may take; its worker is then stopped.", group="Photos", kind="SECONDS"
    )
    decode_memory_bytes_max: _Bytes = _setting(
        ByteSize(1024 * _MIB), "Most address space of one decoding worker.", group="Photos", kind="SIZE"
    )
    decode_workers: Annotated[int, Field(ge=0, le=256)] = _setting(
        0, "Processes that decode photos. 0: one for each core.", group="Photos", kind="COUNT"
    )
    decode_recycle_after_photos: _Count = _setting(
        500, "A decoding worker is replaced by a fresh one after this many photos.", group="Photos", kind="COUNT"
    )

    batch_bytes_max: _GrpcBytes = _setting(
        ByteSize(64 * _MIB), "Largest request message; in effect, of TagImages.", group="Calls", kind="SIZE"
    )
    request_bytes_in_progress_max: _Bytes = _setting(
        ByteSize(512 * _MIB),
        "Request messages in memory at once, over all calls, by their length; more are refused with OVERLOADED.",
        group="Calls",
        kind="SIZE",
    )
    request_overhead_bytes_max: _Bytes = _setting(
        ByteSize(_MIB), "Largest part of a request that is not photos.", group="Calls", kind="SIZE"
    )
    metadata_bytes_max: _GrpcBytes = _setting(
        ByteSize(8 * 1024), "Largest metadata of a call.", group="Calls", kind="SIZE"
    )
    calls_max: Annotated[int, Field(ge=1, le=4096)] = _setting(
        64, "Calls in progress at once; more are refused with OVERLOADED.", group="Calls", kind="COUNT"
    )
    photos_max: Annotated[int, Field(ge=64, le=65_536)] = _setting(
        256,
        "Photos in progress at once, over all calls; more are refused with OVERLOADED.",
        group="Calls",
        kind="COUNT",
    )
    call_timeout_s: _Seconds = _setting(
        60.0,
        "Longest that a call may take, its upload included, whatever the caller's own deadline.",
        group="Calls",
        kind="SECONDS",
    )

    uploads_max: Annotated[int, Field(ge=1, le=256)] = _setting(
        8, "UploadImages in progress at once; more are refused with OVERLOADED.", group="Calls", kind="COUNT"
    )
    upload_photos_max: Annotated[int, Field(ge=1, le=1024)] = _setting(
        48, "Photos under way in one UploadImages.", group="Calls", kind="COUNT"
    )
    upload_bytes_max: _Bytes = _setting(
        ByteSize(32 * _MIB), "Bytes of photos under way in one UploadImages, and one photo.", group="Calls", kind="SIZE"
    )
    upload_idle_s: _Seconds = _setting(
        60.0, "An UploadImages in which nothing comes for this long is ended.", group="Calls", kind="SECONDS"
    )
    stream_age_max_s: _Seconds = _setting(
        600.0,
        "Longest that a photo's bytes may take to be read, and an UploadImages until it is asked to move on.",
        group="Calls",
        kind="SECONDS",
    )

    streams_max: _Count = _setting(
        256, "Calls in progress at once on one connection.", group="Connections", kind="COUNT"
    )
    connection_handshake_max_s: _Seconds = _setting(
        20.0,
        "Longest that a new connection may take to agree on TLS and HTTP/2; it is then closed.",
        group="Connections",
        kind="SECONDS",
    )
    connection_idle_max_s: _Seconds = _setting(
        300.0, "A connection without calls is closed after this.", group="Connections", kind="SECONDS"
    )
    connection_age_max_s: _Seconds = _setting(
        1800.0,
        "A connection is asked to end after this; clients open a new one by themselves.",
        group="Connections",
        kind="SECONDS",
    )
    connection_age_grace_s: _Seconds = _setting(
        30.0, "What its calls then have to finish.", group="Connections", kind="SECONDS"
    )
    keepalive_interval_s: _Seconds = _setting(
        30.0, "A silent connection with calls is probed after this.", group="Connections", kind="SECONDS"
    )
    keepalive_timeout_s: _Seconds = _setting(
        20.0, "A probed connection that stays silent is closed after this.", group="Connections", kind="SECONDS"
    )
    client_ping_interval_min_s: _Seconds = _setting(
        20.0, "Clients that probe more often than this are disconnected.", group="Connections", kind="SECONDS"
    )

    health_interval_s: _Interval = _setting(
        0.5,
        "How often the health service looks whether the models answer.",
        group="Starting and stopping",
        kind="SECONDS",
    )
    stop_notice_s: _Pause = _setting(
        0.5,
        "On SIGTERM: health says NOT_SERVING for this long before new calls are refused.",
        group="Starting and stopping",
        kind="SECONDS",
    )
    stop_drain_s: _Pause = _setting(
        20.0, "On SIGTERM: what calls in progress then have to finish.", group="Starting and stopping", kind="SECONDS"
    )

    @field_validator("listen")
    @classmethod
    def _address(cls, value: str) -> str:
        Address.parse(value)
        return value

    @field_validator("trusted_proxies", mode="before")
    @classmethod
    def _networks(cls, value: Any) -> Any:
        return parse_networks(value) if isinstance(value, str | list | tuple) else value

    @field_validator("inference")
    @classmethod
    def _known_engine(cls, value: str) -> str:
        host, separator, port = value.removeprefix("triton://").rpartition(":")
        elsewhere = value.startswith("triton://") and separator and host and port.isascii() and port.isdigit()
        if value not in ("auto", "local") and not elsewhere:
            raise ValueError("must be auto, local or triton://HOST:PORT")
        return value

    @model_validator(mode="after")
    def _in_plaintext_only_on_purpose(self) -> Settings:
        if (self.tls_certificate is None) != (self.tls_key is None):
            raise ValueError("--tls-certificate and --tls-key belong together: give both or neither")
        if self.tls_client_ca is not None and self.tls_certificate is None:
            raise ValueError("--tls-client-ca asks for TLS: give --tls-certificate and --tls-key as well")
        if self.insecure and self.tls_certificate is not None:
            raise ValueError("--insecure and --tls-certificate contradict each other: give one of them")
        if not (Address.parse(self.listen).loopback or self.insecure or self.tls_certificate is not None):
            raise ValueError(
                f"--listen: other machines can reach {self.listen}, and would send passwords and photos in plaintext: "
                "give --tls-certificate and --tls-key, or --insecure where that is meant"
            )
        return self

    @model_validator(mode="after")
    def _fits_together(self) -> Settings:
        if self.batch_bytes_max < self.photo_bytes_max + self.request_overhead_bytes_max:
            raise ValueError(
                "batch_bytes_max must hold a photo: photo_bytes_max and request_overhead_bytes_max together"
            )
        if self.request_bytes_in_progress_max < self.batch_bytes_max:
            raise ValueError("request_bytes_in_progress_max must hold a request: batch_bytes_max")
        return self


def flag(name: str) -> str:
    """Return a setting's flag."""
    return "--" + name.replace("_", "-")

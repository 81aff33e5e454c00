"""What scenarios on made-up libraries share: what photos are made from, when a library is ready, who looks at it."""

from __future__ import annotations

import secrets
import time
from dataclasses import dataclass, field
from typing import Any

import grpc
from grpc_health.v1 import health_pb2, health_pb2_grpc

from tagwright_client import Client
from tagwright_server.inference.bundle import load_bundle
from tagwright_server.refinement import artefact

from .serving import ACCOUNT, NotServed, Serving
from .setup import Setup
from .synthetic import Seed, owners

READY_S = 3600.0  # a million photos on a slow disk
LOOK_S = 0.5
_SERVICE = "tagwright.v1.SearchService"


@dataclass(frozen=True, slots=True)
class Source:
    """What photos are made from, what the model calls its labels, the commonest first, and itself."""

    seed: Seed
    labels: list[str]
    model: str


@dataclass(frozen=True, slots=True)
class Member:
    """An account that owns some of the photos."""

    name: str
    password: str = field(repr=False)
    token: str = field(repr=False)


def source(setup: Setup) -> Source:
    """Return the starter library of the model's refiner; raises NotServed where it has none."""
    bundle = load_bundle(setup.model)
    folder = setup.model / artefact.FOLDER
    if not folder.is_dir():
        raise NotServed(f"the model {bundle.name} has no refiner to make photos from")
    name = f"{bundle.name}@{bundle.version}"
    read = artefact.load(folder, model=name, model_digest=bundle.digest, embedding_size=bundle.embedding_size)
    return Source(Seed(read.starter.vectors, read.starter.tags), [label.name for label in bundle.labels], name)


def await_search(serving: Serving) -> float:
    """Wait until photos can be found by tag; return how long that took, in seconds. Raises NotServed."""
    begun_s = time.monotonic()
    with grpc.insecure_channel(serving.address) as channel:
        health: Any = health_pb2_grpc.HealthStub(channel)  # its stubs know no methods
        request = health_pb2.HealthCheckRequest(service=_SERVICE)
        while time.monotonic() - begun_s < READY_S:
            if health.Check(request, timeout=5.0).status == health_pb2.HealthCheckResponse.SERVING:
                return time.monotonic() - begun_s
            time.sleep(LOOK_S)
    raise NotServed("the index of tags did not open")


def await_looks(serving: Serving, photo: bytes, size: int) -> float:
    """Wait until so many photos vote on the tags of another; return how long that took. Raises NotServed."""
    begun_s = time.monotonic()
    with Client.connect(f"grpc://{serving.address}") as client:
        client.login(ACCOUNT, serving.password)  # its key would be shown the shared photos only
        while time.monotonic() - begun_s < READY_S:
            if client.refine(photo).library_size >= size:
                return time.monotonic() - begun_s
            time.sleep(LOOK_S)
    raise NotServed("the index of photos did not open")


def member(serving: Serving, scopes: list[str]) -> Member:
    """Let one who owns photos sign in, and give it a key."""
    name, password = owners()[0], secrets.token_urlsafe()
    with Client.connect(f"grpc://{serving.address}") as client:
        client.login(ACCOUNT, serving.password)
        client.update_user(name, password=password)
        client.login(name, password)
        return Member(name, password, client.create_api_key("bench", scopes).key)

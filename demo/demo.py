"""`make demo`: a Tagwright server with its Triton and an account of its own tags the sample photos.

Shows the tags and where the time went, then keeps some of the photos with tags that people gave them, corrects the
model, has tags judged that people might have given, finds photos by their tags and by their look, and ends with the
address of the web pages, which stay until Ctrl-C where somebody sits at a terminal. Uses what is installed beside the
Python that runs it; its store is a temporary folder, and nothing is left behind. Arguments go to the server
(`--inference=local`). Ends the server whatever happens; the exit code is 0 only if everything worked.
"""

from __future__ import annotations

import io
import os
import re
import signal
import subprocess
import sys
import tempfile
import time
from collections.abc import Iterator, Sequence
from contextlib import contextmanager
from itertools import islice
from pathlib import Path
from types import FrameType
from typing import Any

import grpc
import web_pages
from grpc_health.v1 import health_pb2, health_pb2_grpc
from PIL import Image
from rich.console import Console, Group
from rich.table import Table
from rich.text import Text

from tagwright_admin import hits, image_screen, refine_screen, screen, search_screen
from tagwright_client import ArgumentInvalid, Client, PhotoTags, TagwrightError, UploadPhoto, UploadResult

PHOTOS = Path(__file__).resolve().parent / "photos"
TYPED = {  # a few that can be seen, and a few that cannot: names, cameras, moods
    "cat.jpg": ("cat", "chelsea", "cute"),
    "coffee.jpg": ("coffee", "espresso", "goodmorning"),
    "photographer.jpg": ("man", "camera", "bw"),
    "rocket.jpg": ("rocket", "falcon9", "night"),
}
CORRECTED = "photographer.jpg"
GIVEN = {  # each with a tag that is wrong, and with some that nobody could see
    "cat.jpg": ("cat", "car", "chelsea", "nikon"),
    "astronaut.jpg": ("portrait", "tree", "2008"),
}
ADDED = {"astronaut.jpg": ("space", "portrait"), "galaxies.jpg": ("space", "hubble", "night")}
KINDS = {"cat": "animal", "rocket": "vehicle"}  # what is looked for as the one is found as the other
QUERY = "(animal | vehicle | night) & !portrait"
LIKE, RELATED = "cat.jpg", "space"
READY_WITHIN_S = 120.0  # a first start also reads everything from a cold disk
STOPPED_WITHIN_S = 30.0  # the server itself gives calls 20 s
THUMBNAIL_CELLS = 20  # leaves 57 of 80 columns for the rest
LISTENING = re.compile(r"listening on (\S+)")
FALLBACK = re.compile(r"running the network in this process: .*")


class DemoError(Exception):
    """The demo cannot go on; its text says why."""


def main(arguments: Sequence[str]) -> int:
    """Run the demo; `arguments` are flags for the server. Returns the exit code."""
    out = Console(highlight=False)
    for number in (signal.SIGTERM, signal.SIGHUP):
        signal.signal(number, _interrupt)  # so that the server is ended then, too
    try:
        with (
            tempfile.TemporaryDirectory(prefix="tagwright-demo-") as folder,
            running_server(arguments, Path(folder), out) as url,
            Client.connect(url) as client,
        ):
            sign_in(client, Path(folder), out)
            show_server(client, out)
            for path in sorted(PHOTOS.glob("*.jpg")):
                show_photo(path, client.tag(path), out)
            show_library(client, out)
            show_refinement(client, out)
            show_search(client, out)
            show_pages(url, Path(folder), out)
        out.print("The server has ended cleanly.\n")
    except (DemoError, web_pages.PagesError, OSError, TagwrightError) as err:
        print(f"demo: {err}", file=sys.stderr)
        return 1
    except KeyboardInterrupt:
        print("demo: interrupted; the server has been ended", file=sys.stderr)
        return 130
    show_next(out)
    return 0


@contextmanager
def running_server(arguments: Sequence[str], folder: Path, out: Console) -> Iterator[str]:
    """Run a server on a free port, its store in `folder`, while the block lasts; gives its URL once it is ready."""
    command = Path(sys.executable).parent / "tagwright-server"
    if not command.is_file():
        raise DemoError(f"there is no {command.name} beside {sys.executable}; `make demo` installs it")
    log, store = folder / "server.log", f"--data-folder={folder}"
    made = subprocess.run([command, "admin", "first", store], capture_output=True, encoding="utf-8", check=False)
    if made.returncode != 0:
        raise DemoError(f"no account could be made: {made.stderr.strip()}")
    with log.open("wb") as output:
        # A session of its own: Ctrl-C reaches this program only, which then ends the server in order.
        server = subprocess.Popen(
            [command, "--listen=127.0.0.1:0", store, *arguments],
            stdin=subprocess.DEVNULL,
            stdout=output,
            stderr=subprocess.STDOUT,
            start_new_session=True,
        )
    try:
        yield wait_until_ready(server, log, out)
    except BaseException:
        stop(server)
        raise
    exit_code = stop(server)
    if exit_code != 0:
        raise DemoError(f"the server ended with exit code {exit_code}\n{tail(log)}")


def wait_until_ready(server: subprocess.Popen[bytes], log: Path, out: Console) -> str:
    """Wait until the health service says SERVING; return the server's URL."""
    began = time.monotonic()
    note = "starting the server and its Triton…"
    if not out.is_terminal:
        out.print(note)
    with out.status(note):
        while time.monotonic() - began < READY_WITHIN_S:
            if server.poll() is not None:
                raise DemoError(f"the server could not start (exit code {server.returncode})\n{tail(log)}")
            listening = LISTENING.search(read(log))
            if listening and serving(listening[1]):
                break
            time.sleep(0.1)
        else:
            raise DemoError(f"the server was not ready within {READY_WITHIN_S:.0f} s\n{tail(log)}")
    out.print(f"ready after {time.monotonic() - began:.1f} s")
    fallback = FALLBACK.search(read(log))
    if fallback:
        out.print(Text(f"No Triton here: {fallback[0]}", style="yellow"), soft_wrap=True)
    return listening[1] if listening[1].startswith("unix:") else f"grpc://{listening[1]}"


def serving(address: str) -> bool:
    """Return whether the server at `address` says that its models answer."""
    with grpc.insecure_channel(address, options=[("grpc.enable_http_proxy", 0)]) as channel:
        health: Any = health_pb2_grpc.HealthStub(channel)  # its type says nothing of its methods
        try:
            answer = health.Check(health_pb2.HealthCheckRequest(), timeout=2)
        except grpc.RpcError:
            return False
    return bool(answer.status == health_pb2.HealthCheckResponse.SERVING)


def stop(server: subprocess.Popen[bytes]) -> int:
    """End the server in order, by force if it does not; return its exit code."""
    server.terminate()
    try:
        return server.wait(STOPPED_WITHIN_S)
    except subprocess.TimeoutExpired:
        os.killpg(server.pid, signal.SIGKILL)
        return server.wait()


def sign_in(client: Client, folder: Path, out: Console) -> None:
    """Sign in with the password that was made for this demo."""
    signed_in = client.login("admin", (folder / "admin-password").read_text().strip())
    account = f"{signed_in.user.username}, an administrator made for this demo"
    out.print(Text("signed in as ", style="dim").append(screen.safe(account), style="not dim"), soft_wrap=True)


def show_server(client: Client, out: Console) -> None:
    """Print which engine runs which model."""
    served = client.models()
    model = next(model for model in served if model.is_default)
    out.print()
    for name, fact in (
        ("engine", served.engine),
        ("model", f"{model.id} ({model.architecture}, {len(model.labels)} labels)"),
        ("digest", f"sha256 {model.digest}"),
    ):
        out.print(Text(f"{name:8}", style="dim").append(screen.safe(fact), style="not dim"), soft_wrap=True)
    out.print()


def show_photo(path: Path, tags: PhotoTags, out: Console) -> None:
    """Print one photo: what it looks like where the terminal can show that, its tags, and where the time went."""
    heading = Text(path.name, style="bold").append(f"  {tags.width} x {tags.height}", style="not bold dim")
    table = screen.tag_table(tags) if tags.tags else Text("  no tag is likely enough")
    about = Group(heading, table, Text(f"  {where_the_time_went(tags)}", style="dim"))
    if out.is_terminal and out.color_system in ("256", "truecolor") and out.encoding.startswith("utf"):
        beside = Table.grid(padding=(0, 3))
        beside.add_row(thumbnail(path), about)
        out.print(beside)
    else:
        out.print(about)
    out.print()


def show_library(client: Client, out: Console) -> None:
    """Keep the photos with tags as people type them, correct the model, and print what is kept."""
    out.print(Text("Kept, with the tags that people gave them:", style="bold"))
    photos = [UploadPhoto(PHOTOS / name, user_tags=tags, key=name) for name, tags in TYPED.items()]
    kept = {result.photo.key: tags_of(result) for result in client.upload(photos)}
    wrong = next((tag.name for tag in reversed(kept[CORRECTED].tags) if tag.source == "MODEL"), None)
    if wrong is not None:
        client.review(kept[CORRECTED].image_id or "", reject=[wrong])
    again = list(client.upload(photos))
    image_screen.show_images(client.images())
    out.print(Text(f"sent once more: {len(again)} photos, {sum(each.sent_bytes for each in again)} bytes", style="dim"))
    if wrong is not None:
        out.print(Text(f"{CORRECTED}: a person rejected {wrong!r}, so no model brings it back", style="dim"))
    out.print()


def show_refinement(client: Client, out: Console) -> None:
    """Print what refinement keeps, removes and adds of tags that people gave, and why."""
    out.print(Text("What people might have tagged, judged:", style="bold"))
    for name, given in GIVEN.items():
        try:
            answer = client.refine(PHOTOS / name, user_tags=given)
        except ArgumentInvalid as err:  # a model of somebody's own may come without
            out.print(Text(f"  not here: {screen.safe(str(err))}", style="dim"))
            break
        about = f"  given: {', '.join(given)}; {answer.library_size:,} photos could vote"
        out.print(Text(name, style="bold").append(about, style="not bold dim"), soft_wrap=True)
        out.print(refine_screen.decision_table(answer))
    out.print()


def show_search(client: Client, out: Console) -> None:
    """Keep the other photos as well, and one of them once more at half its size; find them, and print why."""
    photos = [UploadPhoto(PHOTOS / name, user_tags=tags) for name, tags in ADDED.items()]
    photos.append(UploadPhoto(halved(PHOTOS / LIKE), user_tags=TYPED[LIKE], file_name=f"small-{LIKE}"))
    for result in client.upload(photos):
        tags_of(result)
    for name, kind in KINDS.items():
        client.set_tag_rules(name, parents=[kind])
    rules = ", ".join(f"{name} implies {kind}" for name, kind in KINDS.items())
    out.print(Text("Found, and why:", style="bold").append(f"  {rules}", style="not bold dim"))
    found = client.search(QUERY, include_facets=True, max_facets=5)
    out.print(search_screen.summary(found))
    out.print(search_screen.hit_table(hits.of_search(found), why=True, brief=True))
    out.print()
    out.print(search_screen.facet_table(found.facets, total=found.total_count))
    out.print()
    about = "  photos that look the same stand behind one of them"
    varied = client.search(QUERY, ranking="diverse")
    out.print(Text("The same, varied:", style="bold").append(about, style="not bold dim"))
    out.print(search_screen.hit_table(hits.of_search(varied), brief=True))
    out.print()
    like = next(image.id for image in client.images(tag=TYPED[LIKE][0]) if image.file_name == LIKE)
    out.print(Text(f"What looks like {LIKE}:", style="bold"))
    out.print(
        search_screen.hit_table(
            hits.of_look(islice(client.similar(like, include_tags=True), 3)), score="alike", brief=True
        )
    )
    out.print()
    out.print(Text(f"What goes with {RELATED!r}:", style="bold"))
    out.print(search_screen.related_table(client.related_tags(RELATED, max_tags=4)))
    out.print()


def show_pages(url: str, folder: Path, out: Console) -> None:
    """Show where people find all this in a browser."""
    web_pages.show(url, "admin", (folder / "admin-password").read_text().strip(), folder / "pages.log", out)


def halved(path: Path) -> bytes:
    """Return the photo as a JPEG of half its size."""
    out = io.BytesIO()
    with Image.open(path) as photo:
        photo.resize((photo.width // 2, photo.height // 2)).save(out, "JPEG")
    return out.getvalue()


def tags_of(result: UploadResult) -> PhotoTags:
    """Return the tags of a photo that is kept; raise what went wrong where it is not."""
    if result.tags is None:
        raise result.error or DemoError("a photo came to nothing")
    return result.tags


def where_the_time_went(tags: PhotoTags) -> str:
    """Return one line of milliseconds; what the server does not account for is the way there and back."""
    timings = tags.timings
    stages = {"decode": timings.decode_ms, "queue": timings.queue_ms, "inference": timings.inference_ms}
    known = {stage: ms for stage, ms in stages.items() if ms is not None}
    rest = max(timings.total_ms - sum(known.values()), 0.0)
    parts = [f"{stage} {ms:.1f}" for stage, ms in (known | {"rest": rest}).items()]
    return f"{timings.total_ms:.1f} ms: {', '.join(parts)}"


def thumbnail(path: Path) -> Text:
    """Return the photo in half blocks: each cell shows two pixels, one above the other."""
    with Image.open(path) as photo:
        height = max(2, round(photo.height / photo.width * THUMBNAIL_CELLS / 2) * 2)
        pixels = photo.convert("RGB").resize((THUMBNAIL_CELLS, height), Image.Resampling.BOX).tobytes()

    def colour(x: int, y: int) -> str:
        red, green, blue = pixels[(y * THUMBNAIL_CELLS + x) * 3 :][:3]
        return f"rgb({red},{green},{blue})"

    rows = []
    for y in range(0, height, 2):
        cells = [("▀", f"{colour(x, y)} on {colour(x, y + 1)}") for x in range(THUMBNAIL_CELLS)]
        rows.append(Text.assemble(*cells))
    return Text("\n").join(rows)


def show_next(out: Console) -> None:
    """Print what to try next: commands that exist, as they are to be typed."""
    command = Path(os.path.relpath(Path(sys.executable).parent)) / "tagwright"
    photos = os.path.relpath(PHOTOS)
    steps = (
        ("make serve", "keeps a server and its web pages running, and says how to sign in; the rest: another terminal"),
        (f"{command} login admin --password-file …", "as make serve says"),
        (f"{command} tag {photos}", "photos and folders of yours"),
        (f"{command} tag --target-precision 0.9 {photos}", "only what is right nine times in ten"),
        (f"{command} tag --json {photos}/cat.jpg", "for programs"),
        (
            f'{command} refine --tags "cat, car, 2008" {photos}/cat.jpg',
            "which tags are right, which are missing, and why",
        ),
        (f"{command} upload --private {photos}", "keeps photos and their tags; then: ls, show, review, export"),
        (f"{command} search --why 'animals & !people'", "finds what is kept, and says why; --html FILE writes a page"),
        (f"{command} models --labels", "every label, with thresholds and measured quality"),
        ("docs/sdk.md", "the same from Python, in four lines"),
    )
    width = max(len(line) for line, _ in steps)
    out.print("What to try next")
    for line, what in steps:
        out.print(Text(f"  {line:{width}}  ", style="bold").append(what, style="not bold dim"), soft_wrap=True)


def read(log: Path) -> str:
    """Return what the server has written so far."""
    return log.read_text(encoding="utf-8", errors="replace")


def tail(log: Path) -> str:
    """Return the server's last words, printable."""
    lines = read(log).splitlines()[-20:]
    return "\n".join(["its last words:", *(f"  {screen.safe(line)}" for line in lines)]) if lines else "it said nothing"


def _interrupt(number: int, frame: FrameType | None) -> None:
    raise KeyboardInterrupt


if __name__ == "__main__":
    sys.exit(main(sys.argv[1:]))

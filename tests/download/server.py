"""A small web server on the loopback that serves bytes and can be told to misbehave."""

from __future__ import annotations

import os
import re
import socket
import struct
import threading
import time
from collections.abc import Callable
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer
from urllib.parse import parse_qs, urlsplit


class Server:
    """Serves ``files[path]``; ``faults[path]`` is a list of functions, each used for one request before all is well.

    A fault gets the handler and the file's bytes, and returns True where it has answered.
    """

    def __init__(self):
        self.files: dict[str, bytes] = {}
        self.faults: dict[str, list[Callable]] = {}
        self.requests: list[tuple[str, dict[str, str]]] = []
        self.ranges, self.etags, self.allowed = True, True, lambda path, query, headers: True
        outer = self

        class Handler(BaseHTTPRequestHandler):
            protocol_version = "HTTP/1.1"

            def log_message(self, *args):
                pass

            def do_GET(self):
                outer.answer(self)

        self.http = ThreadingHTTPServer(("127.0.0.1", 0), Handler)
        self.http.daemon_threads = True
        self.http.handle_error = lambda request, client: None  # a client that hangs up is no news
        self.url = f"http://127.0.0.1:{self.http.server_address[1]}"
        threading.Thread(target=self.http.serve_forever, kwargs={"poll_interval": 0.01}, daemon=True).start()

    def close(self) -> None:
        self.http.shutdown()
        self.http.server_close()

    def ranges_asked(self) -> list[str | None]:
        """The Range header of each request."""
        return [headers.get("Range") for _, headers in self.requests]

    def answer(self, handler: BaseHTTPRequestHandler) -> None:
        parts = urlsplit(handler.path)
        query = {key: values[0] for key, values in parse_qs(parts.query).items()}
        self.requests.append((handler.path, dict(handler.headers)))
        body = self.files.get(parts.path, b"")
        if self.faults.get(parts.path) and self.faults[parts.path].pop(0)(handler, body):
            return
        if not self.allowed(parts.path, query, handler.headers):
            status(403)(handler, body)
        elif parts.path not in self.files:
            status(404)(handler, body)
        else:
            self._send(handler, body)

    def _send(self, handler, body: bytes) -> None:
        asked = re.fullmatch(r"bytes=(\d+)-", handler.headers.get("Range", ""))
        tag = f'"{hash(body)}"'
        same = handler.headers.get("If-Range", tag) == tag
        if self.ranges and asked and same:
            start = int(asked[1])
            if start >= len(body):
                return status(416)(handler, body)
            handler.send_response(206)
            handler.send_header("Content-Range", f"bytes {start}-{len(body) - 1}/{len(body)}")
            body = body[start:]
        else:
            handler.send_response(200)
        if self.etags:
            handler.send_header("ETag", tag)
        handler.send_header("Content-Length", str(len(body)))
        handler.end_headers()
        handler.wfile.write(body)
        return None


def status(code: int, **headers: str) -> Callable:
    """Answer with a status and no file."""

    def fault(handler, body):
        handler.send_response(code)
        for name, value in headers.items():
            handler.send_header(name.replace("_", "-"), value)
        handler.send_header("Content-Length", "0")
        handler.end_headers()
        return True

    return fault


def cut(count: int, tag: bool = True) -> Callable:
    """Announce the whole file, send `count` bytes and break off."""

    def fault(handler, body):
        handler.send_response(200)
        if tag:
            handler.send_header("ETag", f'"{hash(body)}"')
        handler.send_header("Content-Length", str(len(body)))
        handler.end_headers()
        handler.wfile.write(body[:count])
        handler.wfile.flush()
        handler.close_connection = True
        return True

    return fault


def reset(count: int, tag: bool = True) -> Callable:
    """As `cut`, but with a TCP reset instead of an orderly end."""

    def fault(handler, body):
        cut(count, tag)(handler, body)
        time.sleep(0.1)  # a reset throws away what is still on its way
        handler.connection.setsockopt(socket.SOL_SOCKET, socket.SO_LINGER, struct.pack("ii", 1, 0))
        os.close(handler.connection.detach())
        return True

    return fault


def endless(count: int) -> Callable:
    """Announce no length, send `count` bytes and close, as if that were all."""

    def fault(handler, body):
        handler.send_response(200)
        handler.end_headers()
        handler.wfile.write(body[:count])
        handler.close_connection = True
        return True

    return fault


def stalled(count: int, seconds: float = 1.5) -> Callable:
    """Announce the whole file, send `count` bytes and say no more for a while."""

    def fault(handler, body):
        cut(count)(handler, body)
        time.sleep(seconds)
        return True

    return fault


def html(handler, body):
    """A login page, with status 200."""
    page = b"<!DOCTYPE html><html>Please log in</html>"
    handler.send_response(200)
    handler.send_header("Content-Type", "text/html; charset=utf-8")
    handler.send_header("Content-Length", str(len(page)))
    handler.end_headers()
    handler.wfile.write(page)
    return True


def disguised_html(handler, body):
    """A web page that says it is a file."""
    page = b"\n<html>gone</html>"
    handler.send_response(200)
    handler.send_header("Content-Type", "application/octet-stream")
    handler.send_header("Content-Length", str(len(page)))
    handler.end_headers()
    handler.wfile.write(page)
    return True


def silent(seconds: float) -> Callable:
    """Say nothing for a while."""

    def fault(handler, body):
        time.sleep(seconds)
        handler.close_connection = True
        return True

    return fault


def redirect(place: str) -> Callable:
    """Send elsewhere."""
    return status(302, Location=place)

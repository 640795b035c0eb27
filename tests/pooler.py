"""A pooler in transaction mode, as unkind as one may be: the next transaction has another server.

Enters: the folder of a Postgres server's socket. Leaves: a folder with a socket like it. A client
has a server connection from a transaction's first message to its end, and then the one that was
idle longest; what a session left behind would be met by whoever comes next. No authentication, no
TLS. Protocol 3.0: https://www.postgresql.org/docs/current/protocol-message-formats.html.
"""

from __future__ import annotations

import contextlib
import queue
import select
import socket
import struct
import threading
from collections.abc import Iterator
from dataclasses import dataclass, field
from pathlib import Path

_SOCKET = ".s.PGSQL.5432"
_SSL, _GSS, _CANCEL = 80877103, 80877104, 80877102
_SERVERS = 3


@dataclass(eq=False)
class _Wire:
    """One side of a connection: whole messages of a type and a body."""

    socket: socket.socket
    buffer: bytes = b""

    def read(self) -> bytes:
        """The next message as it came. Raises EOFError when the other side is gone."""
        while (message := self.whole()) is None:
            self.fill()
        return message

    def whole(self) -> bytes | None:
        """A message that has come completely."""
        if len(self.buffer) < 5:
            return None
        size = 1 + struct.unpack("!I", self.buffer[1:5])[0]
        if len(self.buffer) < size:
            return None
        message, self.buffer = self.buffer[:size], self.buffer[size:]
        return message

    def fill(self) -> None:
        """Take what has come. Raises EOFError when the other side is gone."""
        part = self.socket.recv(65536)
        if not part:
            raise EOFError
        self.buffer += part


@dataclass(eq=False)
class _Server:
    """A connection to Postgres, with what it said of itself when it began."""

    wire: _Wire
    said: bytes
    secret: bytes


@dataclass
class Pooler:
    """The pools, one for each way of connecting. `clients` and `transactions` count what came."""

    behind: Path
    folder: Path
    clients: int = 0
    transactions: int = 0
    _pools: dict[bytes, queue.Queue[_Server | None]] = field(default_factory=dict)
    _busy: dict[bytes, bytes] = field(default_factory=dict)
    _lock: threading.Lock = field(default_factory=threading.Lock)

    def serve(self, listening: socket.socket) -> None:
        """Take clients until the socket is closed."""
        while True:
            try:
                client, _ = listening.accept()
            except OSError:
                return
            threading.Thread(target=self._client, args=(client,), daemon=True).start()

    def close(self) -> None:
        """End the connections that lie idle."""
        for pool in self._pools.values():
            while not pool.empty():
                server = pool.get()
                if server is not None:
                    server.wire.socket.close()

    def _client(self, client: socket.socket) -> None:
        with client, contextlib.suppress(EOFError, OSError):
            asked = _startup(client)
            (code,) = struct.unpack("!I", asked[4:8])
            while code in {_SSL, _GSS}:
                client.sendall(b"N")
                asked = _startup(client)
                (code,) = struct.unpack("!I", asked[4:8])
            if code == _CANCEL:
                self._cancel(asked[8:])
                return
            with self._lock:
                self.clients += 1
                name = struct.pack("!II", self.clients, 4711)
                pool = self._pools.get(asked)
                if pool is None:
                    pool = self._pools[asked] = queue.Queue()
                    for _ in range(_SERVERS):
                        pool.put(None)
            self._speak(_Wire(client), asked, name, pool)

    def _speak(
        self, client: _Wire, asked: bytes, name: bytes, pool: queue.Queue[_Server | None]
    ) -> None:
        server = pool.get() or self._begun(asked)
        client.socket.sendall(server.said + b"K\0\0\0\x0c" + name + b"Z\0\0\0\x05I")
        pool.put(server)
        while (first := client.read())[:1] != b"X":
            server = pool.get() or self._begun(asked)
            self._busy[name] = server.secret
            kept: _Server | None = None
            try:
                with self._lock:
                    self.transactions += 1
                _transaction(client, server.wire, first)
                kept = server
            finally:
                del self._busy[name]
                if kept is None:
                    server.wire.socket.close()
                pool.put(kept)

    def _begun(self, asked: bytes) -> _Server:
        wire = _Wire(self._connection())
        wire.socket.sendall(asked)
        said = secret = b""
        while (message := wire.read())[:1] != b"Z":
            if message[:1] == b"K":
                secret = message[5:]
            else:
                said += message
        return _Server(wire, said, secret)

    def _cancel(self, name: bytes) -> None:
        secret = self._busy.get(name)
        if secret is not None:
            with self._connection() as server:
                server.sendall(struct.pack("!II", 8 + len(secret), _CANCEL) + secret)
                server.recv(1)

    def _connection(self) -> socket.socket:
        server = socket.socket(socket.AF_UNIX)
        server.connect(str(self.behind / _SOCKET))
        return server


def _startup(client: socket.socket) -> bytes:
    head = client.recv(4, socket.MSG_WAITALL)
    if len(head) < 4:
        raise EOFError
    return head + client.recv(struct.unpack("!I", head)[0] - 4, socket.MSG_WAITALL)


def _transaction(client: _Wire, server: _Wire, first: bytes) -> None:
    """Carry messages to and fro until the server says that it is idle."""
    server.socket.sendall(first)
    while True:
        while (said := server.whole()) is not None:
            client.socket.sendall(said)
            if said[:1] == b"Z" and said[5:] == b"I":
                return
        while (asked := client.whole()) is not None:
            server.socket.sendall(asked)
        for ready in select.select([client.socket, server.socket], [], [])[0]:
            (client if ready is client.socket else server).fill()


@contextlib.contextmanager
def pooler(behind: Path, folder: Path) -> Iterator[Pooler]:
    """A pooler that listens in `folder` for the server that listens in `behind`."""
    with socket.socket(socket.AF_UNIX) as listening:
        listening.bind(str(folder / _SOCKET))
        listening.listen(64)
        made = Pooler(behind, folder)
        serving = threading.Thread(target=made.serve, args=(listening,), daemon=True)
        serving.start()
        try:
            yield made
        finally:
            listening.shutdown(socket.SHUT_RDWR)
            serving.join(5)
            made.close()

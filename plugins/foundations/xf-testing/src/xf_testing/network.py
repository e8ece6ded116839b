"""A socket that may not be opened: tests assert that a path is silent."""

from __future__ import annotations

import socket
from collections.abc import Iterator
from contextlib import contextmanager
from typing import Any


class NetworkUseError(AssertionError):
    """Something tried to open a connection where none is allowed."""


@contextmanager
def no_network() -> Iterator[list[str]]:
    """Within the block every connection and name look-up raises; yields the list of attempts (also swallowed ones).

    Unix sockets stay allowed: they do not leave the machine, and worker processes use them.
    """
    attempts: list[str] = []

    def refuse(what: str) -> Any:
        def refused(*args: Any, **kwargs: Any) -> Any:
            target = next((a for a in args if isinstance(a, (tuple, str))), args)
            attempts.append(f"{what}{target!r}")
            raise NetworkUseError(f"a socket was used where none is allowed: {what} {target!r}")

        return refused

    def connect(self: socket.socket, address: Any) -> Any:
        return (
            real_connect(self, address) if self.family == getattr(socket, "AF_UNIX", None) else refused_connect(address)
        )

    refused_connect = refuse("connect")
    real_connect, real = socket.socket.connect, {n: getattr(socket, n) for n in _RESOLVERS}
    real_connect_ex = socket.socket.connect_ex
    socket.socket.connect = connect  # type: ignore[method-assign]
    socket.socket.connect_ex = connect  # type: ignore[method-assign, assignment]
    for name in _RESOLVERS:
        setattr(socket, name, refuse(name))
    try:
        yield attempts
    finally:
        socket.socket.connect = real_connect  # type: ignore[method-assign]
        socket.socket.connect_ex = real_connect_ex  # type: ignore[method-assign]
        for name, function in real.items():
            setattr(socket, name, function)
    if attempts:
        raise NetworkUseError(f"sockets were used where none is allowed: {', '.join(attempts)}")


_RESOLVERS = ("getaddrinfo", "gethostbyname", "gethostbyname_ex", "create_connection")

"""Loopback ports."""

from __future__ import annotations

import socket

from harness.process.ports import claim_port, free_port, is_free


def test_a_port_is_never_claimed_twice() -> None:
    ports = [claim_port() for _ in range(50)]
    assert len(set(ports)) == 50


def test_ports_are_free_and_a_listening_one_is_not() -> None:
    for port in (claim_port(), free_port()):
        assert is_free(port)
        with socket.socket() as server:
            server.bind(("127.0.0.1", port))
            server.listen(1)
            assert not is_free(port)
        assert is_free(port)

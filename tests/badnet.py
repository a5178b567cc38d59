#!/usr/bin/python3
"""The relay that misbehaves, checked byte by byte: badnet.py PATH-OF-BADNET.

SPDX-License-Identifier: MIT

A server of a few lines answers each connection; what came through in either
direction is compared with what the fault promises. Nothing waits for a fixed
time, but for the two tests of time itself.
"""
import json
import os
import signal
import socket
import subprocess
import sys
import tempfile
import threading
import time

PROGRAM = sys.argv[1]
BODY = bytes(range(256)) * 40


class Server:
    """Reads a request up to a blank line, answers with BODY, then reads on
    until the end; keeps what it got, and how each connection ended."""

    def __init__(self, talk):
        self.socket = socket.create_server(("127.0.0.1", 0), backlog=200)
        self.port = self.socket.getsockname()[1]
        self.talk = talk
        self.got = {}
        self.ended = threading.Condition()
        self.ends = []
        threading.Thread(target=self.accept, daemon=True).start()

    def accept(self):
        while True:
            peer, _ = self.socket.accept()
            threading.Thread(target=self.serve, args=(peer,),
                             daemon=True).start()

    def serve(self, peer):
        got = bytearray()
        end = "closed"
        try:
            self.talk(peer, got)
            while True:
                data = peer.recv(65536)
                if not data:
                    break
                got += data
        except OSError:
            end = "reset"
        peer.close()
        with self.ended:
            self.ends.append((bytes(got), end))
            self.ended.notify_all()

    def next_end(self):
        """What the next connection to end had brought, and how it ended."""
        with self.ended:
            if not self.ended.wait_for(lambda: self.ends, 20):
                raise AssertionError("the server's connection does not end")
            return self.ends.pop(0)


def until_blank_line(peer, got):
    while b"\r\n\r\n" not in got:
        data = peer.recv(65536)
        if not data:
            return False
        got += data
    return True


def answer(peer, got):
    if until_blank_line(peer, got):
        peer.sendall(BODY)


def swallow(peer, got):
    del peer, got


def greet(peer, got):
    peer.sendall(b"220 ready\r\n")


def echo(peer, got):
    while True:
        data = peer.recv(65536)
        if not data:
            return
        got += data
        peer.sendall(data)


class Relay:
    """A badnet before that server."""

    def __init__(self, port, *options):
        self.log = tempfile.NamedTemporaryFile(suffix=".badnet")
        self.process = subprocess.Popen(
            [PROGRAM, "--to", f"127.0.0.1:{port}", "--die-with-parent",
             "--log", self.log.name, *map(str, options)],
            stdout=subprocess.PIPE)
        self.port = json.loads(self.process.stdout.readline())["port"]

    def __enter__(self):
        return self

    def __exit__(self, *_):
        self.process.terminate()
        self.process.wait()
        self.process.stdout.close()
        self.log.close()

    def connect(self):
        s = socket.create_connection(("127.0.0.1", self.port), 20)
        s.setsockopt(socket.IPPROTO_TCP, socket.TCP_NODELAY, 1)
        return s

    def line(self, number):
        """The log's line of that connection."""
        end = time.monotonic() + 20
        while time.monotonic() < end:
            for text in open(self.log.name):
                line = json.loads(text) if text.endswith("\n") else {}
                if line.get("connection") == number:
                    return line
            time.sleep(0.01)
        raise AssertionError(f"no line of connection {number}")


def drain(s):
    """What comes until the end, and how it ends."""
    got = bytearray()
    while True:
        try:
            data = s.recv(65536)
        except ConnectionResetError:
            return bytes(got), "reset"
        if not data:
            return bytes(got), "closed"
        got += data


def request(value=None, more=b""):
    lines = "GET /x HTTP/1.1\r\nHost: h\r\n"
    if value is not None:
        lines += f"X-Badnet: {value}\r\n"
    return lines.encode() + b"\r\n" + more


# ------------------------------------------------------------------- tests --

TESTS = []


def test(function):
    """Puts a test on the list; its name is its sentence."""
    TESTS.append(function)
    return function


@test
def a_healthy_network_passes_everything():
    server = Server(echo)
    blob = os.urandom(3_000_000)
    with Relay(server.port) as relay, relay.connect() as s:
        sender = threading.Thread(target=lambda: (
            s.sendall(blob), s.shutdown(socket.SHUT_WR)))
        sender.start()
        assert drain(s) == (blob, "closed")
        sender.join()
        assert server.next_end() == (blob, "closed")
        line = relay.line(1)
        assert line == {"connection": 1, "up": 3000000, "down": 3000000,
                        "end": "peers"}


@test
def a_server_that_speaks_first_is_heard():
    with Relay(Server(greet).port) as relay, relay.connect() as s:
        assert s.recv(100) == b"220 ready\r\n"


@test
def bytes_that_are_no_request_are_not_held():
    for text in (b"G", b"GE\x00", b"get /", b"GET x", b"\x16\x03\x01",
                 b"PING\r\n"):
        server = Server(echo)
        with Relay(server.port) as relay, relay.connect() as s:
            s.sendall(text)
            if text == b"G":
                s.shutdown(socket.SHUT_WR)
            assert s.recv(100) == text, text


@test
def a_request_longer_than_the_relay_holds_passes_whole():
    server = Server(swallow)
    text = b"GET /" + b"x" * 40000 + b"\r\nX-Badnet: cut-up=5\r\n\r\n"
    with Relay(server.port) as relay, relay.connect() as s:
        s.sendall(text)
        s.shutdown(socket.SHUT_WR)
        drain(s)
        assert server.next_end() == (text, "closed")


@test
def a_half_close_goes_through_in_both_directions():
    server = Server(answer)
    with Relay(server.port) as relay, relay.connect() as s:
        s.sendall(request())
        s.shutdown(socket.SHUT_WR)
        assert drain(s) == (BODY, "closed")


@test
def a_reset_stays_one():
    server = Server(swallow)
    with Relay(server.port) as relay:
        s = relay.connect()
        s.sendall(request())
        s.setsockopt(socket.SOL_SOCKET, socket.SO_LINGER, b"\1\0\0\0\0\0\0\0")
        s.close()
        assert server.next_end()[1] == "reset"


@test
def each_cut_is_at_its_byte():
    for kind in ("cut", "reset"):
        for at in (0, 1, 2, 50, 9999, len(BODY)):
            server = Server(answer)
            value = f"{kind}-down={at}; id={kind}{at}"
            with Relay(server.port) as relay, relay.connect() as s:
                s.sendall(request(value))
                how = "closed" if kind == "cut" else "reset"
                assert drain(s) == (BODY[:at], how), value
                got, end = server.next_end()
                assert (got, end) == (request(value), how), (value, end)
                line = relay.line(1)
                assert (line["down"], line["end"]) == (at, f"{kind}-down"), line


@test
def each_cut_upwards_is_at_its_byte():
    for kind in ("cut", "reset"):
        for at in (0, 1, 20, 100, 5000):
            server = Server(swallow)
            value = f"{kind}-up={at}; id={kind}{at}"
            whole = request(value, b"y" * 6000)
            with Relay(server.port) as relay, relay.connect() as s:
                s.sendall(whole)
                how = "closed" if kind == "cut" else "reset"
                assert drain(s) == (b"", how), value
                assert server.next_end() == (whole[:at], how), value
                line = relay.line(1)
                assert (line["up"], line["end"]) == (at, f"{kind}-up"), line


@test
def silence_swallows_and_tells_nobody():
    server = Server(answer)
    with Relay(server.port) as relay, relay.connect() as s:
        whole = request("silent-down=10")
        s.sendall(whole)
        got = b""
        while len(got) < 10:
            got += s.recv(100)
        assert got == BODY[:10]
        # What goes up still arrives; then the client leaves.
        s.sendall(b"more")
        s.shutdown(socket.SHUT_WR)
        assert server.next_end() == (whole + b"more", "closed")
        s.settimeout(0.2)
        try:
            assert not "anything", s.recv(1)
        except socket.timeout:
            pass


@test
def silence_upwards_hides_the_end_as_well():
    server = Server(greet)
    with Relay(server.port) as relay, relay.connect() as s:
        s.sendall(request("silent-up=5"))
        s.shutdown(socket.SHUT_WR)
        assert s.recv(100) == b"220 ready\r\n"
        relay.process.send_signal(signal.SIGUSR1)
        assert server.next_end() == (b"GET /", "reset")
        assert drain(s)[1] == "reset"


@test
def trickling_splits_what_is_sent_at_once():
    sizes = []

    def pieces(peer, got):
        while b"\r\n\r\n" not in got:
            data = peer.recv(65536)
            sizes.append(len(data))
            got += data
        peer.sendall(BODY[:30])

    server = Server(pieces)
    with Relay(server.port) as relay, relay.connect() as s:
        whole = request("trickle=3")
        s.sendall(whole)
        s.shutdown(socket.SHUT_WR)
        assert drain(s) == (BODY[:30], "closed")
        assert server.next_end() == (whole, "closed")
        assert min(sizes) <= 3 and len(sizes) > len(whole) / 6, sizes


@test
def a_delay_is_a_round_trip_and_costs_no_throughput():
    server = Server(echo)
    blob = os.urandom(4_000_000)
    with Relay(server.port, "--delay-ms", 50) as relay, relay.connect() as s:
        begun = time.monotonic()
        s.sendall(b"a")
        assert s.recv(1) == b"a"
        first = time.monotonic() - begun      # with the handshake's round trip
        assert 0.195 < first < 1, first
        begun = time.monotonic()
        s.sendall(b"b")
        assert s.recv(1) == b"b"
        assert 0.095 < time.monotonic() - begun < 0.6
        begun = time.monotonic()
        sender = threading.Thread(target=lambda: (
            s.sendall(blob), s.shutdown(socket.SHUT_WR)))
        sender.start()
        assert drain(s)[0] == blob
        assert time.monotonic() - begun < 1.5


@test
def a_rate_holds():
    server = Server(answer)
    with Relay(server.port, "--rate", 20000) as relay, relay.connect() as s:
        begun = time.monotonic()
        s.sendall(request())
        s.shutdown(socket.SHUT_WR)
        assert drain(s)[0] == BODY
        spent = time.monotonic() - begun
        assert 0.4 < spent < 2, spent          # 10,240 bytes


@test
def a_header_counts_once_for_each_value():
    server = Server(answer)
    with Relay(server.port) as relay:
        for value, expected in (
                ("cut-down=5", 5), ("cut-down=5", len(BODY)),
                ("cut-down=5; id=2", 5), ("cut-down=5; id=2", len(BODY)),
                ("CUT", None)):
            with relay.connect() as s:
                s.sendall(request(value))
                s.shutdown(socket.SHUT_WR)
                got, end = drain(s)
                if expected is None:
                    assert end == "reset"       # a misspelt fault is no fault
                else:
                    assert len(got) == expected, value


@test
def the_header_is_read_in_any_case_and_passed_on():
    server = Server(swallow)
    text = b"POST /y HTTP/1.1\r\nx-BADNET:cut-up=49\r\n\r\n" + b"z" * 50
    with Relay(server.port) as relay, relay.connect() as s:
        for i in range(len(text)):              # held while it is incomplete
            s.sendall(text[i:i + 1])
            if i == 49:
                break
        drain(s)
        assert server.next_end() == (text[:49], "closed")


@test
def raw_means_that_headers_are_bytes():
    server = Server(answer)
    with Relay(server.port, "--raw") as relay, relay.connect() as s:
        s.sendall(request("cut-down=5"))
        s.shutdown(socket.SHUT_WR)
        assert drain(s) == (BODY, "closed")


@test
def options_are_for_a_connection_by_its_number():
    server = Server(answer)
    with Relay(server.port, "--connection", 2, "--cut-down", 7,
               "--connection", 3, "--reset-down", 8) as relay:
        for expected in (len(BODY), 7, 8, len(BODY)):
            with relay.connect() as s:
                s.sendall(request())
                s.shutdown(socket.SHUT_WR)
                assert len(drain(s)[0]) == expected


@test
def refusing_is_what_a_closed_port_does():
    with Relay(Server(answer).port, "--refuse") as relay:
        try:
            relay.connect()
            assert not "connected"
        except ConnectionRefusedError:
            pass


@test
def a_server_that_is_not_there_is_a_reset():
    with socket.socket() as nobody:
        nobody.bind(("127.0.0.1", 0))
        with Relay(nobody.getsockname()[1]) as relay, relay.connect() as s:
            assert drain(s)[1] == "reset"


@test
def many_connections_at_once():
    server = Server(answer)
    with Relay(server.port) as relay:
        sockets = [relay.connect() for _ in range(150)]
        for i, s in enumerate(sockets):
            s.sendall(request(f"cut-down={i}; id={i}"))
        for i, s in enumerate(sockets):
            assert drain(s)[0] == BODY[:i], i
            s.close()


@test
def curl_sees_the_same():
    def page(peer, got):
        if until_blank_line(peer, got):
            peer.sendall(b"HTTP/1.1 200 OK\r\n"
                         b"Content-Length: 10240\r\n\r\n" + BODY)

    server = Server(page)
    with Relay(server.port) as relay:
        for value, status, size in (("id=1", 0, 10240),
                                    ("cut-down=142", 18, 100),
                                    ("reset-down=142", 56, 100)):
            run = subprocess.run(
                ["curl", "-s", "--noproxy", "*", "-H", f"X-Badnet: {value}",
                 f"http://127.0.0.1:{relay.port}/x"], stdout=subprocess.PIPE)
            assert run.returncode == status, (value, run.returncode)
            assert len(run.stdout) == size, (value, len(run.stdout))


@test
def it_dies_with_its_parent():
    server = Server(answer)
    script = ("import subprocess, sys; p = subprocess.Popen(sys.argv[1:],"
              "stdout=subprocess.PIPE); print(p.stdout.readline().decode())")
    run = subprocess.run([sys.executable, "-c", script, PROGRAM, "--to",
                          f"127.0.0.1:{server.port}", "--die-with-parent"],
                         stdout=subprocess.PIPE)
    pid = json.loads(run.stdout)["pid"]
    end = time.monotonic() + 10
    while time.monotonic() < end:
        try:
            if " Z " in open(f"/proc/{pid}/stat").read():
                return
        except OSError:
            return
        time.sleep(0.01)
    assert not "alive"


passed = failed = 0
for test in TESTS:
    begun = time.monotonic()
    try:
        test()
        passed += 1
    except Exception as e:  # pylint: disable=broad-except
        failed += 1
        print(f"FAILED {test.__name__}\n  {type(e).__name__}: {str(e)[:500]}")
    if "-v" in sys.argv:
        print(f"{time.monotonic() - begun:6.2f} s {test.__name__}")
print(f"{passed} passed, {failed} failed")
sys.exit(failed > 0)

#!/usr/bin/env python3
"""Commands over WebSocket, as sandboxd serves them: PROTOCOL 5, rule by rule.

SPDX-License-Identifier: MIT

usage: tests/sandboxd_exec.py [PATH OF SANDBOXD]

The client here speaks WebSocket over plain sockets, so that it can send what
no library would. Nothing waits for a fixed time: what is waited for arrives,
or the test fails after ten seconds.
"""
import base64
import hashlib
import json
import os
import select
import signal
import socket
import struct
import subprocess
import sys
import tempfile
import threading
import urllib.error
import urllib.request

SANDBOXD = sys.argv[1] if len(sys.argv) > 1 else "build/sandboxd"
PATIENCE = 20
TEXT, BINARY, CLOSE, PING, PONG = 1, 2, 8, 9, 10


class Server:
    """A sandboxd of its own."""

    def __init__(self, *options):
        self.tmp = tempfile.TemporaryDirectory()
        env = dict(os.environ, TMPDIR=self.tmp.name)
        self.process = subprocess.Popen(
            [SANDBOXD, "--api-key", "key", "--provision-ms", "1", "--faults",
             "--die-with-parent", *options],
            stdout=subprocess.PIPE, stderr=subprocess.PIPE, env=env)
        self.ready = json.loads(self.process.stdout.readline())
        self.host, port = self.ready["endpoint"].split("//")[1].split(":")
        self.port = int(port)
        self.view = self.ready["isolation"] == "view"
        self.box = self.call("POST", "/v2/sandboxes/boxes", {})
        self.path = "/dp/" + self.box["id"]

    def call(self, method, path, body=None):
        data = None if body is None else json.dumps(body).encode()
        request = urllib.request.Request(
            self.ready["endpoint"] + path, data=data, method=method,
            headers={"X-Api-Key": "key"})
        with urllib.request.urlopen(request, timeout=PATIENCE) as reply:
            text = reply.read()
            return json.loads(text) if text else None

    def fault(self, **fault):
        self.call("POST", "/_faults", dict(match="GET */execute/ws", **fault))

    def end(self):
        self.process.send_signal(signal.SIGTERM)
        code = self.process.wait(PATIENCE)
        log = self.process.stderr.read().decode(errors="replace")
        left = os.listdir(self.tmp.name)
        self.tmp.cleanup()
        if code != 0 or "ERROR" in log or "runtime error" in log:
            raise AssertionError("the server ended with %d: %s" % (code, log))
        if left:
            raise AssertionError("left behind: %s" % left)


class Closed(Exception):
    """The connection's end: the close code, 1005 for none, 1006 for a cut."""

    def __init__(self, code, reason=""):
        super().__init__("closed with %d %s" % (code, reason))
        self.code = code
        self.reason = reason


class Refused(Exception):
    """The upgrade was answered otherwise."""

    def __init__(self, status, headers, body):
        super().__init__("refused with %d" % status)
        self.status = status
        self.headers = headers
        self.body = body


def frame(opcode, payload, fin=True, mask=b"\x11\x22\x33\x44", flags=0):
    """A frame, masked unless mask is None."""
    head = bytes([(0x80 if fin else 0) | flags | opcode])
    bit = 0x80 if mask is not None else 0
    if len(payload) < 126:
        head += bytes([bit | len(payload)])
    elif len(payload) < 65536:
        head += bytes([bit | 126]) + struct.pack(">H", len(payload))
    else:
        head += bytes([bit | 127]) + struct.pack(">Q", len(payload))
    if mask is None:
        return head + payload
    keys = (mask * (len(payload) // 4 + 1))[:len(payload)]
    masked = int.from_bytes(payload, "big") ^ int.from_bytes(keys, "big")
    return head + mask + masked.to_bytes(len(payload), "big")


class Client:
    """One connection."""

    def __init__(self, server, path=None, headers=None, drop=(), buffer=None):
        self.sock = socket.socket()
        if buffer:
            self.sock.setsockopt(socket.SOL_SOCKET, socket.SO_RCVBUF, buffer)
        self.sock.settimeout(PATIENCE)
        self.sock.connect((server.host, server.port))
        self.sock.setsockopt(socket.IPPROTO_TCP, socket.TCP_NODELAY, 1)
        self.bytes = b""
        self.pings = 0
        self.pongs = []
        self.frames = []
        self.raw = []
        key = base64.b64encode(os.urandom(16)).decode()
        lines = {"Host": "x", "X-Api-Key": "key", "Upgrade": "websocket",
                 "Connection": "Upgrade", "Sec-WebSocket-Key": key,
                 "Sec-WebSocket-Version": "13"}
        lines.update(headers or {})
        for name in drop:
            del lines[name]
        head = "GET %s HTTP/1.1\r\n" % (path or server.path + "/execute/ws")
        head += "".join("%s: %s\r\n" % line for line in lines.items())
        self.sock.sendall(head.encode() + b"\r\n")
        while b"\r\n\r\n" not in self.bytes:
            self.more()
        head, self.bytes = self.bytes.split(b"\r\n\r\n", 1)
        lines = head.decode().split("\r\n")
        status = int(lines[0].split(" ")[1])
        headers = {n.lower(): v for n, v in
                   (line.split(": ", 1) for line in lines[1:])}
        if status != 101:
            while len(self.bytes) < int(headers["content-length"]):
                self.more()
            raise Refused(status, headers, self.bytes.decode())
        wanted = base64.b64encode(hashlib.sha1(
            (key + "258EAFA5-E914-47DA-95CA-C5AB0DC85B11").encode()).digest())
        self.accepted = headers["sec-websocket-accept"] == wanted.decode()
        self.headers = headers

    def more(self):
        try:
            got = self.sock.recv(1 << 16)
        except ConnectionResetError:
            got = b""
        if not got:
            raise Closed(1006)
        self.bytes += got

    def need(self, count):
        while len(self.bytes) < count:
            self.more()
        out, self.bytes = self.bytes[:count], self.bytes[count:]
        return out

    def frame(self):
        """The next frame: (fin, opcode, payload). A server never masks."""
        first, second = self.need(2)
        assert not first & 0x70, "reserved bits"
        assert not second & 0x80, "a masked frame"
        length = second
        if second == 126:
            length = struct.unpack(">H", self.need(2))[0]
        elif second == 127:
            length = struct.unpack(">Q", self.need(8))[0]
        return bool(first & 0x80), first & 15, self.need(length)

    def message(self):
        """The next message; pings are counted and answered on the way."""
        parts = b""
        while True:
            fin, opcode, payload = self.frame()
            self.frames.append((fin, opcode, len(payload)))
            if opcode == PING:
                self.pings += 1
                self.sock.sendall(frame(PONG, payload))
            elif opcode == PONG:
                self.pongs.append(payload)
            elif opcode == CLOSE:
                code = struct.unpack(">H", payload[:2])[0] if payload else 1005
                raise Closed(code, payload[2:].decode())
            else:
                parts += payload
                if fin:
                    self.raw.append(parts.decode())
                    return parts.decode()

    def next(self):
        """The next message, which is a JSON object with a type."""
        message = json.loads(self.message())
        assert isinstance(message, dict) and isinstance(message["type"], str)
        return message

    def send(self, **message):
        self.send_text(json.dumps(message))

    def send_text(self, text):
        self.sock.sendall(frame(TEXT, text.encode()))

    def execute(self, command=None, **more):
        message = dict(type="execute", timeout_seconds=60, **more)
        if command is not None:
            message["command"] = command
        self.send(**message)
        return self

    def reconnect(self, command_id, out=0, err=0):
        self.send(type="reconnect", command_id=command_id, stdout_offset=out,
                  stderr_offset=err)
        return self

    def until(self, *types):
        """Messages up to one of these types, that one included."""
        got = []
        while not got or got[-1]["type"] not in types:
            got.append(self.next())
        return got

    def started(self):
        message = self.next()
        assert message["type"] == "started", message
        return message

    def output(self, stream, text, at=0):
        """Waits until a stream has said this, from an offset on."""
        said = b""
        while said.decode(errors="replace") != text:
            message = self.next()
            assert message["type"] == stream, (message, said)
            assert message["offset"] == at + len(said), message
            said += message["data"].encode()
            assert len(said) <= len(text.encode()), (said, text)

    def close(self, code=1000):
        """Closes in order, and waits for the server's close and its end."""
        self.sock.sendall(frame(CLOSE, struct.pack(">H", code) if code else b""))
        try:
            while True:
                self.message()
        except Closed as closed:
            echoed = closed.code
        try:
            while True:
                self.more()
        except Closed:
            pass
        self.sock.close()
        return echoed

    def cut(self):
        """Resets the connection."""
        self.sock.setsockopt(socket.SOL_SOCKET, socket.SO_LINGER,
                             struct.pack("ii", 1, 0))
        self.sock.close()


def transcript(messages):
    """Both outputs, checked for their offsets, and the last message."""
    said = {"stdout": b"", "stderr": b""}
    first = {}
    for message in messages[:-1]:
        stream = message["type"]
        if stream not in said:
            continue
        first.setdefault(stream, message["offset"])
        assert message["offset"] == first[stream] + len(said[stream]), message
        said[stream] += message["data"].encode()
    return said["stdout"].decode(), said["stderr"].decode(), messages[-1]


def run(server, command, **more):
    """Runs to its end: both outputs, the last message."""
    client = Client(server).execute(command, **more)
    client.started()
    result = transcript(client.until("exit", "error"))
    client.close()
    return result


def expect(actual, wanted):
    assert actual == wanted, "%.300r instead of %.300r" % (actual, wanted)


TESTS = []


def test(function):
    TESTS.append(function)
    return function


# ---------------------------------------------------------- 5.1 connections


@test
def a_transcript_is_what_the_protocol_shows(server):
    client = Client(server)
    client.send_text(
        '{"type":"execute","command":"echo hi; sleep 0.05; echo ho >&2",'
        '"timeout_seconds":60,"shell":"/bin/bash","idle_timeout_seconds":300,'
        '"kill_on_disconnect":false,"ttl_seconds":600,"close_stdin":true,'
        '"command_id":"0198c6d2a1f07c3e9d5b4a6f8e7d1c20"}')
    started = client.started()
    expect(started["command_id"], "0198c6d2a1f07c3e9d5b4a6f8e7d1c20")
    assert started["pid"] > 0
    expect(client.message(), '{"type":"stdout","data":"hi\\n","offset":0}')
    expect(client.message(), '{"type":"stderr","data":"ho\\n","offset":0}')
    expect(client.message(), '{"type":"exit","exit_code":0}')
    expect(client.close(), 1000)


def main():
    server = None
    passed = failed = 0
    for options, tests in GROUPS:
        server = Server(*options)
        for function in tests:
            try:
                function(server)
                passed += 1
            except Exception as error:  # whatever a test meets is its failure
                failed += 1
                print("FAILED %s\n  %s: %s" % (function.__name__,
                                               type(error).__name__, error))
        try:
            server.end()
        except Exception as error:
            failed += 1
            print("FAILED the end of a server\n  %s" % error)
    print("%d passed, %d failed" % (passed, failed))
    return failed > 0


GROUPS = [((), TESTS)]

if __name__ == "__main__":
    sys.exit(main())

#!/usr/bin/env python3
"""Commands over WebSocket, as sandboxd serves them: PROTOCOL 5, rule by rule.

SPDX-License-Identifier: MIT

usage: tests/sandboxd_exec.py [PATH OF SANDBOXD]; in the environment
ONLY=part of the tests' names, SLOW=1 to see what takes how long

The client here speaks WebSocket over plain sockets, so that it can send what
no library would. Nothing waits for a fixed time: what is waited for arrives,
or the test fails after PATIENCE seconds.
"""
import base64
import fcntl
import hashlib
import json
import os
import select
import signal
import socket
import ssl
import struct
import subprocess
import sys
import tempfile
import termios
import threading
import time
import urllib.error
import urllib.request

SANDBOXD = sys.argv[1] if len(sys.argv) > 1 else "build/sandboxd"
PATIENCE = int(os.environ.get("PATIENCE", "20"))
TEXT, BINARY, CLOSE, PING, PONG = 1, 2, 8, 9, 10


class Server:
    """A sandboxd of its own."""

    def __init__(self, *options):
        self.tmp = tempfile.TemporaryDirectory()
        os.chmod(self.tmp.name, 0o755)
        env = dict(os.environ, TMPDIR=self.tmp.name,
                   ASAN_OPTIONS="quarantine_size_mb=8")
        self.process = subprocess.Popen(
            [SANDBOXD, "--api-key", "key", "--provision-ms", "1", "--faults",
             "--die-with-parent", *options],
            stdout=subprocess.PIPE, stderr=subprocess.PIPE, env=env)
        self.ready = json.loads(self.process.stdout.readline())
        self.tls = None
        if "ca" in self.ready:
            self.tls = ssl.create_default_context(cafile=self.ready["ca"])
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
        with urllib.request.urlopen(request, timeout=PATIENCE,
                                    context=self.tls) as reply:
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
        if server.tls:
            self.sock = server.tls.wrap_socket(self.sock,
                                               server_hostname=server.host)
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

    def waits(self, seconds):
        """Whether something has come, or comes within so many seconds."""
        if self.bytes or (hasattr(self.sock, "pending") and
                          self.sock.pending()):
            return True
        return bool(select.select([self.sock], [], [], seconds)[0])

    def fills(self):
        """Waits until the server can send no more, nothing being read."""
        last, count = -1, 0
        while count != last or not count:
            last = count
            time.sleep(0.05)
            count = struct.unpack("i", fcntl.ioctl(
                self.sock, termios.FIONREAD, b"\0" * 4))[0]

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
        end = time.monotonic() + 3 * PATIENCE
        while not got or got[-1]["type"] not in types:
            assert time.monotonic() < end, "no %s comes" % (types,)
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
        payload = struct.pack(">H", code) if code else b""
        self.sock.sendall(frame(CLOSE, payload))
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


@test
def header_names_have_any_case_and_extensions_are_declined(server):
    client = Client(server, drop=("Upgrade", "Connection"), headers={
        "uPGRADE": "WebSocket", "cOnnection": "keep-alive, upgrade",
        "Sec-WebSocket-Extensions":
            "permessage-deflate; client_max_window_bits"})
    assert client.accepted
    expect(client.headers.get("sec-websocket-extensions"), None)
    expect(client.headers["upgrade"].lower(), "websocket")
    client.execute("true").started()


def refused(server, wanted, **how):
    try:
        Client(server, **how)
    except Refused as refusal:
        expect(refusal.status, wanted)
        return refusal
    raise AssertionError("the upgrade was not refused")


@test
def an_upgrade_that_is_none_is_refused_in_words(server):
    for wanted, how in ((400, dict(drop=("Upgrade",))),
                        (400, dict(drop=("Connection",))),
                        (400, dict(drop=("Sec-WebSocket-Key",))),
                        (400, dict(headers={"Sec-WebSocket-Key": "short"})),
                        (426, dict(headers={"Sec-WebSocket-Version": "8"})),
                        (400, dict(headers={"Content-Length": "5"})),
                        (400, dict(headers={"Connection": "close, upgrade"})),
                        (404, dict(path="/dp/nothing/execute/ws"))):
        detail = json.loads(refused(server, wanted, **how).body)["detail"]
        assert detail["message"] and detail["error_id"], detail
    refusal = refused(server, 426, headers={"Sec-WebSocket-Version": "8"})
    expect(refusal.headers["sec-websocket-version"], "13")
    refused(server, 401, headers={"X-Api-Key": "wrong"})


@test
def only_get_is_allowed(server):
    try:
        server.call("POST", server.path + "/execute/ws", {})
        raise AssertionError("POST was taken")
    except urllib.error.HTTPError as error:
        expect((error.code, error.headers["Allow"]), (405, "GET"))


@test
def a_message_right_behind_the_upgrade_is_read(server):
    sock = socket.create_connection((server.host, server.port), PATIENCE)
    sock.sendall(("GET %s/execute/ws HTTP/1.1\r\nHost: x\r\nX-Api-Key: key\r\n"
                  "Upgrade: websocket\r\nConnection: Upgrade\r\n"
                  "Sec-WebSocket-Key: dGhlIHNhbXBsZSBub25jZQ==\r\n"
                  "Sec-WebSocket-Version: 13\r\n\r\n" % server.path).encode() +
                 frame(TEXT, b'{"type":"execute","command":"echo hi"}'))
    got = b""
    while b'"exit_code"' not in got:
        more = sock.recv(65536)
        assert more, got
        got += more
    assert b"Sec-WebSocket-Accept: s3pPLMBiTxaQ9kYGzzhZRbK+xOo=" in got, got
    sock.close()


@test
def messages_come_in_fragments_with_pings_between_them(server):
    client = Client(server)
    text = b'{"type":"execute","command":"printf caf\xc3\xa9"}'
    for i in range(len(text)):
        client.sock.sendall(frame(0 if i else TEXT, text[i:i + 1],
                                  fin=i == len(text) - 1))
        if i % 7 == 0:
            client.sock.sendall(frame(PING, b"%d" % i))
    client.started()
    expect(transcript(client.until("exit"))[0], "caf\u00e9")
    expect(client.pongs, [b"%d" % i for i in range(0, len(text), 7)])


@test
def messages_come_byte_by_byte(server):
    client = Client(server)
    for byte in frame(TEXT, b'{"type":"execute","command":"echo hi"}'):
        client.sock.sendall(bytes([byte]))
    client.started()
    expect(transcript(client.until("exit"))[0], "hi\n")


@test
def binary_messages_are_taken_too(server):
    client = Client(server)
    client.sock.sendall(frame(BINARY, b'{"type":"execute","command":"true"}'))
    client.started()


@test
def a_close_is_echoed(server):
    for code, wanted in ((1000, 1000), (None, 1005), (1011, 1011),
                         (1001, 1001), (3000, 3000), (4999, 4999)):
        expect(Client(server).close(code), wanted)


@test
def broken_framing_ends_the_connection_and_not_the_command(server):
    for wrong, wanted in ((frame(TEXT, b"{}", mask=None), 1002),
                          (frame(TEXT, b"{}", flags=0x40), 1002),
                          (frame(3, b""), 1002), (frame(11, b""), 1002),
                          (frame(0, b""), 1002),
                          (frame(PING, b"", fin=False), 1002),
                          (frame(TEXT, b"\xff"), 1007),
                          (frame(CLOSE, b"\x03"), 1002),
                          (frame(CLOSE, struct.pack(">H", 1005)), 1002)):
        client = Client(server).execute("read -r x; echo lived $x")
        command_id = client.started()["command_id"]
        client.sock.sendall(wrong)
        try:
            client.next()
        except Closed as closed:
            expect(closed.code, wanted)
        again = Client(server).reconnect(command_id)
        again.started()
        again.send(type="input", data="on\n")
        expect(transcript(again.until("exit"))[0], "lived on\n")


# ------------------------------------------------------------- 5.3 execute


@test
def what_it_did_is_its_exit_code(server):
    for command, wanted in (("true", 0), ("exit 255", 255),
                            ("no-such-command", 127), ("kill -9 $$", 137),
                            ("kill $$", 143)):
        expect(run(server, command)[2], {"type": "exit", "exit_code": wanted})


@test
def environment_and_directory_in_both_spellings(server):
    command = "echo $A; pwd"
    for more in (dict(env={"A": "caf\u00e9"}, cwd="/tmp"),
                 dict(run_config={"env_vars": {"A": "caf\u00e9"},
                                  "work_dir": "/tmp"})):
        out = run(server, command, **more)[0]
        expect(out.split("\n")[0], "caf\u00e9")
        assert out.endswith("/tmp\n"), out
    run(server, "true", run_config={})
    if os.geteuid() == 0:
        out = run(server, "id -u; id -g", run_config={"user": "65534:65534"})
        expect(out[0], "65534\n65534\n")


@test
def what_cannot_be_is_an_error_and_nothing_runs(server):
    for more in (dict(env={}, run_config={}), dict(cwd="/", run_config={}),
                 dict(run_config={"work_dir": "relative"}),
                 dict(run_config="x"), dict(env={"A": 1}),
                 dict(cwd="/not/there"), dict(run_config={"user": "nobody-x"}),
                 dict(timeout_seconds="soon"), dict(ttl_seconds=-2),
                 dict(idle_timeout_seconds="x"), dict(command_id=7),
                 dict(command="a\0b"), dict(command=None)):
        client = Client(server)
        client.send(**dict(dict(type="execute", command="echo ran"), **more))
        error = client.next()
        expect((error["type"], error["error_type"]),
               ("error", "CommandError"))
        assert error["error"], error
        client.close()


@test
def a_shell_of_ones_own(server):
    expect(run(server, "echo $0", shell="/bin/sh")[0], "/bin/sh\n")
    out, err, end = run(server, "true", shell="/no/shell")
    assert "/no/shell" in err and end["exit_code"] == 127, (err, end)


@test
def a_command_that_takes_too_long_is_killed_with_its_children(server):
    client = Client(server)
    client.send(type="execute", timeout_seconds=1, close_stdin=True,
                command="trap '' TERM; sleep 1000 & echo begun; wait")
    client.started()
    got = client.until("exit", "error")
    expect(transcript(got)[0], "begun\n")
    expect(got[-1]["error_type"], "CommandTimeout")
    client.close()


@test
def those_who_come_after_a_timeout_hear_of_it(server):
    client = Client(server)
    client.send(type="execute", command="echo a; sleep 1000",
                timeout_seconds=1, command_id="late")
    client.until("error")
    again = Client(server).reconnect("late")
    again.started()
    out, _, end = transcript(again.until("exit", "error"))
    expect((out, end["error_type"]), ("a\n", "CommandTimeout"))


@test
def a_timeout_of_0_is_none(server):
    client = Client(server)
    client.send(type="execute", command="sleep 0.2", timeout_seconds=0)
    expect(client.until("exit", "error")[-1]["type"], "exit")


# ---------------------------------------------------------------- 5.4 ids


@test
def the_same_id_twice_is_one_command(server):
    client = Client(server)
    client.execute("echo ran >>$HOME/once; read -r x; cat $HOME/once",
                   command_id="once")
    pid = client.started()["pid"]
    again = Client(server).execute("echo never", command_id="once")
    expect(again.started(), {"type": "started", "command_id": "once",
                             "pid": pid})
    client.send(type="input", data="\n")
    expect(transcript(client.until("exit"))[0], "ran\n")
    expect(transcript(again.until("exit"))[0], "ran\n")
    late = Client(server).execute("echo never", command_id="once")
    late.started()
    expect(transcript(late.until("exit"))[0], "ran\n")


@test
def ids_are_opaque(server):
    for command_id in ("0198c6d2-a1f0-7c3e-9d5b-4a6f8e7d1c20", "a b", "/..",
                       "caf\u00e9 \U0001f600", "x" * 1000, "\"\\"):
        client = Client(server).execute("echo hi", command_id=command_id)
        expect(client.started()["command_id"], command_id)
        client.until("exit")
        again = Client(server).reconnect(command_id)
        expect(again.started()["command_id"], command_id)
        expect(transcript(again.until("exit"))[0], "hi\n")


@test
def without_an_id_the_server_makes_one(server):
    client = Client(server).execute("echo hi")
    command_id = client.started()["command_id"]
    again = Client(server).reconnect(command_id)
    again.started()
    expect(transcript(again.until("exit"))[0], "hi\n")


@test
def another_sandbox_has_ids_of_its_own(server):
    box = server.call("POST", "/v2/sandboxes/boxes", {})
    Client(server).execute("echo here", command_id="both").until("exit")
    other = Client(server, path="/dp/%s/execute/ws" % box["id"])
    other.reconnect("both")
    expect(other.next()["error_type"], "CommandNotFound")
    other = Client(server, path="/dp/%s/execute/ws" % box["id"])
    other.execute("echo there", command_id="both")
    expect(transcript(other.until("exit"))[0], "there\n")


# ------------------------------------------------------------- 5.5 messages


@test
def the_end_comes_behind_all_output(server):
    command = "head -c 3000000 /dev/zero | tr '\\0' x; echo end >&2; exit 3"
    out, err, end = run(server, command)
    expect((len(out), err, end["exit_code"]), (3000000, "end\n", 3))


@test
def output_that_is_odd_arrives_as_it_is(server):
    for command, wanted in ((r"printf 'no newline'", "no newline"),
                            (r"printf 'a\0b\0'", "a\0b\0"),
                            (r"printf '\342\200\250\342\200\251'",
                             "\u2028\u2029"),
                            (r"printf '\033[0m\177\t\\\"'",
                             "\033[0m\177\t\\\""),
                            (r"printf '\360\237\230\200'", "\U0001f600")):
        expect(run(server, command)[0], wanted)


@test
def ten_megabytes_on_one_line_arrive(server):
    out, _, end = run(server, "head -c 10000000 /dev/zero | tr '\\0' y")
    assert out == "y" * 10000000, len(out)
    expect(end["exit_code"], 0)


@test
def nothing_but_objects_is_sent_and_type_comes_first(server):
    client = Client(server).execute("echo a; echo b >&2")
    client.until("exit")
    for text in client.raw:
        assert text.startswith('{"type":"'), text


@test
def both_outputs_at_once_keep_their_order(server):
    out, err, _ = run(server, "for i in $(seq 2000); do echo $i; "
                              "echo -$i >&2; done")
    expect(out, "".join("%d\n" % i for i in range(1, 2001)))
    expect(err, "".join("-%d\n" % i for i in range(1, 2001)))


# -------------------------------------------------------------- 5.6 offsets


def resume(server, command_id, out, err=0):
    client = Client(server).reconnect(command_id, out, err)
    client.started()
    result = client.until("exit")
    client.close()
    return result


@test
def output_that_is_no_utf8_is_replaced_byte_by_byte(server):
    client = Client(server).execute(
        r"printf 'a\377\376b\303'; printf '\355\240\200\342\202' >&2",
        command_id="broken")
    client.started()
    got = client.until("exit")
    text = {"stdout": "", "stderr": ""}
    for message in got[:-1]:
        text[message["type"]] += message["data"]
    expect(text, {"stdout": "a\ufffd\ufffdb\ufffd", "stderr": "\ufffd" * 5})
    # Offsets count the command's bytes: behind the two that became U+FFFD.
    expect(resume(server, "broken", 3, 5)[0],
           {"type": "stdout", "data": "b\ufffd", "offset": 3})


@test
def a_character_that_comes_in_two_writes_is_one(server):
    client = Client(server).execute(
        r"printf 'a\303'; read -r x; printf '\251b'; read -r x; "
        r"printf '\342\202'")
    client.started()
    client.output("stdout", "a")
    client.send(type="input", data="\n")
    client.output("stdout", "\u00e9b", 1)
    client.send(type="input", data="\n")
    expect(client.until("exit")[0],
           {"type": "stdout", "data": "\ufffd\ufffd", "offset": 4})


@test
def a_reattachment_begins_at_its_offsets(server):
    client = Client(server).execute("printf 'caf\u00e9\\nmore'; echo e >&2",
                                    command_id="offsets")
    client.until("exit")
    whole = "caf\u00e9\nmore".encode()
    for at in (0, 1, 3, 5, 6, 9):
        expect(transcript(resume(server, "offsets", at, 2)),
               (whole[at:].decode(), "", {"type": "exit", "exit_code": 0}))
    # Beyond the end there is nothing; the end is all that comes.
    expect(resume(server, "offsets", 10, 2),
           [{"type": "exit", "exit_code": 0}])
    expect(resume(server, "offsets", 1 << 40, 1 << 62),
           [{"type": "exit", "exit_code": 0}])
    client = Client(server)
    client.send(type="reconnect", command_id="offsets", stdout_offset=-5,
                stderr_offset="x")
    client.started()
    expect(transcript(client.until("exit"))[:2], ("caf\u00e9\nmore", "e\n"))


# -------------------------------------------------------- 5.8, 5.9 coming back


@test
def who_is_ahead_of_the_output_gets_what_comes(server):
    first = Client(server).execute("printf ab; read -r x; printf cd",
                                   command_id="ahead")
    first.started()
    first.output("stdout", "ab")
    client = Client(server).reconnect("ahead", 1000, 1000)
    client.started()
    client.send(type="input", data="\n")
    expect(client.until("exit")[0],
           {"type": "stdout", "data": "cd", "offset": 2})


@test
def a_command_goes_on_while_nobody_is_there(server):
    client = Client(server).execute("read -r x; echo got $x; exit 5")
    command_id = client.started()["command_id"]
    client.send(type="input", data="it\n")
    client.cut()
    result = transcript(resume(server, command_id, 0))
    expect(result, ("got it\n", "", {"type": "exit", "exit_code": 5}))


@test
def a_finished_command_tells_the_rest_and_its_end(server):
    Client(server).execute("echo hi; echo ho >&2; exit 9",
                           command_id="finished").until("exit")
    for _ in range(3):
        expect(transcript(resume(server, "finished", 0)),
               ("hi\n", "ho\n", {"type": "exit", "exit_code": 9}))
    expect(transcript(resume(server, "finished", 1, 3)),
           ("i\n", "", {"type": "exit", "exit_code": 9}))


@test
def started_comes_first_and_has_the_same_pid(server):
    client = Client(server).execute("read -r x", command_id="quiet")
    first = client.started()
    again = Client(server).reconnect("quiet")
    expect(again.started(), first)
    again.send(type="input", data="\n")
    expect(again.next(), {"type": "exit", "exit_code": 0})
    expect(client.next(), {"type": "exit", "exit_code": 0})


@test
def several_clients_get_everything(server):
    clients = [Client(server).execute("cat", command_id="several")]
    clients[0].started()
    for _ in range(4):
        clients.append(Client(server).reconnect("several"))
        clients[-1].started()
    for i, client in enumerate(clients):
        client.send(type="input", data="from %d\n" % i)
        for other in clients:
            other.output("stdout", "from %d\n" % i, 7 * i)
    clients[2].send(type="close_stdin")
    for client in clients:
        expect(client.next(), {"type": "exit", "exit_code": 0})


@test
def an_unknown_command_is_not_found(server):
    client = Client(server).reconnect("never")
    expect(client.next(), {"type": "error", "error_type": "CommandNotFound",
                           "error": "Command not found: never"})
    client.close()


@test
def a_reload_closes_with_1001_and_commands_live_on(server):
    clients = [Client(server).execute("read -r x; echo $x",
                                      command_id="reload%d" % i)
               for i in range(3)]
    waiting = Client(server)
    for client in clients:
        client.started()
    server.process.send_signal(signal.SIGHUP)
    for client in clients + [waiting]:
        try:
            client.next()
            raise AssertionError("not closed")
        except Closed as closed:
            expect(closed.code, 1001)
    for i in range(3):
        client = Client(server).reconnect("reload%d" % i)
        client.started()
        client.send(type="input", data="alive\n")
        expect(transcript(client.until("exit"))[0], "alive\n")


# ------------------------------------------- 5.10, 5.14 kill, input, its end


def processes(words):
    """The processes whose command line is, or ends with, these words."""
    found = []
    for pid in filter(str.isdigit, os.listdir("/proc")):
        try:
            with open("/proc/%s/cmdline" % pid, "rb") as file:
                line = file.read().decode(errors="replace")
        except OSError:
            continue
        if line.rstrip("\0").replace("\0", " ").endswith(words):
            found.append(int(pid))
    return found


def gone(words):
    """Waits until there is no such process."""
    end = time.monotonic() + PATIENCE
    while processes(words):
        assert time.monotonic() < end, "still there: " + words
        time.sleep(0.01)


@test
def a_kill_takes_the_whole_group(server):
    for command in ("echo x; sleep 7001",
                    "trap '' TERM INT HUP; echo x; sleep 7001",
                    "(sleep 7001 & sleep 7001) & echo x; wait",
                    "echo x; while :; do :; done", "echo x; kill -STOP $$"):
        client = Client(server).execute(command)
        client.started()
        client.output("stdout", "x\n")
        client.send(type="kill")
        client.send(type="kill")
        expect(client.until("exit")[-1]["exit_code"], 137)
        client.send(type="kill")
        client.close()
    gone("sleep 7001")


@test
def a_kill_that_a_reset_follows_is_still_heard(server):
    for i in range(4):
        command = ("sleep 7002", "yes")[i % 2]
        client = Client(server, buffer=4096)
        client.execute(command, command_id="cut%d" % i)
        client.started()
        if command == "yes":
            client.fills()
        client.send(type="kill")
        client.cut()
        again = Client(server).reconnect("cut%d" % i)
        expect(again.until("exit")[-1]["exit_code"], 137)


@test
def what_comes_before_the_first_message_is_held(server):
    client = Client(server)
    client.send(type="input", data="one\n")
    client.send(type="input", data="two\n")
    client.send(type="close_stdin")
    client.send(type="input", data="never\n")
    client.execute("cat")
    client.started()
    expect(transcript(client.until("exit"))[0], "one\ntwo\n")
    client = Client(server)
    client.send(type="kill")
    client.execute("sleep 7003")
    expect(client.until("exit")[-1]["exit_code"], 137)
    client = Client(server).execute("cat; echo end", command_id="held")
    client.started()
    again = Client(server)
    again.send(type="close_stdin")
    again.reconnect("held")
    again.started()
    expect(transcript(again.until("exit"))[0], "end\n")


@test
def input_arrives_as_it_was_sent(server):
    client = Client(server).execute("od -An -c | tr -d ' \\n'")
    client.started()
    client.send_text('{"type" : "input",\n "data" : "a\\u0000\\u00e9\\ud83d'
                     '\\ude00\\ud800\\n"}')
    client.send_text('{"data":"z","type":"input","more":[{"x":null}]}')
    client.send(type="input", data="")
    client.send(type="input")
    client.send(type="input", data=5)
    client.send(type="close_stdin")
    client.send(type="close_stdin")
    client.send(type="input", data="late")
    expect(transcript(client.until("exit"))[0],
           "a\\0303251360237230200357277275\\nz")


@test
def ten_megabytes_of_input_arrive(server):
    text = "0123456789" * 1000000
    wanted = hashlib.md5(text.encode()).hexdigest() + "  -\n"
    for size in (10000000, 32768, 999999):
        client = Client(server).execute("sleep 0.1; md5sum")
        client.started()
        for at in range(0, len(text), size):
            client.send(type="input", data=text[at:at + size])
        client.send(type="close_stdin")
        expect(transcript(client.until("exit"))[0], wanted)


@test
def input_comes_back_while_it_is_being_sent(server):
    client = Client(server).execute("cat")
    client.started()
    text = "x" * 4000000

    def send():
        for at in range(0, len(text), 32768):
            client.send(type="input", data=text[at:at + 32768])
        client.send(type="close_stdin")

    sender = threading.Thread(target=send)
    sender.start()
    out = transcript(client.until("exit"))[0]
    sender.join()
    assert out == text, len(out)


@test
def who_sends_to_a_command_that_does_not_read_is_held_up(server):
    client = Client(server).execute("sleep 7004", command_id="deaf")
    client.started()
    piece = frame(TEXT, json.dumps(
        dict(type="input", data="x" * 60000)).encode())
    client.sock.setblocking(False)
    sent = 0
    while select.select([], [client.sock], [], 0.5)[1]:
        try:
            sent += client.sock.send(piece * 16)
        except BlockingIOError:
            pass
        assert sent < 64 << 20, "it takes everything"
    assert resident(server) < 200 << 20, resident(server)
    other = Client(server).reconnect("deaf")
    other.started()
    other.send(type="kill")
    expect(other.until("exit")[-1]["exit_code"], 137)
    client.sock.settimeout(PATIENCE)
    client.cut()


def resident(server):
    with open("/proc/%d/statm" % server.process.pid) as statm:
        return int(statm.read().split()[1]) * 4096


@test
def the_end_of_stdin(server):
    expect(run(server, "cat; echo end", close_stdin=True)[0], "end\n")
    client = Client(server).execute("cat; echo end", close_stdin=True)
    client.started()
    client.send(type="input", data="never")
    expect(transcript(client.until("exit"))[0], "end\n")
    client = Client(server).execute("sort")
    client.started()
    client.send(type="input", data="b\na\n")
    client.send(type="close_stdin")
    expect(transcript(client.until("exit"))[0], "a\nb\n")


@test
def a_command_that_closes_its_stdin_goes_on(server):
    client = Client(server).execute("exec <&-; echo closed; sleep 0.2; echo x")
    client.started()
    client.output("stdout", "closed\n")
    for _ in range(4):
        client.send(type="input", data="y" * 100000)
    expect(transcript(client.until("exit"))[0], "x\n")


@test
def after_the_end_nothing_has_an_effect(server):
    client = Client(server).execute("exit 4")
    client.until("exit")
    for message in ("kill", "close_stdin", "resize", "unknown"):
        client.send(type=message)
    client.send(type="input", data="x")
    expect(client.close(), 1000)


# ------------------------------------------------------------------ processes


def visible(server, path=None):
    """The command lines that a command sees, by process."""
    client = Client(server, path=path).execute(
        "for p in /proc/[0-9]*; do printf '%s ' ${p#/proc/}; "
        "tr '\\0' ' ' <$p/cmdline; echo; done")
    client.started()
    lines = transcript(client.until("exit"))[0].splitlines()
    return {int(line.split(" ")[0]): line for line in lines}


@test
def a_sandbox_sees_its_own_processes(server):
    if not server.view:
        return
    box = server.call("POST", "/v2/sandboxes/boxes", {})
    client = Client(server).execute("echo up; read -r x; echo $$ $x")
    pid = client.started()["pid"]
    client.output("stdout", "up\n")
    seen = visible(server)
    assert pid in seen and "read -r x" in seen[pid], (pid, seen)
    assert "sandboxd" not in str(seen), seen
    other = visible(server, "/dp/%s/execute/ws" % box["id"])
    assert len(other) <= 4 and "read -r x" not in str(other), other
    client.send(type="input", data="it\n")
    expect(transcript(client.until("exit"))[0], "%d it\n" % pid)


@test
def what_one_command_leaves_running_another_finds(server):
    out = run(server, "(sleep 7013 & echo $!) 2>&1")[0]
    expect(run(server, "kill -0 %s && kill -9 %s && echo killed"
               % (out.strip(), out.strip()))[0], "killed\n")
    gone("sleep 7013")


@test
def an_orphan_leaves_no_zombie(server):
    if not server.view:
        return
    run(server, "(setsid sh -c 'sleep 0.01; exit 3' &) & wait; sleep 0.1")
    expect(run(server, "grep -l 'State:.Z' /proc/[0-9]*/status")[0], "")


# ------------------------------------------------------------------ terminals


@test
def a_terminal_merges_outputs_and_echoes_input(server):
    client = Client(server).execute(
        "stty size; tty; echo err >&2; read -r x; echo got $x", pty=True,
        close_stdin=True)
    client.started()
    out, err = "", ""
    while not out.endswith("err\r\n"):
        message = client.next()
        expect(message["type"], "stdout")
        out += message["data"]
    assert out.startswith("24 80\r\n/dev/pts/"), out
    client.send(type="close_stdin")
    client.send(type="input", data="line\n")
    out, err, end = transcript(client.until("exit"))
    expect((out, err, end["exit_code"]), ("line\r\ngot line\r\n", "", 0))


@test
def a_terminal_has_a_size_that_changes(server):
    client = Client(server).execute(
        "trap 'stty size; exit' WINCH; echo ready; while :; do sleep 0.02; "
        "done", pty=True)
    client.started()
    client.output("stdout", "ready\r\n")
    for wrong in (dict(cols=0, rows=10), dict(cols=10), dict(rows="x"),
                  dict(cols=70000, rows=1), dict(cols=-1, rows=-1)):
        client.send(type="resize", **wrong)
    client.send(type="resize", cols=132, rows=43)
    expect(transcript(client.until("exit"))[0], "43 132\r\n")


@test
def a_terminals_control_characters_work(server):
    client = Client(server).execute("cat; echo end", pty=True)
    client.started()
    client.send(type="input", data="\u0004")
    expect(transcript(client.until("exit"))[0], "end\r\n")
    client = Client(server).execute("sleep 7005", pty=True)
    client.started()
    client.send(type="input", data="\u0003")
    expect(client.until("exit")[-1]["exit_code"], 130)


@test
def no_command_with_a_terminal_is_a_shell(server):
    for more in (dict(command=""), dict()):
        client = Client(server)
        client.send(type="execute", pty=True, shell="/bin/sh", **more)
        client.started()
        client.send(type="input", data="echo $((6 * 7)); tty; "
                    ": </dev/tty && echo own; exit 3\n")
        out, _, end = transcript(client.until("exit"))
        assert "42\r\n" in out and "/dev/pts/" in out, out
        assert "own\r\n" in out, out
        expect(end["exit_code"], 3)


@test
def a_kill_ends_a_terminals_command(server):
    client = Client(server).execute("cat", pty=True)
    client.started()
    client.send(type="kill")
    expect(client.until("exit")[-1]["exit_code"], 137)


# ------------------------------------------------------- 5.15 odd things


@test
def whoever_keeps_the_output_open_does_not_hold_the_end_up(server):
    out, _, end = run(server, "(sleep 7006; echo never) & echo hi; exit 2")
    expect((out, end["exit_code"]), ("hi\n", 2))
    out, _, end = run(server, "setsid sleep 7006 & echo hi")
    expect((out, end["exit_code"]), ("hi\n", 0))
    for pid in processes("sleep 7006"):
        os.kill(pid, signal.SIGKILL)


@test
def messages_that_are_no_objects_are_errors_and_not_losses(server):
    for text in ("", "x", "[]", "5", "null", '"x"', "{", '{"type":5}', "{}",
                 '{"type":"execute","command":"\x01"}', '{"a":1}{"a":2}'):
        client = Client(server)
        client.send_text(text)
        error = client.next()
        expect((error["type"], error["error_type"]),
               ("error", "CommandError"))
        expect(client.close(), 1000)


@test
def one_connection_has_one_command(server):
    client = Client(server).execute("sleep 7007", command_id="sole")
    client.started()
    client.execute("echo another", command_id="another")
    expect(client.next()["error_type"], "CommandError")
    other = Client(server).reconnect("another")
    expect(other.next()["error_type"], "CommandNotFound")
    other = Client(server).reconnect("sole")
    other.started()
    other.send(type="kill")
    other.until("exit")


@test
def what_is_unknown_is_ignored(server):
    client = Client(server)
    client.send(type="whatever", x=[1, {"type": "kill"}])
    client.execute("cat", unknown={"a": [None]}, pty=None)
    client.started()
    client.send(type="future", data="x")
    client.send(type="ssh_agent_data", channel_id="1", data="AAAA")
    client.send(type="ssh_agent_close", channel_id="1")
    client.send(type="close_stdin")
    expect(client.next(), {"type": "exit", "exit_code": 0})


@test
def a_message_that_is_too_long_is_an_error(server):
    client = Client(server)
    client.sock.sendall(frame(TEXT, b'{"type":"input","data":"', fin=False))
    try:
        for _ in range(20):
            client.sock.sendall(frame(0, b"x" * 1000000, fin=False))
    except (BrokenPipeError, ConnectionResetError):
        pass
    expect(client.next()["error_type"], "CommandError")
    client = Client(server)
    for _ in range(17):
        client.send(type="input", data="x" * 1000000)
    expect(client.next()["error_type"], "CommandError")


@test
def two_hundred_commands_run_at_once(server):
    clients = []
    for i in range(200):
        clients.append(Client(server).execute("read -r x; echo %d $x" % i))
    pids = {client.started()["pid"] for client in clients}
    expect(len(pids), 200)
    for client in clients:
        client.send(type="input", data="go\n")
    for i, client in enumerate(clients):
        out, _, end = transcript(client.until("exit"))
        expect((out, end["exit_code"]), ("%d go\n" % i, 0))
        client.close()


@test
def a_sandbox_that_is_stopped_ends_its_commands(server):
    box = server.call("POST", "/v2/sandboxes/boxes", {})
    path = "/dp/%s/execute/ws" % box["id"]
    client = Client(server, path=path).execute("echo hi; sleep 7008",
                                               command_id="stopped")
    client.started()
    client.output("stdout", "hi\n")
    waiting = Client(server, path=path)
    server.call("POST", "/v2/sandboxes/boxes/%s/stop" % box["id"])
    expect(client.until("exit")[-1]["exit_code"], 137)
    waiting.execute("echo no")
    expect(waiting.next()["error_type"], "CommandError")
    # The next request wakes it.
    awake = Client(server, path=path).execute("echo awake")
    expect(transcript(awake.until("exit")[1:])[0], "awake\n")
    client = Client(server, path=path).execute("echo up; sleep 7008")
    client.started()
    client.output("stdout", "up\n")
    server.call("DELETE", "/v2/sandboxes/boxes/" + box["id"])
    expect(client.until("exit")[-1]["exit_code"], 137)
    gone("sleep 7008")


@test
def a_client_that_does_not_read_holds_the_command_up_and_misses_nothing(server):
    client = Client(server, buffer=1 << 18)
    client.execute("head -c 8000000 /dev/zero | tr '\\0' x",
                   command_id="slow")
    client.started()
    other = Client(server).reconnect("slow")
    got = [other.started()]
    while got[-1]["type"] != "exit" and other.waits(0.3):
        got.append(other.next())
    assert resident(server) < 200 << 20, resident(server)
    first = []
    reader = threading.Thread(target=lambda: first.extend(
        client.until("exit")))
    reader.start()
    if got[-1]["type"] != "exit":
        got.extend(other.until("exit"))
    reader.join()
    expect(len(transcript(first)[0]), 8000000)
    expect(len(transcript(got)[0]), 8000000)


# --------------------------------------------------------------- ssh-agents


AGENT = r"""
import os, socket, sys
s = socket.socket(socket.AF_UNIX)
s.connect(os.environ['SSH_AUTH_SOCK'])
s.sendall(b'\x00\x00\x00\x01\x0b' + bytes(range(256)))
got = b''
while len(got) < 5:
    more = s.recv(100)
    if not more:
        break
    got += more
print(got)
s.shutdown(socket.SHUT_WR)
print(s.recv(100))
"""


@test
def an_ssh_agent_is_forwarded_in_channels(server):
    quoted = AGENT.replace("'", "'\\''")
    client = Client(server).execute("python3 -c '%s'" % quoted,
                                    ssh_agent_forward=True, close_stdin=True)
    client.started()
    said = b""
    while len(said) < 261:
        message = client.next()
        expect(message["type"], "ssh_agent_data")
        channel = message["channel_id"]
        assert isinstance(channel, str)
        said += base64.b64decode(message["data"], validate=True)
    expect(said, b"\x00\x00\x00\x01\x0b" + bytes(range(256)))
    client.send(type="ssh_agent_data", channel_id="other", data="eA==")
    for answer in (b"a", b"bc", b"de"):
        client.send(type="ssh_agent_data", channel_id=channel,
                    data=base64.b64encode(answer).decode())
    got = client.until("ssh_agent_close", "exit")
    expect(got[-1], {"type": "ssh_agent_close", "channel_id": channel})
    client.send(type="ssh_agent_close", channel_id=channel)
    out = transcript(got + client.until("exit"))[0]
    expect(out, "b'abcde'\nb''\n")


@test
def an_agents_channel_ends_when_the_client_says_so(server):
    quoted = AGENT.replace("'", "'\\''")
    client = Client(server).execute("python3 -c '%s'" % quoted,
                                    ssh_agent_forward=True)
    channel = client.until("ssh_agent_data")[-1]["channel_id"]
    client.send(type="ssh_agent_data", channel_id=channel, data="eHk=")
    client.send(type="ssh_agent_close", channel_id=channel)
    expect(transcript(client.until("exit"))[0], "b'xy'\nb''\n")


@test
def without_forwarding_there_is_no_agent(server):
    expect(run(server, "echo .$SSH_AUTH_SOCK.")[0], "..\n")


# ------------------------------------------------------------------- faults


@test
def upgrades_are_refused_when_a_fault_says_so(server):
    server.fault(times=2, status=503, headers={"Retry-After": "2"},
                 body={"detail": {"message": "soon", "error_id": "e1"}})
    for _ in range(2):
        refusal = refused(server, 503)
        expect(refusal.headers["retry-after"], "2")
        expect(json.loads(refusal.body)["detail"]["message"], "soon")
    Client(server).execute("true").started()


def closed(client, wanted):
    try:
        while True:
            client.next()
    except Closed as end:
        expect(end.code, wanted)


@test
def connections_close_when_a_fault_says_so(server):
    for fault, wanted, messages in (
            (dict(socket="close", code=1000, after=-1), 1000, []),
            (dict(socket="close", code=1001, after=0), 1001, []),
            (dict(socket="close", after=0), 1005, []),
            (dict(socket="close", code=1011, after=1), 1011, ["started"]),
            (dict(socket="close", code=1001, after=3), 1001,
             ["started", "stdout", "stdout"]),
            (dict(socket="cut", after=-1), 1006, []),
            (dict(socket="cut", after=0), 1006, []),
            (dict(socket="cut", after=2), 1006, ["started", "stdout"])):
        server.fault(**fault)
        client = Client(server).execute(
            "for i in 1 2 3 4; do echo $i; sleep 0.02; done")
        got = []
        try:
            while True:
                got.append(client.next()["type"])
        except Closed as end:
            expect((fault, end.code), (fault, wanted))
        expect((fault, got), (fault, messages))


@test
def a_command_whose_start_was_lost_is_there(server):
    server.fault(socket="close", code=1000, after=0)
    closed(Client(server).execute("echo hi; exit 6", command_id="lost"), 1000)
    server.fault(socket="cut", after=-1)
    client = Client(server)
    closed(client.execute("echo never", command_id="unheard"), 1006)
    expect(transcript(resume(server, "lost", 0))[2]["exit_code"], 6)
    client = Client(server).reconnect("unheard")
    expect(client.next()["error_type"], "CommandNotFound")


@test
def a_server_falls_silent_when_a_fault_says_so(server):
    for after, count in ((-1, 0), (0, 0), (2, 2)):
        server.fault(socket="silent", after=after)
        client = Client(server).execute("echo 1; sleep 0.02; echo 2",
                                        command_id="mute%d" % after)
        for _ in range(count):
            client.next()
        client.sock.sendall(frame(PING, b"") + frame(CLOSE, b""))
        other = Client(server).reconnect("mute%d" % after)
        expect(other.until("exit", "error")[-1]["type"],
               "error" if after < 0 else "exit")
        expect(select.select([client.sock], [], [], 0)[0], [])


@test
def odd_text_is_sent_when_a_fault_says_so(server):
    for text, kind in (("{bad", "text"), ("[1]", "text"), ("{}", "binary"),
                       ('{"type":"future"}', "text")):
        server.fault(socket=kind, body=text, after=1)
        client = Client(server).execute("echo hi")
        client.started()
        expect(client.message(), text)
        expect(transcript(client.until("exit"))[0], "hi\n")
    server.fault(socket="bytes", body="\u007f", after=0)
    client = Client(server).execute("echo hi")
    expect(client.need(1), b"\x7f")


@test
def members_change_their_order_when_a_fault_says_so(server):
    for order, wanted in (
            ("data,offset,type", '{"data":"hi","offset":0,"type":"stdout"}'),
            ("offset", '{"offset":0,"type":"stdout","data":"hi"}'),
            ("nothing,data,", '{"data":"hi","type":"stdout","offset":0}')):
        server.fault(order=order)
        client = Client(server).execute("printf hi")
        client.until("exit")
        expect(client.raw[1], wanted)


@test
def messages_come_in_fragments_when_a_fault_says_so(server):
    server.fault(frames=3)
    client = Client(server).execute("printf 'caf\u00e9'")
    expect(transcript(client.until("exit"))[0], "caf\u00e9")
    assert max(size for _, _, size in client.frames) <= 3, client.frames
    assert client.pings > 5


@test
def a_ring_forgets_when_a_fault_says_so(server):
    Client(server).execute("printf caf\u00e9-abc", command_id="ring") \
        .until("exit")
    server.fault(drop=4)
    expect(resume(server, "ring", 0)[0],
           {"type": "stdout", "data": "-abc", "offset": 5})
    expect(resume(server, "ring", 0)[0]["offset"], 5)
    server.fault(drop=1000)
    expect(resume(server, "ring", 0), [{"type": "exit", "exit_code": 0}])


@test
def an_accept_is_wrong_when_a_fault_says_so(server):
    server.fault(socket="accept")
    assert not Client(server).accepted
    assert Client(server).accepted


@test
def the_head_of_a_reply_is_lost_when_a_fault_says_so(server):
    for fault in (dict(close="lost-reply"), dict(close="before-reply")):
        server.fault(**fault)
        try:
            Client(server)
            raise AssertionError("the reply came")
        except Closed:
            pass


# ------------------------------------------- seconds that last a hundredth

QUICK = []


def quick(function):
    QUICK.append(function)
    return function


@quick
def a_command_nobody_attends_is_killed(server):
    client = Client(server).execute("echo up; sleep 7009", command_id="idle",
                                    idle_timeout_seconds=5, ttl_seconds=-1)
    client.started()
    client.output("stdout", "up\n")
    client.cut()
    gone("sleep 7009")
    expect(resume(server, "idle", 0)[-1]["exit_code"], 137)


@quick
def the_idle_time_stands_still_while_somebody_is_there(server):
    client = Client(server).execute("sleep 0.5; echo lived",
                                    idle_timeout_seconds=1)
    expect(transcript(client.until("exit")[1:])[0], "lived\n")
    client = Client(server).execute("sleep 0.5; echo lived", command_id="two",
                                    idle_timeout_seconds=1)
    client.started()
    other = Client(server).reconnect("two")
    other.started()
    client.cut()
    expect(transcript(other.until("exit"))[0], "lived\n")
    client = Client(server).execute("sleep 1.5; echo lived",
                                    command_id="back",
                                    idle_timeout_seconds=100)
    client.started()
    client.cut()
    other = Client(server).reconnect("back")
    expect(transcript(other.until("exit")[1:])[0], "lived\n")


@quick
def an_idle_time_of_minus_1_is_none(server):
    client = Client(server).execute("sleep 0.5; echo lived",
                                    idle_timeout_seconds=-1, ttl_seconds=-1)
    command_id = client.started()["command_id"]
    client.cut()
    client = Client(server).reconnect(command_id)
    expect(transcript(client.until("exit")[1:])[0], "lived\n")


@quick
def kill_on_disconnect_looks_at_the_last_client(server):
    client = Client(server).execute("echo up; sleep 7010", command_id="last",
                                    kill_on_disconnect=True, ttl_seconds=-1,
                                    idle_timeout_seconds=-1)
    client.started()
    client.output("stdout", "up\n")
    other = Client(server).reconnect("last")
    other.started()
    client.close()
    assert processes("sleep 7010")
    other.cut()
    gone("sleep 7010")
    expect(resume(server, "last", 0)[-1]["exit_code"], 137)


@quick
def a_disconnection_is_seen_though_input_waits(server):
    client = Client(server).execute("echo up; sleep 7011",
                                    kill_on_disconnect=True,
                                    idle_timeout_seconds=-1)
    client.started()
    client.output("stdout", "up\n")
    piece = frame(TEXT, json.dumps(
        dict(type="input", data="x" * 60000)).encode())
    client.sock.setblocking(False)
    while select.select([], [client.sock], [], 0.3)[1]:
        try:
            client.sock.send(piece * 16)
        except BlockingIOError:
            pass
    client.cut()
    gone("sleep 7011")


@quick
def a_session_expires(server):
    client = Client(server).execute("echo hi", ttl_seconds=10,
                                    command_id="brief")
    client.until("exit")
    client.close()
    while True:
        other = Client(server).reconnect("brief")
        last = other.until("exit", "error")[-1]
        if last["type"] == "error":
            break
        other.close()
    expect(last, {"type": "error", "error_type": "SessionExpired",
                  "error": "Session expired: brief"})
    # It is not run again under its old id.
    other = Client(server).execute("echo again", command_id="brief")
    expect(other.next()["error_type"], "SessionExpired")


@quick
def who_is_attached_when_it_expires_gets_all_of_it(server):
    client = Client(server, buffer=4096)
    client.execute("head -c 900000 /dev/zero | tr '\\0' x", ttl_seconds=0,
                   command_id="short")
    client.started()
    while True:
        other = Client(server).reconnect("short")
        if other.until("exit", "error")[-1]["type"] == "error":
            break
        other.close()
    out, _, end = transcript(client.until("exit", "error"))
    expect((len(out), end), (900000, {"type": "exit", "exit_code": 0}))


@quick
def a_ttl_of_minus_1_is_for_ever(server):
    client = Client(server).execute("echo hi", ttl_seconds=-1,
                                    command_id="ever")
    client.until("exit")
    other = Client(server).execute("sleep 0.3")
    other.until("exit")
    expect(transcript(resume(server, "ever", 0))[0], "hi\n")


# ------------------------------------- small rings that nothing waits for

SMALL = []


def small(function):
    SMALL.append(function)
    return function


@small
def a_character_behind_what_is_no_text_waits_for_its_room(server):
    client = Client(server).execute(
        r"printf '0123456789\377\360\237\230\200'", command_id="room")
    client.until("exit")
    got = resume(server, "room", 0)
    expect("".join(m["data"] for m in got[:-1]),
           "0123456789\ufffd\U0001f600")


@small
def long_output_is_split_between_characters(server):
    text = "a\u00e9\u20ac\U0001f600" * 20
    client = Client(server).execute("read -r x; printf %s $x",
                                    command_id="split")
    client.started()
    client.send(type="input", data=text + "\n")
    got = client.until("exit")
    expect(transcript(got)[0], text)
    assert len(got) > 10
    assert max(len(m["data"].encode()) for m in got[:-1]) <= 16
    client = Client(server).execute("printf '" + "\\377" * 50 + "'")
    client.started()
    got = client.until("exit")
    expect("".join(m["data"] for m in got[:-1]), "\ufffd" * 50)
    at = 0
    for message in got[:-1]:
        expect(message["offset"], at)
        at += len(message["data"])


@small
def what_the_ring_lost_is_a_gap(server):
    client = Client(server).execute("seq 100000", command_id="gap")
    client.started()
    client.until("exit")
    whole = "".join("%d\n" % i for i in range(1, 100001)).encode()
    got = resume(server, "gap", 0)
    at = got[0]["offset"]
    expect(at, len(whole) - 4096)
    expect(transcript(got)[0].encode(), whole[at:])
    got = resume(server, "gap", len(whole) - 10)
    expect(transcript(got)[0].encode(), whole[-10:])


@small
def a_gap_ends_at_a_character(server):
    client = Client(server).execute(
        "for i in $(seq 3000); do printf '\u20ac'; done", command_id="euro")
    client.until("exit")
    got = resume(server, "euro", 0)
    expect(got[0]["offset"] % 3, 0)
    assert 9000 - 4096 <= got[0]["offset"] <= 9000 - 4096 + 2, got[0]
    expect(set("".join(m["data"] for m in got[:-1])), {"\u20ac"})


@small
def a_client_that_does_not_read_holds_nobody_up(server):
    client = Client(server, buffer=4096)
    client.execute("head -c 20000000 /dev/zero | tr '\\0' x; echo end >&2",
                   command_id="stuck")
    client.started()
    other = Client(server).reconnect("stuck")
    other.until("exit")
    assert resident(server) < 200 << 20, resident(server)
    got = client.until("exit")
    last = [m for m in got if m["type"] == "stdout"][-1]
    expect(last["offset"] + len(last["data"]), 20000000)
    at = -1
    for message in got[:-1]:
        if message["type"] == "stdout":
            assert message["offset"] > at, message
            at = message["offset"]


# ------------------------------------------------------- one option each

PINGS, ORDER, HOST, FEW, HELD = [], [], [], [], []


def group(tests):
    def add(function):
        tests.append(function)
        return function
    return add


@group(PINGS)
def the_server_pings_now_and_then(server):
    client = Client(server).execute("sleep 0.5")
    client.until("exit")
    assert 3 <= client.pings <= 50, client.pings


@group(PINGS)
def a_flood_of_pings_without_reading_costs_no_memory(server):
    client = Client(server, buffer=4096)
    client.execute("sleep 7012", command_id="flood")
    before = resident(server)
    client.sock.setblocking(False)
    flood, sent = frame(PING, b"x" * 100) * 1000, 0
    while select.select([], [client.sock], [], 0.3)[1] and sent < 40 << 20:
        try:
            sent += client.sock.send(flood)
        except BlockingIOError:
            pass
    assert resident(server) - before < 30 << 20, resident(server) - before
    client.cut()
    other = Client(server).reconnect("flood")
    other.send(type="kill")
    other.until("exit")


@group(HELD)
def a_ring_of_any_size_misses_nothing_while_its_client_reads(server):
    out, err, _ = run(server, "seq 20000; seq 5000 >&2")
    expect(out, "".join("%d\n" % i for i in range(1, 20001)))
    expect(err, "".join("%d\n" % i for i in range(1, 5001)))


@group(ORDER)
def members_come_in_the_order_of_the_option(server):
    client = Client(server).execute("printf hi")
    client.until("exit")
    expect(client.raw[1], '{"data":"hi","type":"stdout","offset":0}')


@group(FEW)
def too_many_commands_are_an_error(server):
    client = Client(server).execute("cat", command_id="first")
    client.started()
    other = Client(server).execute("cat")
    expect(other.next()["error_type"], "CommandError")
    other = Client(server).execute("cat", command_id="first")
    other.started()
    client.send(type="close_stdin")
    client.until("exit")
    Client(server).execute("true").until("exit")


HOST.extend([a_transcript_is_what_the_protocol_shows,
             environment_and_directory_in_both_spellings,
             an_ssh_agent_is_forwarded_in_channels,
             no_command_with_a_terminal_is_a_shell,
             a_kill_takes_the_whole_group])

TLS = [a_transcript_is_what_the_protocol_shows,
       messages_come_byte_by_byte,
       ten_megabytes_on_one_line_arrive,
       ten_megabytes_of_input_arrive,
       a_kill_that_a_reset_follows_is_still_heard,
       a_reload_closes_with_1001_and_commands_live_on,
       a_client_that_does_not_read_holds_the_command_up_and_misses_nothing]


def main():
    server = None
    passed = failed = 0
    for options, tests in GROUPS:
        tests = [t for t in tests if os.environ.get("ONLY", "") in t.__name__]
        if not tests:
            continue
        server = Server(*options)
        for function in tests:
            begun = time.monotonic()
            try:
                function(server)
                passed += 1
            except Exception as error:  # whatever a test meets is its failure
                failed += 1
                print("FAILED %s\n  %s: %s" % (function.__name__,
                                               type(error).__name__, error))
            if "SLOW" in os.environ:
                print("%6.2f s %s" % (time.monotonic() - begun,
                                      function.__name__))
        try:
            server.end()
        except Exception as error:
            failed += 1
            print("FAILED the end of a server\n  %s" % error)
    print("%d passed, %d failed" % (passed, failed))
    return failed > 0


GROUPS = [
    ((), TESTS),
    (("--second-ms", "10"), QUICK),
    (("--ring-bytes", "4096", "--message-bytes", "16", "--hold-ms", "0"),
     SMALL),
    (("--ring-bytes", "4096"), HELD),
    (("--ping-ms", "20"), PINGS),
    (("--member-order", "data,type,offset"), ORDER),
    (("--max-commands", "1"), FEW),
    (("--isolation", "none"), HOST),
    (("--tls",), TLS),
]

if __name__ == "__main__":
    sys.exit(main())

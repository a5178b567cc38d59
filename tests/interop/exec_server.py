#!/usr/bin/python3
"""Commands over a WebSocket (protocol 5), on Debian's python3-websockets.

SPDX-License-Identifier: MIT

A server that shares nothing with lssb: real processes, ring buffers, PTYs, and
of the control plane what a client needs to get at them. The line on standard
output says where. SIGHUP: every connection ends with 1001, commands live on.

options: --ring-bytes N, --message-bytes N, --compress (where the client offers
it), --fragments (messages in small frames), --die-with-parent
"""
import argparse
import asyncio
import codecs
import fcntl
import http.server
import json
import os
import pty
import pwd
import signal
import struct
import subprocess
import termios
import threading
import time
import uuid

import websockets

KEY = "peer-key"
GRACE_S = 0.2                       # for output behind the end of a command

# Each byte that is no UTF-8 becomes one U+FFFD, as Go's JSON encoder does it.
codecs.register_error("each", lambda e: ("\ufffd", e.start + 1))


def whole(raw):
    """How many bytes of these are whole characters, or none at all."""
    for back in range(1, min(4, len(raw) + 1)):
        byte = raw[-back]
        if byte >= 0xC0:
            need = 2 if byte < 0xE0 else 3 if byte < 0xF0 else 4
            return len(raw) - back if need > back else len(raw)
        if byte < 0x80:
            break
    return len(raw)


class Stream:
    """The last bytes of an output, and where they are in it."""

    def __init__(self):
        self.raw = bytearray()
        self.base = 0
        self.ended = False

    def add(self, data):
        self.raw += data
        drop = len(self.raw) - OPTIONS.ring_bytes
        if drop > 0:
            while drop < len(self.raw) and self.raw[drop] & 0xC0 == 0x80:
                drop += 1
            del self.raw[:drop]
            self.base += drop

    def piece(self, at):
        """From `at` on, or the first byte there is: offset, bytes."""
        at = max(at, self.base)
        start = at - self.base
        raw = bytes(self.raw[start:start + OPTIONS.message_bytes])
        last = self.ended and start + len(raw) == len(self.raw)
        return at, raw if last else raw[:whole(raw)]


class Command:
    """A process, its output, and those who follow it."""

    def __init__(self, wanted):
        self.wanted = wanted
        self.id = wanted.get("command_id") or uuid.uuid4().hex
        self.streams = {"stdout": Stream(), "stderr": Stream()}
        self.followers = set()
        self.end = None             # the message that ends it
        self.expires = None
        self.idle = None
        self.timeout = None
        self.terminal = None
        self.closed = False
        self.feed = asyncio.Queue()
        self.over = False
        self.started = asyncio.create_task(self.start())

    def tell(self):
        for wake in self.followers:
            wake.set()

    def environment(self):
        config = self.wanted.get("run_config") or {}
        env = dict(os.environ)
        env.update(config.get("env_vars") or self.wanted.get("env") or {})
        return env, config.get("work_dir") or self.wanted.get("cwd"), \
            config.get("user")

    def become(self, user):
        """What the child does before the shell starts."""
        signal.signal(signal.SIGINT, signal.SIG_DFL)
        if self.wanted.get("pty"):
            fcntl.ioctl(0, termios.TIOCSCTTY, 0)
        if user:
            name, _, group = user.partition(":")
            entry = None if name.isdigit() else pwd.getpwnam(name)
            uid = entry.pw_uid if entry else int(name)
            gid = int(group) if group else entry.pw_gid if entry else uid
            os.setgroups([])
            os.setgid(gid)
            os.setuid(uid)

    async def start(self):
        env, cwd, user = self.environment()
        pipe = asyncio.subprocess.PIPE
        argv = [self.wanted.get("shell") or "/bin/bash"]
        if self.wanted.get("command"):
            argv += ["-c", self.wanted["command"]]
        slave = None
        if self.wanted.get("pty"):
            self.terminal, slave = pty.openpty()
            env.setdefault("TERM", "xterm")
        self.process = await asyncio.create_subprocess_exec(
            *argv, env=env, cwd=cwd, start_new_session=True,
            stdin=slave or pipe, stdout=slave or pipe, stderr=slave or pipe,
            preexec_fn=lambda: self.become(user))
        if slave is not None:
            os.close(slave)
            self.streams["stderr"].ended = True
            readers = [self.read_terminal()]
        else:
            readers = [self.read("stdout", self.process.stdout),
                       self.read("stderr", self.process.stderr)]
        readers = [asyncio.create_task(r) for r in readers]
        asyncio.create_task(self.write())
        if self.wanted.get("close_stdin"):
            self.close_stdin()
        seconds = self.wanted.get("timeout_seconds", 60)
        if seconds > 0:
            self.timeout = asyncio.get_running_loop().call_later(
                seconds, self.late, seconds)
        asyncio.create_task(self.finish(readers))

    def late(self, seconds):
        self.end = {"type": "error", "error_type": "CommandTimeout",
                    "error": f"command timed out after {seconds} seconds"}
        self.kill()

    async def read(self, name, source):
        while data := await source.read(65536):
            self.streams[name].add(data)
            self.tell()
            if OPTIONS.fragments:
                await asyncio.sleep(0)

    async def read_terminal(self):
        loop = asyncio.get_running_loop()
        ended = loop.create_future()

        def readable():
            try:
                self.streams["stdout"].add(os.read(self.terminal, 65536))
            except OSError:         # the last of the other side has gone
                loop.remove_reader(self.terminal)
                ended.set_result(None)
            self.tell()

        loop.add_reader(self.terminal, readable)
        await ended

    async def write(self):
        """Feeds stdin, one piece after another, as fast as it is read."""
        while (data := await self.feed.get()) is not None:
            try:
                if self.terminal is not None:
                    os.write(self.terminal, data)
                else:
                    self.process.stdin.write(data)
                    await self.process.stdin.drain()
            except OSError:
                pass
        if self.terminal is None:
            self.process.stdin.close()

    def close_stdin(self):
        if not self.closed and self.terminal is None:
            self.closed = True
            self.feed.put_nowait(None)

    async def finish(self, readers):
        code = await self.process.wait()
        await asyncio.wait(readers, timeout=GRACE_S)
        for stream in self.streams.values():
            stream.ended = True
        if self.timeout:
            self.timeout.cancel()
        self.end = self.end or {"type": "exit", "exit_code":
                                code if code >= 0 else 128 - code}
        ttl = self.wanted.get("ttl_seconds", 600)
        self.expires = time.monotonic() + ttl if ttl >= 0 else None
        self.over = True
        self.tell()

    def kill(self):
        try:
            os.killpg(self.process.pid, signal.SIGKILL)
        except ProcessLookupError:
            pass

    def act(self, message):
        """What a client says after its first message."""
        kind = message.get("type")
        if kind == "kill":
            self.kill()
        elif kind == "input" and not self.closed:
            self.feed.put_nowait(message["data"].encode())
        elif kind == "close_stdin":
            self.close_stdin()
        elif kind == "resize" and self.terminal is not None:
            fcntl.ioctl(self.terminal, termios.TIOCSWINSZ, struct.pack(
                "HHHH", message["rows"], message["cols"], 0, 0))

    def attach(self, wake):
        self.followers.add(wake)
        if self.idle:
            self.idle.cancel()
            self.idle = None

    def detach(self, wake):
        self.followers.discard(wake)
        if self.followers or self.over:
            return
        seconds = self.wanted.get("idle_timeout_seconds", 300)
        if self.wanted.get("kill_on_disconnect"):
            self.kill()
        elif seconds >= 0:
            self.idle = asyncio.get_running_loop().call_later(
                seconds, self.kill)


COMMANDS = {}


class Refused(Exception):
    """An `error` message."""


async def find(message):
    """The command of a first message: a new one, or one that there is."""
    name = message.get("command_id")
    command = COMMANDS.get(name)
    if message["type"] == "execute" and not command:
        if "run_config" in message and ("env" in message or "cwd" in message):
            raise Refused("CommandError", "run_config excludes env and cwd")
        config = message.get("run_config") or {}
        if not config.get("work_dir", "/").startswith("/"):
            raise Refused("CommandError", "work_dir must be absolute")
        command = Command(message)
        COMMANDS[command.id] = command
    if not command:
        raise Refused("CommandNotFound", "no such command")
    try:
        await asyncio.shield(command.started)
    except (OSError, KeyError, ValueError, subprocess.SubprocessError) as e:
        COMMANDS.pop(command.id, None)
        raise Refused("CommandError", str(e)) from e
    if command.expires is not None and time.monotonic() > command.expires:
        raise Refused("SessionExpired", "session expired")
    return command


async def say(ws, message):
    text = json.dumps(message, ensure_ascii=OPTIONS.fragments)
    if OPTIONS.fragments:
        await ws.send([text[i:i + 7] for i in range(0, len(text), 7)]
                      if len(text) < 2000 else
                      [text[i:i + 3000] for i in range(0, len(text), 3000)])
        pong = await ws.ping()
        pong.add_done_callback(lambda p: p.cancelled() or p.exception())
    else:
        await ws.send(text)


async def follow(ws, command, at, wake):
    """Sends a client all that there is, until the end, or until it leaves."""
    try:
        await follow_on(ws, command, at, wake)
    except websockets.ConnectionClosed:
        pass


async def follow_on(ws, command, at, wake):
    await say(ws, {"type": "started", "command_id": command.id,
                   "pid": command.process.pid})
    while True:
        wake.clear()
        sent = False
        for name, stream in command.streams.items():
            offset, raw = stream.piece(at[name])
            if raw:
                at[name] = offset + len(raw)
                sent = True
                await say(ws, {"type": name, "offset": offset,
                               "data": raw.decode("utf-8", "each")})
        if sent:
            continue
        if command.over:
            await say(ws, command.end)
            return
        await wake.wait()


async def first_message(ws):
    """The message that begins, and what came before it."""
    early = []
    async for text in ws:
        message = json.loads(text)
        if message.get("type") in ("execute", "reconnect"):
            return message, early
        early.append(message)
    return None, early


async def serve(ws, _path=None):
    wake = asyncio.Event()
    try:
        message, early = await first_message(ws)
    except websockets.ConnectionClosed:
        return
    if not message:
        return
    try:
        command = await find(message)
    except Refused as e:
        await say(ws, {"type": "error", "error_type": e.args[0],
                       "error": e.args[1]})
        await ws.wait_closed()
        return
    command.attach(wake)
    sender = asyncio.create_task(follow(ws, command, {
        "stdout": message.get("stdout_offset", 0),
        "stderr": message.get("stderr_offset", 0)}, wake))
    try:
        for held in early:
            command.act(held)
        async for text in ws:
            command.act(json.loads(text))
    except websockets.ConnectionClosed:
        pass
    finally:
        sender.cancel()
        command.detach(wake)


class Control(http.server.BaseHTTPRequestHandler):
    """Boxes: there is one, and it is always ready."""

    protocol_version = "HTTP/1.1"

    def answer(self, status, value=None):
        body = b"" if value is None else json.dumps(value).encode()
        self.send_response(status)
        self.send_header("Content-Type", "application/json")
        self.send_header("Content-Length", str(len(body)))
        self.end_headers()
        self.wfile.write(body)

    def box(self):
        self.rfile.read(int(self.headers.get("Content-Length") or 0))
        if self.headers.get("X-Api-Key") != KEY:
            return self.answer(401, {"detail": {"message": "no key"}})
        return self.answer(201 if self.command == "POST" else 200, {
            "id": str(uuid.uuid4()), "name": "box-1", "status": "ready",
            "dataplane_url": self.server.dataplane})

    do_GET = do_POST = do_PATCH = box

    def do_DELETE(self):
        self.answer(204)

    def log_message(self, format, *args):
        pass


async def guard(path, headers):
    """Refuses an upgrade elsewhere, or without the key."""
    if path != "/dp/1/execute/ws":
        return http.HTTPStatus.NOT_FOUND, [], b'{"detail":{"message":"not here"}}'
    if headers.get("X-Api-Key") != KEY:
        return http.HTTPStatus.UNAUTHORIZED, [], b'{"detail":{"message":"no key"}}'
    return None


async def main():
    loop = asyncio.get_running_loop()
    asyncio.set_child_watcher(asyncio.PidfdChildWatcher())
    asyncio.get_child_watcher().attach_loop(loop)
    server = await websockets.serve(
        serve, "127.0.0.1", 0, process_request=guard, max_size=None,
        compression="deflate" if OPTIONS.compress else None,
        ping_interval=20, close_timeout=2)
    control = http.server.ThreadingHTTPServer(("127.0.0.1", 0), Control)
    port = server.sockets[0].getsockname()[1]
    control.dataplane = f"http://127.0.0.1:{port}/dp/1"
    threading.Thread(target=control.serve_forever, daemon=True).start()

    def reload():
        for ws in list(server.websockets):
            asyncio.create_task(ws.close(1001, "reload"))

    ended = asyncio.Event()
    loop.add_signal_handler(signal.SIGHUP, reload)
    loop.add_signal_handler(signal.SIGTERM, ended.set)
    print(json.dumps({
        "endpoint": f"http://127.0.0.1:{control.server_address[1]}",
        "dataplane": port, "api_key": KEY, "pid": os.getpid()}), flush=True)
    parent = os.getppid()
    while not ended.is_set():
        try:
            await asyncio.wait_for(ended.wait(), 0.5)
        except asyncio.TimeoutError:
            if OPTIONS.die_with_parent and os.getppid() != parent:
                break
    for command in COMMANDS.values():
        if not command.over:
            command.kill()
    os._exit(0)


parser = argparse.ArgumentParser()
parser.add_argument("--ring-bytes", type=int, default=1 << 24)
parser.add_argument("--message-bytes", type=int, default=32768)
parser.add_argument("--compress", action="store_true")
parser.add_argument("--fragments", action="store_true")
parser.add_argument("--die-with-parent", action="store_true")
OPTIONS = parser.parse_args()
asyncio.run(main())

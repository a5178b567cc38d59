// Commands over a WebSocket (protocol 5), on npm's ws.
//
// SPDX-License-Identifier: MIT
//
// A server that shares nothing with lssb: real processes, ring buffers, and of
// the control plane what a client needs to get at them; no PTYs. The line on
// standard output says where. SIGHUP: every connection ends with 1001, commands
// live on.
//
// options: --ring-bytes N, --message-bytes N, --compress (offered by the server
// and taken where the client wants it), --fragments (messages in pieces with
// pings between them), --die-with-parent

import { spawn } from "node:child_process";
import { randomUUID } from "node:crypto";
import http from "node:http";
import { parseArgs } from "node:util";
import { WebSocketServer } from "ws";

const key = "peer-key";
const graceMs = 200;                // for output behind the end of a command
const bufferedMax = 1 << 18;        // of one connection
const { values: options } = parseArgs({ options: {
    "ring-bytes": { type: "string", default: String(1 << 24) },
    "message-bytes": { type: "string", default: "32768" },
    compress: { type: "boolean", default: false },
    fragments: { type: "boolean", default: false },
    "die-with-parent": { type: "boolean", default: false },
} });
const ringBytes = Number(options["ring-bytes"]);
const messageBytes = Number(options["message-bytes"]);

// ------------------------------------------------------------------ output --

// The length of the character that begins here; 0: it is none, -1: it is
// incomplete.
function character(raw, at) {
    const first = raw[at];
    if (first < 0x80)
        return 1;
    const need = first >= 0xc2 && first < 0xe0 ? 2
        : first >= 0xe0 && first < 0xf0 ? 3 : first >= 0xf0 && first < 0xf5 ? 4 : 0;
    const lowest = first === 0xe0 ? 0xa0 : first === 0xf0 ? 0x90 : 0x80;
    const highest = first === 0xed ? 0x9f : first === 0xf4 ? 0x8f : 0xbf;
    for (let i = 1; i < need; i++) {
        const next = raw[at + i];
        if (next === undefined)
            return -1;
        if (next < (i === 1 ? lowest : 0x80) || next > (i === 1 ? highest : 0xbf))
            return 0;
    }
    return need;
}

// How many bytes of these are whole characters, or none at all.
function whole(raw) {
    for (let back = 1; back <= 3 && back <= raw.length; back++) {
        const at = raw.length - back;
        if ((raw[at] & 0xc0) !== 0x80)
            return character(raw, at) === -1 ? at : raw.length;
    }
    return raw.length;
}

// The text of these bytes; each that is no UTF-8 becomes one U+FFFD, as Go's
// JSON encoder does it.
function text(raw) {
    const simple = raw.toString("utf8");
    if (!simple.includes("\ufffd"))
        return simple;
    let all = "";
    for (let at = 0; at < raw.length;) {
        const length = Math.max(character(raw, at), 0);
        all += length ? raw.toString("utf8", at, at + length) : "\ufffd";
        at += length || 1;
    }
    return all;
}

// The last bytes of an output, and where they are in it.
class Stream {
    parts = [];
    base = 0;
    size = 0;
    ended = false;

    add(data) {
        this.parts.push(data);
        this.size += data.length;
        for (let drop; (drop = this.size - ringBytes) > 0;) {
            const first = this.parts.shift();
            let cut = Math.min(drop, first.length);
            while (cut < first.length && (first[cut] & 0xc0) === 0x80)
                cut++;
            this.base += cut;
            this.size -= cut;
            if (cut < first.length)
                this.parts.unshift(first.subarray(cut));
        }
    }

    // From `at` on, or the first byte there is: its offset, and bytes.
    piece(wanted) {
        const at = Math.max(wanted, this.base);
        const found = [];
        let skip = at - this.base, room = messageBytes;
        for (const part of this.parts) {
            if (skip < part.length && room > 0) {
                found.push(part.subarray(skip, skip + room));
                room -= found.at(-1).length;
            }
            skip = Math.max(0, skip - part.length);
        }
        const raw = Buffer.concat(found);
        const last = this.ended && at + raw.length === this.base + this.size;
        return [at, last ? raw : raw.subarray(0, whole(raw))];
    }
}

// ---------------------------------------------------------------- commands --

const commands = new Map();

class Command {
    streams = { stdout: new Stream(), stderr: new Stream() };
    followers = new Set();
    end = null;                     // the message that ends it
    over = false;
    expires = Infinity;
    closed = false;

    constructor(wanted) {
        const config = wanted.run_config ?? {};
        this.wanted = wanted;
        this.id = wanted.command_id ?? randomUUID();
        const [uid, gid] = config.user === undefined ? []
            : [...config.user.split(":"), config.user].map(Number);
        this.process = spawn(wanted.shell ?? "/bin/bash", ["-c", wanted.command], {
            detached: true, cwd: config.work_dir ?? wanted.cwd, uid, gid,
            env: { ...process.env, ...(config.env_vars ?? wanted.env) },
        });
        for (const name of ["stdout", "stderr"])
            this.process[name]?.on("data", (data) => {
                this.streams[name].add(data);
                this.tell();
            });
        this.process.stdin?.on("error", () => {});
        this.process.on("error", (e) => this.finish({ type: "error",
            error_type: "CommandError", error: e.message }));
        this.process.on("exit", (code, signal) => {
            this.grace = setTimeout(() => this.process.emit("close", code, signal), graceMs);
        });
        this.process.on("close", (code, signal) => this.finish({
            type: "exit", exit_code: signal ? 128 + signals[signal] : code }));
        if (wanted.close_stdin)
            this.act({ type: "close_stdin" });
        const seconds = wanted.timeout_seconds ?? 60;
        if (seconds > 0)
            this.timeout = setTimeout(() => {
                this.end = { type: "error", error_type: "CommandTimeout",
                    error: `command timed out after ${seconds} seconds` };
                this.kill();
            }, seconds * 1000);
    }

    finish(end) {
        if (this.over)
            return;
        clearTimeout(this.timeout);
        clearTimeout(this.grace);
        clearTimeout(this.idle);
        this.over = true;
        this.end ??= end;
        for (const stream of Object.values(this.streams))
            stream.ended = true;
        const ttl = this.wanted.ttl_seconds ?? 600;
        this.expires = ttl < 0 ? Infinity : Date.now() + ttl * 1000;
        this.tell();
    }

    tell() {
        for (const follower of this.followers)
            follower();
    }

    kill() {
        try {
            process.kill(-this.process.pid, "SIGKILL");
        } catch {
            // It has ended.
        }
    }

    // What a client says after its first message.
    act(message) {
        if (message.type === "kill")
            this.kill();
        else if (message.type === "input" && !this.closed)
            this.process.stdin?.write(message.data);
        else if (message.type === "close_stdin" && !this.closed) {
            this.closed = true;
            this.process.stdin?.end();
        }
    }

    attach(follower) {
        this.followers.add(follower);
        clearTimeout(this.idle);
    }

    detach(follower) {
        this.followers.delete(follower);
        const seconds = this.wanted.idle_timeout_seconds ?? 300;
        if (this.followers.size || this.over)
            return;
        if (this.wanted.kill_on_disconnect)
            this.kill();
        else if (seconds >= 0)
            this.idle = setTimeout(() => this.kill(), seconds * 1000);
    }
}

const { signals } = (await import("node:os")).constants;

// The command of a first message, a new one or one that there is; or the
// `error` message that refuses it.
function find(message) {
    const refuse = (error_type, error) => ({ type: "error", error_type, error });
    const known = commands.get(message.command_id);
    if (message.type === "execute" && !known) {
        if (message.run_config && (message.env || message.cwd))
            return refuse("CommandError", "run_config excludes env and cwd");
        if (message.pty)
            return refuse("CommandError", "no PTYs here");
        if (!(message.run_config?.work_dir ?? "/").startsWith("/"))
            return refuse("CommandError", "work_dir must be absolute");
        try {
            const command = new Command(message);
            commands.set(command.id, command);
            return command;
        } catch (e) {
            return refuse("CommandError", e.message);
        }
    }
    if (!known)
        return refuse("CommandNotFound", "no such command");
    return Date.now() > known.expires
        ? refuse("SessionExpired", "session expired") : known;
}

// ------------------------------------------------------------- connections --

// One message; as asked for in frames, with a ping in their midst.
function say(socket, message) {
    const bytes = Buffer.from(JSON.stringify(message));
    if (!options.fragments)
        return socket.send(bytes, { binary: false });
    const step = Math.max(5, bytes.length >> 2);
    for (let at = 0; at < bytes.length; at += step) {
        socket.send(bytes.subarray(at, at + step), { binary: false,
            fin: at + step >= bytes.length, compress: options.compress });
        socket.ping();
    }
}

// Sends a client all that there is from its offsets on, then the end.
function follow(socket, command, message) {
    const at = { stdout: message.stdout_offset ?? 0, stderr: message.stderr_offset ?? 0 };
    let told = false, retry;
    const follower = () => {
        let sent = !told;
        while (sent && !told && socket.bufferedAmount < bufferedMax) {
            sent = false;
            for (const [name, stream] of Object.entries(command.streams)) {
                const [offset, raw] = stream.piece(at[name]);
                if (raw.length) {
                    at[name] = offset + raw.length;
                    sent = true;
                    say(socket, { type: name, data: text(raw), offset });
                }
            }
        }
        clearTimeout(retry);
        if (sent && !told)          // until the socket has room
            retry = setTimeout(follower, 1);
        else if (command.over && !told) {
            told = true;
            say(socket, command.end);
        }
    };
    command.attach(follower);
    socket.on("close", () => {
        told = true;
        command.detach(follower);
    });
    say(socket, { type: "started", command_id: command.id, pid: command.process.pid });
    follower();
}

const sockets = new WebSocketServer({ noServer: true, maxPayload: 1 << 28,
    perMessageDeflate: options.compress && { threshold: 0 } });

sockets.on("connection", (socket) => {
    const early = [];
    let command;
    socket.on("error", () => {});
    socket.on("message", (data) => {
        const message = JSON.parse(data);
        if (command)
            return command.act?.(message);
        if (message.type !== "execute" && message.type !== "reconnect")
            return early.push(message);
        command = find(message);
        if (!(command instanceof Command))
            return say(socket, command);
        follow(socket, command, message);
        early.forEach((m) => command.act(m));
    });
});
setInterval(() => sockets.clients.forEach((socket) => socket.ping()), 20000).unref();

// Boxes: there is one, and it is always ready.
const server = http.createServer((request, response) => {
    const { port } = server.address();
    const allowed = request.headers["x-api-key"] === key;
    const status = !allowed ? 401 : request.method === "DELETE" ? 204
        : request.method === "POST" ? 201 : 200;
    request.resume().on("end", () => {
        response.writeHead(status, { "Content-Type": "application/json" });
        response.end(status === 204 ? "" : JSON.stringify(allowed
            ? { id: randomUUID(), name: "box-1", status: "ready",
                dataplane_url: `http://127.0.0.1:${port}/dp/1` }
            : { detail: { message: "no key" } }));
    });
});
server.on("upgrade", (request, socket, head) => {
    const status = request.url !== "/dp/1/execute/ws" ? "404 Not Found"
        : request.headers["x-api-key"] !== key ? "401 Unauthorized" : null;
    const body = '{"detail":{"message":"refused"}}';
    if (status)
        return socket.end(`HTTP/1.1 ${status}\r\nConnection: close\r\n` +
            `Content-Length: ${body.length}\r\n\r\n${body}`);
    sockets.handleUpgrade(request, socket, head, (ws) => sockets.emit("connection", ws));
});
server.listen(0, "127.0.0.1", () => console.log(JSON.stringify({
    endpoint: `http://127.0.0.1:${server.address().port}`,
    dataplane: server.address().port, api_key: key, pid: process.pid })));

function end() {
    commands.forEach((command) => command.over || command.kill());
    process.exit(0);
}
process.on("SIGTERM", end);
process.on("SIGHUP", () => sockets.clients.forEach((ws) => ws.close(1001, "reload")));
const parent = process.ppid;
if (options["die-with-parent"])
    setInterval(() => process.ppid !== parent && end(), 500);

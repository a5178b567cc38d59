// The official JS SDK follows commands over WebSockets, against sandboxd:
// LANGSMITH_ENDPOINT, LANGSMITH_API_KEY, ISOLATION and SERVER_PID say which, and
// SECOND_MS how long a second of a TTL lasts there; BADNET is the relay's program.
// `ws` is installed beside the SDK here: it never asks by POST /execute.
//
// SPDX-License-Identifier: MIT
//
// Tests run side by side, but for those that disturb the others.

import * as sdk from "langsmith/sandbox";
import assert from "node:assert/strict";
import { spawn } from "node:child_process";
import { once } from "node:events";
import readline from "node:readline";
import WebSocket from "ws";
import { fails, finish, like, test } from "./check.mjs";
import { commands } from "./results.mjs";

const { LANGSMITH_API_KEY: key, BADNET } = process.env;
const client = new sdk.SandboxClient();
const box = await client.createSandbox({
    name: "js-commands",
    runConfig: { env_vars: { LEVEL: "box", ONLY: "box" } },
});
const tests = [];
const later = (sentence, body) => tests.push([sentence, body]);
const open = { wait: false, closeInput: false };
let made = 0;
const unique = (word) => `${word}-${process.pid}-${++made}`;

// The first so many chunks of a handle; it is attached no longer then.
async function chunks(handle, count) {
    const got = [];
    for await (const chunk of handle)
        if (got.push(chunk) === count)
            break;
    return got;
}

// Reads until a text has come; the handle stays attached.
async function until(handle, text) {
    const iterator = handle[Symbol.asyncIterator]();
    let all = "";
    while (!all.includes(text)) {
        const { value, done } = await iterator.next();
        assert.ok(!done, `no ${text} in ${all}`);
        all += value.data;
    }
    return { all, rest: async () => {
        for (let next = await iterator.next(); !next.done; next = await iterator.next())
            all += next.value.data;
        return all;
    } };
}

// The same box through a relay (badnet.c) that does this to its first connection;
// and a promise of how that one ended.
const relays = [];
async function relayed(...faults) {
    const url = new URL(box.dataplane_url);
    const relay = spawn(BADNET, ["--to", url.host, "--raw", "--die-with-parent",
        "--log", "-", "--connection", "1", ...faults], { stdio: ["ignore", "pipe", "inherit"] });
    relays.push(relay);
    const lines = readline.createInterface(relay.stdout)[Symbol.asyncIterator]();
    const next = async () => JSON.parse((await lines.next()).value);
    url.host = `127.0.0.1:${(await next()).port}`;
    return [new sdk.Sandbox({ ...box, dataplane_url: url.href }, client),
        next().then((line) => line.end)];
}

// ---------------------------------------------------------------- results --

for (const [sentence, command, options, expected] of [...commands,
    ["10 MB on one line", "head -c 10000000 /dev/zero | tr '\\0' y", {}, { stdout: "y".repeat(1e7) }],
    ["a character in two pieces", "printf '\\342\\202'; sleep 0.1; printf '\\254'", {}, { stdout: "€" }],
    ["a character that stays incomplete", "printf 'a\\342\\202'", {}, { stdout: /^a\ufffd+$/ }],
    ["all control characters", "printf '%b' \"$(printf '\\\\x%02x' {1..31})\"", {}, { stdout: String.fromCharCode(...Array.from({ length: 31 }, (_, i) => i + 1)) }],
    ["U+2028, a BOM, a surrogate pair", "printf '\\342\\200\\250\\357\\273\\277\\360\\237\\230\\200'", {}, { stdout: "\u2028\ufeff😀" }],
    ["a time without limit", "echo x", { timeout: 0 }, { stdout: "x\n" }],
    ["stdin that was given nothing", "cat", { closeInput: true }, { stdout: "", exit_code: 0 }],
    ["one that ignores SIGTERM, and ends", "trap '' TERM; kill $$; echo still", {}, { stdout: "still\n" }],
    ["a child in the background that keeps the output open", "sleep 20 & echo first", {}, { stdout: "first\n", exit_code: 0 }],
])
    later(`run: ${sentence}`, async () => {
        like(await box.run(command, options), expected);
    });

later("run: a user of run_config", async () => {
    const uid = (await box.run("id -u")).stdout.trim();
    const result = await box.run("id -u", { runConfig: { user: uid } });
    assert.equal(result.stdout.trim(), uid);
});

later("callbacks get what the result has, in order", async () => {
    const got = { out: "", err: "" };
    const result = await box.run("for i in 1 2 3 4 5 6 7 8; do echo $i; echo e$i >&2; done; exit 7", {
        onStdout: (data) => { got.out += data; }, onStderr: (data) => { got.err += data; } });
    assert.deepEqual(result, { stdout: got.out, stderr: got.err, exit_code: 7 });
    assert.equal(got.out, "1\n2\n3\n4\n5\n6\n7\n8\n");
    assert.equal(got.err, "e1\ne2\ne3\ne4\ne5\ne6\ne7\ne8\n");
});

later("callbacks are called while the command runs", async () => {
    let handle;
    const seen = await new Promise((resolve, reject) => {
        box.run("echo ready; read x; echo $x", { ...open, onStdout: resolve })
            .then((h) => { handle = h; return h.result; }).catch(reject);
    });
    assert.equal(seen, "ready\n");
    handle.sendInput("go\n");
    assert.equal((await handle.result).stdout, "ready\ngo\n");
});

later("50 commands at once, each with its own output", async () => {
    const results = await Promise.all(Array.from({ length: 50 }, (_, i) =>
        box.run("echo $N; echo $N >&2; exit $N", { env: { N: `${i}` }, timeout: 50 })));
    results.forEach((r, i) => assert.deepEqual(r,
        { stdout: `${i}\n`, stderr: `${i}\n`, exit_code: i }));
});

// ----------------------------------------------------------------- handles --

later("a handle has the id that was asked for, a pid, chunks with offsets", async () => {
    const commandId = unique("own");
    const handle = await box.run("printf 'é'; sleep 0.1; printf 'ü€'; sleep 0.1; printf x >&2",
        { ...open, commandId });
    assert.equal(handle.commandId, commandId);
    assert.ok(Number.isInteger(handle.pid) && handle.pid > 0);
    const next = { stdout: 0, stderr: 0 };
    for await (const chunk of handle) {
        assert.equal(chunk.offset, next[chunk.stream]);
        next[chunk.stream] += Buffer.byteLength(chunk.data);
    }
    assert.deepEqual(next, { stdout: 7, stderr: 1 });
    assert.equal(handle.lastStdoutOffset, 7);
    assert.equal(handle.lastStderrOffset, 1);
    assert.deepEqual(await handle.result, { stdout: "éü€", stderr: "x", exit_code: 0 });
});

later("the same id again is the same command, run once", async () => {
    const commandId = unique("twice");
    const command = `echo x >>/tmp/${commandId}; cat /tmp/${commandId}; exit 3`;
    const all = await Promise.all([1, 2, 3].map(() => box.run(command, { commandId })));
    all.push(await box.run(command, { commandId }));
    for (const result of all)
        assert.deepEqual(result, { stdout: "x\n", stderr: "", exit_code: 3 });
});

later("input arrives, and its end", async () => {
    const handle = await box.run("sort", open);
    handle.sendInput("b\n");
    handle.sendInput("ä\na\n");
    handle.closeInput();
    handle.closeInput();
    assert.equal((await handle.result).stdout, "a\nb\nä\n");
    assert.throws(() => handle.sendInput("x"), { operation: "sendInput" });
});

later("input is refused where none was wanted", async () => {
    const handle = await box.run("cat", { wait: false });
    assert.throws(() => handle.sendInput("x"), { operation: "sendInput" });
    assert.equal((await handle.result).exit_code, 0);
});

later("a conversation, line by line", async () => {
    const handle = await box.run("while read -r x; do echo \"[$x]\"; done", open);
    const iterator = handle[Symbol.asyncIterator]();
    for (let i = 0; i < 20; i++) {
        handle.sendInput(`line ${i}\n`);
        assert.equal((await iterator.next()).value.data, `[line ${i}]\n`);
    }
    handle.closeInput();
    assert.ok((await iterator.next()).done);
    assert.equal((await handle.result).exit_code, 0);
});

later("10 MB of input", async () => {
    const handle = await box.run("sha256sum; echo done >&2", { ...open, timeout: 50 });
    const block = "0123456789abcde\n".repeat(2048);
    for (let i = 0; i < 306; i++)
        handle.sendInput(block);
    handle.closeInput();
    const { createHash } = await import("node:crypto");
    const hash = createHash("sha256");
    for (let i = 0; i < 306; i++)
        hash.update(block);
    assert.equal((await handle.result).stdout.slice(0, 64), hash.digest("hex"));
});

later("a kill ends the command, and its exit code says so", async () => {
    const handle = await box.run("echo up; sleep 300", open);
    const { rest } = await until(handle, "up");
    handle.kill();
    await rest();
    assert.equal((await handle.result).exit_code, 137);
});

later("a kill takes what the command has started", async () => {
    const lock = `/tmp/${unique("lock")}`;
    const handle = await box.run(
        `trap '' TERM; flock ${lock} sleep 300 & until ! flock -n ${lock} true; do sleep 0.02; done; echo up; wait`, open);
    const { rest } = await until(handle, "up");
    handle.kill();
    await rest();
    assert.equal((await box.run(`flock ${lock} echo free`, { timeout: 20 })).stdout, "free\n");
});

// ---------------------------------------------------------------- reattach --

later("another client reattaches by id and offsets, and answers", async () => {
    const handle = await box.run("echo öne; read x; echo \"two $x\"; exit 5", open);
    const [{ data }] = await chunks(handle, 1);
    assert.equal(data, "öne\n");
    assert.equal(handle.lastStdoutOffset, 5);
    const elsewhere = await new sdk.SandboxClient().getSandbox(box.name);
    const again = await elsewhere.reconnect(handle.commandId, { stdoutOffset: 5 });
    const next = again[Symbol.asyncIterator]().next();
    while (!again._control._ws)
        await new Promise((resolve) => setTimeout(resolve, 5));
    again.sendInput("answer\n");
    assert.deepEqual((await next).value, { stream: "stdout", data: "two answer\n", offset: 5 });
    assert.deepEqual(await again.result, { stdout: "two answer\n", stderr: "", exit_code: 5 });
    assert.equal(again.pid, null);
});

later("a command that has ended is told again, from any offset", async () => {
    const handle = await box.run("printf abcé; printf err >&2; exit 9", { wait: false });
    const whole = await handle.result;
    assert.deepEqual(whole, { stdout: "abcé", stderr: "err", exit_code: 9 });
    for (const [stdoutOffset, stderrOffset, stdout, stderr] of [
        [0, 0, "abcé", "err"], [1, 3, "bcé", ""], [3, 1, "é", "rr"], [5, 3, "", ""]]) {
        const again = await box.reconnect(handle.commandId, { stdoutOffset, stderrOffset });
        assert.deepEqual(await again.result, { stdout, stderr, exit_code: 9 });
    }
    assert.deepEqual(await (await handle.reconnect()).result, { stdout: "", stderr: "", exit_code: 9 });
});

later("three clients follow one command, and see the same", async () => {
    const handle = await box.run("echo begun; read x; echo $x; seq 1000; exit 4", open);
    const others = await Promise.all([1, 2].map(() => box.reconnect(handle.commandId)));
    const seen = await Promise.all([handle, ...others].map((h) => until(h, "begun")));
    others[1].sendInput("go\n");
    const all = await Promise.all(seen.map((s) => s.rest()));
    assert.ok(all[0].startsWith("begun\ngo\n1\n2\n") && all[0].endsWith("\n1000\n"));
    assert.equal(all[1], all[0]);
    assert.equal(all[2], all[0]);
});

later("another client kills", async () => {
    const handle = await box.run("echo up; sleep 300", open);
    const other = await box.reconnect(handle.commandId);
    const { rest } = await until(other, "up");
    other.kill();
    await rest();
    assert.equal((await handle.result).exit_code, 137);
});

later("the end of input before the first read of a reattached handle counts", async () => {
    const handle = await box.run("echo up; cat; echo end", open);
    await chunks(handle, 1);
    const again = await handle.reconnect();
    again.closeInput();
    assert.equal((await again.result).stdout, "end\n");
});

later("an id that nobody knows is told apart", () =>
    fails(sdk.LangSmithSandboxOperationError,
        { operation: "reconnect", errorType: "CommandNotFound", message: /no-such/ },
        async () => (await box.reconnect("no-such")).result));

// ----------------------------------------------------------------- limits --

later("one that exceeds its time: a timeout, and what it wrote before", async () => {
    let seen = "";
    await fails(sdk.LangSmithCommandTimeoutError, { operation: "command", errorType: "CommandTimeout" },
        () => box.run("echo begun; sleep 300", { timeout: 1, onStdout: (data) => { seen += data; } }));
    assert.equal(seen, "begun\n");
});

// A command that holds a lock as long as anything of it lives; and the wait for
// the end of that, by another command.
const holding = (lock) => `exec 9>${lock}; flock 9; echo up; sleep 300`;
const freed = async (lock) =>
    assert.equal((await box.run(`flock ${lock} echo free`, { timeout: 20 })).stdout, "free\n");

later("one that nobody follows is killed after its idle timeout", async () => {
    const lock = `/tmp/${unique("idle")}`;
    const handle = await box.run(holding(lock), { ...open, idleTimeout: 1 });
    await chunks(handle, 1);
    await freed(lock);
    assert.equal((await (await handle.reconnect()).result).exit_code, 137);
});

later("one that somebody follows outlives its idle timeout", async () => {
    const handle = await box.run("echo up; read x; echo $x", { ...open, idleTimeout: 1 });
    const { rest } = await until(handle, "up");
    await new Promise((resolve) => setTimeout(resolve, 1500));
    handle.sendInput("alive\n");
    assert.equal(await rest(), "up\nalive\n");
});

later("one that asked for it is killed when its client leaves", async () => {
    const lock = `/tmp/${unique("leave")}`;
    const handle = await box.run(holding(lock), { ...open, killOnDisconnect: true });
    await chunks(handle, 1);
    await freed(lock);
    assert.equal((await (await handle.reconnect()).result).exit_code, 137);
});

later("one that did not ask for it goes on", async () => {
    const handle = await box.run("echo up; read x; echo $x", open);
    await chunks(handle, 1);
    const again = await handle.reconnect();
    again.closeInput();
    assert.deepEqual(await again.result, { stdout: "\n", stderr: "", exit_code: 0 });
});

later("one that has ended is forgotten after its TTL", async () => {
    const handle = await box.run("echo x", { wait: false, ttlSeconds: 1 });
    assert.equal((await handle.result).stdout, "x\n");
    const end = Date.now() + 20000;
    let error;
    while (!error && Date.now() < end) {
        const again = await handle.reconnect();
        error = await again.result.then(() => null, (e) => e);
    }
    assert.ok(error instanceof sdk.LangSmithSandboxOperationError, error);
    assert.equal(error.operation, "reconnect");
    assert.match(error.errorType, /^(SessionExpired|CommandNotFound)$/);
});

// --------------------------------------------------------------- terminals --

later("a terminal: one output, echo, the end by ^D", async () => {
    const handle = await box.run("tty; echo err >&2; test -t 0 && test -t 1 && test -t 2 && echo all; cat", { wait: false, pty: true });
    const { rest } = await until(handle, "all");
    handle.closeInput();                    // means nothing here
    handle.sendInput("typed\n");
    handle.sendInput("\u0004");
    const all = await rest();
    assert.match(all, /^\/dev\/(pts\/\d+|console)\r\nerr\r\nall\r\n/);
    assert.equal(all.split("typed\r\n").length, 3, JSON.stringify(all));
    assert.deepEqual({ ...await handle.result, stdout: "" }, { stdout: "", stderr: "", exit_code: 0 });
});

later("a terminal: ^C reaches the command", async () => {
    const handle = await box.run("trap 'echo caught; exit 8' INT; echo up; while :; do sleep 0.05; done", { wait: false, pty: true });
    const { rest } = await until(handle, "up");
    handle.sendInput("\u0003");
    assert.match(await rest(), /caught/);
    assert.equal((await handle.result).exit_code, 8);
});

later("a terminal is left and found again", async () => {
    const handle = await box.run("stty -echo; echo up; read x; echo \"got $x\"", { wait: false, pty: true });
    await chunks(handle, 1);
    const again = await handle.reconnect();
    const { rest } = await (async () => {
        const iterator = again[Symbol.asyncIterator]();
        const first = iterator.next();
        while (!again._control._ws)
            await new Promise((resolve) => setTimeout(resolve, 5));
        again.sendInput("it\n");
        return { rest: async () => (await first).value.data };
    })();
    assert.match(await rest(), /got it/);
});

// ------------------------------------------------------------------ errors --

later("run_config beside env is refused here, and by the server", async () => {
    await fails(sdk.LangSmithValidationError, {},
        () => box.run("true", { env: { A: "1" }, runConfig: {} }));
    const answers = await raw(box, [{ type: "execute", command: "true", env: { A: "1" }, run_config: {} }]);
    assert.equal(answers.length, 1);
    assert.equal(answers[0].type, "error");
});

// What comes until the server is done, for messages as they stand.
async function raw(at, messages, started = () => {}) {
    const socket = new WebSocket(at.dataplane_url.replace("http", "ws") + "/execute/ws",
        { headers: { "X-Api-Key": key } });
    const got = [];
    socket.on("open", () => messages.forEach((m) =>
        socket.send(typeof m === "string" ? m : JSON.stringify(m))));
    socket.on("message", (data) => {
        got.push(JSON.parse(data));
        if (got.at(-1).type === "started")
            started();
        if (["exit", "error"].includes(got.at(-1).type))
            socket.close(1000);
    });
    await once(socket, "close");
    return got;
}

later("what comes before execute is held until then", async () => {
    const answers = await raw(box, [{ type: "input", data: "b\na\n" }, { type: "close_stdin" },
        { type: "execute", command: "sort", timeout_seconds: 20 }]);
    assert.deepEqual(answers.map((m) => m.type), ["started", "stdout", "exit"]);
    assert.equal(answers[1].data, "a\nb\n");
});

later("what is unknown disturbs nothing", async () => {
    const answers = await raw(box, [
        { type: "execute", command: "read x; echo $x", shell: "/bin/bash", later: { x: [1] }, timeout_seconds: 20 },
        { type: "input", data: "1\n", more: null }]);
    assert.equal(answers.at(-1).exit_code, 0);
});

later("a user that there is not: an error of the command", () =>
    fails(sdk.LangSmithSandboxOperationError, { operation: "command" },
        () => box.run("true", { runConfig: { user: "no-such-user-here" } })));

later("a relative directory of run_config is refused", () =>
    fails(sdk.LangSmithSandboxOperationError, { operation: "command" },
        () => box.run("true", { runConfig: { work_dir: "tmp" } })));

later("a wrong key: the upgrade is refused, finally", async () => {
    const stranger = new sdk.Sandbox({ ...box }, new sdk.SandboxClient({ apiKey: "wrong" }));
    await fails(sdk.LangSmithSandboxConnectionError, { message: /HTTP 401/ }, () => stranger.run("true"));
});

later("a box that is not there: the upgrade is refused, finally", async () => {
    const url = box.dataplane_url.replace(/[^/]*$/, "no-such-box");
    await fails(sdk.LangSmithSandboxConnectionError, { message: /HTTP 404/ },
        () => new sdk.Sandbox({ ...box, dataplane_url: url }, client).run("true"));
});

later("a stopped sandbox is woken by a command", async () => {
    const other = await client.createSandbox();
    await other.stop();
    assert.equal((await other.run("echo awake")).stdout, "awake\n");
    await other.delete();
});

later("a sandbox that is deleted takes its commands with it", async () => {
    const other = await client.createSandbox();
    const messages = raw(other, [{ type: "execute", command: "sleep 300" }],
        () => other.delete());
    assert.deepEqual((await messages).map((m) => m.type).slice(0, 1), ["started"]);
    await assert.rejects(raw(other, []), /404/);
});

// -------------------------------------------------------- broken connections --

// 9 KB at least, however it is put into messages.
const long = "ñ".repeat(50);
const talk = `for i in $(seq 40); do echo "${long} $i"; echo "€ ${long} $i" >&2; sleep 0.01; done; exit 6`;
const said = (format) => Array.from({ length: 40 }, (_, i) => `${format} ${i + 1}\n`).join("");
const whole = { stdout: said(long), stderr: said(`€ ${long}`), exit_code: 6 };

// So many bytes in, the command has started.
const begun = box.dataplane_url.startsWith("https:") ? 4000 : 400;
for (const [fault, at, ...more] of [["--cut-down", 0], ["--cut-down", 300],
    ["--cut-down", 1101], ["--cut-down", 1822], ["--reset-down", 200], ["--reset-down", 1300],
    ["--cut-down", 500, "--trickle", 7], ["--delay", 20 - begun], ["--trickle", 9 - begun]])
    later(`the output is whole behind ${fault} ${at + begun} ${more.join(" ")}`, async () => {
        const [other, end] = await relayed(fault, String(at + begun), ...more);
        let out = "", err = "";
        const result = await other.run(talk, { timeout: 50,
            onStdout: (data) => { out += data; }, onStderr: (data) => { err += data; } });
        assert.deepEqual(result, whole);
        assert.deepEqual([out, err], [whole.stdout, whole.stderr]);
        assert.equal(await end, at < 0 ? "peers" : fault.slice(2));
    });

later("input goes on over a connection that replaced a broken one", async () => {
    const [other, end] = await relayed("--cut-down", String(begun + 100));
    const handle = await other.run("seq 3000; read x; echo \"got $x\"", open);
    const { rest } = await until(handle, "3000\n");
    handle.sendInput("this\n");
    assert.match(await rest(), /got this\n$/);
    assert.equal(await end, "cut-down");
});

await Promise.all(tests.map(([sentence, body]) => test(sentence, body)));

// One after another: every connection of the server ends.
for (let round = 0; round < 3; round++)
    await test(`reload ${round}: commands live on, their output is whole`, async () => {
        const up = [];
        const all = Array.from({ length: 8 }, (_, i) => new Promise((resolve, reject) => {
            up.push(new Promise((ready) => box.run(`echo up; ${talk}`, {
                env: { N: `${i}` }, timeout: 50, onStdout: ready }).then(resolve, reject)));
        }));
        await Promise.all(up);
        process.kill(Number(process.env.SERVER_PID), "SIGHUP");
        for (const result of await Promise.all(all))
            assert.deepEqual(result, { ...whole, stdout: `up\n${whole.stdout}` });
    });

await test("reloads do not use up the patience for a command that says nothing", async () => {
    const handle = await box.run("read x; echo $x", open);
    const result = handle.result;
    let socket;
    for (let i = 0; i < 8; i++) {
        while (handle._control._ws === socket || handle._control._ws?.readyState !== 1)
            await new Promise((resolve) => setTimeout(resolve, 5));
        // Reattached, and told so: then the next one may come.
        await new Promise((resolve) => setTimeout(resolve, 60));
        socket = handle._control._ws;
        process.kill(Number(process.env.SERVER_PID), "SIGHUP");
    }
    while (handle._control._ws === socket || handle._control._ws?.readyState !== 1)
        await new Promise((resolve) => setTimeout(resolve, 5));
    handle.sendInput("patient\n");
    assert.equal((await result).stdout, "patient\n");
});

await box.delete();
relays.forEach((relay) => relay.kill());
finish();

// What the official JS SDK and lssb send for the same use of a command, side by
// side: upgrades, messages member by member, closes. Differences that PROTOCOL
// recommends or allows are listed in `allowed`; any other fails.
//
// SPDX-License-Identifier: MIT
//
// usage: node compare_ws.mjs PATH-OF-COMMAND-CALLS

import { Sandbox, SandboxClient } from "langsmith/sandbox";
import assert from "node:assert/strict";
import { execFile } from "node:child_process";
import { once } from "node:events";
import { isDeepStrictEqual } from "node:util";
import http from "node:http";
import { WebSocketServer } from "ws";
import { finish, test } from "./check.mjs";

const program = process.argv[2];

// ------------------------------------------------------------ the recorder --

// A server that plays a part for each message, and writes all down, one list
// for each connection.
let recorded = [];
let open = 0;
const parts = {
    reconnect: (say) => {
        say({ type: "started", command_id: "id-1", pid: 2 });
        say({ type: "stdout", data: "x", offset: 3 });
        say({ type: "exit", exit_code: 0 });
    },
    execute: (say, message) => {
        say({ type: "started", command_id: message.command_id, pid: 2 });
        if (!["sort", "sleep 9"].includes(message.command))
            say({ type: "exit", exit_code: 0 });
    },
    close_stdin: (say) => say({ type: "exit", exit_code: 0 }),
    kill: (say) => say({ type: "exit", exit_code: 137 }),
    input: () => {},
};

const server = http.createServer();
const sockets = new WebSocketServer({ server });
sockets.on("connection", (socket, request) => {
    const headers = {};
    for (let i = 0; i < request.rawHeaders.length; i += 2) {
        const name = request.rawHeaders[i].toLowerCase();
        assert.ok(!(name in headers), `${name} twice`);
        headers[name] = request.rawHeaders[i + 1];
    }
    const own = [];
    recorded.push(own);
    own.push({ kind: "upgrade", version: request.httpVersion, target: request.url, ...headers });
    open++;
    const say = (message) => socket.send(JSON.stringify(message));
    socket.on("message", (data, binary) => {
        const message = JSON.parse(data);
        own.push({ kind: binary ? "binary" : "text", ...message });
        if (message.command === "reload") {
            say({ type: "started", command_id: message.command_id, pid: 2 });
            say({ type: "stdout", data: "café\n", offset: 0 });
            say({ type: "stderr", data: "€", offset: 0 });
            socket.close(1001);
        } else if (message.type === "reconnect" && message.command_id !== "id-1") {
            say({ type: "started", command_id: message.command_id, pid: 2 });
            say({ type: "exit", exit_code: 3 });
        } else {
            parts[message.type](say, message);
        }
    });
    socket.on("close", (code) => {
        own.push({ kind: "close", code });
        open--;
        server.emit("over");
    });
});
server.listen(0, "127.0.0.1");
await once(server, "listening");
const base = `http://127.0.0.1:${server.address().port}`;

async function recording(call) {
    recorded = [];
    await call();
    while (open > 0)
        await once(server, "over");
    return recorded.flat();
}

// ----------------------------------------------------- what may be different --

// The member of which kind of record; what each side has there.
const uuid = /^[0-9a-f]{8}-?[0-9a-f]{4}-?7[0-9a-f]{3}-?[89ab][0-9a-f]{3}-?[0-9a-f]{12}$/;
const random = /^[A-Za-z0-9+/]{22}==$/;
const allowed = [
    { where: "upgrade sec-websocket-key", js: random, ours: random, why: "made up" },
    { where: "upgrade sec-websocket-extensions", js: /^permessage-deflate/, ours: undefined, why: "5.1: not needed" },
    { where: "upgrade user-agent", js: undefined, ours: /^lssb\/\d+\.\d+\.\d+$/, why: "1.4: send <your-sdk>/<version>" },
    { where: "upgrade target", js: /^\/dp\/1\/\/execute\/ws$/, ours: /^\/dp\/1\/execute\/ws$/, why: "5.1: strip trailing slashes" },
    { where: "text command_id", js: uuid, ours: uuid, why: "5.4: made up" },
    { where: "close code", js: /^100[05]$/, ours: /^1000$/, why: "5.1: close with 1000" },
];
const met = new Map();
const fits = (pattern, value) =>
    pattern === undefined ? value === undefined : pattern.test(String(value));

function same(kind, name, js, ours) {
    if (isDeepStrictEqual(js, ours))    // the order of members means nothing
        return;
    const where = `${kind} ${name}`;
    const rule = allowed.find((r) => r.where === where && fits(r.js, js) && fits(r.ours, ours));
    assert.ok(rule, `${where}: JS ${JSON.stringify(js)}, lssb ${JSON.stringify(ours)}`);
    met.set(rule, (met.get(rule) ?? 0) + 1);
}

function compare(js, ours) {
    assert.deepEqual(ours.map((r) => `${r.kind} ${r.type ?? ""}`),
        js.map((r) => `${r.kind} ${r.type ?? ""}`));
    js.forEach((record, i) => {
        for (const name of new Set([...Object.keys(record), ...Object.keys(ours[i])]))
            same(record.kind, name, record[name], ours[i][name]);
    });
}

// ------------------------------------------------------------------ the calls --

const ours = (name) => () => new Promise((resolve, reject) =>
    execFile(program, [name], { timeout: 30000, env: {
        LANGSMITH_ENDPOINT: base, LANGSMITH_API_KEY: "key-1", DATAPLANE: `${base}/dp/1`,
    } }, (error, _, said) => error ? reject(new Error(`${said}${error}`)) : resolve()));

const client = new SandboxClient({ apiEndpoint: `${base}/v2/sandboxes`, apiKey: "key-1" });
const at = (dataplane_url) => new Sandbox({ name: "box-1", status: "ready", dataplane_url }, client);
const box = at(`${base}/dp/1`);
const env = { A: "1", EMPTY: "", UML: "ä \"\\\t" };

const calls = {
    "default": () => box.run("echo hello"),
    "escapes": () => box.run("printf '\"\\\t\n\r\x01\x7f </script> \u2028 😀'"),
    "every option": () => box.run("true", { timeout: 5, shell: "/bin/sh", cwd: "/srv", env,
        commandId: "own-id", idleTimeout: 7, ttlSeconds: 8, killOnDisconnect: true }),
    "no limits": () => box.run("true", { timeout: 0, idleTimeout: -1, ttlSeconds: -1 }),
    "a user": () => box.run("true", { runConfig: { user: "nobody" } }),
    "a user with all": () => box.run("true", { runConfig: { user: "1000:1000", work_dir: "/srv", env_vars: env } }),
    "a terminal": () => box.run("tty", { pty: true }),
    "input and its end": async () => {
        const handle = await box.run("sort", { wait: false, closeInput: false });
        handle.sendInput("b\nä\n");
        handle.closeInput();
        await handle.result;
    },
    "kill": async () => {
        const handle = await box.run("sleep 9", { wait: false, closeInput: false });
        handle.kill();
        await handle.result;
    },
    "reconnect": async () =>
        (await box.reconnect("id-1", { stdoutOffset: 3, stderrOffset: 4 })).result,
    "reload": () => box.run("reload"),
    "slash": () => at(`${base}/dp/1/`).run("true"),
};

for (const [name, call] of Object.entries(calls))
    await test(`${name}: the same messages`, async () => {
        const js = await recording(call);
        const c = await recording(ours(name));
        assert.ok(js.length > 2);
        compare(js, c);
    });

await test("the ids of commands are kept over a reload, and are new otherwise", async () => {
    const ids = [];
    for (const name of ["reload", "default"]) {
        const texts = (await recording(ours(name))).filter((r) => r.kind === "text");
        assert.equal(new Set(texts.map((r) => r.command_id)).size, 1);
        ids.push(texts[0].command_id);
    }
    assert.notEqual(ids[0], ids[1]);
});

await test("every difference that is listed is one", () =>
    assert.deepEqual(allowed.filter((rule) => !met.has(rule)), []));

console.log("differences that PROTOCOL recommends or allows:");
for (const [rule, times] of met)
    console.log(`  ${String(times).padStart(3)} times, ${rule.where}: ${rule.why}`);
server.close();
finish();

// What the official JS SDK and lssb send for the same Dockerfile, side by side:
// requests in their order, JSON members, the script of each command, and the
// archive of the context byte by byte. What each makes up is named first.
// Differences that PROTOCOL recommends are named where they are looked at.
//
// SPDX-License-Identifier: MIT
//
// usage: node build_compare.mjs PATH-OF-EXAMPLES-BUILD

import { SandboxClient } from "langsmith/sandbox";
import assert from "node:assert/strict";
import { spawn } from "node:child_process";
import { once } from "node:events";
import fs from "node:fs";
import http from "node:http";
import os from "node:os";
import path from "node:path";
import { WebSocketServer } from "ws";
import { finish, test } from "./check.mjs";

const program = process.argv[2];

// ------------------------------------------------------------ the recorder --

let recorded = [];
let exits = [];
let base;

const server = http.createServer(async (request, response) => {
    const parts = [];
    for await (const part of request)
        parts.push(part);
    const body = Buffer.concat(parts);
    const target = decodeURIComponent(request.url);
    recorded.push({ request: `${request.method} ${target}`, type: request.headers["content-type"], body });
    const box = { id: "b-1", name: "box", status: "ready", dataplane_url: `${base}/box` };
    let [status, answer] = [200, box];
    if (request.method === "DELETE")
        [status, answer] = [204, undefined];
    else if (/\/upload/.test(target))
        answer = {};
    else if (/\/snapshot/.test(target))
        answer = { id: "s-1", name: "snap", status: request.method === "POST" ? "building" : "ready" };
    else if (request.method === "POST")
        answer = { ...box, name: JSON.parse(body).name };
    response.writeHead(status, { "content-type": "application/json" });
    response.end(answer && JSON.stringify(answer));
});
const sockets = new WebSocketServer({ server });
sockets.on("connection", (socket, request) => {
    socket.on("message", (data) => {
        const message = JSON.parse(data);
        if (message.type !== "execute")
            return;
        recorded.push({ request: `execute ${request.url}`, message });
        socket.send(JSON.stringify({ type: "started", command_id: message.command_id, pid: 2 }));
        socket.send(JSON.stringify({ type: "stdout", data: "said\n", offset: 0 }));
        socket.send(JSON.stringify({ type: "exit", exit_code: exits.shift() ?? 0 }));
    });
});
server.listen(0, "127.0.0.1");
await once(server, "listening");
base = `http://127.0.0.1:${server.address().port}`;

// The content of the only part of a form.
function content(entry) {
    const boundary = /boundary="?([^";]+)/.exec(entry.type)[1];
    const from = entry.body.indexOf("\r\n\r\n") + 4;
    return entry.body.subarray(from, entry.body.indexOf(`\r\n--${boundary}`, from));
}

// What was recorded, with names instead of random digits.
function told() {
    const text = [];
    let archive;
    for (const entry of recorded) {
        if (/\/upload/.test(entry.request))
            archive = content(entry);
        text.push(entry.request + " " + (entry.message
            ? JSON.stringify({ command: entry.message.command, shell: entry.message.shell,
                timeout_seconds: entry.message.timeout_seconds })
            : /json/.test(entry.type) && entry.body.length > 0
                ? JSON.stringify(JSON.parse(entry.body), (_, v) => v && !Array.isArray(v) && typeof v === "object"
                    ? Object.fromEntries(Object.entries(v).sort()) : v) : ""));
    }
    return { archive, text: text.join("\n")
        .replace(/snapshot-builder-[0-9a-f]{12}\b/g, "BUILDER")
        .replace(/langsmith-build\/[0-9a-f]{12}\b/g, "ROOT")
        .replace(/langsmith-snapshot-build:[0-9a-f]{32}\b/g, "IMAGE") };
}

async function theirs(context, dockerfile, options) {
    recorded = [];
    const client = new SandboxClient({ apiEndpoint: `${base}/v2/sandboxes`, apiKey: "k" });
    await client.createSnapshotFromDockerfile("snap", dockerfile, { context, timeout: 1800, onBuildLog: () => {}, ...options })
        .catch((e) => recorded.push({ request: `failed ${e.constructor.name}` }));
    return told();
}

async function ours(context, dockerfile, options) {
    recorded = [];
    const child = spawn(program, ["snap", context, dockerfile, options.target ?? "",
        ...Object.entries(options.buildArgs ?? {}).map(([k, v]) => `${k}=${v}`)],
        { env: { LANGSMITH_ENDPOINT: base, LANGSMITH_API_KEY: "k" }, stdio: ["ignore", "ignore", "pipe"] });
    const [code] = await once(child, "close");
    if (code !== 0)
        recorded.push({ request: "failed LangSmithResourceCreationError" });
    return told();
}

// ------------------------------------------------------------- the contexts --

const work = fs.mkdtempSync(path.join(os.tmpdir(), "build-compare-"));

function context(name, files) {
    const root = path.join(work, name);
    for (const [file, text] of Object.entries(files)) {
        fs.mkdirSync(path.dirname(path.join(root, file)), { recursive: true });
        if (text.startsWith("-> "))
            fs.symlinkSync(text.slice(3), path.join(root, file));
        else
            fs.writeFileSync(path.join(root, file), text);
    }
    return root;
}

const many = Object.fromEntries(Array.from({ length: 700 }, (_, i) => [`many/f${i * 7919 % 1000}`, "x".repeat(i)]));
const cases = [
    ["one file", context("a", { Dockerfile: "FROM scratch\n" }), "Dockerfile", {}],
    ["all kinds of names, a stage, arguments", context("b", {
        "docker/it's here/Own file": "FROM scratch AS x\n", "a b": "1", "a-b": "22", "a.b": "", "a/b": "333", "aa": "4".repeat(512),
        "link": "-> a/b", "far": `-> ${"t".repeat(100)}`, "grün/ß€": "x", ".hidden/.x": "y", [`${"p".repeat(90)}/${"q".repeat(60)}`]: "z",
        [`${"n".repeat(100)}`]: "w", [`1/${"d".repeat(97)}/e`]: "v", ".git/HEAD": "never", ...many,
    }), "docker/it's here/Own file", { target: "x'y", buildArgs: { Z: "1", A: "it's", B: "", AB: "$x `y` \"z\"\n" } }],
];
fs.chmodSync(path.join(work, "b", "aa"), 0o4751);
fs.mkdirSync(path.join(work, "b", "empty"));
fs.utimesSync(path.join(work, "b", "a b"), 1, 1.9);

for (const [sentence, root, dockerfile, options] of cases)
    await test(`${sentence}: the same requests, scripts and archive`, async () => {
        exits = [];
        const a = await theirs(root, dockerfile, options), b = await ours(root, dockerfile, options);
        assert.equal(b.text, a.text);
        assert.ok(a.archive.length > 0 && a.archive.equals(b.archive), "the archives differ");
    });

await test("a build that fails: the same requests", async () => {
    exits = [0, 1];
    const a = await theirs(cases[0][1], "Dockerfile", {});
    exits = [0, 1];
    const b = await ours(cases[0][1], "Dockerfile", {});
    assert.equal(b.text, a.text);
});

// PROTOCOL 2.10 [Rec]: the SDK goes on when the context does not unpack.
await test("a context that does not unpack ends ours at once", async () => {
    exits = [2];
    const a = await theirs(cases[0][1], "Dockerfile", {});
    exits = [2];
    const b = await ours(cases[0][1], "Dockerfile", {});
    assert.match(a.text, /buildkitd/);
    assert.doesNotMatch(b.text, /buildkitd/);
    assert.match(b.text, /DELETE .*BUILDER \nfailed LangSmithResourceCreationError $/);
});

fs.rmSync(work, { recursive: true });
finish();

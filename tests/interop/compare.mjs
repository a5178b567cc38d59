// What the official JS SDK and lssb send for the same call, side by side: the
// order of requests, methods, targets, headers, JSON members, multipart parts.
// Differences that PROTOCOL recommends are listed in `recommended`, with what
// each side must have sent; any other difference fails.
//
// SPDX-License-Identifier: MIT
//
// usage: node compare.mjs PATH-OF-CALLS

import { Sandbox, SandboxClient } from "langsmith/sandbox";
import assert from "node:assert/strict";
import { execFile } from "node:child_process";
import http from "node:http";
import { finish, test } from "./check.mjs";

const program = process.argv[2];
const file = "hello world";

// ------------------------------------------------------------ the recorder --

let recorded = [];
let base;

const describe = (name) => ({
    id: "5f0c0b9e-0000-4000-8000-0000000000aa", name, status: "ready",
    dataplane_url: `${base}/dp/1`, idle_ttl_seconds: 600,
    run_config: { user: "1000:1000" },
});

// Status, body and headers of a download; what RFC 9110 says, for one file.
function download(request) {
    const h = request.headers;
    const validators = { ETag: '"e1"', "Accept-Ranges": "bytes" };
    if (h["if-none-match"] === '"e1"')
        return [304, "", validators];
    const range = /^bytes=(\d*)-(\d*)$/.exec(h.range ?? "");
    if (!range || (h["if-range"] && h["if-range"] !== '"e1"'))
        return [200, file, validators];
    const from = range[1] ? Number(range[1]) : file.length - Number(range[2]);
    const to = range[1] && range[2] ? Number(range[2]) : file.length - 1;
    return [206, file.slice(from, to + 1), { ...validators,
        "Content-Range": `bytes ${from}-${to}/${file.length}` }];
}

// A service that knows every box.
function answer(request) {
    const path = request.url.replace(/\?.*/, "");
    const call = `${request.method} ${path.replace(/^.*\/(boxes|dp)/, "/$1")}`;
    if (/^POST \/boxes$/.test(call))
        return [201, describe("box-1")];
    if (/^GET \/boxes$/.test(call))
        return [200, { items: [], sandboxes: [], next_cursor: null, offset: 0 }];
    if (/^GET .*\/status$/.test(call))
        return [200, { status: "ready" }];
    if (/^(GET|PATCH) \/boxes/.test(call))
        return [200, describe("box-1")];
    if (/^POST .*\/start$/.test(call))
        return [202, {}];
    if (/^DELETE |\/stop$/.test(call))
        return [204, ""];
    if (/\/execute$/.test(call))
        return [200, { stdout: "", stderr: "", exit_code: 0 }];
    if (/\/upload$/.test(call))
        return [200, { written: 0 }];
    if (/\/download$/.test(call))
        return download(request);
    return [404, { detail: "not here" }];
}

const server = http.createServer(async (request, response) => {
    const parts = [];
    for await (const part of request)
        parts.push(part);
    // rawHeaders, so that a name that is sent twice is seen.
    const headers = [];
    for (let i = 0; i < request.rawHeaders.length; i += 2)
        headers.push([request.rawHeaders[i].toLowerCase(), request.rawHeaders[i + 1]]);
    recorded.push({ method: request.method, target: request.url,
        version: request.httpVersion, headers, body: Buffer.concat(parts) });
    const [status, body, more] = answer(request);
    const bytes = Buffer.from(typeof body === "string" ? body : JSON.stringify(body));
    const bodiless = status === 204 || status === 304;
    response.writeHead(status, { "Content-Type": "application/json", ...more,
        ...(bodiless ? {} : { "Content-Length": bytes.length }) });
    response.end(bodiless || request.method === "HEAD" ? undefined : bytes);
});
await new Promise((resolve) => server.listen(0, "127.0.0.1", resolve));
base = `http://127.0.0.1:${server.address().port}`;

// What a call made the server see.
async function recording(call) {
    recorded = [];
    await call();
    return recorded;
}

// ----------------------------------------------------- what may be different --

// Where: the header, "target" or "member"; in: the requests this holds for
// (method and target, default all); js, ours: what each must have sent
// (undefined: nothing). `why`: the section of PROTOCOL that recommends it.
const recommended = [
    { where: "user-agent", js: /^node$/, ours: /^lssb\/\d+\.\d+\.\d+$/, why: "1.4: send <your-sdk>/<version>" },
    { where: "accept-encoding", in: /^(?!HEAD)/, js: /^gzip, deflate$/, ours: undefined, why: "2.1: only what one can decode" },
    { where: "accept-encoding", in: /^HEAD /, js: /^gzip, deflate$/, ours: /^identity$/, why: "4.5: identity, for the length to be the file's" },
    { where: "target", in: /^GET .*\/boxes$/, js: /boxes$/, ours: /boxes\?page_size=\d+$/, why: "2.4: ask for a page by size, to get all pages" },
    { where: "target", in: /'|%27/, js: /it('|%27)s!\(a\)\*$/, ours: /it%27s%21%28a%29%2A$/, why: "2.1: everything but A-Z a-z 0-9 - . _ ~ is encoded" },
    { where: "target", in: /\/\/execute$/, js: /dp\/1\/\/execute$/, ours: /dp\/1\/execute$/, why: "4: drop trailing slashes" },
    // What node's fetch() says for reasons of its own: no word of the protocol.
    { where: "accept", js: /^\*\/\*$/, ours: undefined, why: "node's fetch" },
    { where: "accept-language", js: /^\*$/, ours: undefined, why: "node's fetch" },
    { where: "sec-fetch-mode", js: /^cors$/, ours: undefined, why: "node's fetch" },
    { where: "connection", in: /^(?!HEAD)/, js: /^keep-alive$/, ours: undefined, why: "node's fetch; HTTP/1.1 keeps alive by itself" },
    { where: "connection", in: /^HEAD /, js: /^close$/, ours: undefined, why: "node's fetch ends the connection after a HEAD" },
    { where: "pragma", in: /^GET .*\/download\?/, js: /^no-cache$/, ours: undefined, why: "node's fetch, when If-Range or If-None-Match is there" },
    { where: "cache-control", in: /^GET .*\/download\?/, js: /^no-cache$/, ours: undefined, why: "node's fetch, when If-Range or If-None-Match is there" },
];
const met = new Map();

// Whether a side has sent what the rule wants.
const fits = (rule, value) =>
    rule === undefined ? value === undefined : rule.test(value ?? "");

// Fails unless the two are the same or a rule wants it so.
function same(where, js, ours, request) {
    if (js === ours)
        return;
    const rule = recommended.find((r) => r.where === where &&
        (r.in ?? /^/).test(request) && fits(r.js, js) && fits(r.ours, ours));
    assert.ok(rule, `${request}: ${where}: JS sends ${js}, lssb ${ours}`);
    met.set(rule, (met.get(rule) ?? 0) + 1);
}

// ------------------------------------------------------------ the comparison --

// The headers by name; a name must not come twice.
function byName(request) {
    const names = request.headers.map(([name]) => name);
    assert.equal(new Set(names).size, names.length, `a header twice: ${names}`);
    return Object.fromEntries(request.headers);
}

// A multipart body with its boundary, which differs each time, as "B"; what
// may be different in the bytes is only that.
function parts(type, body) {
    const boundary = /boundary="?([^";]+)"?$/.exec(type)[1];
    assert.ok(boundary.length >= 16 && boundary.length <= 70, boundary);
    const plain = body.toString("latin1");
    const [, ...pieces] = `\r\n${plain}`.split(`\r\n--${boundary}`);
    const end = pieces.pop();
    assert.ok(end === "--\r\n" || end === "--", "the multipart body has no end");
    return pieces.map((piece) => {
        const [head, ...content] = piece.slice(2).split("\r\n\r\n");
        return { headers: head.split("\r\n").map((l) => l.toLowerCase()).sort(),
            content: content.join("\r\n\r\n") };
    });
}

function compareBodies(js, ours, jsHeaders, ourHeaders, call) {
    const type = jsHeaders["content-type"] ?? "";
    if (type.startsWith("multipart/form-data")) {
        assert.match(ourHeaders["content-type"], /^multipart\/form-data; boundary=/);
        assert.deepEqual(parts(ourHeaders["content-type"], ours.body),
            parts(type, js.body), call);
    } else {
        same("content-type", jsHeaders["content-type"], ourHeaders["content-type"], call);
        if (js.body.length || ours.body.length)
            assert.deepEqual(JSON.parse(ours.body), JSON.parse(js.body), call);
    }
    // A body has its length on both sides, never chunks.
    for (const [request, headers] of [[js, jsHeaders], [ours, ourHeaders]])
        if (request.body.length)
            assert.equal(headers["content-length"], String(request.body.length), call);
}

function compareRequests(js, ours) {
    const call = `${js.method} ${js.target}`;
    assert.equal(ours.method, js.method);
    assert.equal(ours.version, js.version);
    same("target", js.target, ours.target, call);
    const jsHeaders = byName(js), ourHeaders = byName(ours);
    for (const name of new Set([...Object.keys(jsHeaders), ...Object.keys(ourHeaders)]))
        if (!["content-type", "content-length"].includes(name))
            same(name, jsHeaders[name], ourHeaders[name], call);
    if (!js.body.length && !ours.body.length)
        same("content-length", jsHeaders["content-length"], ourHeaders["content-length"], call);
    compareBodies(js, ours, jsHeaders, ourHeaders, call);
}

// Our client makes the call of that name; what it says is for a failure.
const ours = (name) => () => new Promise((resolve, reject) =>
    execFile(program, [name], { timeout: 30000, env: {
        LANGSMITH_ENDPOINT: base, LANGSMITH_API_KEY: "key-1", DATAPLANE: `${base}/dp/1`,
    } }, (error, _, said) => error ? reject(new Error(`calls: ${said}${error}`)) : resolve()));

// ------------------------------------------------------------------ the calls --

const api = { apiEndpoint: `${base}/v2/sandboxes`, apiKey: "key-1", maxRetries: 0 };
const client = new SandboxClient(api);
const box = new Sandbox(describe("box-1"), client);
const env = { A: "1", EMPTY: "", UML: "ä \"\\\t" };
const runConfig = { user: "1000:1000", work_dir: "/srv", env_vars: env };
const bytes = Uint8Array.from({ length: 100000 }, (_, i) => (i * 7) >> 3);
const text = "/tmp/a.txt";

const calls = {
    "create": () => client.createSandbox(),
    "create named": () => client.createSandbox({ name: "ä \"quoted\" \\ 😀/x", snapshotName: "default:latest", timeout: 45 }),
    "create, not waiting": () => client.createSandbox({ waitForReady: false, timeout: 45 }),
    "create, sized": () => client.createSandbox("5f0c0b9e-0000-4000-8000-000000000001", {
        idleTtlSeconds: 120, deleteAfterStopSeconds: 3600, vCpus: 2,
        memBytes: 8589934592, fsCapacityBytes: Number.MAX_SAFE_INTEGER }),
    "create, without end": () => client.createSandbox({ idleTtlSeconds: 0, deleteAfterStopSeconds: 0 }),
    "create with run_config": () => client.createSandbox({ runConfig }),
    "get": () => client.getSandbox("box-1"),
    "get, encoded": () => client.getSandbox("a b/ä?c#d%2F&+=@:"),
    "get, marks": () => client.getSandbox("it's!(a)*"),
    "list": () => client.listSandboxes(),
    "update the name": () => client.updateSandbox("box-1", "other/ä"),
    "update the TTLs": () => client.updateSandbox("box-1", { idleTtlSeconds: 180, deleteAfterStopSeconds: 0 }),
    "update run_config": () => client.updateSandbox("box-1", { runConfig }),
    "update nothing": () => client.updateSandbox("box-1", {}),
    "delete": () => box.delete(),
    "delete by name": () => client.deleteSandbox("x y"),
    "status": () => client.getSandboxStatus("box-1"),
    "wait": () => client.waitForSandbox("box-1"),
    "start": () => box.start(),
    "stop": () => box.stop(),
    "run": () => box.run("echo hello"),
    "run, escapes": () => box.run("printf '\"\\\t\n\r\x01\x7f </script> \u2028 😀'"),
    "run with all options": () => box.run("true", { timeout: 5, shell: "/bin/sh", cwd: "/srv", env }),
    "run with a variable": () => box.run("true", { env: { A: "1" } }),
    "run in a directory": () => box.run("true", { cwd: "/srv/ä" }),
    "run as a user, with all": () => box.run("true", { runConfig }),
    "run as a user": () => box.run("true", { runConfig: { user: "nobody" } }),
    "run, URL with a slash": () => new Sandbox({ ...describe("box-1"), dataplane_url: `${base}/dp/1/` }, client).run("true"),
    "write text": () => box.write(text, "Grüße\n"),
    "write nothing": () => box.write("relative", ""),
    "write 100,000 bytes": () => box.write("/ä b/+&=?#%41\"\\.bin", bytes),
    "write, marks": () => box.write("/it's!(a)*", "x"),
    "read": () => box.read("/ä b/c"),
    "stat": () => box.stat(text),
    "range A-B": () => box.readRange(text, { start: 2, end: 4 }),
    "range A-": () => box.readRange(text, { start: 4 }),
    "range -N": () => box.readRange(text, { suffixBytes: 3 }),
    "range, If-Range": () => box.readRange(text, { start: 4, ifRange: '"e1"' }),
    "range, If-None-Match": () => box.readRange(text, { start: 4, ifNoneMatch: '"e1"' }),
    "range, both": () => box.readRange(text, { start: 1, end: 1, ifRange: '"e1"', ifNoneMatch: '"e0"' }),
    "headers of one's own": () => new SandboxClient({ ...api,
        headers: { "X-Tenant-Id": "t-1", "X-Service-Key": "s-1" } }).getSandbox("box-1"),
};

for (const [name, call] of Object.entries(calls))
    await test(`${name}: the same requests`, async () => {
        const js = await recording(call);
        const c = await recording(ours(name));
        assert.ok(js.length > 0);
        assert.deepEqual(c.map((r) => r.method), js.map((r) => r.method));
        js.forEach((request, i) => compareRequests(request, c[i]));
    });

await test("every difference that is listed is one", () => {
    const idle = recommended.filter((rule) => !met.has(rule));
    assert.deepEqual(idle, []);
});

console.log("differences that PROTOCOL recommends, and node's own:");
for (const [rule, times] of met)
    console.log(`  ${String(times).padStart(3)} requests, ${rule.where}: ${rule.why}`);
server.close();
finish();

// What the official JS SDK and lssb send for the same call of the control plane
// (snapshots, registries, mounts, the proxy, links, searches), side by side:
// the order of requests, methods, targets, the headers that matter, JSON
// members. compare.mjs looks at every header, for sandboxes and files.
// Differences that PROTOCOL recommends are listed in `recommended`; any other
// fails.
//
// SPDX-License-Identifier: MIT
//
// usage: node control_compare.mjs PATH-OF-CONTROL-CALLS

import {
    awsAuth, contextHubMount, gcpAuth, gcsMount, gitMount, mountConfig, opaqueSecret,
    proxyConfig, s3Mount, Sandbox, SandboxClient, workspaceSecret,
} from "langsmith/sandbox";
import assert from "node:assert/strict";
import { execFile } from "node:child_process";
import http from "node:http";
import { finish, test } from "./check.mjs";

const program = process.argv[2];

// ------------------------------------------------------------ the recorder --

let recorded = [];
let base;

// A service that knows everything; a new snapshot has to be waited for once, a
// list that is asked for by twos has a second page.
function answer(method, url) {
    const path = url.replace(/\?.*/, "");
    if (/page_size=2/.test(url))
        return [200, /cursor=/.test(url) ? { items: [{ id: "3" }], next_cursor: null }
            : { items: [{ id: "1" }, { id: "2" }], next_cursor: "c/1+" }];
    if (method === "DELETE")
        return [204, undefined];
    if (/\/service-url$/.test(path))
        return [200, { browser_url: "https://b", service_url: "https://s", token: "t", expires_at: "2099-01-01T00:00:00Z" }];
    if (/\/download-url$/.test(path))
        return [200, { download_url: "https://d", token: "t", expires_at: null }];
    if (/\/(glob|grep)$/.test(path))
        return [200, { matches: [], truncated: false }];
    if (/\/snapshots$/.test(path) && method === "GET")
        return [200, { items: [], snapshots: [], next_cursor: null, offset: 0 }];
    if (/\/registries$/.test(path) && method === "GET")
        return [200, { registries: [], offset: 0 }];
    if (/\/snapshots?$/.test(path))
        return [201, { id: "s-1", name: "snap", status: "building" }];
    return [200, { id: "s-1", name: "box-1", status: "ready" }];
}

const server = http.createServer(async (request, response) => {
    const parts = [];
    for await (const part of request)
        parts.push(part);
    const text = Buffer.concat(parts).toString();
    recorded.push({ method: request.method, target: request.url, headers: request.headers,
        body: text === "" ? undefined : JSON.parse(text) });
    const [status, body] = answer(request.method, request.url);
    const login = recorded.at(-1).body?.access;
    const reply = login ? { browser_url: "https://b", service_url: "https://s", access: login } : body;
    const bytes = reply === undefined ? "" : JSON.stringify(reply);
    response.writeHead(status, { "Content-Type": "application/json" });
    response.end(bytes);
});
await new Promise((resolve) => server.listen(0, "127.0.0.1", resolve));
base = `http://127.0.0.1:${server.address().port}`;

// ----------------------------------------------------- what may be different --

// Where: "target", or the name of a member; in: the call; js and ours: what
// each must have sent (undefined: nothing). `why`: the section of PROTOCOL.
const recommended = [
    { where: "target", in: "list snapshots", js: /snapshots\?name_contains=p\+y%2B%26%C3%A4$/,
        ours: /snapshots\?page_size=1&name_contains=p%20y%2B%26%C3%A4$/, why: "2.4: ask for a page by size" },
    { where: "target", in: "list registries", js: /registries\?name_contains=in$/,
        ours: /registries\?limit=2&offset=0&name_contains=in$/, why: "2.11: all pages" },
    { where: "expires_in_seconds", in: "service URL, default", js: undefined, ours: 600, why: "7.1: always in token mode" },
];
const met = new Set();

// Fails unless the two are the same or a rule wants them as they are.
function same(call, where, js, ours) {
    const fits = (rule, value) => rule instanceof RegExp ? rule.test(value) : rule === value;
    const rule = recommended.find((r) => r.in === call && r.where === where);
    if (rule) {
        assert.ok(fits(rule.js, js) && fits(rule.ours, ours), `${where}: JS ${js}, lssb ${ours}`);
        met.add(rule);
        return;
    }
    assert.deepEqual(ours, js, where);
}

// A target with its parameters decoded, in the order of their names.
function sorted(target) {
    const url = new URL(target, base);
    url.searchParams.sort();
    return `${url.pathname}?${decodeURIComponent(url.searchParams)}`;
}

function compare(call, js, ours) {
    assert.equal(ours.method, js.method);
    if (recommended.some((r) => r.in === call && r.where === "target"))
        same(call, "target", js.target, ours.target);
    else
        assert.equal(sorted(ours.target), sorted(js.target));
    for (const name of ["content-type", "x-api-key"])
        assert.equal(ours.headers[name], js.headers[name], name);
    assert.equal(ours.body === undefined, js.body === undefined);
    for (const name of new Set([...Object.keys(js.body ?? {}), ...Object.keys(ours.body ?? {})]))
        same(call, name, js.body[name], ours.body[name]);
}

const recording = async (call) => {
    recorded = [];
    await call();
    return recorded;
};

// Our client makes the call of that name; what it says is for a failure.
const ours = (name) => () => new Promise((resolve, reject) =>
    execFile(program, [name], { timeout: 30000, env: {
        LANGSMITH_ENDPOINT: name in generatedCalls ? `${base}/api` : base, LANGSMITH_API_KEY: "key-1", DATAPLANE: `${base}/dp/1`,
    } }, (error, _, said) => error ? reject(new Error(`control_calls: ${said}${error}`)) : resolve()));

// ------------------------------------------------------------------ the calls --

const client = new SandboxClient({ apiEndpoint: `${base}/v2/sandboxes`, apiKey: "key-1", maxRetries: 0 });
const box = new Sandbox({ id: "i", name: "box-1", status: "ready", dataplane_url: `${base}/dp/1` }, client);
const runConfig = { user: "0", work_dir: "/srv", env_vars: { A: "1", UML: "ä \"\\\t" } };
const keys = { accessKeyId: workspaceSecret("AWS_KEY"), secretAccessKey: opaqueSecret(" wJalr\" ") };
const role = { roleArn: "arn:aws:iam::1:role/sandbox" };
const account = { serviceAccountJson: workspaceSecret("{GCP_SA}"), scopes: ["https://www.googleapis.com/auth/rw"] };
const s3 = { bucket: " b ", prefix: "datasets/x" };
const proxy = () => proxyConfig({
    rules: [
        { name: "api", type: "headers", enabled: true, match_hosts: ["api.example.com", "*.example.org"],
            headers: [{ name: "Authorization", type: "workspace_secret", value: "Bearer {KEY}" },
                { name: "X-Env", type: "plaintext", value: "test" }] },
        awsAuth({ ...keys, envVars: { " AWS_REGION ": " eu " } }),
        gcpAuth({ ...account, name: "google", enabled: false }),
    ],
    accessControl: { allow_list: ["github.com", "~^cdn[0-9]+\\.x$"] },
});
// The generated client behind `registries` has more than the SDK lets out.
const generated = client.registries._client.sandboxes;
const filters = { created_by: "me", label: ["team", "a=b c"] };
const walk = async (pages) => {
    let count = 0;
    for await (const _ of pages)
        count++;
    assert.equal(count, 3);
};
const registry = { name: "in/ternal", url: "registry.example.com", username: "robot", password: "s3\"cret" };

const calls = {
    "create a snapshot": () => client.createSnapshot("py/thon ä", "python:3.12-slim", 4294967296),
    "create a snapshot, all": () => client.createSnapshot("n", "r.example.com/p@sha256:0", Number.MAX_SAFE_INTEGER, { registryId: "reg-1", runConfig }),
    "capture": () => client.captureSnapshot("box-1", "snap"),
    "capture, all": () => box.captureSnapshot("snap", { dockerImage: "langsmith-snapshot-build:0f", fsCapacityBytes: 8589934592, runConfig }),
    "get a snapshot": () => client.getSnapshot("a b:ä/c"),
    "delete a snapshot": () => client.deleteSnapshot("7f0c?x"),
    "list snapshots": () => client.listSnapshots({ nameContains: "p y+&ä" }),
    "wait for a snapshot": () => client.waitForSnapshot("s-1"),
    "service URL": () => client.serviceUrl("box-1", { port: 3000, expiresInSeconds: 900 }),
    "service URL, default": () => client.serviceUrl("box-1", { port: 3000 }),
    "service URL, restricted": () => client.serviceUrl("box-1", { port: 3000, access: "restricted" }),
    "service URL, workspace": () => client.serviceUrl("box-1", { port: 3000, access: "workspace" }),
    "download link": () => client.generateDownloadURL("box-1", "/tmp/ä b"),
    "download link, all": () => client.generateDownloadURL("box-1", "/a", { expiresInSeconds: 3600, contentType: "text/html", contentDisposition: "inline" }),
    "glob": () => box.glob("**/*.[ch]", "/srv/ä", { limit: 200 }),
    "list a directory": () => box.ls("/srv/ä"),
    "grep": () => box.grep("TODO: \"x\"\\", "/srv/ä"),
    "grep, all": () => box.grep("x", "/srv/ä", { glob: "*.py", limit: 5 }),
    "create with mounts": () => client.createSandbox({ mountConfig: mountConfig({
        auth: [awsAuth(keys), gcpAuth(account)],
        mounts: [
            s3Mount({ ...s3, id: " data ", mountPath: "/mnt/mounts/data", readOnly: true, cache: { max_size_bytes: 12345, writeback_seconds: 7 } }),
            s3Mount({ id: "own", mountPath: "/mnt/mounts/own", bucket: "b", region: "eu-1", endpointUrl: "http://minio:9000", pathStyle: true, readOnly: false }),
            gcsMount({ id: "models", mountPath: "/mnt/mounts/models", bucket: "m", prefix: "p" }),
            gitMount({ id: "src", mountPath: "/mnt/mounts/src", remoteUrl: "https://github.com/o/r.git", ref: { type: "branch", name: "main" }, refreshIntervalSeconds: 60 }),
            gitMount({ id: "tag", mountPath: "/mnt/mounts/tag", remoteUrl: "https://h.example/r", ref: { type: "tag", name: "v1" } }),
            contextHubMount({ id: "ctx", mountPath: "/ctx", repo: "-/notes", initialPullOnly: true }),
        ] }) }),
    "create with a mount by role": () => client.createSandbox({ mountConfig: mountConfig({
        auth: [awsAuth(role)], mounts: [s3Mount({ ...s3, id: "a", mountPath: "/a" })] }) }),
    "create with a mount by the proxy": () => {
        const byRole = proxyConfig({ rules: [awsAuth(role)] });
        return client.createSandbox({ proxyConfig: byRole, mountConfig: mountConfig({ proxyConfig: byRole,
            mounts: [s3Mount({ ...s3, id: "a", mountPath: "/a" }), gitMount({ id: "b", mountPath: "/b", remoteUrl: "https://h.example/r" })] }) });
    },
    "create with a proxy": () => client.createSandbox({ proxyConfig: proxy() }),
    "create with an empty proxy": () => client.createSandbox({ proxyConfig: proxyConfig() }),
    "create with a raw proxy": () => client.createSandbox({ proxyConfig: { rules: [], new: { a: [1, null] } } }),
    "update the proxy": () => client.updateSandbox("box-1", { proxyConfig: proxy() }),
    "create with all delegated": () => client.createSandbox({ accessDelegation: { mode: "INHERIT" } }),
    "create with some delegated": () => client.createSandbox({ accessDelegation: { mode: "EXPLICIT", permissions: ["sandboxes:read", "x:y"] } }),
    "create a registry": () => client.registries.create(registry),
    "get a registry": () => client.registries.retrieve("a b/ä"),
    "change a registry": () => client.registries.update("internal", { password: "new" }),
    "change a registry, all": () => client.registries.update("internal", registry),
    "delete a registry": () => client.registries.delete("internal"),
    "list registries": () => client.registries.list({ name_contains: "in" }),
};
// These go to /api/v2/sandboxes, where the generated client has everything.
const generatedCalls = {
    "walk the sandboxes": () => walk(generated.boxes.list({ page_size: 2, name_contains: "b", status: "ready", ...filters, sort_by: "created_at", sort_order: "asc" })),
    "walk the snapshots": () => walk(generated.snapshots.list({ page_size: 2, name_contains: "p", status: "building", ...filters, sort_by: "name", sort_order: "desc" })),
    "tags of a name": () => generated.snapshots.retrieveByName("py/thon"),
    "capture with memory": () => generated.boxes.createSnapshot("box-1", { name: "snap", tag: "v1", include_memory: true, labels: runConfig.env_vars, checkpoint: "2026-04-01T12:00:00Z" }),
    "create a snapshot with labels": () => generated.snapshots.create({ name: "n", docker_image: "i", fs_capacity_bytes: 1, tag: "v1", labels: runConfig.env_vars }),
};

for (const [name, call] of Object.entries({ ...calls, ...generatedCalls }))
    await test(`${name}: the same requests`, async () => {
        const js = await recording(call);
        const c = await recording(ours(name));
        assert.ok(js.length > 0);
        assert.deepEqual(c.map((r) => r.method), js.map((r) => r.method));
        js.forEach((request, i) => compare(name, request, c[i]));
    });

await test("every difference that is listed was seen", () => {
    assert.deepEqual(recommended.filter((rule) => !met.has(rule)), []);
});
for (const { in: call, where, why } of recommended)
    console.log(`  differs as recommended: ${call}, ${where} (${why})`);
finish();

// The official JS SDK drives sandboxd: LANGSMITH_ENDPOINT, LANGSMITH_API_KEY
// and ISOLATION say which. It was started with --faults.
//
// SPDX-License-Identifier: MIT

import * as sdk from "langsmith/sandbox";
import assert from "node:assert/strict";
import { fails, finish, like, test } from "./check.mjs";
import { commands } from "./results.mjs";

const endpoint = process.env.LANGSMITH_ENDPOINT;
const key = process.env.LANGSMITH_API_KEY;
const client = new sdk.SandboxClient();
const fast = { pollInterval: 0.02 };

// A box for one test, deleted afterwards.
async function withBox(options, body) {
    const box = await client.createSandbox(options);
    try {
        await body(box);
    } finally {
        await client.deleteSandbox(box.id);
    }
}

// The server meets the next request that matches with this.
async function fault(members) {
    const reply = await fetch(`${endpoint}/_faults`, {
        method: "POST",
        headers: { "X-Api-Key": key, "Content-Type": "application/json" },
        body: JSON.stringify(members),
    });
    assert.ok(reply.ok, await reply.text());
}

// A body in the documented form.
const detail = (error, message) => ({ detail: { error, message } });
const text = (bytes) => new TextDecoder().decode(bytes);

// --------------------------------------------------------------- sandboxes --

await test("without ws the SDK runs commands by POST /execute", async () => {
    await assert.rejects(import("ws"), { code: "ERR_MODULE_NOT_FOUND" });
});

await test("a sandbox is created ready, with the server's defaults", () =>
    withBox({}, async (box) => {
        assert.equal(box.status, "ready");
        assert.match(box.id, /^[0-9a-f]{8}(-[0-9a-f]{4}){3}-[0-9a-f]{12}$/);
        assert.ok(box.name.length > 0);
        assert.ok(box.dataplane_url.startsWith(endpoint));
        assert.equal(box.idle_ttl_seconds, 600);
        assert.equal(box.delete_after_stop_seconds, 1209600);
        assert.ok(!Number.isNaN(Date.parse(box.created_at)));
        assert.ok(!Number.isNaN(Date.parse(box.updated_at)));
        assert.equal(box.stopped_at, undefined);
        assert.equal(box.access_delegation, undefined);
    }));

await test("what a creation asks for comes back", () =>
    withBox({
        name: "js-options", timeout: 20, idleTtlSeconds: 120,
        deleteAfterStopSeconds: 0, vCpus: 2, memBytes: 2 ** 33,
        fsCapacityBytes: 5 * 2 ** 30, snapshotName: "default:latest",
        runConfig: { work_dir: "/home/user", env_vars: { COLOUR: "grün" } },
    }, async (box) => {
        assert.equal(box.name, "js-options");
        assert.equal(box.idle_ttl_seconds, 120);
        assert.equal(box.delete_after_stop_seconds, 0);
        assert.equal(box.vCpus, 2);
        assert.equal(box.mem_bytes, 2 ** 33);
        assert.equal(box.fs_capacity_bytes, 5 * 2 ** 30);
        assert.equal(box.run_config.work_dir, "/home/user");
        assert.equal(box.run_config.env_vars.COLOUR, "grün");
        const again = await client.getSandbox("js-options");
        assert.deepEqual({ ...again, _client: 0 }, { ...box, _client: 0 });
    }));

for (const accessDelegation of [
    { mode: "INHERIT" },
    { mode: "EXPLICIT", permissions: ["sandboxes:exec", "runs:read"] },
])
    await test(`access is delegated: ${accessDelegation.mode}`, () =>
        withBox({ accessDelegation }, async (box) => {
            assert.deepEqual(box.access_delegation, accessDelegation);
            const again = await client.getSandbox(box.name);
            assert.deepEqual(again.access_delegation, accessDelegation);
        }));

await test("labels, which the SDK has no word for, are kept by the API", async () => {
    const reply = await client._fetch(`${endpoint}/v2/sandboxes/boxes`, {
        method: "POST",
        headers: { "Content-Type": "application/json" },
        body: JSON.stringify({ name: "js-labels", labels: { team: "a.b" } }),
    });
    assert.equal(reply.status, 201);
    assert.deepEqual((await reply.json()).labels, { team: "a.b" });
    await client.deleteSandbox("js-labels");
});

await test("a creation that does not wait is waited for afterwards", () =>
    withBox({ waitForReady: false }, async (box) => {
        assert.equal(box.status, "provisioning");
        const ready = await client.waitForSandbox(box.name, fast);
        assert.equal(ready.status, "ready");
        assert.equal((await ready.run("echo here")).stdout, "here\n");
    }));

await test("a name that needs encoding is one path segment", () =>
    withBox({ name: "ä /b?c#d%2F" }, async (box) => {
        assert.equal((await client.getSandbox("ä /b?c#d%2F")).id, box.id);
    }));

await test("a sandbox is found by its id, too", () =>
    withBox({}, async (box) => {
        assert.equal((await client.getSandbox(box.id)).name, box.name);
    }));

await test("the list has what there is, and not what was deleted", async () => {
    const boxes = await Promise.all([1, 2, 3].map(() => client.createSandbox()));
    const listed = (await client.listSandboxes()).map((b) => b.id);
    for (const box of boxes)
        assert.ok(listed.includes(box.id));
    await Promise.all(boxes.map((b) => b.delete()));
    assert.deepEqual(await client.listSandboxes(), []);
});

await test("a rename keeps the id and the files", () =>
    withBox({ name: "js-before" }, async (box) => {
        await box.write("kept", "1");
        const after = await client.updateSandbox("js-before", "js-after");
        assert.equal(after.name, "js-after");
        assert.equal(after.id, box.id);
        assert.equal(text(await after.read("kept")), "1");
        await fails(sdk.LangSmithResourceNotFoundError, {},
            () => client.getSandbox("js-before"));
    }));

await test("TTLs are changed and switched off", () =>
    withBox({}, async (box) => {
        let now = await client.updateSandbox(box.name,
            { idleTtlSeconds: 0, deleteAfterStopSeconds: 180 });
        assert.equal(now.idle_ttl_seconds, 0);
        assert.equal(now.delete_after_stop_seconds, 180);
        now = await client.updateSandbox(box.name, { idleTtlSeconds: 60 });
        assert.equal(now.idle_ttl_seconds, 60);
        assert.equal(now.delete_after_stop_seconds, 180);
    }));

await test("an update of run_config merges, and holds for the next command", () =>
    withBox({ runConfig: { env_vars: { A: "1", B: "1" } } }, async (box) => {
        await client.updateSandbox(box.name,
            { runConfig: { env_vars: { B: "2", C: "2" } } });
        const result = await box.run('echo "$A$B$C"');
        assert.equal(result.stdout, "122\n");
    }));

await test("an update of nothing describes the sandbox", () =>
    withBox({}, async (box) => {
        assert.equal((await client.updateSandbox(box.name, {})).id, box.id);
    }));

await test("status is one of the documented words", () =>
    withBox({}, async (box) => {
        const status = await client.getSandboxStatus(box.name);
        assert.equal(status.status, "ready");
    }));

await test("files survive a stop and a start", () =>
    withBox({}, async (box) => {
        await box.write("kept", "still here");
        await box.stop();
        const stopped = await client.getSandbox(box.name);
        assert.equal(stopped.status, "stopped");
        assert.ok(!Number.isNaN(Date.parse(stopped.stopped_at)));
        await box.start();
        assert.equal(box.status, "ready");
        assert.equal(text(await box.read("kept")), "still here");
        assert.equal((await client.getSandbox(box.name)).stopped_at, undefined);
    }));

await test("a command wakes a stopped sandbox", () =>
    withBox({}, async (box) => {
        await box.stop();
        assert.equal((await box.run("echo awake")).stdout, "awake\n");
        assert.equal((await client.getSandboxStatus(box.name)).status, "ready");
    }));

await test("a deleted sandbox is gone", async () => {
    const box = await client.createSandbox();
    await box.delete();
    await fails(sdk.LangSmithResourceNotFoundError, { resourceType: "sandbox" },
        () => client.getSandbox(box.name));
});

// ---------------------------------------------------------------- commands --

// One box serves the tests that change nothing in it.
const box = await client.createSandbox({
    name: "js-shared",
    runConfig: { env_vars: { LEVEL: "box", ONLY: "box" } },
});

for (const [sentence, command, options, expected] of [...commands,
    ["one that exceeds its time", "echo begun; sleep 30", { timeout: 1 }, { stdout: "begun\n", exit_code: 124 }],
])
    await test(`run: ${sentence}`, async () => {
        like(await box.run(command, options), expected);
    });

await test("run: a user of run_config", async () => {
    const uid = (await box.run("id -u")).stdout.trim();
    const result = await box.run("id -u", { runConfig: { user: uid } });
    assert.equal(result.stdout.trim(), uid);
});

await test("run: run_config beside env is refused by the server, too", async () => {
    const reply = await client._fetch(`${box.dataplane_url}/execute`, {
        method: "POST",
        body: JSON.stringify({ command: "true", timeout: 5, env: { A: "1" },
            run_config: { work_dir: "/" } }),
    });
    assert.equal(reply.status, 400);
});

// ------------------------------------------------------------------- files --

const binary = Uint8Array.from({ length: 70000 }, (_, i) => (i * i) >> 3);
const large = new Uint8Array(5 * 2 ** 20).map((_, i) => (i * 2654435761) >> 24);
const contents = [
    ["text", "/home/user/a.txt", "Grüße, 世界\n"],
    ["all bytes", "/home/user/b.bin", binary],
    ["an empty one", "/home/user/empty", ""],
    ["a path with blanks, signs and letters of other scripts", "/home/user/ä b/+&=?#%41'\"/世界 😀.txt", "x"],
    ["a relative path", "relative.txt", "y"],
    ["5 MiB", "/tmp/large", large],
    ["what looks like a multipart boundary", "trap", "\r\n--B--\r\nContent-Disposition: form-data\r\n\r\n--"],
];
for (const [sentence, path, content] of contents)
    await test(`a file comes back as it went: ${sentence}`, async () => {
        await box.write(path, content);
        const back = await box.read(path);
        assert.ok(Buffer.from(content).equals(Buffer.from(back)));
        const stat = await box.stat(path);
        assert.equal(stat.size_bytes, back.length);
    });

await test("a command sees what was written, and the reverse", async () => {
    await box.write("in.txt", "from the API\n");
    const result = await box.run("cat in.txt; echo 'from the shell' >out.txt");
    assert.equal(result.stdout, "from the API\n");
    assert.equal(text(await box.read("/home/user/out.txt")), "from the shell\n");
});

await test("a write replaces all of a longer file", async () => {
    await box.write("again", "a long text");
    const before = await box.stat("again");
    await box.write("again", "short");
    assert.equal(text(await box.read("again")), "short");
    assert.notEqual((await box.stat("again")).etag, before.etag);
});

const ten = "0123456789";
await box.write("ten", ten);
const whole = await box.stat("ten");

await test("stat: size, validators and type", () => {
    assert.equal(whole.size_bytes, 10);
    assert.match(whole.etag, /^"[^"]+"$/);
    assert.ok(!Number.isNaN(Date.parse(whole.last_modified)));
    assert.ok(whole.content_type.length > 0);
});

const ranges = [
    // sentence, options, bytes, start, partial
    ["from the front", { start: 0, end: 3 }, "0123", 0, true],
    ["in the middle", { start: 4, end: 6 }, "456", 4, true],
    ["one byte", { start: 9, end: 9 }, "9", 9, true],
    ["to the end", { start: 7 }, "789", 7, true],
    ["an end beyond the file", { start: 7, end: 100 }, "789", 7, true],
    ["the last bytes", { suffixBytes: 3 }, "789", 7, true],
    ["more last bytes than there are", { suffixBytes: 100 }, ten, 0, true],
    ["If-Range that holds", { start: 5, ifRange: whole.etag }, "56789", 5, true],
    ["If-Range that does not: the whole", { start: 5, ifRange: '"old"' }, ten, 0, false],
    ["If-None-Match of another file", { start: 5, ifNoneMatch: '"old"' }, "56789", 5, true],
];
for (const [sentence, options, bytes, start, partial] of ranges)
    await test(`a range: ${sentence}`, async () => {
        const chunk = await box.readRange("ten", options);
        assert.equal(text(chunk.content), bytes);
        assert.equal(chunk.start, start);
        assert.equal(chunk.partial, partial);
        assert.equal(chunk.unchanged, false);
        assert.equal(chunk.total_bytes, 10);
        assert.equal(chunk.etag, whole.etag);
    });

await test("a range: nothing comes of a file that is unchanged", async () => {
    const chunk = await box.readRange("ten", { start: 0, ifNoneMatch: whole.etag });
    assert.equal(chunk.unchanged, true);
    assert.equal(chunk.content.length, 0);
    assert.equal(chunk.etag, whole.etag);
});

await test("a range: past the end fails and names the size", () =>
    fails(sdk.LangSmithSandboxOperationError,
        { operation: "read", errorType: undefined, message: /bytes \*\/10/ },
        () => box.readRange("ten", { start: 10 })));

await test("a large file comes whole in pieces", async () => {
    const got = [];
    let at = 0, etag, chunk;
    do {
        chunk = await box.readRange("/tmp/large",
            { start: at, end: at + 999999, ifRange: etag });
        got.push(chunk.content);
        at += chunk.content.length;
        etag = chunk.etag;
    } while (at < chunk.total_bytes);
    assert.ok(Buffer.concat(got).equals(Buffer.from(large)));
});

// ------------------------------------------------------------------ errors --

const missing = "js-not-there";
const notFound = sdk.LangSmithResourceNotFoundError;
for (const [name, call, resourceType] of [
    ["get", () => client.getSandbox(missing), "sandbox"],
    ["status", () => client.getSandboxStatus(missing), "sandbox"],
    ["wait", () => client.waitForSandbox(missing), "sandbox"],
    ["update", () => client.updateSandbox(missing, "x"), "sandbox"],
    ["delete", () => client.deleteSandbox(missing), "sandbox"],
    ["start", () => client.startSandbox(missing), undefined],
    ["stop", () => client.stopSandbox(missing), undefined],
    ["read", () => box.read("/home/user/none"), "file"],
    ["stat", () => box.stat("/home/user/none"), "file"],
    ["readRange", () => box.readRange("/home/user/none", { start: 0 }), "file"],
])
    await test(`${name} of what is not there: not found`, () =>
        fails(notFound, { resourceType }, call));

const stranger = new sdk.SandboxClient({ apiKey: "wrong" });
for (const [name, call] of [
    ["create", () => stranger.createSandbox()],
    ["get", () => stranger.getSandbox(box.name)],
    ["list", () => stranger.listSandboxes()],
    ["update", () => stranger.updateSandbox(box.name, "x")],
    ["delete", () => stranger.deleteSandbox(box.name)],
    ["status", () => stranger.getSandboxStatus(box.name)],
    ["start", () => stranger.startSandbox(box.name)],
    ["stop", () => stranger.stopSandbox(box.name)],
])
    await test(`${name} with a wrong key: no authentication`, () =>
        fails(sdk.LangSmithSandboxAuthenticationError, {}, call));

// The SDK has no class of its own for a 401 of the dataplane.
const outside = new sdk.Sandbox({ ...box }, stranger);
for (const [name, call] of [
    ["run", () => outside.run("true")],
    ["write", () => outside.write("x", "x")],
    ["read", () => outside.read("ten")],
    ["stat", () => outside.stat("ten")],
])
    await test(`${name} with a wrong key: refused`, () =>
        fails(sdk.LangSmithSandboxError, {}, call));

await test("a wrong key has changed nothing", async () => {
    assert.equal((await client.getSandbox(box.name)).status, "ready");
    await fails(notFound, {}, () => box.read("x"));
});

await test("a list from a wrong URL: no such API", () =>
    fails(sdk.LangSmithSandboxAPIError, { message: /not found/ }, () =>
        new sdk.SandboxClient({ apiEndpoint: `${endpoint}/v9` }).listSandboxes()));

// The SDK gives the 409 of a creation its base class.
await test("a name that is taken is refused", () =>
    fails(sdk.LangSmithSandboxError, { message: /already exists/ },
        () => client.createSandbox({ name: box.name })));

await test("a rename to a name that is taken: a conflict", () =>
    withBox({}, (other) =>
        fails(sdk.LangSmithResourceNameConflictError, { resourceType: "sandbox" },
            () => client.updateSandbox(other.name, box.name))));

for (const [name, call] of [
    ["start", () => client.startSandbox(box.name)],
    ["stop", async () => {
        const other = await client.createSandbox();
        await other.stop();
        await other.stop().finally(() => other.delete());
    }],
])
    await test(`${name} of what is so already is refused`, () =>
        fails(sdk.LangSmithSandboxError, { message: /the sandbox is/ }, call));

for (const [name, options, members] of [
    ["too many CPUs", { vCpus: 17 }, { field: "vcpus" }],
    ["a negative size", { memBytes: -1 }, { field: "mem_bytes" }],
    ["a TTL that is no minutes", { idleTtlSeconds: 61 }, { field: "idleTtlSeconds" }],
    ["an unknown delegation", { accessDelegation: { mode: "ALL" } }, { field: "accessDelegation" }],
])
    await test(`a creation with ${name} is invalid`, () =>
        fails(sdk.LangSmithValidationError, members,
            () => client.createSandbox(options)));

await test("the server checks a TTL, too", async () => {
    const reply = await client._fetch(`${endpoint}/v2/sandboxes/boxes`, {
        method: "POST", body: JSON.stringify({ idle_ttl_seconds: 61 }),
    });
    assert.equal(reply.status, 422);
    const problem = (await reply.json()).detail[0];
    assert.equal(problem.type, "value_error");
    assert.equal(problem.loc.at(-1), "idle_ttl_seconds");
});

await test("a snapshot that is not there is refused by name", () =>
    fails(sdk.LangSmithSandboxError, { message: /no-such/ },
        () => client.createSandbox({ snapshotName: "no-such" })));

await test("a proxy_config that the server takes of ready ones only: not ready", () =>
    withBox({}, async (other) => {
        await fault({ match: "PATCH *", status: 400, body: detail("InvalidRequest", "not ready") });
        await fails(sdk.LangSmithSandboxNotReadyError, {},
            () => client.updateSandbox(other.name, { proxyConfig: { rules: [] } }));
    }));

await test("a sandbox that fails while its creator waits", async () => {
    await fault({ match: "js-fails", provision: "fail", message: "no image" });
    await fails(sdk.LangSmithSandboxCreationError, { message: /no image/ },
        () => client.createSandbox({ name: "js-fails" }));
    await client.deleteSandbox("js-fails");
});

await test("a sandbox that fails while it is polled", async () => {
    await fault({ match: "js-fails", provision: "fail", message: "no image" });
    await client.createSandbox({ name: "js-fails", waitForReady: false });
    await fails(sdk.LangSmithResourceCreationError,
        { message: /no image/, resourceType: "sandbox" },
        () => client.waitForSandbox("js-fails", fast));
    await fails(sdk.LangSmithSandboxNotReadyError, {}, async () =>
        (await client.getSandbox("js-fails")).run("true"));
    await client.deleteSandbox("js-fails");
});

await test("a sandbox that is never ready: a timeout, by either side", async () => {
    await fault({ match: "js-hangs", provision: "hang", times: 1 });
    await fails(sdk.LangSmithResourceTimeoutError,
        { resourceType: "sandbox", message: /provisioning/ },
        () => client.createSandbox({ name: "js-hangs", timeout: 1 }));
    await fails(sdk.LangSmithResourceTimeoutError,
        { resourceType: "sandbox", lastStatus: "provisioning" },
        () => client.waitForSandbox("js-hangs", { ...fast, timeout: 0.2 }));
    await client.deleteSandbox("js-hangs");
});

await test("a file below a file: a write error", () =>
    fails(sdk.LangSmithSandboxOperationError,
        { operation: "write", errorType: "WriteError" },
        () => box.write("ten/below", "x")));

await test("a directory is not read: a read error", () =>
    fails(sdk.LangSmithSandboxOperationError,
        { operation: "read", errorType: "ReadError" },
        () => box.read("/home/user")));

await test("output without end: a command error", () =>
    fails(sdk.LangSmithSandboxOperationError,
        { operation: "command", errorType: "CommandError" },
        () => box.run("yes", { timeout: 30 })));

if (process.env.ISOLATION === "view")
    await test("the host's directories are not written: permission denied", () =>
        fails(sdk.LangSmithSandboxOperationError,
            { operation: undefined, errorType: "PermissionDenied" },
            () => box.write("/usr/lssb-interop", "x")));

await test("a sandbox without a dataplane URL is told apart", () =>
    fails(sdk.LangSmithDataplaneNotConfiguredError, {},
        () => new sdk.Sandbox({ name: "x" }, client).run("true")));

// What sandboxd has no cause for, by a fault.
const control = "GET */boxes/js-shared";
const execute = "POST */execute";
const create = "POST */boxes";
for (const [match, status, body, Kind, members, call] of [
    [control, 403, detail("Forbidden", "no"), sdk.LangSmithSandboxAuthenticationError, {}],
    [control, 422, { detail: [{ loc: ["query", "x"], msg: "m", type: "value_error" }] }, sdk.LangSmithValidationError, { field: "x", message: "m" }],
    [control, 429, detail("QuotaExceeded", "memory"), sdk.LangSmithQuotaExceededError, { quotaType: "memory" }],
    [control, 500, detail("Internal", "oops"), sdk.LangSmithSandboxAPIError, { message: /oops/ }],
    [control, 502, detail("ConnectionError", "lost"), sdk.LangSmithSandboxConnectionError, {}],
    [control, 502, "not JSON", sdk.LangSmithSandboxError, {}],
    [control, 503, detail("ServiceUnavailable", "later"), sdk.LangSmithSandboxError, {}],
    [create, 429, detail("QuotaExceeded", "Sandbox count limit"), sdk.LangSmithQuotaExceededError, { quotaType: "sandbox_count" }, () => client.createSandbox()],
    [create, 503, { detail: "full" }, sdk.LangSmithSandboxCreationError, { errorType: "Unschedulable" }, () => client.createSandbox()],
    [create, 422, detail("ImagePull", "m"), sdk.LangSmithSandboxCreationError, { errorType: "ImagePull" }, () => client.createSandbox()],
    [execute, 400, detail("NotReady", "m"), sdk.LangSmithSandboxNotReadyError, {}, () => box.run("true")],
    [execute, 403, detail("X", "m"), sdk.LangSmithSandboxOperationError, { operation: undefined, errorType: "PermissionDenied" }, () => box.run("true")],
    [execute, 502, detail("ConnectionError", "m"), sdk.LangSmithSandboxConnectionError, {}, () => box.run("true")],
    [execute, 503, detail("ServiceUnavailable", "m"), sdk.LangSmithSandboxError, {}, () => box.run("true")],
    ["GET */download", 400, detail("FileNotFound", "m"), notFound, { resourceType: "file" }, () => box.read("ten")],
    ["HEAD */download", 403, "", sdk.LangSmithSandboxOperationError, { errorType: "PermissionDenied" }, () => box.stat("ten")],
])
    await test(`${match} that answers ${status} ${JSON.stringify(body)}: ${Kind.name}`, async () => {
        await fault({ match, status, body });
        await fails(Kind, members, call ?? (() => client.getSandbox("js-shared")));
    });

await test("a lost connection: the SDK tries again and gets through", async () => {
    await fault({ match: control, close: "before-reply" });
    assert.equal((await client.getSandbox("js-shared")).id, box.id);
});

await test("a reply that is cut is no shorter file", async () => {
    await fault({ match: "GET */download", close: "mid-body" });
    await assert.rejects(box.read("/tmp/large"), TypeError);
});

await test("every fault was met", async () => {
    for (const call of [() => client.getSandbox("js-shared"), () => box.run("true"),
        () => box.read("ten"), () => box.stat("ten")])
        await call();
});

// ------------------------------------------------------------ side by side --

// Each waits until all have begun: one after another they would never end.
await test("50 commands at once, each with its own output", async () => {
    const command = `echo begun $N; mkdir -p all; : >all/$N
        until [ "$(ls all | wc -l)" -ge 50 ]; do sleep 0.1; done; echo $N >&2`;
    const results = await Promise.all(Array.from({ length: 50 }, (_, i) =>
        box.run(command, { env: { N: `n${i}` }, timeout: 30 })));
    results.forEach((r, i) => assert.deepEqual(r,
        { stdout: `begun n${i}\n`, stderr: `n${i}\n`, exit_code: 0 }));
});

await test("50 sandboxes at once, each with its own files", async () => {
    const boxes = await Promise.all(Array.from({ length: 50 }, () =>
        client.createSandbox()));
    assert.equal(new Set(boxes.map((b) => b.id)).size, 50);
    await Promise.all(boxes.map(async (b) => {
        await b.write("me", b.id);
        assert.equal((await b.run("cat me")).stdout, b.id);
    }));
    await Promise.all(boxes.map((b) => b.delete()));
});

await test("50 files at once", async () => {
    await Promise.all(Array.from({ length: 50 }, async (_, i) => {
        await box.write(`many/${i}`, binary.subarray(i));
        const back = await box.read(`many/${i}`);
        assert.ok(Buffer.from(back).equals(Buffer.from(binary.subarray(i))));
    }));
});

await box.delete();

await test("nothing is left", async () => {
    assert.deepEqual(await client.listSandboxes(), []);
});

finish();

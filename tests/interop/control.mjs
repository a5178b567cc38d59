// The official JS SDK and sandboxd's control plane: snapshots, mounts, proxy
// configurations, searches, service URLs, download links. LANGSMITH_ENDPOINT,
// LANGSMITH_API_KEY and ISOLATION say which server.
//
// SPDX-License-Identifier: MIT

import * as sdk from "langsmith/sandbox";
import assert from "node:assert/strict";
import fs from "node:fs";
import http from "node:http";
import os from "node:os";
import path from "node:path";
import { fails, finish, test } from "./check.mjs";

const client = new sdk.SandboxClient();
const view = process.env.ISOLATION === "view";
const GiB = 2 ** 30;

// A box for one test, deleted afterwards.
async function withBox(options, body) {
    const box = await client.createSandbox(options);
    try {
        await body(box);
    } finally {
        await client.deleteSandbox(box.id);
    }
}

// An HTTP service on a port of this machine, which is where a box's are.
async function withService(answer, body) {
    const service = http.createServer(answer).listen(0, "127.0.0.1");
    await new Promise((up) => service.once("listening", up));
    try {
        await body(service.address().port);
    } finally {
        service.closeAllConnections();
        await new Promise((down) => service.close(down));
    }
}

// ------------------------------------------------------------- snapshots --

await test("an image becomes a snapshot", async () => {
    const made = await client.createSnapshot("js-image", "python:3.12-slim",
        4 * GiB, { runConfig: { env_vars: { A: "1" } } });
    assert.equal(made.status, "ready");
    assert.equal(made.name, "js-image");
    assert.equal(made.docker_image, "python:3.12-slim");
    assert.equal(made.fs_capacity_bytes, 4 * GiB);
    assert.equal(made.run_config.env_vars.A, "1");
    assert.match(made.image_digest, /^sha256:[0-9a-f]{64}$/);
    assert.equal((await client.getSnapshot(made.id)).id, made.id);
    assert.equal((await client.getSnapshot("js-image")).id, made.id);
    await client.deleteSnapshot(made.id);
    await fails(sdk.LangSmithResourceNotFoundError, {},
        () => client.deleteSnapshot(made.id));
});

await test("an image that cannot be pulled is a ResourceCreationError", () =>
    fails(sdk.LangSmithResourceCreationError, { message: /Docker pull failed/ },
        () => client.createSnapshot("js-bad", "r.example/fail:1", GiB)));

await test("a box from a captured snapshot has the files", () =>
    withBox({ runConfig: { env_vars: { A: "1", B: "1" } } }, async (box) => {
        await box.write("/home/user/kept", "kept\n");
        const made = await box.captureSnapshot("js-cap", {
            runConfig: { env_vars: { B: "2" } },
        });
        assert.equal(made.status, "ready");
        assert.equal(made.source_sandbox_id, box.id);
        await withBox({ snapshotName: "js-cap" }, async (copy) => {
            assert.equal(copy.snapshot_id, made.id);
            assert.equal((await copy.run("cat kept; echo $A$B")).stdout,
                "kept\n12\n");
            await assert.rejects(client.deleteSnapshot(made.id), /in use/);
        });
        await withBox(made.id, async (copy) => {
            assert.equal(Buffer.from(await copy.read("kept")).toString(),
                "kept\n");
        });
        await client.deleteSnapshot(made.id);
    }));

await test("a list of snapshots filters and pages", async () => {
    const made = await Promise.all([1, 2, 3].map((n) =>
        client.createSnapshot(`js-list-${n}`, "i", GiB)));
    const all = await client.listSnapshots({ nameContains: "JS-LIST" });
    assert.equal(all.length, 3);
    const page = await client.listSnapshots({
        nameContains: "js-list", limit: 2, offset: 2,
    });
    assert.equal(page.length, 1);
    assert.equal(page[0].id, all[2].id);
    await fails(sdk.LangSmithSandboxError, {},
        () => client.listSnapshots({ limit: 501 }));
    await Promise.all(made.map((s) => client.deleteSnapshot(s.id)));
});

// The SDK builds over WebSocket; USER needs a server that is root.
const built = view && process.getuid() === 0 &&
    await import("ws").then(() => true, () => false);
if (built)
    await test("a Dockerfile becomes a snapshot", async () => {
        const context = fs.mkdtempSync(path.join(os.tmpdir(), "context-"));
        fs.mkdirSync(path.join(context, "src"));
        fs.writeFileSync(path.join(context, "src", "a b.txt"), "hello\n");
        fs.symlinkSync("a b.txt", path.join(context, "src", "link"));
        fs.writeFileSync(path.join(context, "Dockerfile"), `
FROM python:3.12 AS base
ARG WHO=nobody
ENV WHO=$WHO
WORKDIR /srv
COPY src .
FROM base AS final
RUN cat link > copied; \\
    echo built >&2
USER 12:34
FROM base AS never
RUN exit 1
`);
        let log = "";
        const made = await client.createSnapshotFromDockerfile("js-docker",
            "Dockerfile", {
                context, target: "final", buildArgs: { WHO: "it's me" },
                onBuildLog: (text) => { log += text; },
            });
        assert.equal(made.status, "ready");
        assert.equal(made.run_config.user, "12:34");
        assert.match(log, /RUN cat link[^]*built/);
        await withBox(made.id, async (box) => {
            assert.equal((await box.run("pwd; id -u; cat copied; echo $WHO"))
                .stdout, "/srv\n12\nhello\nit's me\n");
        });
        await client.deleteSnapshot(made.id);
        await fails(sdk.LangSmithResourceCreationError, {},
            () => client.createSnapshotFromDockerfile("js-bad", "Dockerfile",
                { context, target: "never" }));
        assert.deepEqual(await client.listSandboxes(), []);
        fs.rmSync(context, { recursive: true });
    });

// --------------------------------------------------------- mounts, proxy --

const aws = sdk.awsAuth({
    accessKeyId: sdk.workspaceSecret("AWS_ID"),
    secretAccessKey: sdk.opaqueSecret("s3cr3t"),
});
const role = sdk.awsAuth({ roleArn: "arn:aws:iam::123456789012:role/r" });
const gcp = sdk.gcpAuth({
    serviceAccountJson: sdk.workspaceSecret("SA"), scopes: ["https://s"],
    envVars: { GOOGLE: "x" },
});
const s3 = sdk.s3Mount({
    id: "s3", mountPath: "/mnt/mounts/s3", bucket: "b", prefix: "p",
    readOnly: true, cache: { max_size_bytes: 1, writeback_seconds: 2 },
});
const gcs = sdk.gcsMount({
    id: "gcs", mountPath: "/mnt/mounts/gcs", bucket: "b",
});
const git = sdk.gitMount({
    id: "git", mountPath: "/mnt/mounts/git",
    remoteUrl: "https://example.com/o/r.git",
    ref: { type: "tag", name: "v1" }, refreshIntervalSeconds: 60,
});
const hub = sdk.contextHubMount({
    id: "hub", mountPath: "/ctx", repo: "-/notes", initialPullOnly: true,
});

for (const [words, options] of [
    ["every kind of mount", { mountConfig: sdk.mountConfig({
        auth: [aws, gcp], mounts: [s3, gcs, git, hub] }) }],
    ["a role for mounts", { mountConfig: sdk.mountConfig({
        auth: [role], mounts: [s3] }) }],
    ["mounts without credentials", { mountConfig: sdk.mountConfig({
        mounts: [git] }) }],
    ["a proxy for AWS and GCP", { proxyConfig: sdk.proxyConfig({
        rules: [aws, gcp] }) }],
    ["a role for the proxy", { proxyConfig: sdk.proxyConfig({
        rules: [role], accessControl: { allow_list: ["a.example"] } }) }],
    ["a proxy that only denies", { proxyConfig: sdk.proxyConfig({
        accessControl: { deny_list: ["*"] } }) }],
    ["an aws rule instead of mount auth", {
        proxyConfig: sdk.proxyConfig({ rules: [aws] }),
        mountConfig: sdk.mountConfig({ mounts: [s3],
            proxyConfig: sdk.proxyConfig({ rules: [aws] }) }) }],
])
    await test(`${words}: what the SDK's helpers build is taken`, () =>
        withBox(options, async (box) => {
            const reply = await client._fetch(
                `${process.env.LANGSMITH_ENDPOINT}/v2/sandboxes/boxes/${box.id}`);
            const text = await reply.text();
            assert.ok(!text.includes("s3cr3t"));
            const told = JSON.parse(text);
            for (const [name, sent] of [["mount_config", options.mountConfig],
                ["proxy_config", options.proxyConfig]])
                assert.deepEqual(told[name], sent ? JSON.parse(JSON.stringify(
                    sent, (_, v) => v?.type === "opaque"
                        ? { type: "opaque", is_set: true } : v)) : null);
        }));

await test("a rule's variables reach commands until an update", () => withBox({
    proxyConfig: sdk.proxyConfig({ rules: [gcp] }),
}, async (box) => {
    assert.equal((await box.run("echo $GOOGLE")).stdout, "x\n");
    await client.updateSandbox(box.name, {
        proxyConfig: sdk.proxyConfig({ rules: [] }),
    });
    assert.equal((await box.run("echo $GOOGLE")).stdout, "\n");
}));

await test("what the server finds wrong is a ValidationError with its field", () =>
    fails(sdk.LangSmithValidationError, { field: "mount_path" },
        () => client.createSandbox({ mountConfig: {
            auth: {}, mounts: [{ ...git, mount_path: "/elsewhere" }],
        } })));

// -------------------------------------------------------------- searches --

if (view)
    await test("glob, ls and grep find what commands wrote", () =>
        withBox({}, async (box) => {
            await box.run("mkdir -p /srv/t/sub; cd /srv/t; echo 'a TODO' >a.py; " +
                "echo TODO >sub/b.py; echo none >c.txt");
            const found = await box.glob("**/*.py", "/srv/t");
            assert.equal(found.truncated, false);
            assert.deepEqual(found.matches.map((m) => m.path),
                ["/srv/t/a.py", "/srv/t/sub/b.py"]);
            assert.deepEqual((await box.ls("/srv/t")).matches.map((m) =>
                [m.path, m.is_dir]),
            [["/srv/t/a.py", false], ["/srv/t/c.txt", false], ["/srv/t/sub", true]]);
            assert.deepEqual(await box.grep("TODO", "/srv/t", { glob: "a*" }), {
                matches: [{ path: "/srv/t/a.py", line: 1, text: "a TODO" }],
                truncated: false,
            });
            assert.equal((await box.grep("TODO", "/srv/t", { limit: 1 })).truncated,
                true);
        }));

await test("a directory that is not there is a ResourceNotFoundError", () =>
    withBox({}, async (box) => {
        for (const call of [() => box.glob("*", "/none"), () => box.grep("x", "/none")])
            await fails(sdk.LangSmithResourceNotFoundError,
                { resourceType: "file" }, call);
    }));

// ----------------------------------------------------------------- links --

await test("a service URL opens its service", () =>
    withService((request, reply) => {
        reply.setHeader("X-Asked", `${request.method} ${request.url}`);
        request.pipe(reply);
    }, (port) => withBox({}, async (box) => {
        const url = await client.serviceUrl(box.name, { port, expiresInSeconds: 600 });
        const reply = await url.fetch("/a?b=c", { method: "POST", body: "hello" });
        assert.equal(reply.status, 200);
        assert.equal(reply.headers.get("x-asked"), "POST /a?b=c");
        assert.equal(await reply.text(), "hello");
        assert.equal((await fetch(await url.serviceUrl())).status, 401);
        const login = await fetch(await url.browserUrl(), { redirect: "manual" });
        assert.equal(login.status, 302);
        assert.match(login.headers.get("set-cookie"), /HttpOnly/);
        assert.ok(Date.parse(await url.expiresAt()) > Date.now());
    })));

await test("a service URL that ends soon is refreshed", () =>
    withService((request, reply) => reply.end("up"), (port) =>
        withBox({}, async (box) => {
            const url = await client.serviceUrl(box.name, { port, expiresInSeconds: 2 });
            assert.equal(await (await url.fetch("/")).text(), "up");
        })));

await test("a login URL excludes tokens", () =>
    withBox({}, async (box) => {
        const url = await client.serviceUrl(box.name, {
            port: 3000, access: "restricted",
        });
        assert.equal(url.access, "restricted");
        assert.ok(url.url.includes("--3000"));
        await assert.rejects(client.serviceUrl(box.name, { port: 3000 }),
            /login grant/);
    }));

await test("a download link serves a file to anybody", () =>
    withBox({}, async (box) => {
        await box.write("page.html", "<p>hello");
        const link = await box.generateDownloadURL("/home/user/page.html", {
            expiresInSeconds: 600, contentType: "text/html",
            contentDisposition: "inline",
        });
        const reply = await fetch(link.download_url,
            { headers: { Range: "bytes=3-" } });
        assert.equal(reply.status, 206);
        assert.equal(reply.headers.get("content-type"), "text/html");
        assert.match(reply.headers.get("content-disposition"), /^inline/);
        assert.equal(await reply.text(), "hello");
        assert.ok(Date.parse(link.expires_at) > Date.now());
        const endless = await client.generateDownloadURL(box.name, "page.html");
        assert.equal(endless.expires_at ?? null, null);
        await box.stop();
        assert.equal(await (await fetch(endless.download_url)).text(), "<p>hello");
    }));

finish();

#!/usr/bin/env python3
"""sandboxd's control plane, as PROTOCOL 2, 4.7 and 7 describe the service.

SPDX-License-Identifier: MIT

usage: tests/sandboxd_control.py [PATH OF SANDBOXD]

Every request is a plain HTTP/1.1 request of Python's own client. Nothing waits
for a fixed time: what is waited for comes, or the test fails after some time.
"""
import base64
import hashlib
import http.client
import json
import os
import shlex
import socket
import subprocess
import sys
import tempfile
import threading
import time
import traceback
import urllib.parse

SANDBOXD = sys.argv[1] if len(sys.argv) > 1 else "build/sandboxd"
PATIENCE = 20
BASE = "/v2/sandboxes"
ROOT = os.geteuid() == 0
USER = f"{os.geteuid()}:{os.getegid()}"
TESTS = []


def test(function):
    """Enters a test into the list; its name is a sentence."""
    TESTS.append(function)
    return function


class Reply:
    """What came back."""

    def __init__(self, reply):
        self.status = reply.status
        self.headers = reply.headers
        self.bytes = reply.read()

    @property
    def json(self):
        return json.loads(self.bytes)

    def __repr__(self):
        return f"{self.status} {self.bytes[:600]!r}"


class Server:
    """A sandboxd of its own."""

    def __init__(self, *options):
        self.tmp = tempfile.TemporaryDirectory()
        os.chmod(self.tmp.name, 0o755)
        self.log = open(os.path.join(self.tmp.name, "log"), "w+")
        data = os.path.join(self.tmp.name, "data")
        os.mkdir(data)
        self.process = subprocess.Popen(
            [SANDBOXD, "--api-key", "key", "--provision-ms", "1", "--faults",
             "--die-with-parent", *options], stdout=subprocess.PIPE,
            stderr=self.log, env=dict(os.environ, TMPDIR=data))
        self.ready = json.loads(self.process.stdout.readline())
        self.endpoint = self.ready["endpoint"]
        self.port = int(self.endpoint.rsplit(":", 1)[1])
        self.view = self.ready["isolation"] == "view"
        self.data = data

    def raw(self, method, path, body=None, headers=None):
        """A request without a key."""
        connection = http.client.HTTPConnection("127.0.0.1", self.port,
                                                timeout=PATIENCE)
        try:
            connection.request(method, path, body=body,
                               headers=headers or {})
            return Reply(connection.getresponse())
        finally:
            connection.close()

    def call(self, method, path, body=None, headers=None):
        """A request with the key; below the base URL if it has no slash."""
        if body is not None and not isinstance(body, bytes):
            body = json.dumps(body).encode()
        if not path.startswith("/"):
            path = f"{BASE}/{path}"
        return self.raw(method, path, body,
                        {"X-Api-Key": "key", **(headers or {})})

    def get(self, path):
        reply = self.call("GET", path)
        assert reply.status == 200, reply
        return reply.json

    def post(self, path, body, status=201):
        reply = self.call("POST", path, body)
        assert reply.status == status, reply
        return reply.json if reply.bytes else None

    def box(self, **members):
        return self.post("boxes", members)

    def run(self, box, command, **members):
        return self.post(f"/dp/{box['id']}/execute",
                         {"command": command, **members}, 200)

    def out(self, box, command, **members):
        result = self.run(box, command, **members)
        assert result["exit_code"] == 0, result
        return result["stdout"]

    def snapshot(self, status="ready", path="snapshots", **members):
        """Makes a snapshot, and waits for its end."""
        made = self.post(path, members)
        assert made["status"] == "building" or status == "failed", made
        end = eventually(lambda: self.settled(made["id"]))
        assert end["status"] == status, end
        return end

    def settled(self, name):
        snapshot = self.get(f"snapshots/{name}")
        return None if snapshot["status"] == "building" else snapshot

    def stop(self):
        """Ends it; nothing may be left, and nothing wrong be said."""
        self.process.terminate()
        status = self.process.wait(PATIENCE)
        left = os.listdir(self.data)
        self.log.seek(0)
        log = self.log.read()
        self.tmp.cleanup()
        assert status == 0, (status, log)
        assert not left, left
        assert "ERROR" not in log and "runtime error" not in log, log


def eventually(look):
    """What a look gives once it gives something."""
    end = time.monotonic() + PATIENCE
    while time.monotonic() < end:
        found = look()
        if found:
            return found
        time.sleep(0.005)
    raise AssertionError("it did not come about")


def equal(got, wanted):
    assert got == wanted, f"\n  got    {got!r}\n  wanted {wanted!r}"


def refused(reply, status, kind=None, words=""):
    """An error in the documented form."""
    assert reply.status == status, reply
    detail = reply.json["detail"]
    assert detail["error_id"].startswith("e-"), reply
    assert kind is None or detail["error"] == kind, reply
    assert words in detail["message"], reply


def problem(reply, *place, missing=False):
    """A 422 that names a member."""
    assert reply.status == 422, reply
    entry = reply.json["detail"][0]
    equal(entry["loc"], ["body", *place])
    equal(entry["type"],
          "value_error.missing" if missing else "value_error")
    assert entry["msg"], reply


def quote(text):
    return urllib.parse.quote(text, safe="")


# ------------------------------------------------------------------ snapshots

@test
def an_image_gives_a_snapshot_that_is_built_for_a_while(s):
    made = s.post("snapshots", {"name": "py", "docker_image": "python:3.12",
                                "fs_capacity_bytes": 2 ** 33,
                                "labels": {"a": "1"},
                                "run_config": {"user": USER,
                                               "env_vars": {"V": "3"}}})
    equal(made["status"], "building")
    equal(made["docker_image"], "python:3.12")
    equal(made["fs_capacity_bytes"], 2 ** 33)
    equal(made["image_digest"], None)
    assert "run_config" not in made
    done = eventually(lambda: s.settled(made["id"]))
    equal(done["status"], "ready")
    equal(done["run_config"], {"user": USER, "work_dir": "/",
                               "env_vars": {"V": "3"}})
    equal(done["labels"], {"a": "1"})
    equal(done["tags"], ["latest"])
    equal(done["status_message"], None)
    equal(done["source_sandbox_id"], None)
    assert done["created_by"] and done["created_at"] and done["updated_at"]


@test
def an_images_digest_is_sha256_at_every_length_of_the_last_block(s):
    for length in (1, 54, 55, 56, 57, 63, 64, 65, 118, 119, 120, 128, 300):
        image = "x" * length
        made = s.snapshot(name="digest", docker_image=image)
        equal(made["image_digest"],
              "sha256:" + hashlib.sha256(image.encode()).hexdigest())


@test
def an_image_that_cannot_be_pulled_fails_and_says_so(s):
    made = s.snapshot("failed", name="bad", docker_image="r.example/fail:1")
    equal(made["status_message"], "Docker pull failed")
    refused(s.call("POST", "boxes", {"snapshot_id": made["id"]}), 400,
            "InvalidRequest", "not ready")


@test
def what_is_wrong_with_a_snapshot_is_named(s):
    good = {"name": "n", "docker_image": "i"}
    for member, value in (("name", None), ("docker_image", None)):
        problem(s.call("POST", "snapshots", {**good, member: value}), member,
                missing=True)
    for member, value in (("name", 1), ("name", ".."), ("docker_image", []),
                          ("docker_image", "i" * 600), ("tag", "a b"),
                          ("tag", "t" * 129), ("fs_capacity_bytes", 0),
                          ("fs_capacity_bytes", "1"), ("labels", {"A": "1"}),
                          ("labels", {"com.langchain.x": "1"}),
                          ("registry_url", 5), ("run_config", [])):
        problem(s.call("POST", "snapshots", {**good, member: value}), member)
    problem(s.call("POST", "snapshots",
                   {**good, "run_config": {"env_vars": {"": "1"}}}),
            "run_config", "env_vars")
    refused(s.call("POST", "snapshots",
                   {**good, "run_config": {"work_dir": "srv"}}), 400,
            "InvalidRequest", "work_dir must be absolute")
    refused(s.call("POST", "snapshots", {**good, "registry_id": "none"}), 400,
            "InvalidRequest")


@test
def the_older_way_to_name_a_registry_is_read_and_never_told(s):
    made = s.snapshot(name="old", docker_image="r.example.com/p:1",
                      registry_url="r.example.com", registry_username="u",
                      registry_password="s3cr3t")
    assert "s3cr3t" not in json.dumps(made)


@test
def a_tag_belongs_to_the_newest_that_got_it(s):
    first = s.snapshot(name="t", docker_image="i")
    second = s.snapshot(name="t", docker_image="i")
    third = s.snapshot(name="t", docker_image="i", tag="v1.0")
    equal(s.get("snapshots/t")["id"], second["id"])
    equal(s.get("snapshots/t%3Alatest")["id"], second["id"])
    equal(s.get("snapshots/t:v1.0")["id"], third["id"])
    equal(s.get(f"snapshots/{first['id']}")["tags"], [])
    equal(s.get("snapshots-by-name/t"),
          {"name": "t", "tags": [{"tag": "v1.0", "snapshot_id": third["id"]},
                                 {"tag": "latest",
                                  "snapshot_id": second["id"]}]})
    refused(s.call("GET", "snapshots-by-name/none"), 404, "NotFound")
    refused(s.call("GET", "snapshots/t:none"), 404, "NotFound")
    equal(s.box(snapshot_name="t:v1.0")["snapshot_id"], third["id"])
    equal(s.box(snapshot="t")["snapshot_id"], second["id"])
    equal(s.box(snapshot_id=first["id"])["snapshot_id"], first["id"])


@test
def the_list_of_snapshots_filters_and_sorts(s):
    for n in "cab":
        s.snapshot(name=f"L-{n}", docker_image="i",
                   labels={"n": n, "all": "1"})
    s.snapshot("failed", name="L-d", docker_image="fail")

    def names(query):
        page = s.get(f"snapshots?name_contains=l-&{query}")
        equal(page["items"], page["snapshots"])
        return "".join(x["name"][2:] for x in page["items"])
    equal(names(""), "dbac")
    equal(names("sort_direction=asc"), "cabd")
    equal(names("sort_by=name&sort_order=asc"), "abcd")
    equal(names("sort_by=name&sort_order=desc"), "dcba")
    equal(names("sort_by=status&sort_order=asc"), "dcab")
    equal(names("status=failed"), "d")
    equal(names("status=deleting"), "")
    equal(names("label=all"), "bac")
    equal(names("label=all%3D1&label=n%3Da"), "a")
    equal(names("created_by=me&limit=1&offset=1"), "b")
    for query in ("limit=501", "limit=0", "page_size=101", "offset=-1",
                  "status=stopped", "sort_by=stopped_at", "created_by=you",
                  "sort_order=up", "limit=1&page_size=1", "cursor=00",
                  "name_contains=%ff"):
        refused(s.call("GET", f"snapshots?{query}"), 400, "InvalidRequest")


@test
def both_ways_of_paging_lead_through_everything_once(s):
    made = [s.snapshot(name=f"page{i}", docker_image="i")["id"]
            for i in range(7)]
    made.reverse()
    for query in ("", "&sort_by=name"):
        found, cursor = [], ""
        while True:
            page = s.get("snapshots?name_contains=page&page_size=3"
                         f"{query}{cursor}")
            found += [x["id"] for x in page["items"]]
            if not page["next_cursor"]:
                break
            cursor = "&cursor=" + quote(page["next_cursor"])
            assert page["offset"] == 3 or cursor
        equal(found, made)
    found, offset = [], 0
    while True:
        page = s.get(f"snapshots?name_contains=page&limit=3&offset={offset}")
        found += [x["id"] for x in page["snapshots"]]
        if page["offset"] == 0:
            break
        offset = page["offset"]
    equal(found, made)
    page = s.get("snapshots?page_size=1")
    refused(s.call("GET", f"boxes?cursor={page['next_cursor']}"), 400,
            "InvalidRequest", "cursor")


@test
def a_cursor_holds_while_things_come_and_go(s):
    made = [s.snapshot(name=f"move{i}", docker_image="i")["id"]
            for i in range(4)]
    page = s.get("snapshots?name_contains=move&page_size=2")
    equal([x["id"] for x in page["items"]], [made[3], made[2]])
    equal(s.call("DELETE", f"snapshots/{made[2]}").status, 204)
    s.snapshot(name="move9", docker_image="i")
    page = s.get("snapshots?name_contains=move&page_size=2&cursor="
                 + page["next_cursor"])
    equal([x["id"] for x in page["items"]], [made[1], made[0]])


@test
def a_snapshot_is_deleted_unless_something_needs_it(s):
    made = s.snapshot(name="gone", docker_image="i")
    box = s.box(name="needs-gone", snapshot_id=made["id"])
    refused(s.call("DELETE", f"snapshots/{made['id']}"), 409, "Conflict",
            "in use by sandboxes: needs-gone")
    equal(s.call("DELETE", f"boxes/{box['id']}").status, 204)
    equal(s.call("DELETE", f"snapshots/{made['id']}").status, 204)
    refused(s.call("DELETE", f"snapshots/{made['id']}"), 404, "NotFound")
    refused(s.call("DELETE", "snapshots/default"), 409, "Conflict")
    equal(s.call("PUT", "snapshots/default").headers["Allow"],
          "GET, HEAD, DELETE")
    equal(s.call("PUT", "snapshots").headers["Allow"], "GET, HEAD, POST")


@test
def a_box_from_a_captured_snapshot_has_its_files(s):
    box = s.box(name="origin", labels={"team": "a", "x": "1"},
                run_config={"work_dir": "/srv", "env_vars": {"A": "1",
                                                             "B": "1"}})
    s.out(box, "mkdir -p /srv/deep '/app/a b'; "
               "echo one >/srv/deep/f; ln -s deep/f /srv/link; "
               "chmod 750 /srv/deep/f; : >'/app/a b/c\nd'; "
               "echo ram >/tmp/ram; echo home >/home/user/h")
    taken = s.snapshot(path="boxes/origin/snapshot", name="cap",
                       labels={"made": "here"}, checkpoint="2026-04-01T12:00",
                       include_memory=True)
    equal(taken["source_sandbox_id"], box["id"])
    equal(taken["checkpoint"], "2026-04-01T12:00")
    equal(taken["memory_snapshot_size_bytes"], box["mem_bytes"])
    equal(taken["docker_image"], None)
    equal(taken["run_config"], {"work_dir": "/srv",
                                "env_vars": {"A": "1", "B": "1"}})
    assert taken["fs_used_bytes"] > 0, taken
    s.out(box, "echo later >/srv/deep/f")
    copy = s.box(snapshot_name="cap", labels={"x": "2"}, restore_memory=True,
                 run_config={"env_vars": {"B": "2"}})
    equal(copy["labels"], {"made": "here", "x": "2"})
    equal(copy["run_config"], {"work_dir": "/srv",
                               "env_vars": {"A": "1", "B": "2"}})
    if s.view:
        equal(s.out(copy, "pwd; cat deep/f link; stat -c %a deep/f; "
                          "ls -b /app/*; cat /home/user/h; "
                          "ls /tmp | grep -c ram; "
                          "echo $A$B"),
              "/srv\none\none\n750\nc\\nd\nhome\n0\n12\n")


DOCKERFILE = r"""# syntax=docker/dockerfile:1
ARG BASE=python:3
FROM $BASE AS base
ENV GREETING="hello world" N=1
WORKDIR /srv/app
COPY src/ ./src/
FROM base AS final
ARG WHO=nobody
ENV WHO=$WHO TWO=${N}2 DEF=${NONE:-d} SET=${N:+s} ONE='$N' OLD=\$N
RUN echo "$GREETING $WHO" > greeting && \
    # a comment between
    id -u > uid
RUN ["sh", "-c", "echo \"exec form\" > exec"]
COPY --chown=1000:1000 a.txt b\ c.txt data/
COPY *.txt all/
USER 1000:1000
RUN touch /tmp/$(id -u)
CMD ["cat", "greeting"]
FROM base
RUN echo never > never
"""


def upload(s, box, path, content):
    body = (b'--b\r\nContent-Disposition: form-data; name="file"\r\n\r\n'
            + content + b"\r\n--b--\r\n")
    reply = s.call("POST", f"/dp/{box['id']}/upload?path=" + quote(path),
                   body, {"Content-Type": "multipart/form-data; boundary=b"})
    equal(reply.status, 200)


def dockerfile_build(s, box, text, image, *options):
    """The steps of PROTOCOL 2.10 in a builder; the script's result."""
    root = "/var/lib/langsmith-build/0123456789ab"
    sock = f"unix://{root}/buildkit-run/buildkitd.sock"
    upload(s, box, f"{root}/context/D/Dockerfile", text.encode())
    for name in ("a.txt", "b c.txt", "src/s.py"):
        upload(s, box, f"{root}/context/{name}", name.encode())
    options = " ".join(f"--opt {shlex.quote(o)}" for o in options)
    return s.run(box, f"""set -euo pipefail
mkdir -p '{root}/buildkit-root' '{root}/buildkit-run'
buildkitd --addr '{sock}' --root '{root}/buildkit-root' --oci-worker=true \
  --containerd-worker=false --oci-worker-snapshotter=native \
  --oci-worker-binary buildkit-runc >'{root}/buildkit-run/buildkitd.log' 2>&1 &
pid=$!
trap 'kill "$pid" >/dev/null 2>&1 || true' EXIT
for i in $(seq 1 300); do
  if buildctl --addr '{sock}' debug workers >/dev/null 2>&1; then break; fi
  kill -0 "$pid"; sleep 0.02
done
docker info >/dev/null
buildctl --addr '{sock}' build --progress=plain --frontend dockerfile.v0 \
  --local 'context={root}/context' --local 'dockerfile={root}/context/D' \
  --opt filename=Dockerfile --output 'type=docker,name={image}' {options} \
  | docker load
rm -rf '{root}/buildkit-root' || true""")


@test
def a_dockerfile_is_built_in_a_box_and_its_image_captured(s):
    if not (s.view and ROOT):
        return
    box = s.box(name="builder")
    image = "langsmith-snapshot-build:" + "0f" * 16
    built = dockerfile_build(s, box, DOCKERFILE, image, "target=final",
                             "build-arg:WHO=it's me")
    equal((built["exit_code"], built["stdout"]),
          (0, f"Loaded image: {image}\n"))
    assert "RUN echo" in built["stderr"], built
    taken = s.snapshot(path="boxes/builder/snapshot", name="built",
                       docker_image=image, fs_capacity_bytes=2 ** 33)
    equal(taken["run_config"],
          {"user": "1000:1000", "work_dir": "/srv/app",
           "env_vars": {"GREETING": "hello world", "N": "1",
                        "WHO": "it's me", "TWO": "12", "DEF": "d",
                        "SET": "s", "ONE": "$N", "OLD": "$N"}})
    equal((taken["docker_image"], taken["fs_capacity_bytes"]),
          (image, 2 ** 33))
    copy = s.box(snapshot_id=taken["id"])
    equal(s.out(copy, "pwd; id -u; cat greeting uid exec; ls *; "
                      "stat -c %u:%g data/*; ls /var/lib; echo $TWO"),
          "/srv/app\n1000\nhello world it's me\n0\nexec form\n"
          "exec\ngreeting\nuid\n\nall:\na.txt\nb c.txt\n\n"
          "data:\na.txt\nb c.txt\n\nsrc:\ns.py\n"
          "1000:1000\n1000:1000\n12\n")


@test
def a_dockerfile_that_fails_fails_the_build(s):
    if not (s.view and ROOT):
        return
    box = s.box()
    for text, words in (("FROM a\nRUN exit 7\n", "failed with status 7"),
                        ("FROM a\nCOPY none /x\n", "not found"),
                        ("FROM a\nCOPY ../../../etc/hostname /x\n",
                         "leads out"),
                        ("FROM a\nBREW tea\n", "does not know BREW"),
                        ("FROM a\nENV A='x\n", "not closed"),
                        ("# nothing\n", "is empty")):
        built = dockerfile_build(s, box, text, "i:1")
        assert built["exit_code"] != 0 and words in built["stderr"], built
    built = dockerfile_build(s, box, DOCKERFILE, "i:1", "target=none")
    assert "no stage none" in built["stderr"], built


@test
def a_stopped_box_can_be_captured_and_a_starting_one_not(s):
    box = s.box(name="still")
    s.out(box, "echo 1 >f")
    s.post("boxes/still/stop", {}, 204)
    taken = s.snapshot(path="boxes/still/snapshot", name="still")
    equal(s.get("boxes/still")["status"], "stopped")
    copy = s.box(snapshot_id=taken["id"])
    equal(s.out(copy, "cat f"), "1\n")
    refused(s.call("POST", "boxes/none/snapshot", {"name": "n"}), 404,
            "NotFound")
    problem(s.call("POST", "boxes/still/snapshot", {}), "name", missing=True)
    equal(s.call("GET", "boxes/still/snapshot").headers["Allow"], "POST")
    s.post("/_faults", {"provision": "hang", "match": "never"}, 204)
    s.box(name="never", wait_for_ready=False)
    refused(s.call("POST", "boxes/never/snapshot", {"name": "n"}), 409,
            "Conflict", "provisioning")
    equal(s.call("DELETE", "boxes/never").status, 204)


@test
def a_captures_run_config_lies_over_the_boxs(s):
    s.box(name="layers", run_config={"work_dir": "/srv",
                                     "env_vars": {"A": "1", "B": "1"}})
    taken = s.snapshot(path="boxes/layers/snapshot", name="layers",
                       run_config={"work_dir": "/app",
                                   "env_vars": {"B": "2"}})
    equal(taken["run_config"], {"work_dir": "/app",
                                "env_vars": {"A": "1", "B": "2"}})
    problem(s.call("POST", "boxes/layers/snapshot",
                   {"name": "x", "run_config": {"user": 5}}),
            "run_config", "user")


@test
def an_image_that_the_box_does_not_have_cannot_be_exported(s):
    s.box(name="plain")
    made = s.snapshot("failed", path="boxes/plain/snapshot", name="x",
                      docker_image="none:1")
    assert "no such image" in made["status_message"], made


@test
def memory_is_restored_only_from_a_snapshot_that_has_it(s):
    made = s.snapshot(name="cold", docker_image="i")
    problem(s.call("POST", "boxes", {"snapshot_id": made["id"],
                                     "restore_memory": True}),
            "restore_memory")
    s.box(snapshot_id=made["id"], restore_memory=False)
    s.box(snapshot_id=made["id"], restore_memory=None)


@test
def files_survive_a_stop_and_a_start(s):
    box = s.box(name="sleeper")
    s.out(box, "echo kept >f")
    s.post("boxes/sleeper/stop", {}, 204)
    s.post("boxes/sleeper/start", {}, 202)
    eventually(lambda: s.get("boxes/sleeper/status")["status"] == "ready")
    equal(s.out(box, "cat f"), "kept\n")


@test
def the_number_of_snapshots_is_bounded(s):
    small = Server("--max-snapshots", "2")
    small.snapshot(name="a", docker_image="i")
    reply = small.call("POST", "snapshots", {"name": "b",
                                             "docker_image": "i"})
    refused(reply, 429, "QuotaExceeded", "torage")
    small.stop()


# ----------------------------------------------------------------- registries

@test
def a_registry_is_kept_and_its_secrets_never_told(s):
    root = "/api/v2/sandboxes/registries"
    good = {"name": "internal", "url": "registry.example.com",
            "username": "r0b0t", "password": "s3cr3t"}
    seen = s.call("POST", root, good)
    equal(seen.status, 201)
    made = seen.json
    equal((made["name"], made["url"]), ("internal", "registry.example.com"))
    for member in ("id", "created_at", "created_by", "updated_at",
                   "updated_by"):
        assert made[member], made
    refused(s.call("POST", root, good), 409, "Conflict")
    for member in good:
        problem(s.call("POST", root, {**good, member: None}), member,
                missing=True)
        problem(s.call("POST", root, {**good, member: 1}), member)
    s.call("POST", root, {**good, "name": "other"})
    texts = [seen.bytes,
             s.call("GET", root + "/internal").bytes,
             s.call("GET", root + "?limit=1&name_contains=INT&offset=0").bytes,
             s.call("PATCH", root + "/internal",
                    {"password": "n3w", "username": "n3w"}).bytes,
             s.call("PATCH", root + "/internal", {"url": "r.new"}).bytes]
    for text in texts:
        for secret in (b"r0b0t", b"s3cr3t", b"n3w", b"password", b"username"):
            assert secret not in text, text
    page = json.loads(texts[2])
    equal(set(page), {"registries", "offset"})
    equal([r["name"] for r in page["registries"]], ["internal"])
    equal(page["offset"], 0)
    equal(s.get(root + "?limit=1")["offset"], 1)
    equal(s.get(root + "/internal")["url"], "r.new")
    refused(s.call("PATCH", root + "/internal", {"name": "other"}), 409)
    equal(s.call("PATCH", root + "/internal", {"name": "renamed"}).json["id"],
          made["id"])
    refused(s.call("GET", root + "/internal"), 404, "NotFound")
    refused(s.call("PATCH", root + "/internal", {}), 404, "NotFound")
    s.snapshot(name="reg", docker_image="i", registry_id=made["id"])
    for name in ("renamed", "other"):
        reply = s.call("DELETE", f"{root}/{name}")
        equal((reply.status, reply.bytes), (204, b""))
    refused(s.call("DELETE", root + "/other"), 404, "NotFound")


# ---------------------------------------------------------------------- boxes

@test
def a_box_tells_everything_that_it_has(s):
    box = s.box(name="all", cpu_millicores=1500, mem_bytes=2 ** 32,
                fs_capacity_bytes=2 ** 31, idle_ttl_seconds=0,
                delete_after_stop_seconds=60, ttl_seconds=3600,
                labels={"a.b-c": "Any Thing"}, env_vars={"E": "1"},
                preserve_memory_on_stop=True, tag_value_ids=["t-1"],
                run_config={"env_vars": {"E": "0"}},
                access_delegation={"mode": "EXPLICIT",
                                   "permissions": ["sandboxes:read"]})
    wanted = {"cpu_millicores": 1500, "vcpus": 2, "mem_bytes": 2 ** 32,
              "fs_capacity_bytes": 2 ** 31, "idle_ttl_seconds": 0,
              "delete_after_stop_seconds": 60, "ttl_seconds": 3600,
              "labels": {"a.b-c": "Any Thing"}, "status": "ready",
              "preserve_memory_on_stop": True, "stopped_at": None,
              "status_message": None, "mount_config": None,
              "proxy_config": None, "size_class": "medium",
              "run_config": {"work_dir": "/home/user",
                             "env_vars": {"E": "0"}},
              "access_delegation": {"mode": "EXPLICIT",
                                    "permissions": ["sandboxes:read"]}}
    equal({name: box[name] for name in wanted}, wanted)
    for member in ("id", "created_at", "updated_at", "created_by",
                   "expires_at", "snapshot_id"):
        assert box[member], member
    equal(s.get("boxes/all"), box)
    equal(s.out(box, "echo $E"), "1\n")
    equal(s.box(vcpus=1)["size_class"], "small")
    equal(s.box(vcpus=16)["mem_bytes"], 64 * 2 ** 30)


@test
def what_is_wrong_with_a_box_is_named(s):
    for place, body in (
            ("name", {"name": 5}), ("name", {"name": "x" * 128}),
            ("vcpus", {"vcpus": 17}), ("vcpus", {"vcpus": 0}),
            ("vcpus", {"vcpus": 1.5}), ("cpu_millicores",
                                        {"cpu_millicores": 16001}),
            ("mem_bytes", {"mem_bytes": 64 * 2 ** 30 + 1}),
            ("mem_bytes", {"mem_bytes": 2 ** 30}),
            ("mem_bytes", {"vcpus": 1, "mem_bytes": 7 * 2 ** 30}),
            ("fs_capacity_bytes", {"fs_capacity_bytes": -1}),
            ("idle_ttl_seconds", {"idle_ttl_seconds": -60}),
            ("idle_ttl_seconds", {"idle_ttl_seconds": 90}),
            ("delete_after_stop_seconds", {"delete_after_stop_seconds": 1}),
            ("ttl_seconds", {"ttl_seconds": 61}),
            ("wait_for_ready", {"wait_for_ready": "yes"}),
            ("timeout", {"timeout": -1}), ("timeout", {"timeout": "1"}),
            ("env_vars", {"env_vars": {"A=B": "1"}}),
            ("env_vars", {"env_vars": {"A": 1}}),
            ("labels", {"labels": {"": "1"}}),
            ("labels", {"labels": []}),
            ("preserve_memory_on_stop", {"preserve_memory_on_stop": 1}),
            ("restore_memory", {"restore_memory": "no"}),
            ("tag_value_ids", {"tag_value_ids": "t"}),
            ("tag_value_ids", {"tag_value_ids": [1]}),
            ("snapshot_id", {"snapshot_id": 1}),
            ("run_config", {"run_config": "x"}),
            ("mount_config", {"mount_config": []}),
            ("proxy_config", {"proxy_config": 1}),
            ("access_delegation", {"access_delegation": "INHERIT"})):
        reply = s.call("POST", "boxes", body)
        if body == {"mem_bytes": 2 ** 30}:
            equal(reply.status, 201)        # the CPU follows the memory
            continue
        problem(reply, place)
    for body in ({"snapshot_id": "a", "snapshot_name": "b"},
                 {"snapshot": "a", "snapshot_name": "b"},
                 {"template_name": "a", "snapshot_id": "b"}):
        refused(s.call("POST", "boxes", body), 400, "InvalidRequest")
    refused(s.call("POST", "boxes", {"template_name": "none"}), 400,
            "NotFound", "Template")


@test
def boxes_are_sorted_by_their_numbers(s):
    for name, idle, after in (("N-a", 600, 0), ("N-b", 60, 1209600),
                              ("N-c", 0, 60)):
        s.box(name=name, idle_ttl_seconds=idle,
              delete_after_stop_seconds=after)
    for name in ("N-b", "N-a"):
        s.post(f"boxes/{name}/stop", {}, 204)
    for sort_by, wanted in (("idle_ttl_seconds", "cba"),
                            ("delete_after_stop_seconds", "acb"),
                            ("stopped_at", "cba"), ("created_at", "abc"),
                            ("name", "abc"), ("status", "cab")):
        query = f"boxes?name_contains=n-&sort_by={sort_by}&page_size=2"
        page = s.get(query + "&sort_order=asc")
        rest = s.get(query + "&cursor=" + page["next_cursor"])
        got = "".join(b["name"][2] for b in page["items"] + rest["items"])
        equal((sort_by, got), (sort_by, wanted))


@test
def what_is_nested_is_told_again_or_refused(s):
    for depth in range(8, 30):
        value = 1
        for _ in range(depth):
            value = {"a": [value]} if depth % 2 else {"a": value}
        name = f"deep-{depth}"
        reply = s.call("POST", "boxes", {
            "name": name, "proxy_config": {"rules": [], "x": value}})
        if reply.status == 201:
            equal(s.get(f"boxes/{name}")["proxy_config"]["x"], value)
            equal(s.get("boxes?page_size=1")["items"][0]["name"], name)
            s.call("DELETE", f"boxes/{name}")
        else:
            problem(reply, "proxy_config")
            assert depth > 10, depth


@test
def a_delegation_is_one_of_two_modes(s):
    for value in ({"mode": "INHERIT"}, {"mode": "INHERIT", "permissions": []},
                  {"mode": "EXPLICIT", "permissions": ["a"]}):
        equal(s.box(access_delegation=value)["access_delegation"], value)
    for place, value in ((("mode",), {}), (("permissions",),
                                           {"mode": "EXPLICIT",
                                            "permissions": [1]}),
                         ((), {"mode": "EXPLICIT"}),
                         ((), {"mode": "EXPLICIT", "permissions": []}),
                         ((), {"mode": "INHERIT", "permissions": ["a"]}),
                         ((), {"mode": "inherit"})):
        problem(s.call("POST", "boxes", {"access_delegation": value}),
                "access_delegation", *place, missing=value == {})


@test
def cpu_and_memory_may_be_used_up(s):
    small = Server("--max-millicores", "2000", "--max-memory",
                   str(8 * 2 ** 30))
    small.box(vcpus=1)
    refused(small.call("POST", "boxes", {"vcpus": 2}), 429, "QuotaExceeded",
            "CPU")
    refused(small.call("POST", "boxes", {"vcpus": 1,
                                         "mem_bytes": 6 * 2 ** 30}), 429,
            "QuotaExceeded", "Memory")
    usage = small.get("usage")
    equal((usage["cpu_limit_millicores"], usage["cpu_used_millicores"]),
          (2000, 1000))
    equal((usage["memory_limit_bytes"], usage["memory_used_bytes"]),
          (8 * 2 ** 30, 4 * 2 ** 30))
    small.stop()


@test
def the_usage_counts_everything(s):
    fresh = Server()
    fresh.box(name="a")
    fresh.box(name="b")
    fresh.post("boxes/b/stop", {}, 204)
    fresh.post("templates", {"name": "t", "image": "i"})
    fresh.post("pools", {"name": "p", "template_name": "t", "replicas": 3})
    fresh.post("registries", {"name": "r", "url": "u", "username": "n",
                              "password": "p"})
    fresh.snapshot(name="s", docker_image="i")
    usage = fresh.get("usage")
    equal({name: usage[name] for name in usage if name.endswith("_count")},
          {"pools_count": 1, "registries_count": 1,
           "sandbox_direct_count": 2, "sandbox_pool_replicas_count": 3,
           "sandbox_running_count": 1, "sandbox_stopped_count": 1,
           "snapshots_count": 2, "templates_count": 1})
    equal((usage["sandboxes_used"], usage["sandboxes_limit"]), (2, 100))
    problem(fresh.call("POST", "boxes/batch-delete", {"names": [1]}),
            "names", 0)
    problem(fresh.call("POST", "boxes/batch-delete", {"names": "a"}), "names")
    problem(fresh.call("POST", "boxes/batch-delete", {}), "names",
            missing=True)
    fresh.stop()


# ------------------------------------------------------------- mounts, proxy

SECRET = {"type": "opaque", "value": "s3cr3t"}
WORKSPACE = {"type": "workspace_secret", "value": "{NAME}"}
AWS = {"access_key_id": WORKSPACE, "secret_access_key": SECRET}
ROLE = {"role_arn": "arn:aws:iam::123456789012:role/sandbox"}
S3 = {"id": "data", "type": "s3", "mount_path": "/mnt/mounts/data",
      "read_only": True,
      "cache": {"max_size_bytes": 12345, "writeback_seconds": 7},
      "s3": {"endpoint_url": "https://s3.amazonaws.com",
             "region": "us-east-1", "bucket": "b", "path_style": False,
             "prefix": "datasets/x"}}
GCS = {"id": "models", "type": "gcs", "mount_path": "/mnt/mounts/models",
       "gcs": {"bucket": "m"}}
GIT = {"id": "src", "type": "git", "mount_path": "/mnt/mounts/src",
       "git": {"remote_url": "https://github.com/o/r.git",
               "ref": {"type": "branch", "name": "main"},
               "refresh_interval_seconds": 60}}
HUB = {"id": "ctx", "type": "contexthub", "mount_path": "/ctx",
       "contexthub": {"repo": "-/notes", "initial_pull_only": True}}
GCP = {"service_account_json": WORKSPACE}


def redacted(value):
    """What a reply has for a configuration."""
    if isinstance(value, list):
        return [redacted(v) for v in value]
    if not isinstance(value, dict):
        return value
    out = {k: redacted(v) for k, v in value.items()}
    if value.get("type") == "opaque":
        out.pop("value", None)
        out["is_set"] = True
    return out


@test
def every_kind_of_mount_is_kept_and_told_without_secrets(s):
    config = {"auth": {"aws": AWS, "gcp": GCP},
              "mounts": [S3, GCS, GIT, HUB]}
    reply = s.call("POST", "boxes", {"name": "mounts",
                                     "mount_config": config})
    equal(reply.status, 201)
    assert b"s3cr3t" not in reply.bytes
    equal(reply.json["mount_config"], redacted(config))
    equal(s.get("boxes/mounts")["mount_config"], redacted(config))
    for config in ({"auth": {}, "mounts": [GIT]}, {"mounts": [HUB]},
                   {"auth": {"aws": ROLE}, "mounts": [S3]},
                   {"auth": {"aws": {"role_arn": "", **AWS}}, "mounts": [S3]},
                   {"mounts": [{**GIT, "git": {"remote_url":
                                               "https://h/p"}}]}):
        equal(s.box(mount_config=config)["mount_config"], redacted(config))


@test
def an_aws_rule_of_the_proxy_is_enough_for_an_s3_mount(s):
    rule = {"name": "aws", "type": "aws", "enabled": True, "aws": ROLE}
    mounts = {"auth": {}, "mounts": [S3]}
    s.box(mount_config=mounts, proxy_config={"rules": [rule]})
    problem(s.call("POST", "boxes", {
        "mount_config": mounts,
        "proxy_config": {"rules": [{**rule, "enabled": False}]}}),
        "mount_config", "auth")


@test
def what_is_wrong_with_mounts_is_named(s):
    auth = {"aws": AWS, "gcp": GCP}

    def mount(place, base, missing=False, **changes):
        changed = {**base, **changes}
        name = base["type"]
        needs = {"s3": {"aws": AWS}, "gcs": {"gcp": GCP}}.get(name, {})
        reply = s.call("POST", "boxes", {"mount_config": {
            "auth": needs, "mounts": [changed]}})
        problem(reply, "mount_config", "mounts", 0, *place, missing=missing)

    mount(("id",), HUB, True, id=None)
    mount(("id",), HUB, id="  ")
    mount(("id",), HUB, id="a b")
    mount(("type",), HUB, True, type=None)
    mount(("type",), HUB, type="azure")
    mount(("mount_path",), HUB, True, mount_path=None)
    for path in ("ctx", "/", "/etc", "/usr/x", "/a/../b", "/a//b", "/a/"):
        mount(("mount_path",), HUB, mount_path=path)
    for path in ("/data", "/mnt/mounts", "/mnt/mountsx/a", "/mnt/mounts/../a"):
        mount(("mount_path",), GIT, mount_path=path)
    mount(("read_only",), GIT, read_only=True)
    mount(("cache",), HUB, cache={})
    mount(("read_only",), S3, read_only="yes")
    mount(("cache", "max_size_bytes"), S3, cache={"max_size_bytes": "1"})
    mount(("cache", "writeback_seconds"), S3,
          cache={"writeback_seconds": -1})
    mount(("s3",), S3, True, s3=None)
    mount(("s3", "bucket"), S3, True, s3={})
    mount(("s3", "prefix"), S3, s3={"bucket": "b", "prefix": " "})
    mount(("s3", "region"), S3, s3={"bucket": "b", "region": 1})
    mount(("s3", "path_style"), S3, s3={"bucket": "b", "path_style": 0})
    mount(("gcs", "bucket"), GCS, gcs={"bucket": ""})
    for url in ("http://h/p", "https://h", "https://h/", "https://u@h/p",
                "https://u:p@h/p", "https://h/p?q", "https://h/p#f",
                " https://h/p", "https://h/p ", "https:///p", "git@h:p",
                "HTTPS://h/p", 5):
        mount(("git", "remote_url"), GIT, git={"remote_url": url})
    mount(("git", "ref", "type"), GIT,
          git={**GIT["git"], "ref": {"type": "commit", "name": "x"}})
    mount(("git", "ref", "name"), GIT,
          git={**GIT["git"], "ref": {"type": "tag", "name": " "}})
    mount(("git", "refresh_interval_seconds"), GIT,
          git={**GIT["git"], "refresh_interval_seconds": 0})
    for repo in ("notes", "/notes", "a/", "a/b/c", "a /b"):
        mount(("contexthub", "repo"), HUB, contexthub={"repo": repo})
    mount((), S3, s3={"bucket": "b", "access_key_id": "A"})
    mount((), GIT, git={**GIT["git"], "x": [{"credentials": 1}]})
    for place, config in (
            (("mounts",), {"mounts": []}), (("mounts",), {"mounts": {}}),
            (("mounts", 0), {"mounts": [1]}),
            (("mounts", 1, "id"), {"mounts": [HUB, {**HUB, "mount_path":
                                                    "/b"}]}),
            (("mounts", 1, "mount_path"), {"mounts": [HUB, {**HUB,
                                                            "id": "b"}]}),
            (("mounts", 1, "read_only"),
             {"auth": {"gcp": GCP},
              "mounts": [GCS, {**GCS, "id": "b", "read_only": True,
                               "mount_path": "/mnt/mounts/b"}]}),
            (("auth",), {"mounts": [S3]}), (("auth",), {"mounts": [GCS]}),
            (("auth",), {"auth": auth, "mounts": [S3]}),
            (("auth",), {"auth": auth, "mounts": [GCS]}),
            (("auth", "aws"), {"auth": {"aws": 1}, "mounts": [S3]}),
            (("auth", "aws", "role_arn"), {"auth": {"aws": {**AWS, **ROLE}},
                                           "mounts": [S3]}),
            (("auth", "aws", "secret_access_key"),
             {"auth": {"aws": {**AWS, "secret_access_key":
                               {"type": "plaintext", "value": "x"}}},
              "mounts": [S3]}),
            (("auth", "gcp", "service_account_json"),
             {"auth": {"gcp": {"service_account_json":
                               {"type": "opaque", "value": " "}}},
              "mounts": [GCS]})):
        problem(s.call("POST", "boxes", {"mount_config": config}),
                "mount_config", *place)
    problem(s.call("POST", "boxes", {"mount_config": {}}), "mount_config",
            "mounts", missing=True)
    deep = {"a": 1}
    for _ in range(40):
        deep = {"a": deep}
    problem(s.call("POST", "boxes", {"mount_config": {
        "mounts": [{**HUB, "x": deep}]}}), "mount_config")


PROXY = {"rules": [
    {"name": "api", "type": "headers", "enabled": True,
     "match_hosts": ["api.example.com", "*.example.org"],
     "match_paths": ["/v1"],
     "headers": [{"name": "Authorization", "type": "workspace_secret",
                  "value": "Bearer {API_KEY}"},
                 {"name": "X-Key", "type": "opaque", "value": "s3cr3t"},
                 {"name": "X-Env", "type": "plaintext", "value": "test"}],
     "env_vars": {"API_KEY": "placeholder", "E": "rule"}},
    {"name": "gcp", "type": "gcp", "enabled": True,
     "gcp": {**GCP, "scopes": ["https://x"]}}],
    "no_proxy": ["localhost"],
    "access_control": {"allow_list": ["github.com", "10.0.0.0/8",
                                      "~^cdn[0-9]+$", "db:5432"]},
    "callbacks": [{"match_hosts": ["a"], "url": "https://cb",
                   "ttl_seconds": 60, "full_request": True,
                   "request_headers": [{"name": "A", "type": "opaque",
                                        "value": "s3cr3t"}]}]}


@test
def a_proxy_is_kept_and_told_without_secrets(s):
    reply = s.call("POST", "boxes", {"name": "proxy", "proxy_config": PROXY})
    equal(reply.status, 201)
    assert b"s3cr3t" not in reply.bytes
    equal(reply.json["proxy_config"], redacted(PROXY))


@test
def a_rules_variables_lie_between_run_config_and_env_vars(s):
    box = s.box(proxy_config=PROXY, run_config={"env_vars": {"E": "run"}})
    equal(s.out(box, "echo $E $API_KEY"), "rule placeholder\n")
    box = s.box(proxy_config=PROXY, env_vars={"E": "box"})
    equal(s.out(box, "echo $E"), "box\n")
    equal(s.out(box, "echo $E", env={"E": "own"}), "own\n")
    off = {"rules": [{**PROXY["rules"][0], "enabled": False}]}
    s.call("PATCH", f"boxes/{box['id']}", {"proxy_config": off})
    equal(s.out(box, "echo $E $API_KEY"), "box\n")


@test
def an_update_replaces_the_proxy_but_keeps_secrets_that_come_without_value(s):
    box = s.box(name="keeps", proxy_config=PROXY)
    back = s.get("boxes/keeps")["proxy_config"]
    back["rules"][0]["headers"][2]["value"] = "changed"
    reply = s.call("PATCH", "boxes/keeps", {"proxy_config": back})
    equal(reply.status, 200)
    equal(reply.json["proxy_config"], back)
    back["rules"][0]["headers"].append({"name": "new", "type": "opaque"})
    problem(s.call("PATCH", "boxes/keeps", {"proxy_config": back}),
            "proxy_config", "rules", 0, "headers", 3)
    equal(s.call("PATCH", "boxes/keeps",
                 {"proxy_config": {"rules": []}}).json["proxy_config"],
          {"rules": []})
    back["rules"][0]["headers"].pop()
    problem(s.call("PATCH", "boxes/keeps", {"proxy_config": back}),
            "proxy_config", "rules", 0, "headers", 1)
    s.post("boxes/keeps/stop", {}, 204)
    equal(s.call("PATCH", "boxes/keeps",
                 {"proxy_config": PROXY}).json["proxy_config"],
          redacted(PROXY))
    assert box


@test
def a_role_is_given_at_creation_only(s):
    def rule(name, **aws):
        return {"name": name, "type": "aws", "enabled": True, "aws": aws}
    box = s.box(proxy_config={"rules": [rule("a", **ROLE)]})
    path = f"boxes/{box['id']}"
    for rules, status in (([rule("a", **ROLE)], 200),
                          ([rule("a", role_arn="arn:other")], 400),
                          ([rule("b", **ROLE)], 400),
                          ([rule("a", role_arn="", **AWS)], 200),
                          ([rule("a", **ROLE)], 400), ([], 200)):
        reply = s.call("PATCH", path, {"proxy_config": {"rules": rules}})
        assert reply.status == status, (rules, reply)


@test
def what_is_wrong_with_a_proxy_is_named(s):
    rule = PROXY["rules"][0]
    header = {"name": "A", "type": "plaintext", "value": "v"}
    callback = PROXY["callbacks"][0]

    def proxy(place, config, missing=False):
        problem(s.call("POST", "boxes", {"proxy_config": config}),
                "proxy_config", *place, missing=missing)

    def rules(place, missing=False, **changes):
        proxy(("rules", 0, *place), {"rules": [{**rule, **changes}]}, missing)

    rules(("name",), True, name=None)
    rules(("name",), name=" ")
    rules(("type",), type="azure")
    rules(("enabled",), enabled="true")
    rules(("match_hosts",), match_hosts=[" "])
    rules(("match_hosts",), match_hosts="a")
    rules(("match_paths",), match_paths=[1])
    rules(("headers",), headers={})
    rules(("headers", 0, "name"), True, headers=[{**header, "name": None}])
    rules(("headers", 0), headers=[{**header, "type": "secret"}])
    rules(("headers", 0), headers=[{**header, "value": ""}])
    rules(("headers", 0), headers=[{"name": "A", "type": "workspace_secret",
                                    "value": "NAME"}])
    rules(("headers", 0), headers=[{"name": "A", "type": "workspace_secret",
                                    "value": "{ }"}])
    rules(("env_vars",), env_vars={})
    rules(("env_vars",), env_vars={"A": " "})
    rules(("env_vars",), env_vars={" A": "1"})
    rules(("headers",), type="aws", aws=AWS)
    proxy(("rules", 0, "match_hosts"),
          {"rules": [{"name": "a", "type": "gcp", "match_hosts": ["a"]}]})
    proxy(("rules", 0, "aws"), {"rules": [{"name": "a", "type": "aws"}]},
          True)
    proxy(("rules", 0, "gcp", "scopes"),
          {"rules": [{"name": "a", "type": "gcp", "gcp": GCP}]}, True)
    proxy(("rules", 0, "gcp", "scopes"),
          {"rules": [{"name": "a", "type": "gcp",
                      "gcp": {**GCP, "scopes": []}}]})
    proxy(("rules", 0), {"rules": ["a"]})
    proxy(("no_proxy",), {"no_proxy": [""]})
    proxy(("access_control",), {"access_control": {"allow_list": ["a"],
                                                   "deny_list": ["b"]}})
    proxy(("access_control", "deny_list"),
          {"access_control": {"deny_list": [1]}})
    proxy(("callbacks", 0, "match_hosts"),
          {"callbacks": [{**callback, "match_hosts": []}]})
    proxy(("callbacks", 0, "url"), {"callbacks": [{**callback, "url": None}]},
          True)
    proxy(("callbacks", 0, "ttl_seconds"),
          {"callbacks": [{**callback, "ttl_seconds": 59}]})
    proxy(("callbacks", 0, "ttl_seconds"),
          {"callbacks": [{**callback, "ttl_seconds": None}]}, True)


@test
def mounts_and_proxy_do_not_share_a_provider(s):
    body = {"mount_config": {"auth": {"aws": AWS}, "mounts": [S3]},
            "proxy_config": {"rules": [{"name": "a", "type": "aws",
                                        "enabled": False, "aws": AWS}]}}
    problem(s.call("POST", "boxes", body), "mount_config", "auth")
    box = s.box(mount_config=body["mount_config"])
    problem(s.call("PATCH", f"boxes/{box['id']}",
                   {"proxy_config": body["proxy_config"]}),
            "mount_config", "auth")


# ------------------------------------------------- templates, volumes, pools

@test
def a_template_lives_and_dies(s):
    made = s.post("templates", {"name": "t-1", "image": "python:3.12-slim"})
    equal(made["resources"], {"cpu": "500m", "memory": "512Mi"})
    equal(made["volume_mounts"], [])
    assert made["id"] and made["created_at"] and made["updated_at"]
    refused(s.call("POST", "templates", {"name": "t-1", "image": "i"}), 409)
    equal(s.get("templates/t-1"), made)
    assert made in s.get("templates")["templates"]
    equal(s.call("PATCH", "templates/t-1", {"name": "t-2"}).json["name"],
          "t-2")
    refused(s.call("GET", "templates/t-1"), 404, "NotFound")
    s.post("templates", {"name": "t-1", "image": "i"})
    refused(s.call("PATCH", "templates/t-1", {"name": "t-2"}), 409)
    box = s.box(name="of-t", template_name="t-2", ttl_seconds=3600)
    equal((box["template_name"], box["cpu_millicores"], box["mem_bytes"]),
          ("t-2", 500, 512 * 2 ** 20))
    s.post("pools", {"name": "pool-t", "template_name": "t-2", "replicas": 1})
    s.call("PATCH", "templates/t-2", {"name": "t-3"})
    equal(s.get("boxes/of-t")["template_name"], "t-3")
    equal(s.get("pools/pool-t")["template_name"], "t-3")
    refused(s.call("DELETE", "templates/t-3"), 409, "Conflict",
            "in use by sandboxes: of-t; pools: pool-t.")
    s.call("DELETE", "boxes/of-t")
    s.call("DELETE", "pools/pool-t")
    equal(s.call("DELETE", "templates/t-3").status, 204)
    refused(s.call("DELETE", "templates/t-3"), 404, "NotFound")


@test
def what_is_wrong_with_a_template_is_named(s):
    good = {"name": "n", "image": "i"}
    for member in good:
        problem(s.call("POST", "templates", {**good, member: None}), member,
                missing=True)
    for member, value in (("cpu", "x"), ("cpu", "0"), ("cpu", "1Gi"),
                          ("memory", "0Mi"), ("memory", "1Xi"),
                          ("memory", "99999999999999999999Gi"),
                          ("memory", "9999999999Ti"), ("storage", "1."),
                          ("storage", 5)):
        problem(s.call("POST", "templates", {**good, "resources":
                                             {member: value}}),
                "resources", member)
    for place, mount in (("volume_name", {"mount_path": "/a"}),
                         ("mount_path", {"volume_name": "v"})):
        problem(s.call("POST", "templates", {**good,
                                             "volume_mounts": [mount]}),
                "volume_mounts", 0, place, missing=True)
    for path in ("a", "/", "/a/../b", "//a", "/a/"):
        problem(s.call("POST", "templates", {**good, "volume_mounts": [
            {"volume_name": "v", "mount_path": path}]}),
            "volume_mounts", 0, "mount_path")
    refused(s.call("POST", "templates", {**good, "volume_mounts": [
        {"volume_name": "none", "mount_path": "/a"}]}), 400)


@test
def a_volume_is_seen_by_every_box_of_its_template(s):
    made = s.post("volumes", {"name": "v", "size": "10Gi",
                              "wait_for_ready": True, "timeout": 60})
    equal((made["size"], made["storage_class"]), ("10Gi", "gp3"))
    s.post("templates", {"name": "tv", "image": "i", "volume_mounts": [
        {"volume_name": "v", "mount_path": "/data/deep"}]})
    one = s.box(name="one-v", template_name="tv")
    two = s.box(template_name="tv")
    if s.view and ROOT:
        s.out(one, "echo shared >/data/deep/f")
        equal(s.out(two, "cat /data/deep/f"), "shared\n")
        equal(s.call("GET", f"/dp/{two['id']}/download?path=/data/deep/f")
              .bytes, b"shared\n")
        taken = s.snapshot(path="boxes/one-v/snapshot", name="no-volume")
        copy = s.box(snapshot_id=taken["id"])
        equal(s.out(copy, "ls -a /data/deep | wc -l"), "2\n")
    refused(s.call("DELETE", "volumes/v"), 409, "Conflict",
            "in use by templates: tv")
    for box in (one, two):
        equal(s.call("DELETE", f"boxes/{box['id']}").status, 204)
    if s.view and ROOT:
        three = s.box(template_name="tv")
        equal(s.out(three, "cat /data/deep/f"), "shared\n")
        equal(s.call("DELETE", f"boxes/{three['id']}").status, 204)
    s.call("PATCH", "volumes/v", {"name": "w"})
    equal(s.get("templates/tv")["volume_mounts"],
          [{"volume_name": "w", "mount_path": "/data/deep"}])
    equal(s.call("DELETE", "templates/tv").status, 204)
    equal(s.call("DELETE", "volumes/w").status, 204)
    refused(s.call("GET", "volumes/w"), 404, "NotFound")


@test
def a_volume_outlives_a_box_that_has_moved_it_about(s):
    if not (s.view and ROOT):
        return
    s.post("volumes", {"name": "moved", "size": "1Gi"})
    s.post("templates", {"name": "tm", "image": "i", "volume_mounts": [
        {"volume_name": "moved", "mount_path": "/data/deep"}]})
    box = s.box(template_name="tm")
    s.out(box, "echo kept >/data/deep/f; mv /data '/srv/a b'; "
               "mkdir /data; ln -s /etc /data/deep")
    equal(s.call("DELETE", f"boxes/{box['id']}").status, 204)
    box = s.box(template_name="tm")
    equal(s.out(box, "cat /data/deep/f"), "kept\n")
    equal(s.call("DELETE", f"boxes/{box['id']}").status, 204)


@test
def a_box_with_odd_links_in_its_root_harms_nobody(s):
    if not (s.view and ROOT):
        return
    box = s.box(name="odd")
    outside = os.path.join(s.tmp.name, "lib", "langsmith-build")
    os.makedirs(outside)
    s.out(box, f"mv /var /v; ln -s {s.tmp.name} /var; rm -rf /home; "
               "ln -s /etc /home; rm /bin; mkdir /bin; echo 1 >/bin/x; "
               "mkfifo /srv/fifo; mkdir -m 0 /srv/closed")
    taken = s.snapshot(path="boxes/odd/snapshot", name="odd")
    assert os.path.isdir(outside)
    reply = s.call("POST", "boxes", {"snapshot_id": taken["id"]})
    refused(reply, 422, "SandboxConfig", "files cannot be copied")
    assert os.path.isdir(outside)
    equal(s.call("DELETE", "boxes/odd").status, 204)
    assert os.path.isdir(outside)


@test
def what_is_under_way_may_be_deleted(s):
    box = s.box(name="big")
    s.out(box, "mkdir d; cd d; seq 3000 | xargs touch")
    for _ in range(5):
        made = s.post("boxes/big/snapshot", {"name": "race"})
        equal(s.call("DELETE", f"snapshots/{made['id']}").status, 204)
    taken = s.snapshot(path="boxes/big/snapshot", name="race")
    for _ in range(5):
        copy = s.box(snapshot_id=taken["id"], wait_for_ready=False)
        equal(copy["status"], "provisioning")
        equal(s.call("DELETE", f"boxes/{copy['id']}").status, 204)
    copy = s.box(snapshot_id=taken["id"], wait_for_ready=False)
    s.post(f"boxes/{copy['id']}/stop", {}, 204)
    s.post(f"boxes/{copy['id']}/start", {}, 202)
    eventually(lambda: s.get(f"boxes/{copy['id']}")["status"] == "ready")
    equal(s.out(copy, "ls d | wc -l"), "3000\n")
    made = s.post("boxes/big/snapshot", {"name": "race2"})
    equal(s.call("DELETE", "boxes/big").status, 204)
    eventually(lambda: s.settled(made["id"]))


@test
def a_volume_grows_and_does_not_shrink(s):
    s.post("volumes", {"name": "grow", "size": "10Gi"})
    equal(s.call("PATCH", "volumes/grow", {"size": "20Gi"}).json["size"],
          "20Gi")
    refused(s.call("PATCH", "volumes/grow", {"size": "5Gi"}), 400,
            "ResizeError", "Storage cannot be decreased. Current: 20.00Gi, "
            "Requested: 5.00Gi")
    problem(s.call("PATCH", "volumes/grow", {"size": "much"}), "size")
    problem(s.call("POST", "volumes", {"name": "x"}), "size", missing=True)
    problem(s.call("POST", "volumes", {"name": "x", "size": "1Gi",
                                       "timeout": 4}), "timeout")
    refused(s.call("POST", "volumes", {"name": "grow", "size": "1Gi"}), 409)
    refused(s.call("PATCH", "volumes/none", {}), 404)
    assert s.get("volumes")["volumes"]


@test
def volumes_and_pools_that_take_too_long_are_504(s):
    slow = Server("--provision-ms", "3600000", "--second-ms", "1",
                  "--max-volumes", "1")
    refused(slow.call("POST", "volumes", {"name": "v", "size": "1Gi",
                                          "timeout": 5}), 504, "Timeout")
    refused(slow.call("POST", "volumes", {"name": "w", "size": "1Gi"}), 429,
            "QuotaExceeded", "volume(s)")
    slow.post("templates", {"name": "t", "image": "i"})
    refused(slow.call("POST", "pools", {"name": "p", "template_name": "t",
                                        "replicas": 5, "timeout": 10}), 504,
            "Timeout", "Pool 'p' did not reach 1 ready replica(s)")
    equal(slow.post("pools", {"name": "q", "template_name": "t",
                              "replicas": 5, "wait_for_ready": False})
          ["replicas"], 5)
    box = slow.box(template_name="t")
    equal(box["status"], "ready")           # a pool has it waiting
    slow.stop()


@test
def a_pool_lives_and_dies(s):
    s.post("templates", {"name": "tp", "image": "i"})
    s.post("volumes", {"name": "vp", "size": "1Gi"})
    s.post("templates", {"name": "tpv", "image": "i", "volume_mounts": [
        {"volume_name": "vp", "mount_path": "/data"}]})
    good = {"name": "p-1", "template_name": "tp", "replicas": 2,
            "wait_for_ready": True, "timeout": 30}
    for member in ("name", "template_name", "replicas"):
        problem(s.call("POST", "pools", {**good, member: None}), member,
                missing=True)
    for member, value in (("name", "A"), ("name", "a" * 64),
                          ("replicas", 0), ("replicas", 101),
                          ("timeout", 9), ("timeout", 601)):
        problem(s.call("POST", "pools", {**good, member: value}), member)
    made = s.post("pools", good)
    equal((made["template_name"], made["replicas"]), ("tp", 2))
    assert made["id"] and made["created_at"] and made["updated_at"]
    refused(s.call("POST", "pools", good), 409)
    refused(s.call("POST", "pools", {**good, "name": "x",
                                     "template_name": "none"}), 400,
            "TemplateNotFound")
    refused(s.call("POST", "pools", {**good, "name": "x",
                                     "template_name": "tpv"}), 400,
            "ValidationError")
    refused(s.call("POST", "pools", {**good, "name": "x", "replicas": 100}),
            429, "QuotaExceeded", "sandbox(es)")
    equal(s.call("PATCH", "pools/p-1", {"replicas": 0}).json["replicas"], 0)
    equal(s.call("PATCH", "pools/p-1", {"name": "p-2"}).json["name"], "p-2")
    assert s.get("pools/p-2") in s.get("pools")["pools"]
    equal(s.call("DELETE", "pools/p-2").status, 204)
    refused(s.call("GET", "pools/p-2"), 404, "NotFound")
    refused(s.call("PATCH", "pools/p-2", {}), 404, "NotFound")
    equal(s.call("PUT", "pools").headers["Allow"], "GET, HEAD, POST")
    equal(s.call("PUT", "pools/x").headers["Allow"],
          "GET, HEAD, PATCH, DELETE")


@test
def a_lifetime_ends_a_box(s):
    brief = Server("--second-ms", "2")
    brief.box(name="b", ttl_seconds=60)
    eventually(lambda: brief.call("GET", "boxes/b").status == 404)
    brief.stop()


# ------------------------------------------------------------------- searches

@test
def glob_finds_by_name_in_lexical_order(s):
    box = s.box()
    tree = ["a/b/c.py", "a/b.py", "a-b/x.py", "a.py", ".hid.py", "z/é.txt",
            "z/sp ace.txt", "z/new\nline"]
    home = "/srv/t"
    for path in tree:
        s.out(box, 'mkdir -p "$(dirname "$P")"; printf 12345 >"$P"',
              env={"P": f"{home}/{path}"}) if s.view else None
    if not s.view:
        return
    s.out(box, f"ln -s /srv {home}/link; ln -s a.py {home}/l.py")

    def glob(pattern, **members):
        reply = s.post(f"/dp/{box['id']}/glob",
                       {"pattern": pattern, "path": home, **members}, 200)
        return [m["path"][len(home) + 1:] for m in reply["matches"]], \
            reply["truncated"]
    for pattern, wanted in (
            ("*", [".hid.py", "a", "a-b", "a.py", "l.py", "link", "z"]),
            ("*.py", [".hid.py", "a.py", "l.py"]),
            ("**/*.py", [".hid.py", "a-b/x.py", "a.py", "a/b.py",
                         "a/b/c.py", "l.py"]),
            ("**", [".hid.py", "a", "a-b", "a-b/x.py", "a.py", "a/b",
                    "a/b.py", "a/b/c.py", "l.py", "link", "z",
                    "z/new\nline", "z/sp ace.txt", "z/é.txt"]),
            ("a/**", ["a/b", "a/b.py", "a/b/c.py"]),
            ("a/**/c.py", ["a/b/c.py"]), ("**/b/**", ["a/b/c.py"]),
            ("a/*/*", ["a/b/c.py"]), ("?.py", ["a.py", "l.py"]),
            ("z/?.txt", ["z/é.txt"]), ("z/[é].txt", ["z/é.txt"]),
            ("[!a-k].py", ["l.py"]), ("[a-c]*", ["a", "a-b", "a.py"]),
            ("a.p[y]", ["a.py"]), ("a\\.py", ["a.py"]), ("[", []),
            ("*/*/*/*", []), ("A.py", []), ("/a.py", []), ("a/", [])):
        equal((pattern, *glob(pattern)), (pattern, wanted, False))
    equal(glob("**", limit=2), ([".hid.py", "a"], True))
    equal(glob("z/*", limit=3)[1], False)
    one = s.post(f"/dp/{box['id']}/glob", {"pattern": "a*", "path": home},
                 200)["matches"]
    equal([(m["is_dir"], m["path"]) for m in one],
          [(True, f"{home}/a"), (True, f"{home}/a-b"),
           (False, f"{home}/a.py")])
    equal(one[2]["size_bytes"], 5)
    assert one[2]["modified_at"].endswith("Z")
    star = "*a" * 30
    s.out(box, f"touch {home}/{'a' * 200}b")
    equal(glob(star + "c"), ([], False))


@test
def glob_sees_the_hosts_directories_as_commands_do(s):
    if not s.view:
        return
    box = s.box()
    found = s.post(f"/dp/{box['id']}/glob",
                   {"pattern": "bin/s[h]", "path": "/usr"}, 200)["matches"]
    equal([m["path"] for m in found], ["/usr/bin/sh"])
    found = s.post(f"/dp/{box['id']}/glob",
                   {"pattern": "usr/bin/s[h]", "path": "/"}, 200)["matches"]
    equal([m["path"] for m in found], ["/usr/bin/sh"])


@test
def grep_finds_lines_literally(s):
    box = s.box()
    if not s.view:
        return
    s.out(box, r"""mkdir -p /srv/g/sub; cd /srv/g
printf 'one\ntwo TODO: x.\nthree\nTODO TODO\n' >a.py
printf 'TODO at the end' >sub/b.py; printf 'TODO\n' >sub/c.txt
printf 'TODO\0binary' >bin; printf '\377TODO\376\n' >odd.py
ln -s a.py link.py; : >empty""")

    def grep(pattern, **members):
        reply = s.post(f"/dp/{box['id']}/grep",
                       {"pattern": pattern, "path": "/srv/g", **members}, 200)
        return [(m["path"][7:], m["line"], m["text"])
                for m in reply["matches"]], reply["truncated"]
    every = [("a.py", 2, "two TODO: x."), ("a.py", 4, "TODO TODO"),
             ("odd.py", 1, "\ufffdTODO\ufffd"),
             ("sub/b.py", 1, "TODO at the end"), ("sub/c.txt", 1, "TODO")]
    equal(grep("TODO"), (every, False))
    equal(grep("TODO", glob="*.txt")[0], every[4:])
    equal(grep("TODO", glob="sub/*")[0], every[3:])
    equal(grep("TODO", glob="**/*.py")[0], every[:4])
    equal(grep("TODO", limit=2), (every[:2], True))
    equal(grep("TODO", limit=5)[1], False)
    equal(grep("x.")[0], every[:1])
    equal(grep(".*")[0], [])
    equal(grep("x.\nthree")[0], [])
    equal(grep("todo")[0], [])


@test
def what_is_wrong_with_a_search_is_named(s):
    box = s.box()
    for kind in ("glob", "grep"):
        path = f"/dp/{box['id']}/{kind}"
        good = {"pattern": "x", "path": "/tmp"}
        for member in good:
            problem(s.call("POST", path, {**good, member: None}), member,
                    missing=True)
        for member, value in (("pattern", 1), ("path", "tmp"), ("limit", 0),
                              ("limit", "5")):
            problem(s.call("POST", path, {**good, member: value}), member)
        for where in ("/none", "/tmp/../none/x"):
            refused(s.call("POST", path, {**good, "path": where}), 404,
                    "FileNotFound", "no such directory")
        equal(s.call("GET", path).headers["Allow"], "POST")
    s.call("POST", f"{BASE}/{box['name']}/glob", good)
    equal(s.call("POST", f"/api{BASE}/{box['name']}/glob", good).status, 200)


@test
def a_long_search_lets_others_through(s):
    if not s.view:
        return
    box = s.box()
    s.out(box, "mkdir /srv/many; cd /srv/many; seq 6000 | xargs touch")
    done = []

    def search():
        done.append(s.post(f"/dp/{box['id']}/glob",
                           {"pattern": "**/3*", "path": "/srv"}, 200))
    thread = threading.Thread(target=search)
    thread.start()
    while thread.is_alive():
        begun = time.monotonic()
        s.get("usage")
        assert time.monotonic() - begun < 2
    thread.join()
    equal((len(done[0]["matches"]), done[0]["truncated"]), (1000, True))


# ---------------------------------------------------------------------- links

class Service(threading.Thread):
    """A service on a port of this machine, one connection after another: what
    it is asked is kept, what it answers is told by a function."""

    def __init__(self, answer, family=socket.AF_INET):
        super().__init__(daemon=True)
        self.answer = answer
        self.seen = []
        self.listener = socket.socket(family)
        self.listener.bind(("127.0.0.1" if family == socket.AF_INET
                            else "::1", 0))
        self.listener.listen(8)
        self.port = self.listener.getsockname()[1]
        self.start()

    def run(self):
        while True:
            try:
                peer, _ = self.listener.accept()
            except OSError:
                return
            peer.settimeout(PATIENCE)
            with peer:
                head = b""
                while b"\r\n\r\n" not in head:
                    piece = peer.recv(65536)
                    if not piece:
                        break
                    head += piece
                head, _, rest = head.partition(b"\r\n\r\n")
                self.seen.append(head.decode("latin-1"))
                try:
                    self.answer(peer, head, rest)
                except OSError:
                    pass

    def close(self):
        if self.listener.fileno() >= 0:
            self.listener.shutdown(socket.SHUT_RDWR)
        self.listener.close()


def says(text):
    return lambda peer, head, rest: peer.sendall(text)


def share(s, box, port, **members):
    """A service URL in token mode: its path here, and the token."""
    reply = s.post(f"boxes/{box['id']}/service-url",
                   {"port": port, **members}, 200)
    url = urllib.parse.urlsplit(reply["service_url"])
    return url.path, reply["token"], reply


@test
def a_service_url_has_four_members_and_a_token_that_is_a_jwt(s):
    box = s.box(name="svc")
    before = int(time.time())
    path, token, reply = share(s, box, 3000, expires_in_seconds=60)
    equal(set(reply), {"browser_url", "service_url", "token", "expires_at"})
    equal(reply["service_url"], f"{s.endpoint}/svc/{box['id']}--3000/")
    equal(reply["browser_url"],
          f"{reply['service_url']}_svc/auth?token={token}")
    header, claims, signature = token.split(".")
    pad = lambda text: base64.urlsafe_b64decode(text + "=" * (-len(text) % 4))
    equal(json.loads(pad(header)), {"alg": "HS256", "typ": "JWT"})
    claims = json.loads(pad(claims))
    equal((claims["sub"], claims["port"]), (box["id"], 3000))
    assert before + 60 <= claims["exp"] <= time.time() + 61
    equal(len(pad(signature)), 32)
    equal(time.strftime("%Y-%m-%dT%H:%M:%S.000000Z",
                        time.gmtime(claims["exp"])), reply["expires_at"])


@test
def what_is_wrong_with_a_service_url_is_named(s):
    s.box(name="svc-wrong")
    path = "boxes/svc-wrong/service-url"
    problem(s.call("POST", path, {}), "port", missing=True)
    for member, value in (("port", 0), ("port", 65536), ("port", "80"),
                          ("expires_in_seconds", 0),
                          ("expires_in_seconds", 86401), ("access", "all"),
                          ("access", 5)):
        problem(s.call("POST", path, {"port": 80, member: value}), member)
    problem(s.call("POST", path, {"port": 80, "access": "workspace",
                                  "expires_in_seconds": 60}),
            "expires_in_seconds")
    refused(s.call("POST", "boxes/none/service-url", {"port": 80}), 404)
    refused(s.call("GET", "boxes/none/service-urls"), 404)
    equal(s.call("GET", path).headers["Allow"], "POST")
    refused(s.call("DELETE", path + "s?port=0"), 400, "InvalidRequest")


@test
def a_request_reaches_the_service_and_its_reply_comes_back(s):
    box = s.box()
    service = Service(says(b"HTTP/1.1 201 Made\r\nContent-Length: 5\r\n"
                           b"X-A: 1\r\nSet-Cookie: a=1\r\nSet-Cookie: b=2\r\n"
                           b"Keep-Alive: x\r\n\r\nhello"))
    path, token, _ = share(s, box, service.port)
    reply = s.raw("POST", path + "a%2Fb/c?x=%20&y", b"body", {
        "X-LANGSMITH-sandbox-service-token": token, "X-Mine": "2",
        "Cookie": "z=1; sandboxd_service=t; y=2", "Connection": "x-hop"})
    equal((reply.status, reply.bytes), (201, b"hello"))
    equal(reply.headers["X-A"], "1")
    equal(reply.headers.get_all("Set-Cookie"), ["a=1", "b=2"])
    assert reply.headers["Keep-Alive"] is None
    head = service.seen[0].split("\r\n")
    equal(head[0], "POST /a%2Fb/c?x=%20&y HTTP/1.1")
    assert "X-Mine: 2" in head and "Content-Length: 4" in head, head
    assert "Cookie: z=1; y=2" in head, head
    assert "X-Forwarded-Proto: http" in head, head
    assert not any("token" in line.lower() for line in head), head
    service.close()


@test
def a_service_is_closed_to_who_has_no_token_for_it(s):
    box, other = s.box(), s.box()
    service = Service(says(b"HTTP/1.1 204 No\r\n\r\n"))
    path, token, _ = share(s, box, service.port)
    _, port_token, _ = share(s, box, 1)
    _, box_token, _ = share(s, other, service.port)
    download = s.post(f"boxes/{box['id']}/download-url", {"path": "/f"}, 200)
    name = "X-Langsmith-Sandbox-Service-Token"
    flipped = token[:-2] + ("A" if token[-2] != "A" else "B") + token[-1]
    parts = token.split(".")
    none = base64.urlsafe_b64encode(b'{"alg":"none"}').decode().rstrip("=")
    for bad in ("", "x", "a.b.c", port_token, box_token, flipped,
                download["token"], ".".join(parts[:2]) + ".",
                f"{none}.{parts[1]}.", token + "x"):
        refused(s.raw("GET", path, headers={name: bad}), 401)
    refused(s.raw("GET", path, headers={"X-Api-Key": "key"}), 401)
    refused(s.raw("GET", path), 401)
    equal(service.seen, [])
    equal(s.raw("GET", path, headers={name: token}).status, 204)
    equal(s.raw("GET", path[:-1], headers={name: token}).status, 204)
    for wrong in ("/svc/x--1/", f"/svc/{box['id']}--0/",
                  f"/svc/{box['id']}--70000/", f"/svc/{box['id']}-1/"):
        equal(s.raw("GET", wrong, headers={name: token}).status, 401)
    service.close()


@test
def a_browser_gets_a_cookie_for_its_token(s):
    box = s.box()
    service = Service(says(b"HTTP/1.1 200 OK\r\nContent-Length: 0\r\n\r\n"))
    path, token, reply = share(s, box, service.port)
    url = urllib.parse.urlsplit(reply["browser_url"])
    login = s.raw("GET", f"{url.path}?{url.query}")
    equal((login.status, login.headers["Location"]), (302, path))
    cookie = login.headers["Set-Cookie"].split("; ")
    assert f"Path={path}" in cookie and "HttpOnly" in cookie, cookie
    equal(s.raw("GET", path, headers={"Cookie": "a=b; " + cookie[0]}).status,
          200)
    refused(s.raw("GET", f"{url.path}?token=x"), 401)
    refused(s.raw("GET", url.path), 401)
    service.close()


@test
def a_token_ends(s):
    box = s.box()
    service = Service(says(b"HTTP/1.1 204 No\r\n\r\n"))
    path, token, _ = share(s, box, service.port, expires_in_seconds=1)
    head = {"X-Langsmith-Sandbox-Service-Token": token}
    eventually(lambda: s.raw("GET", path, headers=head).status == 401)
    equal(s.get(f"boxes/{box['id']}/service-urls")["items"], [])
    link = s.post(f"boxes/{box['id']}/download-url",
                  {"path": "/f", "expires_in_seconds": 1}, 200)
    assert link["expires_at"]
    where = urllib.parse.urlsplit(link["download_url"]).path
    eventually(lambda: s.raw("GET", where).status == 403)
    service.close()


@test
def a_service_that_is_not_there_or_breaks_is_502(s):
    box = s.box()
    gone = Service(says(b""))
    gone.close()
    for service, words in ((gone, "nothing listens"),
                           (Service(says(b"")), "did not answer"),
                           (Service(says(b"rubbish\r\n\r\n")),
                            "did not answer")):
        path, token, _ = share(s, box, service.port)
        refused(s.raw("GET", path, headers={
            "X-Langsmith-Sandbox-Service-Token": token}), 502,
            "ConnectionError", words)
        service.close()
    cut = Service(says(b"HTTP/1.1 200 OK\r\nContent-Length: 9\r\n\r\nabc"))
    path, token, _ = share(s, box, cut.port)
    try:
        s.raw("GET", path, headers={
            "X-Langsmith-Sandbox-Service-Token": token})
        raise AssertionError("a reply that was cut came whole")
    except (http.client.IncompleteRead, ConnectionError):
        pass
    cut.close()


@test
def bodies_of_every_framing_pass(s):
    box = s.box()
    big = os.urandom(3_000_000)

    def echo(peer, head, rest):
        """The body back, in the framing that the path asks for."""
        text = head.decode()
        if "Transfer-Encoding: chunked" in text:
            file = peer.makefile("rb")
            data = rest + file.read1() if not rest else rest
            while not data.endswith(b"0\r\n\r\n"):
                data += file.read1()
            body = b""
            while data:
                size, _, data = data.partition(b"\r\n")
                body += data[:int(size, 16)]
                data = data[int(size, 16) + 2:]
        else:
            length = int(text.split("Content-Length: ")[1].split("\r\n")[0])
            body = rest
            while len(body) < length:
                body += peer.recv(65536)
        if "/close" in text:
            peer.sendall(b"HTTP/1.0 200 OK\r\n\r\n" + body)
        elif "/chunked" in text:
            peer.sendall(b"HTTP/1.1 200 OK\r\nTransfer-Encoding: chunked\r\n"
                         b"\r\n%x\r\n" % len(body) + body + b"\r\n0\r\n\r\n")
        else:
            peer.sendall(b"HTTP/1.1 200 OK\r\nContent-Length: %d\r\n\r\n"
                         % len(body) + body)
    service = Service(echo)
    path, token, _ = share(s, box, service.port)
    head = {"X-Langsmith-Sandbox-Service-Token": token}
    for how in ("close", "chunked", "length"):
        equal(s.raw("POST", path + how, big, head).bytes == big, True)
        pieces = iter([big[:5], big[5:70000], big[70000:]])
        connection = http.client.HTTPConnection("127.0.0.1", s.port,
                                                timeout=PATIENCE)
        connection.request("POST", path + how, pieces, head,
                           encode_chunked=True)
        equal(connection.getresponse().read() == big, True)
        connection.close()
    service.close()
    quiet = Service(says(b"HTTP/1.1 200 OK\r\nContent-Length: 7\r\n\r\n"))
    path, token, _ = share(s, box, quiet.port)
    head = {"X-Langsmith-Sandbox-Service-Token": token}
    reply = s.raw("HEAD", path, headers=head)
    equal((reply.headers["Content-Length"], reply.bytes), ("7", b""))
    quiet.close()


@test
def a_service_may_answer_before_the_request_is_complete(s):
    def echo(peer, head, rest):
        peer.sendall(b"HTTP/1.1 200 OK\r\nTransfer-Encoding: chunked\r\n\r\n")
        left = 6
        while left > 0:
            piece = rest or peer.recv(65536)
            rest = b""
            left -= len(piece)
            peer.sendall(b"%x\r\n%s\r\n" % (len(piece), piece))
        peer.sendall(b"0\r\n\r\n")
    service = Service(echo)
    path, token, _ = share(s, s.box(), service.port)
    with socket.create_connection(("127.0.0.1", s.port), PATIENCE) as peer:
        peer.sendall(f"POST {path} HTTP/1.1\r\nHost: h\r\nContent-Length: 6"
                     "\r\nX-Langsmith-Sandbox-Service-Token: "
                     f"{token}\r\n\r\nab".encode())
        file = peer.makefile("rb")
        while file.readline() != b"\r\n":
            pass
        equal(file.read(7), b"2\r\nab\r\n")
        peer.sendall(b"cd")
        equal(file.read(7), b"2\r\ncd\r\n")
        peer.sendall(b"ef")
        equal(file.read(12), b"2\r\nef\r\n0\r\n\r\n")
        peer.sendall(b"GET /v2/sandboxes/usage HTTP/1.1\r\nHost: h\r\n"
                     b"X-Api-Key: key\r\n\r\n")
        equal(file.readline(), b"HTTP/1.1 200 OK\r\n")
    service.close()


@test
def a_reply_streams_as_it_comes_and_a_slow_client_holds_it_back(s):
    box = s.box()
    go = threading.Event()
    sent = []

    def trickle(peer, head, rest):
        peer.sendall(b"HTTP/1.1 200 OK\r\nContent-Type: text/event-stream\r\n"
                     b"\r\ndata: 1\n\n")
        go.wait(PATIENCE)
        peer.sendall(b"data: 2\n\n")
        peer.settimeout(0.5)
        try:
            while True:
                sent.append(peer.send(b"x" * 65536))
        except OSError:
            pass
    service = Service(trickle)
    path, token, _ = share(s, box, service.port)
    with socket.create_connection(("127.0.0.1", s.port), PATIENCE) as peer:
        peer.setsockopt(socket.SOL_SOCKET, socket.SO_RCVBUF, 65536)
        peer.sendall(f"GET {path} HTTP/1.0\r\nX-Langsmith-Sandbox-Service-"
                     f"Token: {token}\r\n\r\n".encode())
        got = b""
        while b"data: 1\n\n" not in got:
            got += peer.recv(4096)
        assert b"data: 2" not in got
        go.set()
        while b"data: 2\n\n" not in got:
            got += peer.recv(4096)
        eventually(lambda: service.seen and sent and
                   stalled(sent))
        assert sum(sent) < 64 * 2 ** 20, sum(sent)
    service.close()


def stalled(sent):
    """Whether nothing more is sent for a moment."""
    before = len(sent)
    time.sleep(0.3)
    return len(sent) == before


@test
def a_slow_service_holds_its_client_back(s):
    go = threading.Event()

    def slow(peer, head, rest):
        go.wait(PATIENCE)
        while len(rest) < 64 * 2 ** 20:
            rest += peer.recv(2 ** 20)
        peer.sendall(b"HTTP/1.1 204 No\r\n\r\n")
    service = Service(slow)
    path, token, _ = share(s, s.box(), service.port)
    with socket.create_connection(("127.0.0.1", s.port), PATIENCE) as peer:
        peer.sendall(f"POST {path} HTTP/1.1\r\nHost: h\r\nContent-Length: "
                     f"{64 * 2 ** 20}\r\nX-Langsmith-Sandbox-Service-Token: "
                     f"{token}\r\n\r\n".encode())
        piece, sent = bytes(2 ** 16), []
        peer.settimeout(0.3)
        try:
            while len(sent) < 1024:
                sent.append(peer.send(piece))
        except TimeoutError:
            pass
        assert sum(sent) < 32 * 2 ** 20, sum(sent)
        go.set()
        peer.settimeout(PATIENCE)
        peer.sendall(bytes(64 * 2 ** 20 - sum(sent)))
        equal(peer.recv(12), b"HTTP/1.1 204")
    service.close()


@test
def an_upgrade_passes_bytes_both_ways_until_both_have_ended(s):
    box = s.box()

    def upgrade(peer, head, rest):
        peer.sendall(b"HTTP/1.1 101 Switching Protocols\r\nUpgrade: odd\r\n"
                     b"Connection: Upgrade\r\n\r\nfirst")
        data = rest
        while True:
            piece = peer.recv(65536)
            if not piece:
                break
            data += piece
        peer.sendall(b"%d" % len(data))
    service = Service(upgrade)
    path, token, _ = share(s, box, service.port)
    with socket.create_connection(("127.0.0.1", s.port), PATIENCE) as peer:
        peer.sendall(f"GET {path}x HTTP/1.1\r\nHost: h\r\nConnection: Upgrade"
                     "\r\nUpgrade: odd\r\nX-Langsmith-Sandbox-Service-Token: "
                     f"{token}\r\n\r\nearly".encode())
        file = peer.makefile("rb")
        equal(file.readline(), b"HTTP/1.1 101 Switching Protocols\r\n")
        head = []
        while (line := file.readline()) != b"\r\n":
            head.append(line)
        assert b"Upgrade: odd\r\n" in head, head
        assert b"Connection: Upgrade\r\n" in head, head
        equal(file.read(5), b"first")
        peer.sendall(b"y" * 5_000_000)
        peer.shutdown(socket.SHUT_WR)
        equal(file.read(), b"5000005")
    assert "Upgrade: odd" in service.seen[0]
    service.close()


@test
def a_service_that_listens_on_ipv6_only_is_found(s):
    try:
        service = Service(says(b"HTTP/1.1 204 No\r\n\r\n"), socket.AF_INET6)
    except OSError:
        return
    path, token, _ = share(s, s.box(), service.port)
    equal(s.raw("GET", path, headers={
        "X-Langsmith-Sandbox-Service-Token": token}).status, 204)
    service.close()


@test
def a_login_grant_excludes_tokens_until_it_is_taken_away(s):
    box = s.box(name="login")
    path = "boxes/login/service-url"
    _, token, _ = share(s, box, 3000)
    for access in ("restricted", "workspace"):
        reply = s.post(path, {"port": 3000, "access": access}, 200)
        equal(reply, {"browser_url": f"{s.endpoint}/svc/{box['id']}--3000/",
                      "service_url": f"{s.endpoint}/svc/{box['id']}--3000/",
                      "access": access})
        refused(s.call("POST", path, {"port": 3000}), 409, "Conflict",
                "a LangSmith login grant is in place for port 3000")
    share(s, box, 3001)
    items = s.get("boxes/login/service-urls")["items"]
    equal([(i["port"], i["access"]) for i in items],
          [(3001, "token"), (3000, "workspace")])
    assert items[0]["expires_at"] and "expires_at" not in items[1]
    assert all(i["created_at"] and i["created_by"] for i in items)
    page = s.get("boxes/login/service-urls?page_size=1")
    equal([i["port"] for i in page["items"]], [3001])
    page = s.get("boxes/login/service-urls?page_size=1&cursor="
                 + page["next_cursor"])
    equal(([i["port"] for i in page["items"]], page["next_cursor"]),
          ([3000], None))
    s.post(path, {"port": 3000, "access": "off"}, 200)
    share(s, box, 3000)
    equal(s.call("DELETE", path + "s?port=3000").status, 204)
    equal([i["port"] for i in s.get("boxes/login/service-urls")["items"]],
          [3001])
    s.post(path, {"port": 3002, "access": "workspace"}, 200)
    equal(s.call("DELETE", path + "s").status, 204)
    equal(s.get("boxes/login/service-urls"), {"items": [],
                                              "next_cursor": None})
    share(s, box, 3002)
    assert token


@test
def a_stopped_box_wakes_for_a_link(s):
    box = s.box(name="wakes")
    s.out(box, "echo 1 >f")
    link = s.post("boxes/wakes/download-url", {"path": "/home/user/f"}, 200)
    s.post("boxes/wakes/stop", {}, 204)
    where = urllib.parse.urlsplit(link["download_url"]).path
    equal(s.raw("GET", where).bytes, b"1\n")
    equal(s.get("boxes/wakes")["status"], "ready")
    service = Service(says(b"HTTP/1.1 204 No\r\n\r\n"))
    path, token, _ = share(s, box, service.port)
    s.post("boxes/wakes/stop", {}, 204)
    equal(s.raw("GET", path, headers={
        "X-Langsmith-Sandbox-Service-Token": token}).status, 204)
    service.close()


@test
def a_download_link_serves_its_file_to_anybody(s):
    box = s.box(name="dl")
    s.out(box, "printf 0123456789 >'/home/user/p q\u00e9.html'")
    name = "/home/user/p q\u00e9.html"
    link = s.post("boxes/dl/download-url", {"path": name}, 200)
    equal(set(link), {"download_url", "token", "expires_at"})
    equal(link["expires_at"], None)
    equal(link["download_url"], f"{s.endpoint}/dl/{link['token']}")
    where = urllib.parse.urlsplit(link["download_url"]).path
    reply = s.raw("GET", where)
    equal((reply.status, reply.bytes), (200, b"0123456789"))
    for header, wanted in (("Content-Type", "application/octet-stream"),
                           ("X-Content-Type-Options", "nosniff"),
                           ("Content-Security-Policy", "sandbox"),
                           ("Content-Length", "10"),
                           ("Content-Disposition", None)):
        equal((header, reply.headers[header]), (header, wanted))
    reply = s.raw("HEAD", where)
    equal((reply.headers["Content-Length"], reply.bytes), ("10", b""))
    reply = s.raw("GET", where, headers={"Range": "bytes=2-4"})
    equal((reply.status, reply.bytes, reply.headers["Content-Range"]),
          (206, b"234", "bytes 2-4/10"))
    equal(s.raw("GET", where, headers={
        "If-None-Match": reply.headers["ETag"]}).status, 304)
    equal(s.raw("POST", where, b"").status, 405)
    equal(s.raw("GET", where + "x").status, 403)
    equal(s.raw("GET", "/dl/").status, 403)
    _, token, _ = share(s, box, 80)
    equal(s.raw("GET", "/dl/" + token).status, 403)
    link = s.post("boxes/dl/download-url", {
        "path": name, "expires_in_seconds": 3600,
        "content_type": "text/html", "content_disposition": "inline"}, 200)
    reply = s.raw("GET", urllib.parse.urlsplit(link["download_url"]).path)
    equal(reply.headers["Content-Type"], "text/html")
    equal(reply.headers["Content-Disposition"],
          "inline; filename*=UTF-8''p%20q%C3%A9.html")
    s.call("DELETE", "boxes/dl")
    equal(s.raw("GET", where).status, 404)


@test
def what_is_wrong_with_a_download_link_is_named(s):
    s.box(name="dl-wrong")
    path = "boxes/dl-wrong/download-url"
    problem(s.call("POST", path, {}), "path", missing=True)
    for member, value in (("path", 1), ("path", "x" * 3000),
                          ("expires_in_seconds", 0), ("content_type", "html"),
                          ("content_type", "a/b\r\nX: y"),
                          ("content_disposition", "show")):
        problem(s.call("POST", path, {"path": "/f", member: value}), member)
    refused(s.call("POST", "boxes/none/download-url", {"path": "/f"}), 404)
    link = s.post(path, {"path": "/f", "expires_in_seconds": 2 ** 62}, 200)
    assert link["expires_at"].startswith("21"), link
    equal(s.raw("GET", urllib.parse.urlsplit(link["download_url"]).path)
          .status, 404)


@test
def links_may_be_hosts_and_may_be_switched_off(s):
    named = Server("--service-domain", "svc.localhost")
    box = named.box()
    named.out(box, "echo 1 >f")
    service = Service(says(b"HTTP/1.1 204 No\r\n\r\n"))
    path, token, reply = share(named, box, service.port)
    host = f"{box['id']}--{service.port}.svc.localhost"
    equal((reply["service_url"], path),
          (f"http://{host}:{named.port}/", "/"))
    head = {"Host": f"{host}:{named.port}",
            "X-Langsmith-Sandbox-Service-Token": token}
    equal(named.raw("GET", "/x/y?z", headers=head).status, 204)
    equal(service.seen[0].split("\r\n")[0], "GET /x/y?z HTTP/1.1")
    login = named.raw("GET", "/_svc/auth?token=" + token,
                      headers={"Host": host.upper().replace(
                          box["id"].upper(), box["id"])})
    assert "Path=/;" in login.headers["Set-Cookie"], login.headers
    link = named.post(f"boxes/{box['id']}/download-url",
                      {"path": "f"}, 200)
    url = urllib.parse.urlsplit(link["download_url"])
    equal((url.hostname, url.path),
          (f"{box['id']}--dl.svc.localhost", "/" + link["token"]))
    equal(named.raw("GET", url.path, headers={"Host": url.netloc}).bytes,
          b"1\n")
    other = named.box()
    equal(named.raw("GET", url.path, headers={
        "Host": f"{other['id']}--dl.svc.localhost"}).status, 403)
    named.stop()
    service.close()
    off = Server("--no-services")
    box = off.box(name="b")
    for call in (("POST", "service-url", {"port": 80}),
                 ("GET", "service-urls", None),
                 ("POST", "download-url", {"path": "/f"})):
        refused(off.call(call[0], f"boxes/b/{call[1]}", call[2]), 501)
    off.stop()


def main():
    server = Server()
    passed = failed = 0
    for function in TESTS:
        try:
            begun = time.monotonic()
            function(server)
            if "-v" in sys.argv:
                print(f"{time.monotonic() - begun:.2f} {function.__name__}")
            passed += 1
        except Exception:
            failed += 1
            print(f"FAILED {function.__name__}")
            traceback.print_exc(limit=-4, file=sys.stdout)
    begun = time.monotonic()
    try:
        server.stop()
        passed += 1
    except AssertionError as wrong:
        failed += 1
        print(f"FAILED the end: {wrong}")
    print(f"{passed} passed, {failed} failed")
    return failed > 0


if __name__ == "__main__":
    sys.exit(main())

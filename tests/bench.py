#!/usr/bin/env python3
"""Whole processes side by side, in turn: python3 tests/bench.py BUILD

Each creates a sandbox, runs a command and deletes it, against one sandboxd: first
`true`, then one whose output is 64 MiB of lines, taken in a callback. Ours is
build/tests/once; the official JS SDK is node with langsmith and ws, if
BUILD/interop has them (`make test-interop` installs them); curl makes a single
request. Printed: medians of wall and CPU time and the largest resident memory,
and how many times ours goes into the other's.

SPDX-License-Identifier: MIT
"""
import json
import os
import statistics
import subprocess
import sys
import tempfile
import time

ROUNDS = int(os.environ.get("ROUNDS", "15"))
LONG = "yes 'some text, about as long as a line of output' | head -c 67108864"

JS = """
import { SandboxClient } from "langsmith/experimental/sandbox";
const client = new SandboxClient({
  apiEndpoint: process.env.LANGSMITH_ENDPOINT + "/v2/sandboxes",
  apiKey: process.env.LANGSMITH_API_KEY });
const box = await client.createSandbox();
const result = await box.run(process.argv[2] ?? "true", { onStdout() {} });
if (result.exit_code !== 0) throw new Error("exit code " + result.exit_code);
await client.deleteSandbox(box.name);
"""


def measure(command, env, cwd):
    """Wall seconds and CPU seconds of one run."""
    began = time.monotonic()
    child = subprocess.Popen(command, env=env, cwd=cwd,
                             stdout=subprocess.DEVNULL)
    _, status, usage = os.wait4(child.pid, 0)
    child.returncode = os.waitstatus_to_exitcode(status)
    wall = time.monotonic() - began
    if child.returncode != 0:
        raise SystemExit(f"{command[0]} failed: {child.returncode}")
    return wall, usage.ru_utime + usage.ru_stime


def memory(command, env, cwd):
    """KiB resident at most. By GNU time: a child of this process would start
    with the figure of this process."""
    with tempfile.NamedTemporaryFile("r") as file:
        subprocess.run(["/usr/bin/time", "-f", "%M", "-o", file.name,
                        *command], env=env, cwd=cwd, check=True,
                       stdout=subprocess.DEVNULL)
        return int(file.read())


def commands(build, env, *argument):
    """What is compared: a name, a command, the folder it runs in."""
    yield "lssb", [os.path.abspath(f"{build}/tests/once"), *argument], "."
    modules = f"{build}/interop/ws/node_modules/langsmith"
    if os.path.isdir(modules):
        with open(f"{build}/interop/ws/once.mjs", "w") as file:
            file.write(JS)
        yield ("official JS SDK", ["node", "once.mjs", *argument],
               f"{build}/interop/ws")
    if argument:
        return
    key = f"X-Api-Key: {env['LANGSMITH_API_KEY']}"
    base = f"{env['LANGSMITH_ENDPOINT']}/v2/sandboxes/boxes"
    yield "curl, one request", ["curl", "-sS", "-H", key, base], "."


def compare(title, list_, rounds, env):
    """Runs all of them in turn, and prints what came of it."""
    runs = {name: [] for name, _, _ in list_}
    for turn in range(rounds + 1):          # the first one warms up
        for name, command, cwd in list_:
            run = measure(command, env, cwd)
            if turn > 0:
                runs[name].append(run)
    sizes = {name: memory(command, env, cwd) for name, command, cwd in list_}
    print(f"{title}: medians of {rounds} runs, in turn")
    print(f"  {'':20} {'wall ms':>9} {'CPU ms':>9} {'MiB':>7}")
    ours = [statistics.median(x) for x in zip(*runs["lssb"])]
    for name in runs:
        m = [statistics.median(x) for x in zip(*runs[name])]
        print(f"  {name:20} {m[0] * 1000:9.1f} {m[1] * 1000:9.1f} "
              f"{sizes[name] / 1024:7.1f}   wall x {m[0] / ours[0]:.1f}, "
              f"CPU x {m[1] / max(ours[1], 1e-6):.1f}, "
              f"memory x {sizes[name] / sizes['lssb']:.1f}")


def main():
    build = sys.argv[1] if len(sys.argv) > 1 else "build"
    server = subprocess.Popen([f"{build}/sandboxd"], stdout=subprocess.PIPE,
                              stderr=subprocess.DEVNULL, text=True)
    try:
        ready = json.loads(server.stdout.readline())
        env = dict(os.environ, LANGSMITH_ENDPOINT=ready["endpoint"],
                   LANGSMITH_API_KEY=ready["api_key"])
        compare("create, run `true`, delete", list(commands(build, env)),
                ROUNDS, env)
        compare("64 MiB of output", list(commands(build, env, LONG)),
                max(ROUNDS // 3, 1), env)
    finally:
        server.terminate()
        server.wait()


main()

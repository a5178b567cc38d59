#!/usr/bin/env python3
"""The WebSocket engine against python3-websockets: tests/ws_echo.py WS_ECHO

Debian's library connects to our server, and our client to a server of its.
Prints "N passed, N failed".

SPDX-License-Identifier: MIT
"""
import asyncio
import subprocess
import sys

import websockets

PROGRAM = sys.argv[1]
TEXTS = ["", "x", "Grüße, 世界 😀", "a" * 125, "b" * 126, "c" * 65535,
         "d" * 65536, "é" * 300_000, "😀x" * 250_000]
CODES = [1000, 1001, 1012, 3001, 4999]


async def our_server_echoes(port):
    """Text and bytes, of sizes on both sides of each form of length."""
    async with websockets.connect(f"ws://127.0.0.1:{port}", max_size=None,
                                  compression=None) as peer:
        for text in TEXTS:
            for message in (text, text.encode()):
                await peer.send(message)
                assert await peer.recv() == message


async def our_server_joins_fragments(port):
    async with websockets.connect(f"ws://127.0.0.1:{port}", max_size=None,
                                  compression=None) as peer:
        await peer.send(["one, ", "", "two: ", "ü" * 70_000])
        assert await peer.recv() == "one, two: " + "ü" * 70_000
        await peer.send([bytes([i]) for i in range(256)])
        assert await peer.recv() == bytes(range(256))


async def our_server_answers_pings(port):
    async with websockets.connect(f"ws://127.0.0.1:{port}") as peer:
        for payload in (b"", b"x", bytes(range(125))):
            await asyncio.wait_for(await peer.ping(payload), 10)


async def our_server_declines_compression(port):
    async with websockets.connect(f"ws://127.0.0.1:{port}",
                                  compression="deflate") as peer:
        assert peer.extensions == []
        await peer.send("plain")
        assert await peer.recv() == "plain"


async def our_server_closes_with_the_code_it_got(port, code):
    peer = await websockets.connect(f"ws://127.0.0.1:{port}")
    await peer.close(code, "grüß dich")
    assert peer.close_code == code, peer.close_code
    assert peer.close_reason == "so long", peer.close_reason


async def our_client_talks_to_a_server_of_theirs():
    async def echo(peer):
        async for message in peer:
            await peer.send(message)

    async with websockets.serve(echo, "127.0.0.1", 0, max_size=None) as server:
        port = server.sockets[0].getsockname()[1]
        client = await asyncio.create_subprocess_exec(PROGRAM, "client",
                                                      str(port))
        assert await asyncio.wait_for(client.wait(), 60) == 0


SERVER_TESTS = [our_server_echoes, our_server_joins_fragments,
                our_server_answers_pings, our_server_declines_compression]


async def main():
    tests = [(test.__name__, test) for test in SERVER_TESTS]
    tests += [(f"{our_server_closes_with_the_code_it_got.__name__}: {code}",
               lambda port, code=code:
               our_server_closes_with_the_code_it_got(port, code))
              for code in CODES]
    failed = 0
    server = subprocess.Popen([PROGRAM, "server", str(len(tests))],
                              stdout=subprocess.PIPE, text=True)
    port = int(server.stdout.readline())
    tests.append((our_client_talks_to_a_server_of_theirs.__name__, None))
    for name, test in tests:
        try:
            await asyncio.wait_for(
                test(port) if test
                else our_client_talks_to_a_server_of_theirs(), 60)
        except Exception as error:
            failed += 1
            print(f"FAILED {name}: {error!r}")
    try:
        status = server.wait(10 if failed == 0 else 0)
    except subprocess.TimeoutExpired:
        server.kill()
        status = 1
    if failed == 0 and status != 0:
        failed += 1
        print("FAILED our server did not end in order")
    print(f"{len(tests) - failed} passed, {failed} failed")
    return failed > 0


sys.exit(asyncio.run(main()))

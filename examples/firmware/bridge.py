#!/usr/bin/env python3
"""The other end of a device's line: makes TCP connections for it.

SPDX-License-Identifier: MIT

    bridge.py [PORT]        listens on 127.0.0.1, prints the port, serves one
                            line (qemu's UART, or a serial port behind socat)

The format is in link.h. It connects to whatever it is asked for.
"""
import select
import socket
import struct
import sys

REFUSED, UNREACHABLE, TIMED_OUT, NOT_FOUND = 3, 4, 5, 6
LIMIT = 65536                   # bytes that wait for a side before it is full


class Bridge:
    def __init__(self, line):
        self.line = line
        self.peer = None
        self.number = 0
        self.ended = False      # of the peer: nothing more will come
        self.from_line = b""
        self.to_line = b""
        self.to_peer = b""
        self.hang_up = False    # once all is sent

    def frame(self, kind, content=b""):
        self.to_line += kind + bytes([self.number, len(content)]) + content

    def drop(self):
        if self.peer:
            self.peer.close()
        self.peer = None
        self.to_peer = b""
        self.hang_up = False

    def dial(self, target):
        self.drop()
        host, port = target.rsplit(":", 1)
        self.ended = False
        try:
            self.peer = socket.create_connection((host, int(port)), 10)
            self.peer.setsockopt(socket.IPPROTO_TCP, socket.TCP_NODELAY, 1)
            self.peer.setblocking(False)
            self.frame(b"O")
        except socket.gaierror:
            self.frame(b"F", bytes([NOT_FOUND]))
        except TimeoutError:
            self.frame(b"F", bytes([TIMED_OUT]))
        except ConnectionRefusedError:
            self.frame(b"F", bytes([REFUSED]))
        except OSError:
            self.frame(b"F", bytes([UNREACHABLE]))

    def hear(self, kind, number, content):
        if kind == b"O":
            self.number = number
            self.dial(content.decode())
        elif number == self.number and kind == b"D" and self.peer:
            self.to_peer += content
        elif number == self.number and kind == b"C" and self.peer:
            self.hang_up = True

    def frames(self):
        while len(self.from_line) >= 3:
            kind, number, size = struct.unpack("cBB", self.from_line[:3])
            if len(self.from_line) < 3 + size:
                return
            self.hear(kind, number, self.from_line[3:3 + size])
            self.from_line = self.from_line[3 + size:]

    def peer_ends(self):
        if not self.ended:
            self.ended = True
            self.frame(b"C")

    def move(self, readable, writable):
        if self.line in readable:
            got = self.line.recv(4096)
            if not got:
                return False
            self.from_line += got
            self.frames()
        if self.line in writable:
            self.to_line = self.to_line[self.line.send(self.to_line):]
        try:
            if self.peer in readable and self.peer:
                got = self.peer.recv(4096)
                for i in range(0, len(got), 255):
                    self.frame(b"D", got[i:i + 255])
                if not got:
                    self.peer_ends()
            if self.peer in writable and self.to_peer:
                self.to_peer = self.to_peer[self.peer.send(self.to_peer):]
        except OSError:
            self.peer_ends()
            self.drop()
        if self.hang_up and not self.to_peer:
            self.drop()
        return True

    def run(self):
        self.line.setblocking(False)
        going = True
        while going:
            read, write = [], []
            if len(self.to_peer) < LIMIT:
                read.append(self.line)
            if self.to_line:
                write.append(self.line)
            if self.peer and not self.ended and len(self.to_line) < LIMIT:
                read.append(self.peer)
            if self.peer and self.to_peer:
                write.append(self.peer)
            readable, writable, _ = select.select(read, write, [])
            going = self.move(readable, writable)
        self.drop()


def main():
    listener = socket.create_server(
        ("127.0.0.1", int(sys.argv[1]) if len(sys.argv) > 1 else 0))
    print(listener.getsockname()[1], flush=True)
    line, _ = listener.accept()
    try:
        Bridge(line).run()
    except ConnectionError:
        pass


main()

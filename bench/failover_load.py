#!/usr/bin/python3
# SPDX-License-Identifier: Apache-2.0
"""What connections meet while something breaks: both ends of them, inside pods.

    failover_load.py serve ADDRESS PORT NAME
    failover_load.py load RATE SHORT LONG...     SHORT is ADDRESS:PORT, LONG ADDRESS:PORT:COUNT

`serve` answers each line with its name and that line, and an end with an end.

`load` opens the long connections, each of which says a line every 200 ms and waits for its answer,
and prints what it knows of them as JSON. From then on it begins RATE short ones a second, whatever
becomes of those before: connect, a line there and back, an end each way. At an end of its input it
begins no more, waits for those that are under way, and prints JSON: every short connection as
[begun, seconds, error or null], every long one with when and how it ended, if it did, and for how
long it heard nothing. Times are time.monotonic(), which is the same in all processes.
"""
import asyncio
import errno
import json
import sys
import time

_BEAT = 0.2
# What an application may be expected to wait: later is failed.
PATIENCE = 10.0
_BACKLOG = 4096


def _describe(error):
    if isinstance(error, (TimeoutError, asyncio.TimeoutError)):
        return "timeout"
    number = getattr(error, "errno", None)
    return errno.errorcode.get(number, str(number)) if number else str(error) or repr(error)


class Failed(Exception):
    """Not what was asked for."""


async def ask(reader, writer, number):
    """A line that no other one is like; returns the server's name."""
    line = b"%d\n" % number
    writer.write(line)
    await writer.drain()
    answer = await reader.readline()
    name, _, rest = answer.partition(b" ")
    if rest != line:
        raise Failed("early end" if not answer else f"{line} was answered by {answer}")
    return name.decode()


class Long:
    """A connection that stays. What is known of it is `seen`."""

    def __init__(self, address, number):
        self._address = address
        self._heard = 0.0
        self.seen = {"number": number, "address": f"{address[0]}:{address[1]}", "port": None,
                     "server": None, "ended": None, "error": None, "silence": 0.0}
        self.stopping = False

    async def begin(self):
        """Opens it; an error is the caller's."""
        self._reader, self._writer = await asyncio.open_connection(*self._address)
        self.seen["port"] = self._writer.get_extra_info("sockname")[1]
        self.seen["server"] = await ask(self._reader, self._writer, 0)
        self._heard = time.monotonic()

    async def run(self):
        """Until it breaks or is stopped."""
        number = 0
        try:
            while not self.stopping:
                await asyncio.sleep(_BEAT)
                number += 1
                await ask(self._reader, self._writer, number)
                self._hear()
        except (OSError, Failed) as error:
            self.seen["ended"], self.seen["error"] = time.monotonic(), _describe(error)
        self._writer.transport.abort()

    def _hear(self):
        now = time.monotonic()
        self.seen["silence"] = max(self.seen["silence"], now - self._heard)
        self._heard = now

    def stop(self):
        """It has until the next answer; what it waits for at the moment is silence as well."""
        self.stopping = True
        if self.seen["ended"] is None:
            self.seen["silence"] = max(self.seen["silence"], time.monotonic() - self._heard)


async def _short(address, attempts):
    begun = time.monotonic()
    attempt = [begun, None, None]
    attempts.append(attempt)
    writer = None

    async def converse():
        nonlocal writer
        reader, writer = await asyncio.open_connection(*address)
        await ask(reader, writer, len(attempts))
        writer.write_eof()
        if await reader.read(1):
            raise Failed("more than was asked for")
    try:
        await asyncio.wait_for(converse(), PATIENCE)
    except (OSError, Failed, asyncio.TimeoutError) as error:
        attempt[2] = _describe(error)
    attempt[1] = time.monotonic() - begun
    if writer:
        writer.transport.abort()


def _address(text):
    host, port = text.split(":")[:2]
    return host, int(port)


async def _load(rate, short, *longs):
    kept = []
    for text in longs:
        kept += [Long(_address(text), len(kept) + n) for n in range(int(text.split(":")[2]))]
    await asyncio.gather(*(long.begin() for long in kept))
    print(json.dumps([long.seen for long in kept]), flush=True)
    running = [asyncio.create_task(long.run()) for long in kept]
    attempts, tasks = [], set()
    ended = asyncio.get_running_loop().run_in_executor(None, sys.stdin.read)
    due = time.monotonic()
    while not ended.done():
        task = asyncio.create_task(_short(_address(short), attempts))
        tasks.add(task)
        task.add_done_callback(tasks.discard)
        due = max(due + 1 / float(rate), time.monotonic() - 1)
        await asyncio.wait([ended], timeout=max(0.0, due - time.monotonic()))
    if tasks:
        await asyncio.wait(set(tasks))
    for long in kept:
        long.stop()
    await asyncio.wait(running, timeout=1)
    print(json.dumps({"short": attempts, "long": [long.seen for long in kept]}), flush=True)


async def _serve(address, port, name):
    async def converse(reader, writer):
        try:
            while line := await reader.readline():
                writer.write(name.encode() + b" " + line)
                await writer.drain()
            writer.write_eof()
            await reader.read()
        except OSError:
            pass
        writer.close()
    server = await asyncio.start_server(converse, address, int(port), backlog=_BACKLOG)
    print("ready", flush=True)
    await server.serve_forever()


if __name__ == "__main__":
    asyncio.run({"load": _load, "serve": _serve}[sys.argv[1]](*sys.argv[2:]))

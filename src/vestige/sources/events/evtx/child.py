"""The program that parses chunks of Windows event logs, in a process of its own.

The parser of the `evtx` wheel does not guard against hostile files: a chunk may make it loop for ever, or ask
for all memory, and no exception can be caught of either. So a process parses that may be killed: it has a
bound of memory, and of processor time for every chunk.

On standard input: `<I`, how many bytes follow, and a file of one chunk whose records are numbered by where in
it they lie. On standard output, once parsing can begin, `END`; then for each record in turn `<II`, its number
(`FAILED`: it could not be read) and how many bytes follow, and its JSON, or what is wrong; and `END`. JSON
that is too long is left out: nothing follows. This file is run by its path: it imports nothing of vestige.
"""

from __future__ import annotations

import io
import resource
import signal
import struct
import sys

HEAD = struct.Struct("<II")
FAILED, END = 0xFFFFFFFF, 0xFFFFFFFE
MOST_WRONG = 300
"""Bytes of an error's text."""


def main() -> None:
    """Parse chunks until there are no more. Arguments: bytes of memory, seconds a chunk, bytes a record."""
    memory, seconds, most = int(sys.argv[1]), float(sys.argv[2]), int(sys.argv[3])
    from evtx import PyEvtxParser

    resource.setrlimit(resource.RLIMIT_AS, (memory, memory))
    resource.setrlimit(resource.RLIMIT_CORE, (0, 0))
    # Whoever is at the terminal stops the caller, who then closes the input.
    signal.signal(signal.SIGINT, signal.SIG_IGN)
    source = sys.stdin.buffer
    _send(END, b"")
    while len(head := source.read(4)) == 4:
        data = source.read(struct.unpack("<I", head)[0])
        # By default the signal of this timer kills: it counts processor time, so a busy machine is no reason.
        signal.setitimer(signal.ITIMER_PROF, seconds)
        records = PyEvtxParser(io.BytesIO(data), number_of_threads=1).records_json()
        while True:
            try:
                record = next(records, None)
            except RuntimeError as error:
                wrong = str(error).encode()[:MOST_WRONG]
                _send(FAILED, wrong)
                continue
            if record is None:
                break
            text = record["data"].encode()
            if len(text) > most:
                text = b""
            _send(record["event_record_id"], text)
        signal.setitimer(signal.ITIMER_PROF, 0)
        _send(END, b"")


def _send(head: int, content: bytes) -> None:
    sys.stdout.buffer.write(HEAD.pack(head, len(content)) + content)
    if head == END:
        sys.stdout.buffer.flush()


if __name__ == "__main__":
    main()

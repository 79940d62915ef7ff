"""A week of a job that fails at every attempt, in a moment: a test of an application in plain Python.

The broker runs with --ephemeral --test-clock; its address is the argument. Prints when each attempt began.
"""
import socket, struct, sys, uuid

HOUR = 3_600_000


def varint(n):
    out = b""
    while n > 127:
        out, n = out + bytes([n & 127 | 128]), n >> 7
    return out + bytes([n])


def number(field, n):
    return varint(field << 3) + varint(n)


def data(field, content):
    return varint(field << 3 | 2) + varint(len(content)) + content


def fields(message):
    """The fields of a message as {number: all values}."""
    found, rest = {}, iter(message)

    def read():
        n, shift = 0, 0
        for byte in rest:
            n, shift = n | (byte & 127) << shift, shift + 7
            if byte < 128:
                return n

    while (key := read()) is not None:
        value = read()
        value = bytes(next(rest) for _ in range(value)) if key & 7 == 2 else value
        found.setdefault(key >> 3, []).append(value)
    return found


def say(frame_id, verb, message):
    frame = number(1, frame_id) + data(verb, message)
    stream.write(struct.pack(">I", len(frame)) + frame)
    stream.flush()


def hear():
    """The next frame: what it says, by the number of its verb."""
    frame = fields(stream.read(struct.unpack(">I", stream.read(4))[0]))
    if 13 in frame:  # Error
        sys.exit("refused: " + fields(frame[13][0])[2][0].decode())
    return frame


def ask(frame_id, verb, message, answer):
    say(frame_id, verb, message)
    while answer not in (frame := hear()):
        pass
    return fields(frame[answer][0])


host, port = sys.argv[1].rsplit(":", 1)
stream = socket.create_connection((host, int(port)), timeout=60).makefile("rwb")
dawn = ask(1, 2, data(13, b"test_clock"), 2)[6][0]  # Hello.require, Welcome.server_at_ms

hours = b"".join(varint(n * HOUR) for n in (1, 24, 48))
backoff = number(1, 3) + number(5, 0) + data(6, hours)  # LIST, no jitter
policy = number(2, 4) + data(3, backoff)  # max_attempts
job = uuid.uuid4().bytes
ask(2, 3, data(1, data(1, job) + data(2, b"q") + data(3, b"k") + data(15, policy)), 3)  # Enqueue
say(3, 4, data(2, data(1, b"q")) + number(5, 1))  # Fetch: a stream of one slot

say(4, 1000, number(1, 168 * HOUR) + number(3, 60_000))  # AdvanceClock by_ms, patience_ms
frame_id, began = 5, []
while 1000 not in (frame := hear()):  # ClockAdvanced
    for work in fields(frame[10][0]).get(1, []) if 10 in frame else []:  # Deliver.jobs
        work = fields(work)
        failed = data(1, work[1][0]) + number(2, work[2][0]) + data(4, data(2, b"no"))
        say(frame_id, 5, data(1, failed))  # Settle
        frame_id += 1

now = fields(frame[1000][0])[1][0]
say(frame_id, 8, data(1, data(1, job)) + number(6, 2))  # Query JOB
while 7 not in (frame := hear()):  # Rows
    pass
view = fields(fields(frame[7][0])[4][0])
for attempt in view[28]:  # JobView.history
    print((fields(attempt)[6][0] - dawn) // HOUR, "h")  # started_at_ms
assert view[6][0] == 7, view  # DEAD
print("dead after", (now - dawn) // HOUR, "h")

#!/usr/bin/env python3
"""What message and job brokers lose of what they acknowledged, on kill -9 and on a power cut.

Run it as root on Linux; it installs nothing, listens on 127.0.0.1 only, and takes about six minutes.
Whatever is not installed is left out and named. It prints the table of docs/COMPARISON.md.

    WINDLASS=target/release/windlass python3 tests/rivals/compare.py [--rounds 5] [--only NAME]

Kill: four clients send messages one after the other, each waiting for its acknowledgement; after a random
time the server is killed with SIGKILL, started again on the same data, and asked for everything.

Power cut: the data lie on an ext4 file system in an image. At a random moment the server is frozen, what
was acknowledged is noted, and the image is copied: the copy holds what was ever handed to the device, and
nothing that was only in memory. The server is started on the copy. This is lenient: a disk may have a
cache of its own, and unsynced blocks may arrive in another order.
"""
import argparse, http.client, json, os, random, shutil, signal, socket, subprocess, sys, tempfile, threading, time

CLIENTS = 4
LOAD_SECONDS = (1.5, 3.0)
IMAGE_BYTES = 1 << 30


def free_port():
    with socket.socket() as s:
        s.bind(("127.0.0.1", 0))
        return s.getsockname()[1]


class Lines:
    """A connection that speaks in lines."""

    def __init__(self, port):
        self.socket = socket.create_connection(("127.0.0.1", port), timeout=30)
        self.socket.setsockopt(socket.IPPROTO_TCP, socket.TCP_NODELAY, 1)
        self.file = self.socket.makefile("rb")

    def say(self, data):
        self.socket.sendall(data)

    def line(self):
        line = self.file.readline()
        if not line:
            raise ConnectionError("closed")
        return line.rstrip(b"\r\n")

    def read(self, length):
        data = self.file.read(length + 2)
        if len(data) < length + 2:
            raise ConnectionError("closed")
        return data[:-2]


class Redis:
    """A list, as BullMQ and Sidekiq keep their jobs in."""

    name, program = "Redis list", "redis-server"

    def __init__(self, settings, arguments=()):
        self.settings, self.arguments = settings, list(arguments)

    def version(self, program):
        return subprocess.check_output([program, "--version"], text=True).split("v=")[1].split()[0]

    def command(self, program, data, port):
        return [program, "--bind", "127.0.0.1", "--port", str(port), "--dir", data, *self.arguments]

    def connect(self, port):
        return Lines(port)

    def send(self, link, number):
        link.say(b"LPUSH q %d\r\n" % number)
        reply = link.line()
        if not reply.startswith(b":"):
            raise ConnectionError(reply)
        return number

    def found(self, port):
        link = Lines(port)
        while True:  # It answers -LOADING while it reads its file.
            link.say(b"LRANGE q 0 -1\r\n")
            head = link.line()
            if head.startswith(b"*"):
                break
            time.sleep(0.1)
        return {int(link.read(int(link.line()[1:]))) for _ in range(int(head[1:]))}


class Beanstalkd:
    name, program = "beanstalkd", "beanstalkd"

    def __init__(self, settings, arguments=(), keeps=True):
        self.settings, self.arguments, self.keeps = settings, list(arguments), keeps

    def version(self, program):
        return subprocess.check_output([program, "-v"], text=True).split()[-1]

    def command(self, program, data, port):
        log = ["-b", data] if self.keeps else []
        return [program, "-l", "127.0.0.1", "-p", str(port), *log, *self.arguments]

    def connect(self, port):
        return Lines(port)

    def send(self, link, number):
        body = b"%d" % number
        link.say(b"put 0 0 600 %d\r\n%s\r\n" % (len(body), body))
        reply = link.line()
        if not reply.startswith(b"INSERTED"):
            raise ConnectionError(reply)
        return number

    def found(self, port):
        link, found = Lines(port), set()
        while True:
            link.say(b"reserve-with-timeout 0\r\n")
            words = link.line().split()
            if words[0] != b"RESERVED":
                return found
            found.add(int(link.read(int(words[2]))))


class Nats:
    """A JetStream stream on disk; a message is known by its number in the stream."""

    name, program = "NATS JetStream", "nats-server"

    def __init__(self, settings, sync=None):
        self.settings, self.sync = settings, sync

    def version(self, program):
        return subprocess.check_output([program, "--version"], text=True).split("v")[-1].strip()

    def command(self, program, data, port):
        sync = f"sync_interval: {self.sync}" if self.sync else ""
        config = os.path.join(os.path.dirname(data), "nats.conf")
        with open(config, "w") as file:
            file.write(f'listen: "127.0.0.1:{port}"\njetstream {{\n store_dir: "{data}"\n {sync}\n}}\n')
        return [program, "-c", config]

    def connect(self, port):
        link = Lines(port)
        link.line()
        link.inbox = b"inbox.%d" % random.getrandbits(60)
        link.say(b'CONNECT {"verbose":false}\r\nSUB %s 1\r\n' % link.inbox)
        return link

    def ask(self, link, subject, body):
        link.say(b"PUB %s %s %d\r\n%s\r\n" % (subject, link.inbox, len(body), body))
        while True:
            words = link.line().split()
            if words[0] == b"MSG":
                return json.loads(link.read(int(words[-1])))
            if words[0] == b"PING":
                link.say(b"PONG\r\n")

    def prepare(self, port):
        config = {"name": "S", "subjects": ["q"], "storage": "file"}
        answer = self.ask(self.connect(port), b"$JS.API.STREAM.CREATE.S", json.dumps(config).encode())
        if "error" in answer:
            raise RuntimeError(answer)

    def send(self, link, number):
        return self.ask(link, b"q", b"%d" % number)["seq"]

    def found(self, port):
        for _ in range(50):  # Streams are recovered after the port is open.
            answer = self.ask(self.connect(port), b"$JS.API.STREAM.INFO.S", b'{"deleted_details":true}')
            if "state" in answer:
                state = answer["state"]
                gone = set(state.get("deleted") or ())
                return set(range(state["first_seq"], state["last_seq"] + 1)) - gone
            time.sleep(0.1)
        return set()


class Windlass:
    name, program = "Windlass", os.environ.get("WINDLASS", "windlass")

    def __init__(self, settings):
        self.settings = settings

    def version(self, program):
        return subprocess.check_output([program, "--version"], text=True).split()[-1]

    def command(self, program, data, port):
        return [program, "serve", "--data", data + "/w", "--listen", "127.0.0.1:0", "--http", f"127.0.0.1:{port}"]

    def connect(self, port):
        return http.client.HTTPConnection("127.0.0.1", port, timeout=30)

    def call(self, link, method, path, body=None):
        try:
            link.request(method, path, body, {"content-type": "application/json"} if body else {})
            answer = link.getresponse()
            text = answer.read()
        except http.client.HTTPException as error:
            raise ConnectionError(error) from error
        if answer.status >= 300:
            raise ConnectionError(text)
        return json.loads(text)

    def send(self, link, number):
        return self.call(link, "POST", "/enqueue", json.dumps({"type": "k", "payload": number}))["id"]

    def found(self, port):
        link, found, cursor = self.connect(port), set(), ""
        while True:
            page = self.call(link, "GET", f"/v1/jobs?limit=500{cursor}")
            found.update(job["id"] for job in page["items"])
            if not page.get("next_cursor"):
                return found
            cursor = f"&cursor={page['next_cursor']}"


RIVALS = [
    Windlass("as it comes"),
    Redis("as it comes: snapshots, no log"),
    Redis("`appendonly yes`, `appendfsync everysec`", ["--appendonly", "yes", "--appendfsync", "everysec"]),
    Redis("`appendonly yes`, `appendfsync always`", ["--appendonly", "yes", "--appendfsync", "always"]),
    Beanstalkd("as it comes: no log", keeps=False),
    Beanstalkd("`-b DIR`: a log, synced every 50 ms"),
    Beanstalkd("`-b DIR -f 0`: synced each time", ["-f", "0"]),
    Nats("file storage, as it comes: synced every 2 min"),
    Nats("file storage, `sync_interval: always`", "always"),
]


class Load:
    """Clients that send until they are stopped, and what was acknowledged to them."""

    def __init__(self, rival, port):
        self.rival, self.acknowledged, self.is_over = rival, [], False
        self.threads = [threading.Thread(target=self.run, args=(port, part)) for part in range(CLIENTS)]
        for thread in self.threads:
            thread.start()

    def run(self, port, part):
        number = part
        try:
            link = self.rival.connect(port)
            while not self.is_over:
                self.acknowledged.append(self.rival.send(link, number))
                number += CLIENTS
        except (OSError, ConnectionError):
            pass  # The server is gone, as it was meant to be.

    def end(self):
        self.is_over = True
        for thread in self.threads:
            thread.join()


def start(rival, program, data, log):
    """The server and its port, once it answers; None if it ends instead."""
    port = free_port()
    server = subprocess.Popen(rival.command(program, data, port), stdout=log, stderr=log, stdin=subprocess.DEVNULL)
    until = time.monotonic() + 30
    while time.monotonic() < until:
        if server.poll() is not None:
            return None, None
        try:
            socket.create_connection(("127.0.0.1", port), timeout=1).close()
            return server, port
        except OSError:
            time.sleep(0.02)
    server.kill()
    server.wait()
    return None, None


def begin(rival, program, data, log):
    server, port = start(rival, program, data, log)
    if server is None:
        raise RuntimeError("it does not start")
    if hasattr(rival, "prepare"):
        rival.prepare(port)
    return server, Load(rival, port)


def missing(rival, program, data, log, acknowledged):
    server, port = start(rival, program, data, log)
    if server is None:
        return len(acknowledged)
    found = rival.found(port)
    server.kill()
    server.wait()
    return sum(1 for one in acknowledged if one not in found)


def killed(rival, program, scratch, log):
    data = os.path.join(scratch, "data")
    os.makedirs(data)
    server, load = begin(rival, program, data, log)
    time.sleep(random.uniform(*LOAD_SECONDS))
    server.kill()
    server.wait()
    load.end()
    return len(load.acknowledged), missing(rival, program, data, log, load.acknowledged)


def cut(rival, program, scratch, log):
    image, copy, place = (os.path.join(scratch, name) for name in ("disk", "copy", "mounted"))
    os.makedirs(place)
    with open(image, "wb") as file:
        file.truncate(IMAGE_BYTES)
    subprocess.check_call(["mkfs.ext4", "-q", "-F", image])
    subprocess.check_call(["mount", "-o", "loop", image, place])
    try:
        data = os.path.join(place, "data")
        os.makedirs(data)
        # The empty disk is there before the power goes.
        os.sync()
        server, load = begin(rival, program, data, log)
        time.sleep(random.uniform(*LOAD_SECONDS))
        server.send_signal(signal.SIGSTOP)
        acknowledged = list(load.acknowledged)
        shutil.copyfile(image, copy)
        server.kill()
        server.wait()
        load.end()
    finally:
        subprocess.check_call(["umount", place])
    subprocess.check_call(["mount", "-o", "loop", copy, place])
    try:
        os.makedirs(data, exist_ok=True)
        return len(acknowledged), missing(rival, program, data, log, acknowledged)
    finally:
        subprocess.check_call(["umount", place])


def measure(rival, program, rounds, home):
    row = []
    for way in (killed, cut):
        sent = lost = bad = 0
        for _ in range(rounds):
            with tempfile.TemporaryDirectory(dir=home) as scratch, open(os.path.join(scratch, "log"), "wb") as log:
                acknowledged, gone = way(rival, program, scratch, log)
            sent, lost, bad = sent + acknowledged, lost + gone, bad + (gone > 0)
        row.append(f"{lost:,} of {sent:,} ({bad} of {rounds} times)" if lost else f"**0** of {sent:,}")
    return row


def main():
    arguments = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    arguments.add_argument("--rounds", type=int, default=5, help="kills, and power cuts, of each")
    arguments.add_argument("--only", help="of these only, by a part of the name")
    asked = arguments.parse_args()
    if os.geteuid() != 0:
        sys.exit("power cuts need root: images are mounted")
    home = "/dev/shm" if os.path.isdir("/dev/shm") else None
    print("| system | version | settings | lost by kill -9 | lost by a power cut |\n|---|---|---|---|---|", flush=True)
    for rival in RIVALS:
        if asked.only and asked.only.lower() not in rival.name.lower():
            continue
        program = shutil.which(rival.program)
        if program is None:
            print(f"| {rival.name} | | {rival.settings} | not measured: `{rival.program}` is not installed | |", flush=True)
            continue
        try:
            row = measure(rival, program, asked.rounds, home)
        except RuntimeError as error:
            row = [f"not measured: {error}", ""]
        print(f"| {rival.name} | {rival.version(program)} | {rival.settings} | {row[0]} | {row[1]} |", flush=True)


main()

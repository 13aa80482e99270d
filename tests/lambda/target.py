"""Runs the function for the suite: its bootstrap under cargo-lambda's Runtime API and Function URL, on
moto's table. See tests/README.md for what a target's script is told and says.

    WRIT_BOOTSTRAP     the function's program
    WRIT_ENVIRONMENTS  how many environments each instance has, as many as requests it answers at once
    WRIT_WRAPPING_BY   `secret` (if absent) or `kms`: where the wrapping key is
    WRIT_SNAPSHOTS     `none`: aws.py says what for
    WRIT_FAULTS        a file, read at every call to the table: faults.py says what may be in it

A line `restart` on stdin starts the function's environments anew on the same store.
"""

import ctypes
import os
import pathlib
import signal
import socket
import subprocess
import sys
import time
import urllib.error
import urllib.request

import aws

STATE = pathlib.Path(os.environ["WRIT_STATE"])
ITEMS = STATE / "items.json"
BOOTSTRAP = os.environ["WRIT_BOOTSTRAP"]
INSTANCES = int(os.environ.get("WRIT_INSTANCES", "1"))
ENVIRONMENTS = int(os.environ.get("WRIT_ENVIRONMENTS", "4"))

# The emulator wants to be in a Cargo project; its default function answers at the root.
STUB = '[package]\nname = "function"\nversion = "0.0.0"\nedition = "2024"\n[workspace]\n'


def main():
    store = aws.Aws()
    store.create_table()
    if ITEMS.exists():
        store.restore(ITEMS)
    faults = os.environ.get("WRIT_FAULTS")
    told = {
        "WRIT_TABLE": aws.TABLE,
        # Where requests to AWS go wrong on purpose, something stands in between.
        "AWS_ENDPOINT_URL": store.spoiled(pathlib.Path(faults)) if faults else store.url,
        **store.wrapping(
            os.environ["WRIT_WRAPPING_KEY"],
            os.environ["WRIT_ZONE"],
            os.environ.get("WRIT_WRAPPING_BY", "secret"),
        ),
    }
    functions = []
    try:
        functions += [Function(number, told) for number in range(INSTANCES)]
        for line in sys.stdin:
            if line.strip() == "restart":
                for function in functions:
                    function.stop_environments()
                    function.start_environments()
    finally:
        for function in functions:
            function.stop()
        store.dump(ITEMS)


class Function:
    """One function: an emulator of its platform, and the environments that answer its requests."""

    def __init__(self, number, told):
        project = STATE / f"function-{number}"
        (project / "src").mkdir(parents=True, exist_ok=True)
        (project / "Cargo.toml").write_text(STUB)
        (project / "src" / "main.rs").write_text("fn main() {}\n")
        self.number = number
        self.told = told
        self.environments = []
        self.port = free_port()
        tools = pathlib.Path(sys.executable).parent
        self.log = open(STATE / f"function-{number}.log", "ab")
        self.emulator = subprocess.Popen(
            [tools / "cargo-lambda", "lambda", "watch", "--only-lambda-apis", "--disable-cors"]
            + ["--invoke-address", "127.0.0.1", "--invoke-port", str(self.port)],
            cwd=project,
            stdin=subprocess.DEVNULL,
            stdout=self.log,
            stderr=self.log,
            preexec_fn=end_with_us,
        )
        wait(lambda: reachable(self.port), "the emulator does not listen", self.emulator)
        self.start_environments()

    def start_environments(self):
        events = open(os.environ["WRIT_EVENTS"], "ab")
        environment = {
            name: value
            for name, value in os.environ.items()
            if name.startswith("AWS_") or name in ("PATH", "WRIT_ZONE", "WRIT_ISSUER", "WRIT_OPERATOR_KEY")
        }
        environment |= self.told
        if self.number == 1 and os.environ.get("WRIT_SECOND_ZONE"):
            environment["WRIT_ZONE"] = os.environ["WRIT_SECOND_ZONE"]
            environment["WRIT_ISSUER"] = os.environ["WRIT_SECOND_ISSUER"]
        environment |= {
            "AWS_LAMBDA_RUNTIME_API": f"http://127.0.0.1:{self.port}/.rt",
            "AWS_LAMBDA_FUNCTION_NAME": "_",
            "AWS_LAMBDA_FUNCTION_VERSION": "1",
            "AWS_LAMBDA_FUNCTION_MEMORY_SIZE": "512",
            "AWS_LAMBDA_LOG_GROUP_NAME": "log",
            "AWS_LAMBDA_LOG_STREAM_NAME": "stream",
        }
        self.environments = [
            subprocess.Popen(
                [BOOTSTRAP],
                env=environment,
                stdin=subprocess.DEVNULL,
                stdout=events,
                stderr=self.log,
                preexec_fn=end_with_us,
            )
            for _ in range(ENVIRONMENTS)
        ]
        events.close()
        url = f"http://127.0.0.1:{self.port}"
        wait(lambda: healthy(url), f"the function does not start: {self.log.name}", *self.environments)
        print(f"listening on {url}", flush=True)

    def stop_environments(self):
        end(self.environments)

    def stop(self):
        self.stop_environments()
        end([self.emulator])


def end_with_us():
    """Nothing that was started outlives this process, however it ends (PR_SET_PDEATHSIG)."""
    ctypes.CDLL(None).prctl(1, signal.SIGTERM)


def end(processes):
    for process in processes:
        process.terminate()
    for process in processes:
        try:
            process.wait(5)
        except subprocess.TimeoutExpired:
            process.kill()
            process.wait()


def wait(ready, complaint, *processes):
    until = time.monotonic() + 30
    while not ready():
        if time.monotonic() > until or any(process.poll() is not None for process in processes):
            sys.exit(complaint)
        time.sleep(0.02)


def free_port():
    with socket.socket() as probe:
        probe.bind(("127.0.0.1", 0))
        return probe.getsockname()[1]


def reachable(port):
    try:
        socket.create_connection(("127.0.0.1", port), 1).close()
        return True
    except OSError:
        return False


def healthy(url):
    try:
        with urllib.request.urlopen(f"{url}/healthz", timeout=10) as answer:
            return answer.status == 200
    except (OSError, urllib.error.URLError):
        return False


main()

"""Runs the cases of a script against the service that a description names.

    python SCRIPT.py DESCRIPTION.json

Every function of the script whose name begins with `case_` is a case; it gets the description and
fails by raising. One line is printed a case, and the exit code is 1 where one failed.
"""

import contextlib
import inspect
import json
import sys
import traceback
from dataclasses import dataclass

FILES = "https://files.example/api"
MAIL = "https://mail.example"
PEOPLE = "https://people.example"
ID_TOKEN = "urn:ietf:params:oauth:token-type:id_token"
ACCESS_TOKEN = "urn:ietf:params:oauth:token-type:access_token"
JWT_TOKEN = "urn:ietf:params:oauth:token-type:jwt"
EXCHANGE = "urn:ietf:params:oauth:grant-type:token-exchange"
ASSERTION = "urn:ietf:params:oauth:client-assertion-type:jwt-bearer"


@dataclass
class Key:
    """A private key of an application: PKCS#8 in PEM, and the `kid` it is published under."""

    kid: str
    pem: str


class Description:
    """Where the service is, and what its callers have."""

    def __init__(self, text):
        known = json.loads(text)
        self.issuer = known["issuer"]
        self.algorithm = known["algorithm"]
        self.secrets = known["secrets"]
        self.keys = {name: Key(**key) for name, key in known["keys"].items()}
        self.alice = known["alice"]
        self._jobs = known["jobs"]

    def job(self):
        """A token of the platform for jobs that nobody has shown yet."""
        return self._jobs.pop()


def equal(actual, expected, what):
    """Fails where two values differ, and names them."""
    assert actual == expected, f"{what} is {actual!r}, expected {expected!r}"


def contains(text, part, what):
    """Fails where a text lacks a part."""
    assert part in (text or ""), f"{what} is {text!r}, which does not say {part!r}"


@contextlib.contextmanager
def raises(kind):
    """Fails where no exception of this kind is raised; the caught one is in `.value`."""
    caught = type("Caught", (), {"value": None})()
    try:
        yield caught
    except kind as error:
        caught.value = error
        return
    raise AssertionError(f"no {kind.__name__} was raised")


def run():
    """Runs the cases of the script that calls this, in the order they are written in."""
    with open(sys.argv[1], encoding="utf-8") as file:
        description = Description(file.read())
    script = sys.modules["__main__"]
    cases = [
        (name.removeprefix("case_"), function)
        for name, function in vars(script).items()
        if name.startswith("case_") and inspect.isfunction(function)
    ]
    failed = False
    for name, function in cases:
        try:
            function(description)
            print(f"ok      {name}")
        except Exception:  # A library may raise anything, and the other cases still run.
            failed = True
            print(f"FAILED  {name}\n{traceback.format_exc()}")
    sys.exit(failed)

"""What goes wrong on purpose between the function and its table."""

import json
import pathlib
import socket
import threading
import time

# DynamoDB's own words, by what happened to a transaction and to a request.
CONTENDED = {
    "__type": "com.amazonaws.dynamodb.v20120810#TransactionCanceledException",
    "Message": "Transaction cancelled",
    "CancellationReasons": [{"Code": "None"}, {"Code": "TransactionConflict", "Message": "-"}],
}
THROTTLED = {"__type": "com.amazon.coral.availability#ThrottlingException", "message": "-"}


def spoiled(application, path):
    """The application, with calls to DynamoDB spoiled as a file says. It is one JSON object, read at every call:

        {"store": {"call": 2, "times": 1, "does": "late", "millis": 6000}}

    `call` is counted from 1 since the file last changed, and those after it are spoiled too, `times` in all (1,
    where it is absent): `refuse` fails and nothing happened, `lost` fails after it was done, `contended` meets
    another transaction and `throttled` a limit, `slow` is done and `late` is answered so many milliseconds later.
    How many calls were made is in the file of that name with `.made` behind it.
    """
    alone = threading.Lock()
    seen = {"text": "", "made": 0}

    def fault():
        with alone:
            text = path.read_text() if path.exists() else ""
            if text != seen["text"]:
                seen.update(text=text, made=0)
            seen["made"] += 1
            pathlib.Path(f"{path}.made").write_text(str(seen["made"]))
            store = json.loads(text or "{}").get("store")
            struck = store and 0 <= seen["made"] - store["call"] < store.get("times", 1)
            return store if struck else {}

    def answer(environ, start):
        operation = environ.get("HTTP_X_AMZ_TARGET", "")
        wanted = fault() if operation.startswith("DynamoDB_") else {}
        does = wanted.get("does")
        if does == "refuse":
            # What is left unread would be taken for another request.
            environ["wsgi.input"].read(int(environ["CONTENT_LENGTH"]))
            hang_up(environ)
        if does in ("contended", "throttled"):
            # Of what is no transaction, a conflict is none.
            met = does == "contended" and operation.endswith("TransactWriteItems")
            start("400 -", [("content-type", "application/x-amz-json-1.0")])
            return [json.dumps(CONTENDED if met else THROTTLED).encode()]
        if does == "slow":
            time.sleep(wanted["millis"] / 1000)
        done = application(environ, start)
        if does == "late":
            time.sleep(wanted["millis"] / 1000)
        if does == "lost":
            hang_up(environ)
        return done

    return answer


def hang_up(environ):
    environ["werkzeug.socket"].shutdown(socket.SHUT_RDWR)
    raise ConnectionError

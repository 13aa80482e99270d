"""Plays AWS with an empty table until its stdin ends, for tests of the function's parts. Says where it is,
and where it has the wrapping key of the zone `one`."""

import json
import sys

import aws

KEY = "A" * 43

store = aws.Aws()
store.create_table()
places = [store.wrapping(KEY, "one", by) for by in ("secret", "kms")]
print(json.dumps({"url": store.url, **places[0], **places[1]}), flush=True)
sys.stdin.read()

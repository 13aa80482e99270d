"""Plays AWS with an empty table until its stdin ends, for tests of the store alone. Says where."""

import sys

import aws

store = aws.Aws()
store.create_table()
print(store.url, flush=True)
sys.stdin.read()

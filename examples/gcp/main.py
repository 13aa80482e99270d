"""A Cloud Run service that calls an API with its service account. No key of it is ever downloaded."""

import json
import os
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer
from urllib.error import HTTPError
from urllib.parse import urlencode
from urllib.request import Request, urlopen

WRIT = os.environ.get("WRIT", "https://auth.example.com")
API = os.environ.get("CUSTOMERS_API", "https://customers.example.com")
METADATA = os.environ.get("GCE_METADATA_HOST", "metadata.google.internal")


class Report(BaseHTTPRequestHandler):
    def do_GET(self):
        try:
            token = writ_token(resource="https://customers.example.com", scope="read")
            headers = {"Authorization": f"Bearer {token}"}
            with urlopen(Request(f"{API}/count", headers=headers), timeout=10) as answer:
                status, body = 200, answer.read()
        except PermissionError as refused:
            print(f"no token: {refused}", flush=True)
            status, body = 502, b'{"error": "no report today"}'
        self.send_response(status)
        self.send_header("Content-Type", "application/json")
        self.end_headers()
        self.wfile.write(body)


def writ_token(**wanted):
    """A token of Writ's for one resource, good for minutes."""
    # Google signs which service account this is, for Writ alone.
    identity = "computeMetadata/v1/instance/service-accounts/default/identity"
    query = urlencode({"audience": WRIT, "format": "full"})
    ask = Request(f"http://{METADATA}/{identity}?{query}", headers={"Metadata-Flavor": "Google"})
    with urlopen(ask, timeout=5) as answer:
        proof = answer.read().decode()
    form = {
        "grant_type": "urn:ietf:params:oauth:grant-type:jwt-bearer",
        "assertion": proof,
        **wanted,
    }
    try:
        with urlopen(f"{WRIT}/oauth/token", urlencode(form).encode(), timeout=10) as answer:
            return json.load(answer)["access_token"]
    except HTTPError as refused:
        raise PermissionError(refused.read().decode()) from None


if __name__ == "__main__":
    address = os.environ.get("HOST", ""), int(os.environ.get("PORT", "8080"))
    ThreadingHTTPServer(address, Report).serve_forever()

"""AWS on this machine: moto, with the table of template.yaml and a wrapping key."""

import base64
import json
import logging
import os
import pathlib
import threading

import boto3
import faults
import yaml
from moto.dynamodb.models.table import Table
from moto.moto_server.werkzeug_app import DomainDispatcherApplication, create_backend_app
from werkzeug.serving import make_server

ROOT = pathlib.Path(__file__).resolve().parents[2]
REGION = "eu-central-1"
TABLE = "writ"

# Credentials of nobody: moto takes any, and no other place is ever asked.
os.environ.update(
    AWS_ACCESS_KEY_ID="test",
    AWS_SECRET_ACCESS_KEY="test",
    AWS_SESSION_TOKEN="test",
    AWS_REGION=REGION,
    AWS_EC2_METADATA_DISABLED="true",
    AWS_CONFIG_FILE=os.devnull,
    AWS_SHARED_CREDENTIALS_FILE=os.devnull,
)


logging.getLogger("werkzeug").setLevel(logging.ERROR)


class Template(yaml.SafeLoader):
    """Reads CloudFormation's short forms, whose values nobody here needs."""


Template.add_multi_constructor("!", lambda loader, suffix, node: f"!{suffix}")


def template():
    return yaml.load((ROOT / "template.yaml").read_text(), Template)


def one_at_a_time():
    """The application, behind a lock. A transaction that moto refuses puts all tables back as they were when
    it began, and with them what others have written meanwhile."""
    moto = DomainDispatcherApplication(create_backend_app)
    alone = threading.Lock()

    def answer(environ, start):
        with alone:
            return list(moto(environ, start))

    return answer


def without_snapshots():
    """Before each item of a transaction moto copies the whole table, to put it back where it refuses one. A
    large table takes it seconds. For measurements alone, in which no transaction is refused."""
    Table.__deepcopy__ = lambda table, memo: table


def serve(application):
    """Serves for as long as the process lives, at the URL that it returns."""
    server = make_server("127.0.0.1", 0, application, threaded=True)
    threading.Thread(target=server.serve_forever, daemon=True).start()
    return f"http://127.0.0.1:{server.server_port}"


class Aws:
    """A server that plays AWS for as long as the process lives."""

    def __init__(self):
        if os.environ.get("WRIT_SNAPSHOTS") == "none":
            without_snapshots()
        self.moto = one_at_a_time()
        self.url = serve(self.moto)

    def spoiled(self, path):
        """The URL at which requests go wrong as a file says."""
        return serve(faults.spoiled(self.moto, path))

    def client(self, service):
        return boto3.client(service, region_name=REGION, endpoint_url=self.url)

    def create_table(self):
        """Creates the table as it is deployed."""
        table = template()["Resources"]["Table"]["Properties"]
        same = ("BillingMode", "AttributeDefinitions", "KeySchema", "GlobalSecondaryIndexes")
        dynamodb = self.client("dynamodb")
        dynamodb.create_table(TableName=TABLE, **{name: table[name] for name in same})
        dynamodb.update_time_to_live(
            TableName=TABLE, TimeToLiveSpecification=table["TimeToLiveSpecification"]
        )

    def dump(self, path):
        """Writes every item to a file: moto forgets them."""
        pages = self.client("dynamodb").get_paginator("scan").paginate(TableName=TABLE)
        items = [item for page in pages for item in page["Items"]]
        draft = path.with_suffix(".draft")
        draft.write_text(json.dumps(items, default=lambda b: {"base64": base64.b64encode(b).decode()}))
        draft.replace(path)

    def restore(self, path):
        """Puts the items of a file back."""

        def plain(value):
            return base64.b64decode(value["base64"]) if "base64" in value else value

        dynamodb = self.client("dynamodb")
        for item in json.loads(path.read_text(), object_hook=plain):
            dynamodb.put_item(TableName=TABLE, Item=item)

    def wrapping(self, key, zone, by):
        """Puts the wrapping key where a function has it; the variables that say where."""
        if by == "kms":
            kms = self.client("kms")
            made = kms.create_key()["KeyMetadata"]["KeyId"]
            plain = base64.urlsafe_b64decode(key + "=")
            sealed = kms.encrypt(KeyId=made, Plaintext=plain, EncryptionContext={"writ-zone": zone})
            text = base64.b64encode(sealed["CiphertextBlob"]).decode()
            return {"WRIT_WRAPPING_CIPHERTEXT": text}
        secrets = self.client("secretsmanager")
        made = secrets.create_secret(Name="writ-wrapping-key", SecretString=key)
        return {"WRIT_WRAPPING_SECRET": made["ARN"]}

"""Expands template.yaml as SAM does when it deploys, and holds it to what the function needs."""

import json
import os
import pathlib

os.environ.setdefault("AWS_DEFAULT_REGION", "us-east-1")

from samcli.yamlhelper import yaml_parse
from samtranslator.translator.transform import transform

ROOT = pathlib.Path(__file__).resolve().parents[2]


class NoManagedPolicies:
    def load(self):
        return {}


def main():
    template = yaml_parse((ROOT / "template.yaml").read_text())
    for parameter in template["Parameters"].values():
        assert parameter["Description"]
    # Where the built program is uploaded to is filled in when it is packaged.
    template["Resources"]["Function"]["Properties"]["CodeUri"] = "s3://bucket/key"
    expanded = transform(template, {}, NoManagedPolicies())
    resources = expanded["Resources"]
    by_type = lambda kind: [one["Properties"] for one in resources.values() if one["Type"] == kind]

    [function] = by_type("AWS::Lambda::Function")
    assert function["Architectures"] == ["arm64"] and function["Runtime"] == "provided.al2023"
    assert "WRIT_WRAPPING_KEY" not in function["Environment"]["Variables"]
    assert function["Timeout"] > 20, "a request may fetch twice and commit twice, 5 s each"
    # An account whose limit is too low to reserve a part of it has to be able to deploy.
    reserved = function["ReservedConcurrentExecutions"]
    assert reserved == {"Fn::If": ["Reserves", {"Ref": "ReservedConcurrency"}, {"Ref": "AWS::NoValue"}]}, reserved
    assert template["Parameters"]["ReservedConcurrency"]["MinValue"] == -1

    # A URL without authentication needs both: one alone is answered 403.
    permissions = {one["Action"]: one for one in by_type("AWS::Lambda::Permission")}
    assert set(permissions) == {"lambda:InvokeFunctionUrl", "lambda:InvokeFunction"}, permissions
    assert permissions["lambda:InvokeFunctionUrl"]["FunctionUrlAuthType"] == "NONE"
    assert permissions["lambda:InvokeFunction"]["InvokedViaFunctionUrl"] is True

    [table] = by_type("AWS::DynamoDB::Table")
    layout = (ROOT / "targets/lambda/src/store/layout.rs").read_text()
    indexes = [index["IndexName"] for index in table["GlobalSecondaryIndexes"]]
    assert json.dumps(indexes) in layout, indexes
    for index in table["GlobalSecondaryIndexes"]:
        assert [key["AttributeName"] for key in index["KeySchema"]] == [index["IndexName"], "at"]
    assert table["DeletionProtectionEnabled"] is True
    assert table["PointInTimeRecoverySpecification"] == {"PointInTimeRecoveryEnabled": True}
    assert table["TimeToLiveSpecification"] == {"AttributeName": "ttl", "Enabled": True}
    # What outlives the stack. A first deployment that fails leaves the table alone, which is protected.
    for kept, policy in (("Table", "Retain"), ("WrappingKey", "RetainExceptOnCreate"), ("Events", "RetainExceptOnCreate")):
        assert resources[kept]["DeletionPolicy"] == policy, kept
        assert resources[kept]["UpdateReplacePolicy"] == "Retain", kept

    [role] = by_type("AWS::IAM::Role")
    assert "ManagedPolicyArns" not in role
    [policy] = role["Policies"]
    for statement in policy["PolicyDocument"]["Statement"]:
        resource, actions = statement["Resource"], statement["Action"]
        assert resource != "*" and statement["Effect"] == "Allow", statement
        assert not any("*" in action for action in ([actions] if isinstance(actions, str) else actions))

    metrics = {(one["Namespace"], one["MetricName"]) for one in by_type("AWS::CloudWatch::Alarm")}
    assert metrics == {
        ("AWS/Lambda", "Errors"),
        # The function never fails of a 503, so its `Errors` alone would ring for none.
        ("AWS/Lambda", "Url5xxCount"),
        ("AWS/Lambda", "Throttles"),
        ("AWS/Lambda", "Duration"),
        ("AWS/DynamoDB", "ThrottledRequests"),
        ("AWS/DynamoDB", "TransactionConflict"),
    }
    [log] = by_type("AWS::Logs::LogGroup")
    assert log["RetentionInDays"]


main()

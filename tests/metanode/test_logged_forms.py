"""Bytes that are in logs and stores today stay readable: tests/golden/commands_v1.json."""

from __future__ import annotations

import json
from pathlib import Path

import pytest
from google.protobuf import json_format
from google.protobuf.message import Message

from holdfast_metanode.commands import OPERATIONS
from holdfast_proto import command_pb2 as records

GOLDEN = Path(__file__).resolve().parents[1] / "golden" / "commands_v1.json"
FORMS: dict[str, type[Message]] = {
    "Command": records.Command,
    "Result": records.Result,
    "AppliedRecord": records.AppliedRecord,
    "ClusterRecord": records.ClusterRecord,
    "CountersRecord": records.CountersRecord,
    "TenantRecord": records.TenantRecord,
    "SpaceRecord": records.SpaceRecord,
    "MoveRecord": records.MoveRecord,
    "SessionRecord": records.SessionRecord,
    "RegisterMember": records.RegisterMember,
    "CheckpointDescriptor": records.CheckpointDescriptor,
}
CASES = json.loads(GOLDEN.read_text())


@pytest.mark.parametrize("case", CASES, ids=lambda case: case["name"])
def test_golden_bytes_read_as_ever(case: dict[str, object]) -> None:
    form = FORMS[str(case["form"])]
    read = form.FromString(bytes.fromhex(str(case["bytes"])))
    assert json_format.MessageToDict(read, preserving_proto_field_name=True) == case["value"]
    assert read.SerializeToString(deterministic=True).hex() == case["bytes"]


def test_every_operation_and_record_has_golden_bytes() -> None:
    operations = {
        str(field)
        for case in CASES
        if case["form"] == "Command"
        for field in case["value"]
        if field in OPERATIONS
    }
    assert operations == set(OPERATIONS)
    assert {case["form"] for case in CASES} == set(FORMS)


def test_every_operation_of_the_contract_is_implemented() -> None:
    oneof = records.Command.DESCRIPTOR.oneofs_by_name["operation"]
    assert {field.name for field in oneof.fields} == set(OPERATIONS)

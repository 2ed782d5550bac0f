"""What schemathesis cannot know: which 5xx is no fault, and what there is that a path may name."""

import json
import os
import random

import schemathesis

KNOWN = json.loads(os.environ["FUZZ_KNOWN"])


@schemathesis.check
def no_fault_of_the_service(ctx, response, case):
    # What is not built says so.
    if response.status_code >= 500 and response.status_code != 501:
        raise AssertionError(f"{response.status_code}: {response.text[:500]}")


@schemathesis.hook
def before_call(context, case, **kwargs):
    """A request that is to be refused may lack the version, and then be a right one of version 3.0, which another document describes."""
    if case.path.startswith(("/v3/", "/inspect/")):
        case.headers["OpenStack-API-Version"] = f"volume {os.environ['FUZZ_VERSION']}"


@schemathesis.hook
def map_path_parameters(context, path_parameters):
    """Half of the requests are about what is there, or was."""
    for name in path_parameters or {}:
        # Of another project every request is refused alike.
        if name in KNOWN and (name == "project_id" or random.random() < 0.5):
            path_parameters[name] = random.choice(KNOWN[name])
    return path_parameters


# Fields that name what nothing in the document makes. Operations with one of them are not begun with in the stateful phase.
NOT_MADE = {"backup_id", "consistencygroup_id", "group_id", "imageRef", "image_id", "instance_uuid"}


@schemathesis.hook
def before_load_schema(context, raw_schema):
    """In the stateful phase requests do without them, so that volumes and attachments are made, whose links it follows."""
    if not os.environ["FUZZ_STATEFUL"]:
        return

    def strip(value):
        for inner in value.values() if isinstance(value, dict) else value if isinstance(value, list) else ():
            strip(inner)
        if isinstance(value, dict) and isinstance(value.get("properties"), dict):
            for field in NOT_MADE:
                value["properties"].pop(field, None)

    for path in raw_schema["paths"].values():
        for operation in path.values():
            if isinstance(operation, dict):
                strip(operation.get("requestBody"))


# Fields of bodies that name a resource, by the parameter that has its id.
NAMED = {
    "volume_id": "volume_id",
    "volume_uuid": "volume_id",
    "source_volid": "volume_id",
    "snapshot_id": "snapshot_id",
    "volume_type": "type_id",
    "new_type": "type_id",
    "availability_zone": "availability_zone",
    "host": "name",
    "size": "size",
}
KNOWN |= {"availability_zone": ["nova"], "size": [1, 2]}


@schemathesis.hook
def map_body(context, body):
    """The same of what a body names. A volume of no size is nobody's."""
    is_new = context.operation.path.endswith("/volumes") and isinstance(body, dict)
    if is_new and isinstance(body.get("volume"), dict):
        body["volume"].setdefault("size", 1)
    for inner in body.values() if isinstance(body, dict) else ():
        for field in inner if isinstance(inner, dict) else ():
            if field in NAMED and random.random() < 0.5:
                inner[field] = random.choice(KNOWN[NAMED[field]])
    return body

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

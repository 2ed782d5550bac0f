"""The OpenAPI document is one that tools accept, for every version, and its page is one that a browser shows without help."""

import pytest
import requests
from openapi_spec_validator import OpenAPIV31SpecValidator


@pytest.mark.parametrize("version", ["3.0", "3.27", "3.66", "3.67", "3.71"])
def test_the_document_is_valid_openapi(shared, version):
    answer = requests.get(f"{shared.url}/openapi.json", params={"microversion": version}, timeout=10)
    assert answer.status_code == 200, answer.text[:300]
    assert answer.headers["OpenStack-API-Version"] == f"volume {version}"
    document = answer.json()
    assert document["info"]["version"] == version
    faults = [f"{list(fault.absolute_path)}: {fault.message}" for fault in OpenAPIV31SpecValidator(document).iter_errors()]
    assert faults == []


def test_the_header_chooses_the_version_as_everywhere(shared):
    headers = {"OpenStack-API-Version": "volume 3.50"}
    answer = requests.get(f"{shared.url}/openapi.json", headers=headers, timeout=10)
    assert answer.json()["info"]["version"] == "3.50"
    assert "OpenStack-API-Version" in answer.headers["Vary"]
    again = requests.get(
        f"{shared.url}/openapi.json", headers={**headers, "If-None-Match": answer.headers["ETag"]}, timeout=10
    )
    assert (again.status_code, again.content) == (304, b"")
    refused = requests.get(f"{shared.url}/openapi.json", params={"microversion": "3.72"}, timeout=10)
    assert refused.status_code == 406


def test_the_page_needs_no_token_and_no_other_resource(shared):
    answer = requests.get(f"{shared.url}/openapi", timeout=10)
    assert answer.status_code == 200
    assert answer.headers["Content-Type"] == "text/html; charset=utf-8"
    assert answer.headers["Content-Security-Policy"].startswith("default-src 'none'; style-src 'sha256-")
    assert "<script" not in answer.text

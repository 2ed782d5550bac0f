"""Cross-origin requests are answered as oslo.middleware answers them, with Cinder's defaults."""

import itertools

import requests
import webob
from oslo_config import cfg
from oslo_middleware import cors

PAGE = "https://dashboard.example.org"
HEADERS = ["X-Auth-Token", "X-Identity-Status", "X-Roles", "X-Service-Catalog", "X-User-Id", "X-Tenant-Id",
           "X-OpenStack-Request-ID", "X-Trace-Info", "X-Trace-HMAC", "OpenStack-API-Version", "Idempotency-Key"]
EXPOSED = ["X-Auth-Token", "X-Subject-Token", "X-Service-Token", "X-OpenStack-Request-ID", "OpenStack-API-Version",
           "Idempotency-Replayed"]
METHODS = ["GET", "PUT", "POST", "DELETE", "PATCH", "HEAD"]


def oslo(origins, credentials):
    """oslo.middleware around an application that knows no OPTIONS, as Cinder."""

    @webob.dec.wsgify
    def application(request):
        return webob.Response(status=404 if request.method == "OPTIONS" else 200)

    filtered = cors.CORS(application, cfg.ConfigOpts())
    filtered.allowed_origins.clear()
    filtered.add_origin(origins, credentials, EXPOSED, 3600, METHODS, HEADERS)
    return filtered


def shown(headers):
    ours = {name.lower(): value for name, value in headers.items()}
    found = {name: value for name, value in ours.items() if name.startswith("access-control-")}
    found["varies"] = "origin" in ours.get("vary", "").lower()
    return found


def test_pages_of_other_origins_are_answered_as_by_oslo(make_pumice):
    compared = 0
    for origins, credentials in ([PAGE, "http://localhost:3000"], True), (["*"], False):
        pumice = make_pumice(config={"cors": {"allowed_origins": origins, "allow_credentials": credentials}}).start()
        token, project = pumice.token()
        middleware = oslo(origins, credentials)
        path = f"/v3/{project}/volumes"
        names = (None, "X-Auth-Token", "x-auth-token, content-type", "X-Unknown", "", "Idempotency-Key,Accept")
        pages = (None, PAGE, "http://localhost:3000", PAGE + "/", "https://evil.example.org", "null", "*")
        questions = itertools.product(("OPTIONS", "GET"), pages, (None, "POST", "post", "TRACE"), names)
        for method, origin, wanted, headers in questions:
            sent = {"Origin": origin, "Access-Control-Request-Method": wanted, "Access-Control-Request-Headers": headers}
            sent = {name: value for name, value in sent.items() if value is not None}
            expected = webob.Request.blank(path, method=method, headers=sent).get_response(middleware)
            found = requests.request(method, pumice.url + path, headers={**sent, "X-Auth-Token": token}, timeout=10)
            assert found.status_code == expected.status_int, (method, sent, found.text)
            assert shown(found.headers) == shown(expected.headers), (method, sent)
            compared += 1
        assert "x-openstack-request-id" in requests.options(pumice.url + path, timeout=10).headers
    assert compared > 500


def test_without_allowed_origins_no_page_may_call(shared):
    token, project = shared.token()
    answer = requests.get(f"{shared.url}/v3/{project}/volumes", headers={"X-Auth-Token": token, "Origin": PAGE}, timeout=10)
    assert answer.status_code == 200
    assert not any(name.lower().startswith("access-control-") for name in answer.headers)

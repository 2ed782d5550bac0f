"""What clients do that mean no good, or know no better: the service refuses it or endures it, with bounded memory, and goes on serving
others."""

import json
import pathlib
import resource
import selectors
import socket
import time

import psutil
import pytest

UNKNOWN = "11111111-1111-4111-8111-111111111111"
MIB = 1024 * 1024


def memory(pumice):
    return psutil.Process(pumice.control.process.pid).memory_info().rss


def exchange(pumice, data, source="127.0.0.1", seconds=20):
    """Sends bytes and reads until the service hangs up or falls silent."""
    with socket.create_connection(("127.0.0.1", pumice.port), timeout=seconds, source_address=(source, 0)) as stream:
        try:
            stream.sendall(data)
        except (ConnectionResetError, BrokenPipeError):
            pass
        got = b""
        try:
            while chunk := stream.recv(65536):
                got += chunk
        except (TimeoutError, ConnectionResetError):
            pass
        return got


def post(pumice, body, path="/volumes"):
    return pumice.admin("POST", path, data=body, headers={"Content-Type": "application/json"})


# Each is as large as a body may be (114688 bytes), or nearly.
BOMBS = {
    "deep lists": '{"volume": {"size": 1, "metadata": ' + "[" * 50_000 + "]" * 50_000 + "}}",
    "deep objects": '{"a":' * 20_000 + "1" + "}" * 20_000,
    "a wide object": json.dumps({"volume": {"size": 1, **{f"k{n}": 1 for n in range(9_000)}}}),
    "wide metadata": json.dumps({"volume": {"size": 1, "metadata": {f"k{n}": "" for n in range(9_000)}}}),
    "a wide list": json.dumps({"volume": {"size": 1, "metadata": list(range(18_000))}}),
    "long keys": json.dumps({"volume": {"size": 1, "x" * 100_000: 1}}),
    "escapes": '{"volume": {"size": 1, "name": "' + "\\u00e9" * 18_000 + '"}}',
    "a long number": '{"volume": {"size": ' + "9" * 100_000 + "}}",
    "a small exponent": '{"volume": {"size": 1e-' + "9" * 100 + "}}",
}


@pytest.mark.parametrize("name", BOMBS)
def test_a_bomb_of_json_is_refused_at_once(shared, name):
    shared.admin("GET", "/volumes")
    before, began = memory(shared), time.monotonic()
    answer = post(shared, BOMBS[name])
    assert answer.status_code in (400, 413), (answer.status_code, answer.text[:300])
    assert time.monotonic() - began < 5
    assert memory(shared) - before < 64 * MIB


def test_lists_that_must_be_unique_are_compared_in_linear_time(shared):
    made = shared.admin("POST", "/qos-specs", json={"qos_specs": {"name": "hostile"}})
    path = f"/qos-specs/{made.json()['qos_specs']['id']}/delete_keys"
    keys = json.dumps({"keys": [f"{n:x}" for n in range(14_000)]}, separators=(",", ":"))
    began = time.monotonic()
    answer = shared.admin("PUT", path, data=keys, headers={"Content-Type": "application/json"})
    assert answer.status_code == 404, answer.text[:300]
    assert time.monotonic() - began < 2


# Texts of JSON, and what they are to each reader: the last of equal keys counts, as in Python.
@pytest.mark.parametrize("body, status", [
    ('{"volume": {"size": 0, "size": 1, "availability_zone": "nowhere"}}', 400),
    ('{"volume": {"size": 1}, "volume": {"size": 0}}', 400),
    ('{"volume": {"size": 9223372036854775808}}', 400),
    ('{"volume": {"size": -9223372036854775809}}', 400),
    ('{"volume": {"size": 18446744073709551616}}', 400),
    ('{"volume": {"size": 1.0}}', 400),
    ('{"volume": {"size": 1, "name": "a\\u0000b"}}', 400),
    ('{"volume": {"size": 1, "metadata": {"a\\u0000b": "v"}}}', 400),
    ('{"volume": {"size": 1, "metadata": {"k": "\\u0000"}}}', 400),
    (b'{"volume": {"size": 1, "name": "a\x00b"}}', 400),
    (b'{"volume": {"size": 1, "name": "\xff\xfe"}}', 400),
    (b'{"volume": {"size": 1, "name": "\xc3"}}', 400),
    (b'{"volume": {"size": 1, "name": "\xed\xa0\x80"}}', 400),
    (b'\xef\xbb\xbf{"volume": {"size": 1}}', 400),
])
def test_what_readers_could_take_differently_is_refused(shared, body, status):
    before = len(shared.all_volumes())
    answer = post(shared, body)
    assert answer.status_code == status, answer.text[:300]
    assert len(shared.all_volumes()) == before


def test_an_action_that_is_named_twice_is_one_action(shared):
    body = '{"os-force_delete": {}, "os-reserve": {}, "os-force_delete": {}}'
    answer = post(shared, body, f"/volumes/{UNKNOWN}/action")
    assert (answer.status_code, answer.json()["badRequest"]["message"]) == (400, "Malformed request body")
    answer = post(shared, '{"os-nothing": {}, "os-nothing": {}}', f"/volumes/{UNKNOWN}/action")
    assert answer.json()["badRequest"]["message"].startswith("There is no such action: os-nothing")


@pytest.mark.parametrize("path", [
    "/volumes?name=a%00b",
    "/volumes/detail?a%00b=1",
    "/volumes/a%00b",
    "/os-quota-sets/a%00b",
    "/default-types/%00",
])
def test_nul_in_a_url_is_refused(shared, path):
    answer = shared.admin("GET", path)
    assert (answer.status_code, answer.json()["badRequest"]["message"]) == (400, "Malformed request url")


@pytest.mark.parametrize("path", ["/volumes?name=%ff%fe", "/volumes/%ff", "/volumes?limit=99999999999999999999", "/volumes/%c0%80"])
def test_a_url_of_no_text_is_no_fault_of_the_service(shared, path):
    assert shared.admin("GET", path).status_code in (200, 400, 404)


@pytest.mark.parametrize("name, head", [
    ("one long header", b"X-Long: " + b"a" * (4 * MIB) + b"\r\n"),
    ("many headers", b"".join(b"X-%d: a\r\n" % n for n in range(100_000))),
    ("a long name", b"X-" + b"a" * (4 * MIB) + b": b\r\n"),
    ("NUL in a header", b"X-Auth-Token: a\x00b\r\n"),
    ("no text in a header", b"X-Auth-Token: \xff\xfe\r\nOpenStack-API-Version: volume \xff\r\n"),
    ("a line that goes on", b"X-A: b\r\n c\r\n"),
    ("two lengths", b"Content-Length: 1\r\nContent-Length: 2\r\n"),
    ("a length and chunks", b"Content-Length: 1\r\nTransfer-Encoding: chunked\r\n"),
    ("a negative length", b"Content-Length: -1\r\n"),
    ("a huge length", b"Content-Length: 99999999999999999999999\r\n"),
])
def test_absurd_headers_are_refused_with_bounded_memory(shared, name, head):
    before = memory(shared)
    got = exchange(shared, b"GET /v3/volumes HTTP/1.1\r\nHost: x\r\nConnection: close\r\n" + head + b"\r\n")
    status = got.split(b" ")[1] if got.startswith(b"HTTP/1.1 ") else b""
    # A connection that is reset is a refusal, too.
    assert status in (b"", b"400", b"401", b"413", b"431"), got[:300]
    assert memory(shared) - before < 32 * MIB
    assert shared.admin("GET", "/volumes").status_code == 200


def test_a_long_url_is_refused_with_bounded_memory(shared):
    before = memory(shared)
    got = exchange(shared, b"GET /v3/volumes?a=" + b"b" * (4 * MIB) + b" HTTP/1.1\r\nHost: x\r\n\r\n")
    status = got.split(b" ")[1] if got.startswith(b"HTTP/1.1 ") else b""
    assert status in (b"", b"400", b"414", b"431"), got[:300]
    assert memory(shared) - before < 32 * MIB


def test_ten_thousand_idle_connections_cost_little_and_keep_nobody_out(make_pumice):
    """Two addresses hold as many as each may. A third still gets in."""
    resource.setrlimit(resource.RLIMIT_NOFILE, (min(16_000, resource.getrlimit(resource.RLIMIT_NOFILE)[1]),) * 2)
    pumice = make_pumice().start()
    before = memory(pumice)
    held, refused = [], 0
    selector = selectors.DefaultSelector()
    try:
        for n in range(10_000):
            stream = socket.create_connection(("127.0.0.1", pumice.port), timeout=10, source_address=(f"127.0.0.{2 + n % 2}", 0))
            stream.setblocking(False)
            selector.register(stream, selectors.EVENT_READ)
            held.append(stream)
        began = time.monotonic()
        got = exchange(pumice, b"GET /healthcheck HTTP/1.1\r\nHost: x\r\nConnection: close\r\n\r\n")
        assert got.startswith(b"HTTP/1.1 200 "), got
        assert time.monotonic() - began < 5
        assert pumice.admin("GET", "/volumes").status_code == 200
        grown = memory(pumice) - before
        assert grown < 256 * MIB, f"{grown / MIB:.0f} MiB"
        refused = len(selector.select(timeout=0))
        print(f"10000 connections: {grown / MIB:.1f} MiB more, {refused} refused or ended by then")
    finally:
        selector.close()
        for stream in held:
            stream.close()
    descriptors = lambda: len(list(pathlib.Path(f"/proc/{pumice.control.process.pid}/fd").iterdir()))
    deadline = time.monotonic() + 20
    while descriptors() > 500 and time.monotonic() < deadline:
        time.sleep(0.05)
    assert descriptors() <= 500
    assert pumice.admin("GET", "/volumes").status_code == 200

"""The service as a process on a real socket."""

import json
import os
import re
import signal
import socket
import subprocess
import sys
from concurrent.futures import ThreadPoolExecutor

import httpx
import pytest
from small_shop import BRANDS, COUNT, DOCUMENTS, write_shop

from cascade.errors import InputError
from cascade.service import address_of, bound

END_TIMEOUT_S = 20


@pytest.fixture(scope="module")
def config(tmp_path_factory):
    return write_shop(tmp_path_factory.mktemp("shop"))


def serve(config, *options):
    command = [sys.executable, "-m", "cascade", "serve", "--config", str(config), *options]
    return subprocess.Popen(command, stdout=subprocess.PIPE, stderr=subprocess.PIPE, text=True)


def ended(process, number=signal.SIGTERM):
    """Ask a service to end and return its exit code and what it wrote since."""
    process.send_signal(number)
    try:
        out, err = process.communicate(timeout=END_TIMEOUT_S)
    finally:
        process.kill()
    return process.returncode, out, err


@pytest.fixture(scope="module")
def served(config):
    """A running service: its address, and the curl line that it printed."""
    process = serve(config)
    told, curl = process.stdout.readline(), process.stdout.readline()
    found = re.match(r"Serving plain, second on (http://127\.0\.0\.1:\d+) ", told)
    if not found:
        _, out, err = ended(process)
        pytest.fail(f"{told}{curl}{out}{err}")
    yield found[1], curl
    code, out, err = ended(process)
    assert (code, out, err) == (0, "", "")


def test_every_cascade_of_the_file_is_served(served):
    url, _ = served
    ready = httpx.get(f"{url}/readyz").json()
    assert list(ready["cascades"]) == ["plain", "second"]
    for name, retrieved in (("plain", COUNT), ("second", 50)):
        body = {"text": "cup", "cascade": name, "size": 2}
        page = httpx.post(f"{url}/v1/search", json=body).json()
        assert [item["id"] for item in page["items"]] == ["d000", "d001"]
        assert page["trace"]["retrieved"] == retrieved


def test_the_printed_curl_line_works(served):
    url, curl = served
    found = re.fullmatch(r"curl -s (\S+) -d '(.+)'\n", curl)
    assert found[1] == f"{url}/v1/search"
    response = httpx.post(found[1], content=found[2])
    assert response.status_code == 200
    assert response.json()["total"]["value"] == 0  # this shop has no rings


def test_many_clients_at_once_get_the_same_answers(served):
    url, _ = served
    bodies = [{"text": "cup", "filters": {"brand": BRANDS[n % 5]}, "size": 7} for n in range(48)]

    def ids(body):
        response = client.post(f"{url}/v1/search", json=body)
        return [item["id"] for item in response.raise_for_status().json()["items"]]

    with httpx.Client() as client, ThreadPoolExecutor(8) as pool:
        found = list(pool.map(ids, bodies))
    for body, given in zip(bodies, found, strict=True):
        brand = body["filters"]["brand"]
        assert given == [d["id"] for d in DOCUMENTS if d["brand"] == brand][:7]


def test_a_large_body_is_refused_over_the_socket(served):
    url, _ = served
    text = json.dumps({"text": "x" * 2_000_000})
    response = httpx.post(f"{url}/v1/search", content=text)
    assert response.status_code == 413
    assert f"the body has {len(text):,} bytes; accepted are up to 1,048,576" in response.text
    assert httpx.get(f"{url}/livez").status_code == 200


def test_a_port_in_use_is_told_before_anything_is_loaded(served, tmp_path):
    port = served[0].rpartition(":")[2]
    (tmp_path / "schema.toml").write_text('[fields.title]\ntype = "text"\n')
    (tmp_path / "cascade.toml").write_text(
        '[index]\nschema = "schema.toml"\nstore = "nothing-was-built"\n[service]\nport = ' + port
    )
    process = serve(tmp_path / "cascade.toml")
    out, err = process.communicate(timeout=END_TIMEOUT_S)
    assert process.returncode == 3
    assert out == ""
    assert err == (
        f"Error: port {port} of 127.0.0.1 is in use; stop what listens there, or give another "
        "one with --port (0 takes a free one)\n"
    )


@pytest.mark.skipif(os.name != "posix", reason="unsupported: signals of POSIX")
def test_an_interrupt_ends_it_with_0(config):
    process = serve(config, "--port", "0")
    assert process.stdout.readline().startswith("Serving plain")
    process.stdout.readline()
    assert ended(process, signal.SIGINT) == (0, "", "")


def test_a_cascade_that_cannot_be_opened_is_told(tmp_path):
    (tmp_path / "schema.toml").write_text('[fields.title]\ntype = "text"')
    (tmp_path / "cascade.toml").write_text(
        '[index]\nschema = "schema.toml"\nstore = "none"\n[service]\nport = 0'
    )
    process = serve(tmp_path / "cascade.toml")
    _, err = process.communicate(timeout=END_TIMEOUT_S)
    assert process.returncode == 3
    assert err.startswith("Error: ")
    assert "Traceback" not in err


def test_a_bound_port_is_taken():
    with bound("127.0.0.1", 0) as listening:
        port = listening.getsockname()[1]
        assert address_of(listening) == f"http://127.0.0.1:{port}"
        with pytest.raises(InputError, match=f"port {port} of 127.0.0.1 is in use"):
            bound("127.0.0.1", port)
    with bound("127.0.0.1", port) as again:
        assert again.getsockname()[1] == port


def test_a_port_is_free_again_after_a_connection_was_open_on_it():
    with bound("127.0.0.1", 0) as listening:
        port = listening.getsockname()[1]
        client = socket.create_connection(("127.0.0.1", port))
        server, _ = listening.accept()
        # The side that closes first waits out the connection's last packets.
        server.close()
        client.close()
    bound("127.0.0.1", port).close()


def test_a_host_that_is_not_this_machine_is_refused():
    with pytest.raises(InputError, match="cannot listen on 'no such host'"):
        bound("no such host", 0)
    # An address that RFC 5737 keeps for documentation.
    with pytest.raises(InputError, match=r"cannot listen on port 0 of 192\.0\.2\.1"):
        bound("192.0.2.1", 0)


def test_an_address_for_every_interface_is_shown_as_one_that_answers():
    with bound("0.0.0.0", 0) as listening:
        assert address_of(listening).startswith("http://127.0.0.1:")

"""The client: text that keeps every byte, commands sent once, waits within their time."""

from __future__ import annotations

import shutil
import socket
import subprocess
import threading
from pathlib import Path

import pytest
import redis
from tests.integration.store.conftest import StartServer, failure
from tests.support.redis_fixtures import wait_for
from tests.support.scripted_redis import ScriptedRedis

from octet.base.errors import ConfigError, StoreUnreachable
from octet.store.connection import (
    check_version,
    connect,
    open_client,
    resolve_url,
    translate_errors,
)


def test_url_precedence() -> None:
    """--redis precedes the environment, that the repository; unset means the embedded server."""
    environ = {"OCTET_REDIS_URL": "redis://env"}
    assert resolve_url("redis://flag", environ, "redis://file") == "redis://flag"
    assert resolve_url(None, environ, "redis://file") == "redis://env"
    assert resolve_url("", {"OCTET_REDIS_URL": ""}, "redis://file") == "redis://file"
    assert resolve_url(None, {}, "") is None


def test_any_bytes_come_back_unharmed(redis_client: redis.Redis) -> None:
    """What a foreign client wrote in another encoding is read as text and written back the same."""
    raw = redis.Redis(unix_socket_path=redis_client.get_connection_kwargs()["path"])
    raw.set("k", b"caf\xe9 \xff\x00 \xe2\x82\xac")
    text = redis_client.get("k")
    assert isinstance(text, str)
    redis_client.set("copy", text)
    assert raw.get("copy") == raw.get("k")
    raw.close()


def test_client_says_who_it_is(redis_url: str) -> None:
    """CLIENT LIST shows the name that was asked for."""
    with open_client(redis_url, name="octet-test") as client:
        assert "octet-test" in [each["name"] for each in client.client_list()]


def test_connects_to_a_real_server(redis_url: str) -> None:
    """connect() with a URL proves that the server answers and is new enough."""
    with connect(redis_url) as client:
        assert client.ping()


def test_blocking_wait_outlasts_the_answer_time(redis_url: str) -> None:
    """A client made for waiting is not cut off by its own time-out."""
    with open_client(redis_url, answer_s=0.3, wait_s=5) as client:
        assert not client.xread({"nothing": "$"}, block=900)


def test_subscription_outlasts_the_answer_time(redis_url: str) -> None:
    """A subscriber that hears nothing for longer than a command may take is still subscribed."""
    with open_client(redis_url, answer_s=0.2) as client, client.pubsub() as pubsub:
        pubsub.subscribe("c")
        assert pubsub.get_message(timeout=1)
        assert pubsub.get_message(timeout=0.8) is None
        client.publish("c", "late")
        message = pubsub.get_message(timeout=5)
        assert message
        assert message["data"] == "late"


@pytest.mark.parametrize("end", [b"", None], ids=["cut off", "silent"])
def test_command_is_sent_once(short_directory: Path, end: bytes | None) -> None:
    """A script whose answer does not come is never sent a second time behind our back."""
    with (
        ScriptedRedis(short_directory / "s", lambda _: end) as server,
        open_client(server.url, answer_s=0.3) as client,
        pytest.raises(StoreUnreachable),
        translate_errors(client),
    ):
        client.evalsha("0" * 40, 0)
    assert [words[0] for words in server.seen] == ["EVALSHA"]


def test_idle_connection_that_died_is_replaced(short_directory: Path) -> None:
    """A connection that the server closed overnight costs nothing but a new one."""
    with (
        ScriptedRedis(short_directory / "s", lambda _: b"+OK\r\n") as server,
        open_client(server.url) as client,
    ):
        client.set("a", "1")
        server.cut()
        client.set("a", "2")
    assert (server.connections, len(server.seen)) == (2, 2)


def test_idle_connection_that_hangs_is_replaced(
    short_directory: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    """A connection whose health check gets no answer is given up before the command is sent."""
    monkeypatch.setattr(
        "octet.store.connection.HEALTH_CHECK_S", 1e-9
    )  # every command is due for a check

    def silent_once(words: list[str]) -> bytes | None:
        return None if words[0] == "PING" else b"+OK\r\n"

    def greet(words: list[str]) -> bytes | None:
        hangs = server.connections == 1 and server.seen
        return (
            None if words[0] == "SET" or hangs else {"PING": b"+PONG\r\n"}.get(words[0], b"+OK\r\n")
        )

    with (
        ScriptedRedis(short_directory / "s", silent_once, greet) as server,
        open_client(server.url, answer_s=0.3) as client,
    ):
        client.set("a", "1")
        client.set("a", "2")
    assert server.seen == [["SET", "a", "1"], ["PING"], ["SET", "a", "2"]]


def test_many_threads_share_a_client(redis_url: str) -> None:
    """Eighty threads on one client are all served."""
    with open_client(redis_url) as client:
        threads = [threading.Thread(target=client.incr, args=("n",)) for _ in range(80)]
        for thread in threads:
            thread.start()
        for thread in threads:
            thread.join()
        assert client.get("n") == "80"


def test_old_server_is_refused(short_directory: Path) -> None:
    """A server before 6.2 is named as too old when connecting, not at some script's first use."""
    info = b"redis_version:6.0.16\r\n"
    reply = b"$%d\r\n%s\r\n" % (len(info), info)
    with (
        ScriptedRedis(short_directory / "s", lambda _: reply) as server,
        pytest.raises(StoreUnreachable, match=r"6\.0\.16"),
    ):
        connect(server.url)


@pytest.fixture(scope="session")
def certificate(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """A directory with a self-signed `cert.pem` for localhost and its `key.pem`."""
    if not shutil.which("openssl"):
        pytest.skip("needs openssl")
    home = tmp_path_factory.mktemp("tls")
    subject = ["-subj", "/CN=localhost", "-addext", "subjectAltName=DNS:localhost"]
    command = [
        "openssl",
        "req",
        "-x509",
        "-newkey",
        "ec",
        "-pkeyopt",
        "ec_paramgen_curve:prime256v1",
        "-nodes",
        "-days",
        "2",
    ]
    subprocess.run(
        [*command, "-keyout", home / "key.pem", "-out", home / "cert.pem", *subject],
        check=True,
        capture_output=True,
    )
    return home


def free_port() -> int:
    """A TCP port that is free now."""
    with socket.socket() as probe:
        probe.bind(("127.0.0.1", 0))
        return int(probe.getsockname()[1])


def test_tls(start_server: StartServer, certificate: Path) -> None:
    """rediss:// works with the CA given, and says what is wrong without it, with another name, and
    against a plain port.
    """
    port, plain = free_port(), free_port()
    files = [
        "--tls-cert-file",
        str(certificate / "cert.pem"),
        "--tls-key-file",
        str(certificate / "key.pem"),
        "--tls-auth-clients",
        "no",
    ]
    start_server("--tls-port", str(port), "--bind", "127.0.0.1", "-::1", *files)
    start_server("--port", str(plain), "--bind", "127.0.0.1")
    with connect(f"rediss://localhost:{port}?ssl_ca_certs={certificate}/cert.pem") as client:
        assert client.ping()
    with connect(f"rediss://localhost:{port}?ssl_cert_reqs=none") as client:
        assert client.ping()
    assert "TLS handshake" in failure(f"rediss://localhost:{port}")
    assert "TLS handshake" in failure(
        f"rediss://127.0.0.1:{port}?ssl_ca_certs={certificate}/cert.pem"
    )
    assert "rediss://" in failure(
        f"rediss://127.0.0.1:{plain}?ssl_cert_reqs=none", answer_s=0.3
    )  # which waits for the end of the line
    assert "rediss://" in failure(f"redis://127.0.0.1:{port}")


def test_sentinel(start_server: StartServer) -> None:
    """redis+sentinel:// finds the primary; an unknown service is named."""
    port, sentinel = free_port(), free_port()
    start_server("--port", str(port), "--bind", "127.0.0.1")
    start_server(
        "--sentinel",
        "--port",
        str(sentinel),
        "--bind",
        "127.0.0.1",
        config=f"sentinel monitor main 127.0.0.1 {port} 1\n",
    )
    with connect(f"redis+sentinel://127.0.0.1:{sentinel}/main/1") as client:
        assert client.set("a", "1")
        assert client.connection_pool.get_master_address() == ("127.0.0.1", port)
    assert "not known to any Sentinel" in failure(f"redis+sentinel://127.0.0.1:{sentinel}/other")


def test_cluster(start_server: StartServer) -> None:
    """redis+cluster:// runs scripts on a project's slot, publishes, sends a bad command once."""
    port = free_port()
    node = start_server(
        "--port",
        str(port),
        "--bind",
        "127.0.0.1",
        "--cluster-enabled",
        "yes",
        "--cluster-port",
        str(free_port()),
    )
    with open_client(node.url) as client:
        client.execute_command("CLUSTER", "ADDSLOTSRANGE", "0", "16383")
        wait_for(
            lambda: "cluster_state:ok" in str(client.execute_command("CLUSTER", "INFO")),
            "the cluster is up",
        )
    url = f"redis+cluster://127.0.0.1:{port}"
    with connect(url) as client:
        script = "return redis.call('incr', KEYS[1])"
        assert client.execute_command("EVAL", script, 1, "workflow:{p}:n") == 1
        assert client.publish("c", "x") == 0
        pipe = client.pipeline(transaction=False)
        pipe.set("workflow:{p}:a", "1")
        pipe.get("workflow:{p}:a")
        assert pipe.execute() == [True, "1"]
        node.kill()
        with pytest.raises(StoreUnreachable), translate_errors(client):
            client.set("workflow:{p}:a", "2")
    with pytest.raises(StoreUnreachable, match="cluster"):
        open_client(url)


def test_settings_error_is_no_store_error() -> None:
    """A URL that cannot be read is the settings' fault."""
    with pytest.raises(ConfigError):
        connect("mysql://db")


def test_version_check_needs_no_rights(redis_client: redis.Redis) -> None:
    """check_version() passes on every server the tests know."""
    check_version(redis_client)

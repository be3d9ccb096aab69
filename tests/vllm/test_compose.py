"""What deploy/vllm/compose.yaml starts: who can reach which listener, and that the README says so."""

from __future__ import annotations

import re
import subprocess
from pathlib import Path
from typing import Any

import pytest
import yaml

from tests.vllm.proxy import DEPLOYED, LISTENERS, deployed, nginx

COMPOSE: dict[str, Any] = yaml.safe_load((DEPLOYED / "compose.yaml").read_text())
# A listener, its service, and the one network of those who call it.
WHERE = {
    "ask": ("vllm-proxy", "ambit_model"),
    "operate": ("vllm-operate", "ambit_operate"),
    "watch": ("vllm-watch", "ambit_watch"),
}


def services_on(network: str) -> set[str]:
    """Return the services of a network, by the name that others join it by."""
    (key,) = [k for k, told in COMPOSE["networks"].items() if told.get("name", k) == network]
    return {name for name, told in COMPOSE["services"].items() if key in told["networks"]}


def included(service: str) -> list[str]:
    """Return the listeners that a service is given."""
    volumes = [volume.split(":") for volume in COMPOSE["services"][service]["volumes"]]
    given = [source for source, target, _ in volumes if target == "/etc/nginx/listener.conf"]
    assert ["./nginx.conf", "/etc/nginx/nginx.conf", "ro"] in volumes
    return [Path(source).stem for source in given if (DEPLOYED / source).is_file()]


def test_each_network_reaches_one_listener_and_none_reaches_vllm() -> None:
    found = {
        network: [listener for name in services_on(network) for listener in included(name)]
        for _, network in WHERE.values()
    }

    assert found == {network: [listener] for listener, (_, network) in WHERE.items()}
    assert services_on("inner") == {"vllm", *(service for service, _ in WHERE.values())}
    assert COMPOSE["services"]["vllm"]["networks"] == ["inner"]
    assert len(COMPOSE["networks"]) == 4
    assert all(told["internal"] is True for told in COMPOSE["networks"].values())
    assert not [name for name, told in COMPOSE["services"].items() if "ports" in told]


def test_who_reads_the_readme_finds_each_listener_where_it_is() -> None:
    page = (DEPLOYED / "README.md").read_text()

    named = set(re.findall(r"http://(vllm-\w+:\d+)", page))

    assert named == {f"{WHERE[name][0]}:{port}" for name, port in LISTENERS.items()}
    for _, network in WHERE.values():
        assert f"`{network}`" in page


@pytest.mark.parametrize("listener", LISTENERS)
def test_each_listener_is_a_whole_configuration_and_listens_nowhere_else(
    listener: str, tmp_path: Path
) -> None:
    written = deployed(listener)
    assert re.findall(r"listen (\S+);", written) == [LISTENERS[listener]]
    program = nginx()
    if program is None:
        pytest.skip("nginx is absent: apt-get install nginx-light")
    (tmp_path / "vllm_key").write_text("inner-3f9a")
    subprocess.run(["sh", str(DEPLOYED / "keys.sh"), str(tmp_path)], check=True)
    for there, here in (
        ("server vllm:8000;", "server 127.0.0.1:9;"),
        (" /tmp/", f" {tmp_path}/"),
        ("/run/secrets/vllm_proxy_keys", str(tmp_path / "proxy_keys")),
    ):
        written = written.replace(there, here)
    (tmp_path / "nginx.conf").write_text(written)

    tried = subprocess.run(
        [program, "-t", "-c", str(tmp_path / "nginx.conf")],
        capture_output=True,
        text=True,
        check=False,
    )

    assert tried.returncode == 0, tried.stderr

"""The files a lab leaves for its clients: addresses, certificate, credentials, a proxies.toml. No secret in lab.json."""

from __future__ import annotations

import json
import os
from collections.abc import Mapping
from pathlib import Path
from typing import Any
from urllib.parse import quote

from scraper.lab.credentials import CUSTOMER
from scraper.lab.exits import COUNTRIES, DEFAULT_MINUTES

CA_FILE, LIST_FILE, PROXIES_FILE, INFO_FILE = "ca.pem", "datacentre.txt", "proxies.toml", "lab.json"

_GATEWAY = """
[pools.{name}]
kind = "gateway"
gateway = "{gateway}"
username = "{customer}"
country_part = "-country-{{country}}"
session_part = "-session-{{session}}-sesstime-{{minutes}}"
session_minutes = {minutes}
password_file = "{name}.password"
usd_per_gb = {usd}
countries = {countries}
"""


def write_credentials(folder: Path, passwords: Mapping[str, str], datacentre: list[tuple[str, int]]) -> None:
    """The list file with user and password, and one password file for each gateway; readable by the owner only."""
    password = quote(passwords["datacentre"], safe="")
    lines = [f"http://{CUSTOMER}:{password}@{host}:{port}\n" for host, port in datacentre]
    _private(folder / LIST_FILE, "".join(lines))
    for name in passwords.keys() - {"datacentre"}:
        _private(folder / f"{name}.password", passwords[name] + "\n")


def write_proxies(folder: Path, gateways: Mapping[str, str], usd_per_gb: Mapping[str, float]) -> None:
    """proxies.toml in the format of the crawler: the list, the gateways, and how to allow the own address."""
    text = (
        '# [pools.direct]       # without the marks, a site is first asked from your own address\n# kind = "direct"\n\n'
        f'[pools.datacentre]\nkind = "list"\nfile = "{LIST_FILE}"\nusd_per_gb = {usd_per_gb["datacentre"]}\n'
    )
    for name, gateway in gateways.items():
        text += _GATEWAY.format(
            name=name,
            gateway=gateway,
            customer=CUSTOMER,
            minutes=DEFAULT_MINUTES,
            usd=usd_per_gb[name],
            countries=json.dumps(COUNTRIES),
        )
    (folder / PROXIES_FILE).write_text(text, encoding="utf-8")


def write_info(folder: Path, info: Mapping[str, Any]) -> None:
    """lab.json, complete or not at all: readers may be waiting for it."""
    part = folder / f"{INFO_FILE}.part"
    part.write_text(json.dumps(info, indent=2) + "\n", encoding="utf-8")
    part.replace(folder / INFO_FILE)


def _private(path: Path, text: str) -> None:
    path.unlink(missing_ok=True)
    descriptor = os.open(path, os.O_WRONLY | os.O_CREAT | os.O_EXCL, 0o600)
    with os.fdopen(descriptor, "w", encoding="utf-8", newline="\n") as file:
        file.write(text)

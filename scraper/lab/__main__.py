"""``python -m scraper.lab``: a lab by itself, until it is told to end."""

from __future__ import annotations

import argparse
import asyncio
import json
import os
import signal
import sys
import tempfile
import threading
from pathlib import Path
from typing import Any

from scraper.lab.options import LabError, LabOptions, add_arguments, from_arguments
from scraper.lab.server import Lab


def main(arguments: list[str] | None = None) -> int:
    """Run a lab; the exit code: 0 after a clean end, 2 when it could not start."""
    parser = argparse.ArgumentParser(prog="python -m scraper.lab", description=__doc__, allow_abbrev=False)
    parser.add_argument(
        "--dir", type=Path, help="folder for lab.json, ca.pem, proxies.toml (default: a new one)"
    )
    parser.add_argument(
        "--json", action="store_true", help="when ready, print lab.json in one line and no more"
    )
    parser.add_argument("--while-stdin", action="store_true", help="end when standard input closes")
    add_arguments(parser)
    parsed = parser.parse_args(arguments)
    folder = parsed.dir or Path(tempfile.mkdtemp(prefix="lab-"))
    try:
        asyncio.run(_run(folder, from_arguments(parsed), as_json=parsed.json, while_stdin=parsed.while_stdin))
    except LabError as error:
        print(f"{parser.prog}: {error}", file=sys.stderr)
        return 2
    except KeyboardInterrupt:
        pass
    return 0


async def _run(folder: Path, options: LabOptions, *, as_json: bool, while_stdin: bool) -> None:
    loop, stop = asyncio.get_running_loop(), asyncio.Event()
    for number in (signal.SIGINT, signal.SIGTERM):
        try:
            loop.add_signal_handler(number, stop.set)
        except NotImplementedError:  # Windows
            signal.signal(number, lambda *_: loop.call_soon_threadsafe(stop.set))
    async with Lab(folder, options) as lab:
        print(json.dumps(lab.info) if as_json else _usage(lab.info), flush=True)
        if while_stdin:
            threading.Thread(target=_wait_for_end, args=(loop, stop), daemon=True).start()
        await stop.wait()


def _wait_for_end(loop: asyncio.AbstractEventLoop, stop: asyncio.Event) -> None:
    """Runs in a thread, since Windows cannot wait for standard input in the loop."""
    while os.read(0, 4096):
        pass
    try:
        loop.call_soon_threadsafe(stop.set)
    except RuntimeError:  # the loop is closed: somebody else ended the lab
        return


def _usage(info: dict[str, Any]) -> str:
    folder, sites, pools = info["dir"], info["sites"], info["pools"]
    lines = [
        f"The lab is ready: world {info['world']}, seed {info['seed']}. Its files are in {folder}",
        "",
        "Sites:",
    ]
    lines += [f"  {site['start_url']:36} {site['about']}" for site in sites.values()]
    lines += ["", "Proxies, with prices for a GB:"]
    lines += [
        f"  {name:12} ${pool['usd_per_gb']:<5} {pool.get('gateway') or pool['file']}"
        for name, pool in pools.items()
    ]
    residential, first = pools["residential"], next(iter(sites.values()))
    lines += [
        "",
        "Through a gateway, from Germany, with a session of its own:",
        f"  curl --cacert {info['ca']} -x {residential['gateway']} \\",
        f'    -U "customer-lab-country-de-session-a1:$(cat {residential["password_file"]})" \\',
        f"    {sites.get('geo', first)['start_url']}",
        "With the crawler:",
        f"  scrapy crawl shop -a url={first['start_url']} -s PROXIES_FILE={info['proxies']} \\",
        f"    -s TLS_CA_FILE={info['ca']} -s ALLOW_PRIVATE_ADDRESSES=1",
        "Its pools, one by one:",
        f"  scrapy proxies check -s PROXIES_FILE={info['proxies']} -s TLS_CA_FILE={info['ca']} \\",
        f"    -s ALLOW_PRIVATE_ADDRESSES=1 -s PROXY_CHECK_URL={info['check_url']}",
        f"What happened: curl {info['truth_url']} (or /served). It ends with Ctrl-C.",
    ]
    return "\n".join(lines)


if __name__ == "__main__":
    sys.exit(main())

"""I/O. SFTP, as fsspec has it, to a server whose key is known: fsspec's own would talk to any that answers."""

from __future__ import annotations

import paramiko
from fsspec.implementations.sftp import SFTPFileSystem

CONNECT_S = 15.0  # for each of TCP, SSH's greeting and the login
ANSWER_S = 30.0


class Sftp(SFTPFileSystem):  # type: ignore[misc]  # fsspec ships no types
    """``known_hosts``: a file of server keys instead of ~/.ssh/known_hosts; all else goes to ``paramiko.SSHClient.connect``."""

    def _connect(self) -> None:
        options = {"timeout": CONNECT_S, "banner_timeout": CONNECT_S, "auth_timeout": CONNECT_S}
        options |= self.ssh_kwargs
        known = options.pop("known_hosts", None)
        self.client = paramiko.SSHClient()
        try:
            if known:
                self.client.load_host_keys(known)
            else:
                self.client.load_system_host_keys()
            self.client.set_missing_host_key_policy(paramiko.RejectPolicy())
            self.client.connect(self.host, **options)
            self.ftp = self.client.open_sftp()
        except BaseException:
            self.client.close()
            raise
        self.ftp.get_channel().settimeout(ANSWER_S)

    def put_file(self, lpath: str, rpath: str, callback: object = None, **named: object) -> None:
        """Without fsspec's walk along the folders above, which are there."""
        self.ftp.put(lpath, rpath)

    def get_file(self, rpath: str, lpath: str, **named: object) -> None:
        self.ftp.get(rpath, lpath)

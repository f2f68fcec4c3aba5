"""Settings of the process, from options and ``DOCKERV6_*`` variables."""

from dataclasses import dataclass
from pathlib import Path

from dockerv6.controller.context import ControllerSettings
from dockerv6.firewall.model import DEFAULT_MARK
from dockerv6.lib.statefile import STATE_FILE
from dockerv6.planning.inputs import Identity

CONFIG_DIR = "/etc/dockerv6.d"
STATE_DIR = "/var/lib/dockerv6"
RUN_DIR = "/run/dockerv6"


@dataclass(frozen=True, slots=True)
class Settings:
    """One operator's settings. Times are in seconds."""

    config_dirs: tuple[str, ...] = (CONFIG_DIR,)
    trusted_uids: tuple[
        int, ...
    ] = ()  # owners of source files that are trusted, besides root and the operator's own user
    state_dir: str = STATE_DIR
    run_dir: str = RUN_DIR
    docker_host: str | None = None  # None: DOCKER_HOST, else the default socket
    firewall_backend: str = "auto"  # auto | nftables | iptables
    resync: float = 600.0
    prune: bool = True
    fwmark: int = DEFAULT_MARK
    log_format: str = "text"  # text | json
    log_level: str = "info"
    listen: str = ""  # "": unix:<run_dir>/http.sock; "none": nothing; tcp as host:port
    instance: str = "dockerv6"

    @property
    def database(self) -> Path:
        """The file of the store and the ledger."""
        return Path(self.state_dir) / STATE_FILE

    @property
    def address(self) -> str:
        """The address of health and metrics; "": they are not served."""
        if self.listen == "none":
            return ""
        return self.listen or f"unix:{self.run_dir}/http.sock"

    def controller(self) -> ControllerSettings:
        """The controller's settings."""
        return ControllerSettings(
            roots=self.config_dirs,
            identity=Identity(self.instance, self.fwmark),
            prune=self.prune,
            resync=self.resync,
        )

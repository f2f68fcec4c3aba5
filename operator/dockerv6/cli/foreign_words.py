"""Verbs and options of kubectl, docker, terraform and flux that dockerv6 does not have, and what to do instead.

Imported only for a verb or an option that does not exist.
"""

from collections.abc import Mapping

_FILES = "resources are files: change the file, or use `dockerv6 edit KIND/NAME`"
_CONTAINERS = "is about containers: use `docker {}`"
_ONE_HOST = "dockerv6 acts on this host only"
_CLUSTER = f"is about clusters: {_ONE_HOST}"

VERBS: Mapping[str, str] = {
    # kubectl
    "logs": "shows logs of containers: use `docker logs`; those of dockerv6 are in `journalctl -u dockerv6`, and"
    " `dockerv6 events` has what happened to resources",
    "exec": _CONTAINERS.format("exec"),
    "attach": _CONTAINERS.format("attach"),
    "cp": _CONTAINERS.format("cp"),
    "debug": _CONTAINERS.format("run --network container:NAME"),
    "port-forward": "is about containers: publish the port with `docker run -p`, or in spec.publish.ports",
    "top": _CONTAINERS.format("stats"),
    "scale": "is about containers: use `docker compose up --scale`",
    "autoscale": "is about containers: use `docker compose up --scale`",
    "expose": "is about Services: publish a port with `docker run -p`, or in spec.publish.ports",
    "rollout": "is about Deployments: `dockerv6 wait KIND/NAME` waits until a change is applied, `suspend` and `resume`"
    " pause it, `reconcile` repeats it",
    "create": f"is not needed: `dockerv6 apply -f FILE` creates and changes; {_FILES}",
    "replace": "is not needed: `dockerv6 apply -f FILE` replaces",
    "patch": f"is not possible: {_FILES}",
    "set": f"is not possible: {_FILES}",
    "label": f"is not possible: write metadata.labels into the file; {_FILES}",
    "annotate": f"is not possible: write metadata.annotations into the file; {_FILES}",
    "config": f"is about clusters: {_ONE_HOST}; its settings are options and DOCKERV6_* variables, see `dockerv6 run"
    " --help`",
    "cluster-info": f"{_CLUSTER}; `dockerv6 doctor` checks it",
    "api-versions": "is `dockerv6 api-resources`",
    "auth": f"{_CLUSTER}, and root may do everything",
    "certificate": _CLUSTER,
    "cordon": _CLUSTER,
    "uncordon": _CLUSTER,
    "drain": f"{_CLUSTER}; `dockerv6 suspend KIND/NAME` keeps a resource as it is",
    "taint": _CLUSTER,
    "proxy": "is not needed: the daemon answers on its socket, see --listen in `dockerv6 run --help`",
    "kustomize": "is not built in: kustomize build DIR | dockerv6 apply -f -",
    "plugin": "does not exist: dockerv6 has no plugins",
    "options": "is `dockerv6 run --help`",
    "help": "is `dockerv6 --help`, or `dockerv6 VERB --help`",
    # docker
    "ls": "is `dockerv6 get all`",
    "list": "is `dockerv6 get all`",
    "ps": "is `dockerv6 get all`; containers are in `docker ps`",
    "inspect": "is `dockerv6 describe KIND NAME`, or `dockerv6 get KIND NAME -o yaml`",
    "rm": "is `dockerv6 delete KIND NAME`",
    "remove": "is `dockerv6 delete KIND NAME`",
    "up": "is `dockerv6 apply`, or `dockerv6 run` for the daemon",
    "down": "is `dockerv6 delete KIND NAME`, or `dockerv6 uninstall` for everything",
    "start": "is `systemctl start dockerv6`, or `dockerv6 run`",
    "stop": "is `systemctl stop dockerv6`; networks and rules stay",
    "restart": "is `systemctl restart dockerv6`; no packet is interrupted",
    "status": "is `dockerv6 get all` for resources, and `dockerv6 healthcheck --ready` for the daemon",
    "info": "is `dockerv6 version` and `dockerv6 doctor`",
    # terraform
    "init": "is not needed: write a file into /etc/dockerv6.d, and run `dockerv6 apply`",
    "destroy": "is `dockerv6 delete KIND NAME`, or `dockerv6 uninstall` for everything",
    "refresh": "is `dockerv6 reconcile KIND/NAME`",
    "show": "is `dockerv6 get all -o yaml`, or `dockerv6 plan` for changes",
    "state": "is `dockerv6 get all -o yaml`",
    "fmt": "does not exist: `dockerv6 validate` checks files",
}
"""The message for a verb, as the rest of a sentence."""

_KUBECONFIG = f"{_ONE_HOST}: there is no cluster to choose"

_COMPOSE_OPTION = "give it to Compose: docker compose … config | dockerv6 import -f -"

OPTIONS: Mapping[str, str] = {
    "--dry-run": "`dockerv6 plan` shows what would change",
    "--context": _KUBECONFIG,
    "--cluster": _KUBECONFIG,
    "--kubeconfig": _KUBECONFIG,
    "--server": f"{_KUBECONFIG}; --docker-host chooses the engine",
    "--user": _KUBECONFIG,
    "--as": "there are no users: everyone who can read the state directory can read everything",
    "--token": _KUBECONFIG,
    "--kustomize": "kustomize build DIR | dockerv6 apply -f -",
    "-k": "kustomize build DIR | dockerv6 apply -f -",
    "--recursive": "directories are read with all directories below",
    "-R": "directories are read with all directories below",
    "--filename": "name the resources: KIND NAME",
    "-f": "name the resources: KIND NAME",
    "--field-selector": "use -l for labels, or filter with -o jsonpath='{.items[?(@.status.subnet==\"…\")]}'",
    "--server-side": "it is not needed: dockerv6 reads whole files",
    "--force-conflicts": "it is not needed: dockerv6 reads whole files",
    "--field-manager": "it is not needed: dockerv6 reads whole files",
    "--grace-period": "a deletion waits until no container is attached",
    "--cascade": "spec.deletionPolicy: Orphan keeps the Docker network",
    "--now": "a deletion waits until no container is attached",
    "--record": "Git keeps the history of files, and `dockerv6 events` what happened",
    "--template": "write -o jsonpath='{…}'",
    "--output-watch-events": "-o json prints the deletionTimestamp",
    "--watch-only": "-w prints the existing resources first",
    **dict.fromkeys(("--env-file", "--profile", "--project-directory"), _COMPOSE_OPTION),
    **dict.fromkeys(("-p", "--project-name"), "`dockerv6 import --project NAME` names a Compose project"),
    "--auto-approve": "`dockerv6 apply` does not ask",
    "--detach": "systemctl start dockerv6",
    "-d": "systemctl start dockerv6",
}
"""What to do instead of an option. Options that a command has are not listed."""

"""Network namespaces for the nodes of a world, whose links can be cut."""

from __future__ import annotations

import os
import subprocess


def run(*command: object) -> bool:
    """Whether a command succeeds."""
    return subprocess.run(list(map(str, command)), capture_output=True, check=False).returncode == 0


class Nets:
    """One network namespace a node, joined by a bridge to this one; where they cannot be had, all nodes are on loopback."""

    def __init__(self) -> None:
        number = os.getpid()
        self._name = f"tm{number % 100000}"
        self._net = f"10.{64 + number % 128}.{number // 128 % 256}"
        self.made = os.geteuid() == 0 and run("ip", "link", "add", self._name, "type", "bridge")
        self.head = f"{self._net}.1" if self.made else "127.0.0.1"
        self.heads = [self.head] if self.made else []
        self._there: set[int] = set()
        if self.made:
            run("ip", "addr", "add", f"{self.head}/24", "dev", self._name)
            run("ip", "link", "set", self._name, "up")

    def join(self, nodes: range) -> None:
        for node in nodes if self.made else ():
            space, link = f"{self._name}n{node}", f"{self._name}v{node}"
            if node not in self._there:
                run("ip", "netns", "add", space)
                run("ip", "link", "add", link, "type", "veth", "peer", "name", "eth0", "netns", space)
                run("ip", "link", "set", link, "master", self._name)
                run("ip", "-n", space, "addr", "add", f"{self._net}.{10 + node}/24", "dev", "eth0")
                for more in (["eth0"], ["lo"]):
                    run("ip", "-n", space, "link", "set", *more, "up")
                self._there.add(node)
            self.cut(node, False)

    def prefix(self, node: int | None) -> tuple[list[str], str]:
        """What goes before a command of a node, and the node's address; None is the head."""
        if node is None or not self.made:
            return [], self.head
        # nsenter, unlike ip netns exec, leaves the mounts as they are.
        return ["nsenter", f"--net=/run/netns/{self._name}n{node}"], f"{self._net}.{10 + node}"

    def cut(self, node: int, off: bool) -> None:
        run("ip", "link", "set", f"{self._name}v{node}", "down" if off else "up")

    def close(self) -> None:
        for node in self._there:
            run("ip", "netns", "del", f"{self._name}n{node}")
        if self.made:
            run("ip", "link", "del", self._name)

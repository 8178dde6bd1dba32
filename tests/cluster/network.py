"""The bridge that pods are on, and their way out of it."""

import json
from pathlib import Path

from tests.cluster.layout import API, BRIDGE, HOST, MTU, PODS, STATE
from tests.cluster.process import ClusterError, run

_FORWARD = Path("/proc/sys/net/ipv4/ip_forward")
# What the machine had in _FORWARD before.
_BEFORE = STATE / "ip_forward"

_OURS = ("-m", "comment", "--comment", "keras_remote test cluster")
# Tables, chains and rules.
_RULES: tuple[tuple[str, ...], ...] = (
  ("nat", "POSTROUTING", "-s", PODS, "!", "-d", PODS, "-j", "MASQUERADE"),
  ("filter", "FORWARD", "-i", BRIDGE, "-j", "ACCEPT"),
  ("filter", "FORWARD", "-o", BRIDGE, "-j", "ACCEPT"),
)


def up() -> None:
  """Makes the bridge and lets pods out of it; what is there stays.

  Raises:
    ClusterError: Another interface has the addresses.
  """
  links = json.loads(run("ip", "-json", "-4", "address"))
  for link in links:
    addresses = {each["local"] for each in link["addr_info"]}
    if link["ifname"] != BRIDGE and addresses & {HOST, API}:
      raise ClusterError(
        f"interface {link['ifname']} has an address of the cluster's: {HOST} "
        f"or {API}"
      )
  if not _exists():
    run("ip", "link", "add", BRIDGE, "mtu", str(MTU), "type", "bridge")
  run("ip", "address", "replace", f"{HOST}/24", "dev", BRIDGE)
  run("ip", "address", "replace", f"{API}/32", "dev", BRIDGE)
  run("ip", "link", "set", BRIDGE, "up")
  for table, chain, *rule in _RULES:
    if not _has(table, chain, rule):
      # Before any rule that drops.
      _iptables(table, "-I", chain, rule)
  if not _BEFORE.exists():
    _BEFORE.write_text(_FORWARD.read_text())
  _FORWARD.write_text("1")


def down() -> None:
  """Leaves the machine's network as `up` found it."""
  for table, chain, *rule in _RULES:
    if _exists() and _has(table, chain, rule):
      _iptables(table, "-D", chain, rule)
  if _exists():
    run("ip", "link", "delete", BRIDGE)
  if _BEFORE.exists():
    _FORWARD.write_text(_BEFORE.read_text())
    _BEFORE.unlink()


def _exists() -> bool:
  return Path(f"/sys/class/net/{BRIDGE}").exists()


def _has(table: str, chain: str, rule: list[str]) -> bool:
  try:
    _iptables(table, "-C", chain, rule)
  except ClusterError:
    return False
  return True


def _iptables(table: str, action: str, chain: str, rule: list[str]) -> None:
  run("iptables", "-w", "-t", table, action, chain, *rule, *_OURS)

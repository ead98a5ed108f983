"""What this CPU is called, and what it can do."""

from __future__ import annotations

import platform
from pathlib import Path

_SETS = ("avx2", "avx512f", "avx512_vnni", "avx512_bf16", "amx_int8", "amx_bf16")


def _said() -> dict[str, str]:
    """What the kernel says of the first CPU; nothing on other systems than Linux."""
    try:
        lines = Path("/proc/cpuinfo").read_text().split("\n\n", 1)[0].splitlines()
    except OSError:
        return {}
    return {key.strip(): value.strip() for key, _, value in (line.partition(":") for line in lines)}


def cpu_flags() -> frozenset[str]:
    """Return the CPU's features by the names that Linux has for them; empty where `/proc/cpuinfo` does not tell."""
    said = _said()
    return frozenset((said.get("flags") or said.get("Features") or "").split())


def sums_int8_exactly() -> bool:
    """Return whether this CPU sums products of 8-bit numbers without losing any.

    x86 CPUs without VNNI add pairs of products in 16 bits, and what is larger becomes the largest that fits; other
    architectures are not known to do so.
    """
    flags = cpu_flags()
    return "sse2" not in flags or bool(flags & {"avx512_vnni", "avx_vnni", "amx_int8"})


def cpu_name() -> str:
    """Return the CPU's model name, with those of the instruction sets that decide on an engine's speed."""
    flags = cpu_flags()
    name = _said().get("model name") or platform.processor() or platform.machine()
    return f"{name} ({', '.join(one for one in _SETS if one in flags)})"

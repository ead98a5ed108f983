"""What tests share: data of their own, real servers, worlds in memory, and what looks after leaks."""

from pathlib import Path

ROOT = Path(__file__).parent.parent.parent

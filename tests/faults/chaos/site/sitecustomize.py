"""Run at the start of every Python process of a world: sets its clock aside, or takes a guard out of the product, as the
environment says. Nothing happens without TEXTMILL_CHAOS_CLOCK_S and TEXTMILL_CHAOS_OFF.
"""

import importlib.abc
import importlib.machinery
import os
import sys
import time

CLOCK, OFF = "TEXTMILL_CHAOS_CLOCK_S", "TEXTMILL_CHAOS_OFF"

if _aside := float(os.environ.get(CLOCK, "0")):
    _time, _time_ns = time.time, time.time_ns
    time.time = lambda: _time() + _aside
    time.time_ns = lambda: _time_ns() + int(_aside * 1e9)


def _claim(module):
    """The claim is never found to be lost."""
    module.Claim._checked = lambda self: None


def _conservation(module):
    """What was read is compared with nothing."""
    module.check_footer = lambda split, footer: None


def _verify(module):
    """What was written is not read again before it is published."""
    before = module._verify

    def verify(store, path, rows):
        return "" if path.startswith("_staging/") else before(store, path, rows)

    module._verify = verify


def _overwrite(module):
    """A rename takes the place of what is there."""

    def rename(self, source, target):
        into = self._at(target)
        into.parent.mkdir(parents=True, exist_ok=True)
        os.replace(self._at(source), into)

    module.LocalStore.rename_no_overwrite = rename


# What is switched off -> in which module, and how.
SWITCHES = {
    "claim": ("pipeline.store.claim", _claim),
    "conservation": ("pipeline.sink.reconciliation", _conservation),
    "verify": ("pipeline.sink.attempt", _verify),
    "overwrite": ("pipeline.store.local", _overwrite),
}


class _After(importlib.abc.MetaPathFinder):
    """Changes a module as soon as it is there."""

    def __init__(self, name, change):
        self.name, self.change = name, change

    def find_spec(self, name, path=None, target=None):
        if name != self.name:
            return None
        spec = importlib.machinery.PathFinder.find_spec(name, path)
        run = spec.loader.exec_module

        def changed(module):
            run(module)
            self.change(module)

        spec.loader.exec_module = changed
        return spec


for _name in filter(None, os.environ.get(OFF, "").split(",")):
    sys.meta_path.insert(0, _After(*SWITCHES[_name]))

"""The Tagger: texts in, one Arrow table out, on OpenVINO or torch. `load.py` loads a model, `tagger.py` tags with it."""

import sys

# Where it is installed, OpenVINO tells its maker of every process that imports it, by a thread and a process of its own. A run
# tells nobody anything.
sys.modules.setdefault("openvino_telemetry", None)  # type: ignore[arg-type]

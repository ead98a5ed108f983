"""How fast our readers decompress: `python docs/measure/unpacking.py FILE [...]`, each compressed in any known way.

Prints MB of plain bytes a second of CPU, by one thread.
"""

import os
import sys
import time

from pipeline.source.decompress import chunks_of
from pipeline.source.items import Gap

for path in sys.argv[1:]:
    began, size = time.process_time(), 0
    with open(path, "rb") as stream:
        for chunk in chunks_of(stream, os.path.getsize(path)):
            size += 0 if isinstance(chunk, Gap) else len(chunk)
    seconds = time.process_time() - began
    print(f"{path}: {size / 1e6:,.0f} MB in {seconds:.2f} s, {size / 1e6 / seconds:,.0f} MB/s")

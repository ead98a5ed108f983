"""Which worker gets which split, and when: a pure state machine.

Events in, commands out; no clock, no Ray, no I/O. Imports nothing of the other rooms but `pipeline.contract`, so that it can be
simulated with 10,000 workers in seconds.
"""

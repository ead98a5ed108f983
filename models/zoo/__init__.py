"""The shipped models: a folder each, see `models.runtime.package`."""

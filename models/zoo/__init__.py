"""The shipped models, one folder each; see `models.runtime.package`."""

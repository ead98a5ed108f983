"""Questions answered over HTTP, for many askers at a time."""

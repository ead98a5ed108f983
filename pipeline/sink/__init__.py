"""Where results go: whole Parquet parts, dead letters, the summary."""

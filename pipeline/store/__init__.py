"""The narrow port to bytes. Nobody else talks to a file system."""

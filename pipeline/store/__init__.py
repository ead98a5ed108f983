"""The narrow port to bytes: files on a disk, on HDFS or in an object store, by one protocol.

No other room talks to a file system.
"""

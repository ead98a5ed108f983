"""One function for each compression: plain bytes in, a compressed file out."""

import bz2
import gzip
import lzma


def zstd(data):
    import zstandard

    return zstandard.ZstdCompressor(write_checksum=True).compress(data)


def lz4(data):
    import lz4.frame

    return lz4.frame.compress(data, content_checksum=True, block_checksum=True)


def snappy(data):
    import cramjam

    return bytes(cramjam.snappy.compress(data))


PACKERS = {".gz": gzip.compress, ".zst": zstd, ".bz2": bz2.compress, ".xz": lzma.compress, ".lz4": lz4, ".snappy": snappy}

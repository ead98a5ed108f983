"""Read input files as blocks of documents.

Files are discovered, cut into pieces when a run is planned, decompressed, and read ahead of the model. There is one module per
format; `formats.py` lists them all in one table.
"""

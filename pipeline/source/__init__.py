"""Input files into blocks of documents: discover them, plan pieces of them, decompress and read them ahead of the model. One
module a format; `formats.py` has them all in one table.
"""

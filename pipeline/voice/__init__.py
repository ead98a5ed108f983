"""Spoken questions: the speech model is installed, a recording is decoded within limits and becomes text, on this machine alone.

`install` fetches the weights, `audio` decodes, `prompt` holds names that may be said, `whisper` hears, `transcriber` is it all.
"""

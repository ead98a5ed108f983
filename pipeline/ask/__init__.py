"""Answers to questions: each a span of a document, with its place and how sure it is.

`batch` answers files of questions with their passages. May import stores, sources and everything below; reports and runs know
nothing of it.
"""

"""What others get of an output: answers to SQL (`database`, `queries`), and its documents in other tools' formats (`export`).

May import questions, reports, stores and everything below; nothing but the verbs imports it.
"""

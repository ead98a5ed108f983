"""What makes models: recipes, corpora, teachers, distillation, pruning, quantization, evaluation and cards.

`runner.py` knows the order of the steps. Needs torch; nothing that tags imports it.
"""

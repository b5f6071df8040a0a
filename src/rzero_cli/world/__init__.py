"""The miniature: a world of digits in which every question has a computable answer.

It has questions with true answers, a tokenizer and the pre-training of base models. The loop itself
does not use it.
"""

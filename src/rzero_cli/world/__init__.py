"""The miniature: a world of digits in which every question has an answer that can be computed.

Its questions and their truth, its tokenizer, and the pre-training of its base models. Nothing here
is used by the loop itself.
"""

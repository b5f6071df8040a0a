"""The paper's method as pure functions: questions, votes, the filter, rewards, similarity, plan.

Plain values in, plain values out; the paper's symbols, with the section where each is defined.
No files, no models, no torch. Uses `answers` to decide which answers are equal.
"""

"""The paper's method as pure functions: questions, votes, the filter, rewards, similarity, plan.

Plain values in, plain values out; the paper's symbols, with the section where each is defined.
No models, no torch; the one file read is a prompt. `answers` decides which answers are equal.
"""

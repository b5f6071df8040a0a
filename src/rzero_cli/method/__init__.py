"""The paper's method as pure functions: questions, votes, the filter, rewards, similarity, plan.

The functions take and return plain values and use the paper's symbols, with the section that
defines each. Nothing here needs a model or torch; a prompt is the only file read. `answers` decides
which answers are equivalent.
"""

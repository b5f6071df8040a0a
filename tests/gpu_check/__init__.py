"""The smallest complete run with every GPU path (`make gpu-check`).

`checks.py` is the table of checks, `programs.py` has the few that no command covers, `runner.py`
runs them as subprocesses and writes the report. The runner needs the standard library alone: a
package that is missing makes the checks that need it not applicable.
"""

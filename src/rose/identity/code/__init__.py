"""Find what a function can reach of the user's own code and constants, by which changes of it are noticed."""

from rose.identity.code.reach import code_digest, code_of_values, reach

__all__ = ["code_digest", "code_of_values", "reach"]

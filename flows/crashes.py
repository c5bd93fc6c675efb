"""A crash in native code ends its process at once, also where Ray is."""

import faulthandler
import sys


def die_of_crashes() -> None:
    """Put Python's handler of a crash in the place of Ray's; to be called after Ray's start.

    Ray's walks the stack, and was seen to fault in that again and again: such a process never dies, and its log and
    memory grow. Python's tells the line and lets it die.
    """
    faulthandler.disable()  # puts back what was there before, the default
    if sys.__stderr__ is not None:
        faulthandler.enable(sys.__stderr__, all_threads=False)

"""Units of work: values in, values out. `video.py` is read first."""

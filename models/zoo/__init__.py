"""The architectures, one idea a file; `models/networks.py` names them."""

"""A city's certificate authority, as a tool; on an offline machine, or *managed* in the node directory.

Read in this order: `profiles.py` (what is issued), `keys.py` (private keys on disk), `csr.py`, `ca.py` (the
CA directory), `issue.py`, `revoke.py`, `crl.py`, `show.py`, `commands.py` (the doors `tongban certs …`).
"""

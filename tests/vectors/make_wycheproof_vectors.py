"""Make wycheproof_es256.json: the ECDSA P-256 vectors in raw form of C2SP/wycheproof (Apache-2.0), made smaller.

    python tests/vectors/make_wycheproof_vectors.py COMMIT < ecdsa_secp256r1_sha256_p1363_test.json \
        > tests/vectors/wycheproof_es256.json

The file stands in `testvectors_v1/` of that repository. Kept of each test: its number, message, signature
(both hexadecimal) and whether it is valid.
"""

import json
import sys
from typing import Any


def smaller(tests: dict[str, Any], commit: str) -> dict[str, Any]:
    """Return the vectors without comments, by key (uncompressed point)."""
    keys: dict[str, list[list[Any]]] = {}
    for group in tests["testGroups"]:
        rows = [[one["tcId"], one["msg"], one["sig"], one["result"] == "valid"] for one in group["tests"]]
        keys.setdefault(group["publicKey"]["uncompressed"], []).extend(rows)
    file = "testvectors_v1/ecdsa_secp256r1_sha256_p1363_test.json"
    return {"source": "C2SP/wycheproof", "file": file, "commit": commit, "keys": keys}


if __name__ == "__main__":
    json.dump(smaller(json.load(sys.stdin), sys.argv[1]), sys.stdout, separators=(",", ":"))
    sys.stdout.write("\n")

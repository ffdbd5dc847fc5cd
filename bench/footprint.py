"""Start-up time, memory and demo times: `python bench/footprint.py [-o FILE]`, the same as `tongban bench`."""

import subprocess
import sys

if __name__ == "__main__":
    command = [sys.executable, "-m", "node", "bench", "--only", "footprint", "--json", *sys.argv[1:]]
    raise SystemExit(subprocess.run(command, check=False).returncode)

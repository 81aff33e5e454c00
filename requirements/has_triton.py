"""Exit code 0 where Triton's wheel can be installed: Linux on x86-64 with glibc 2.35 or newer (manylinux_2_35)."""

import platform
import sys

libc, version = platform.libc_ver()
found = (sys.platform, platform.machine(), libc) == ("linux", "x86_64", "glibc")
sys.exit(not (found and tuple(map(int, version.split("."))) >= (2, 35)))

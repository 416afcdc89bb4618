"""The integer hash that kernels-tests/golden.rs computes too, from which the scripts beside it draw their numbers."""

import numpy as np

MASK = 0xFFFFFFFF


def bits(salt, n):
    """24 bits per element: lowbias32 of element and salt."""
    x = (np.arange(n, dtype=np.uint64) * 0x9E3779B9 + salt * 0x85EBCA6B) & MASK
    x ^= x >> 16
    x = (x * 0x7FEB352D) & MASK
    x ^= x >> 15
    x = (x * 0x846CA68B) & MASK
    x ^= x >> 16
    return x >> 8


def noise(salt, n):
    """Mean 0, variance 1 and exact in f32: a sum of three uniforms."""
    total = sum((bits(salt + i, n) >> 2).astype(np.float64) for i in range(3))
    return (total / 2.0**22 - 1.5) * 2

"""Tests of the emulated vendors, over real HTTP."""

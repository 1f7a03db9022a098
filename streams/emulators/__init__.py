"""Mixpanel and mParticle as local servers, as strict as the real ones, with scripted faults and a ledger to ask.

Per vendor: `rules` (pure: what is wrong with one event), `store` (what was taken, and the views of it), `server` (what
is answered). Shared: `service` (HTTP), `control` (calls under `/_emulator`), `faults`, `ledger`, `clock`, `hosting`.
"""

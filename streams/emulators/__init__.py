"""Mixpanel, mParticle and Braze as local servers, as strict as the real ones, with scripted faults and a ledger.

Each vendor has `rules` (pure: what is wrong with one event), `store` (what was taken, and views of it) and `server`
(the answers). Shared: `service` (HTTP), `control` (calls under `/_emulator`), `faults`, `ledger`, `clock`, `host`.
"""

"""The way back as one deterministic world: vendors, receivers, sinks with their keepers, and Braze.

    Mixpanel, mParticle --requests--> receiver-0, receiver-1 --records--> sink-0, sink-1 --requests--> Braze

It is played as the world of `tests/simulation` is: a plan of acts is drawn from a seed, processes die at any call of
any port, wake as zombies and are expelled, answers are late, wrong or lost, and a plan that fails is shortened.

- **Vendors** (`senders.py`) send one request at a time, and repeat it until it is answered 2xx. What is true then
  (`truth.py`) is what the requests say that were answered so.
- **Receivers** are the shipped `ReceiverWriter`: what is above it, sockets and keys, is not simulated. Kafka may be out
  of reach for one of them, before or after a commit.
- **Braze** (`braze.py`) is the emulated one. It keeps each event as often as it was sent.
- **Sinks** remember in scratch files or in memory, which may be lost when they start again.
- The **checker** (`checker.py`) looks after every step: whoever was answered 2xx has all records in Kafka; the account
  says what the topics hold; no event is on its way without a row that says so; Braze has no event twice that is not
  counted, and nothing is counted that could not be so. At the end, when all is calm, Braze has what is true.
"""

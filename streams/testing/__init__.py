"""What users test with: brokers, emulators with typed clients, sample events, a movable clock, fakes of the ports."""

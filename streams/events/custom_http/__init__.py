"""Events as Braze's Custom HTTP connector sends them: JSON, which becomes Avro records of relaxed schemas."""

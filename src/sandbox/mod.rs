//! Throw-away clusters, demo applications and incidents.

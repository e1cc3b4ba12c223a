//! Coming back: repository, backup, WAL archive, restore, proof.

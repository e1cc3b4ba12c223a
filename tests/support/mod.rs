//! What the tests from outside stand on.

#![expect(clippy::expect_used, reason = "clippy sees tests only in test functions")]

pub mod pty;

//! Where facts come from: applications' metrics endpoints and PgBouncer's admin console.

pub mod exposition_text;
pub mod interpret;
pub mod profile;
pub mod profiles;
pub mod selector;

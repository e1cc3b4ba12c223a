//! What `pg_restore` says, and what to do about it.

use crate::{
    base::exec::ExecError,
    recover::{Fault, Kind},
};

/// What a failed `pg_restore` means: the message that tells why, its kind, and the remedy.
pub fn explain(error: ExecError) -> Fault {
    let ExecError::Failed { messages, .. } = &error else { return error.into() };
    let find = |part: &str| messages.iter().find(|line| line.contains(part));
    let told = |kind, line: &str, remedy: String| {
        let line = line.trim_start_matches("pg_restore: ").trim_start_matches("error: ");
        let line = line.trim_start_matches("could not execute query: ");
        Fault::new(kind, format!("pg_restore: {line}")).remedy(remedy)
    };
    if let Some(line) = find("No space left on device").or_else(|| find("could not extend file")) {
        return told(Kind::NoSpace, line, "make room for the server's data folder".into());
    }
    if let Some(line) =
        messages.iter().find(|l| l.contains("role \"") && l.contains("does not exist"))
    {
        let remedy = "add --with-roles to make missing roles (NOLOGIN, without passwords), or make them yourself";
        return told(Kind::Refused, line, remedy.into());
    }
    if let Some(line) = find("is not available") {
        let remedy = "install the extension's package on the server";
        return told(Kind::Unavailable, line, remedy.into());
    }
    if let Some(line) = messages
        .iter()
        .find(|line| line.contains("already exists") || line.contains("duplicate key value"))
    {
        let remedy =
            "what is restored met something that was there already: nothing was overwritten";
        return told(Kind::Failed, line, remedy.into());
    }
    if let Some(line) = find("unrecognized configuration parameter") {
        let remedy =
            "the dump is of a later version than the server: restore to that version or later";
        return told(Kind::Unavailable, line, remedy.into());
    }
    if let Some(line) = find("permission denied") {
        return told(Kind::Refused, line, "restore as a role that may do this".into());
    }
    match find("error: ") {
        Some(line) => told(Kind::Failed, line, "the server's log may tell more".into()),
        None => error.into(),
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn said(lines: &[&str]) -> Fault {
        explain(ExecError::Failed {
            program: "pg_restore".into(),
            code: Some(1),
            signal: None,
            messages: lines.iter().map(|line| (*line).into()).collect(),
        })
    }

    #[test]
    fn each_message_has_its_remedy() {
        // As PostgreSQL 15.18 writes them.
        for (line, kind, remedy) in [
            (
                "pg_restore: error: could not execute query: ERROR:  role \"app_owner\" does not exist",
                Kind::Refused,
                "--with-roles",
            ),
            (
                "pg_restore: error: could not execute query: ERROR:  relation \"orders\" already exists",
                Kind::Failed,
                "nothing was overwritten",
            ),
            (
                "pg_restore: error: COPY failed for table \"orders\": ERROR:  duplicate key value violates unique constraint \"orders_pkey\"",
                Kind::Failed,
                "nothing was overwritten",
            ),
            (
                "pg_restore: error: COPY failed for table \"a\": ERROR:  could not extend file \"base/5/1\": No space left on device",
                Kind::NoSpace,
                "make room",
            ),
        ] {
            let fault = said(&["pg_restore: creating TABLE", line]);
            assert_eq!(fault.kind, kind, "{fault}");
            assert!(fault.to_string().contains(remedy), "{fault}");
            assert!(!fault.to_string().contains("could not execute query"), "{fault}");
        }
        assert_eq!(said(&[]).kind, Kind::Failed);
    }
}

//! Every connection keyword of libpq up to PostgreSQL 18, and what becomes of it here.

use crate::base::text;

/// One keyword of libpq.
#[derive(Clone, Copy, Debug)]
pub struct Keyword {
    /// As it is written in a connection string.
    pub name: &'static str,
    /// The variable that gives it when the string and the service do not.
    pub variable: Option<&'static str>,
    /// What we do with it.
    pub treatment: Treatment,
}

/// What becomes of a keyword.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Treatment {
    /// It has libpq's meaning.
    Honoured,
    /// The same, and its value is never shown.
    Secret,
    /// It is accepted and changes nothing, because nothing it could change is there; the reason.
    NoEffect(&'static str),
    /// Only the values that ask for nothing are accepted; the reason.
    Only(&'static [&'static str], &'static str),
    /// It is refused unless empty; the reason and what to do instead.
    Refused(&'static str),
}

use Treatment::{Honoured, NoEffect, Only, Refused, Secret};

const NO_GSS: &str = "GSSAPI is not built in";
const NO_OAUTH: &str =
    "OAuth is not built in; use a password, a certificate or peer authentication";
const NO_KEYS: &str = "logging in with SCRAM keys is not built in; use a password";

const fn keyword(name: &'static str, variable: &'static str, treatment: Treatment) -> Keyword {
    Keyword { name, variable: if variable.is_empty() { None } else { Some(variable) }, treatment }
}

/// Source: PostgreSQL 18 documentation, "Parameter Key Words" and "Environment Variables".
static KEYWORDS: [Keyword; 50] = [
    keyword("service", "PGSERVICE", Honoured),
    keyword("user", "PGUSER", Honoured),
    keyword("password", "PGPASSWORD", Secret),
    keyword("passfile", "PGPASSFILE", Honoured),
    keyword("channel_binding", "PGCHANNELBINDING", Honoured),
    keyword("connect_timeout", "PGCONNECT_TIMEOUT", Honoured),
    keyword("dbname", "PGDATABASE", Honoured),
    keyword("host", "PGHOST", Honoured),
    keyword("hostaddr", "PGHOSTADDR", Honoured),
    keyword("port", "PGPORT", Honoured),
    keyword("client_encoding", "PGCLIENTENCODING", Honoured),
    keyword("options", "PGOPTIONS", Honoured),
    keyword("application_name", "PGAPPNAME", Honoured),
    keyword("fallback_application_name", "", Honoured),
    keyword("keepalives", "", Honoured),
    keyword("keepalives_idle", "", Honoured),
    keyword("keepalives_interval", "", Honoured),
    keyword("keepalives_count", "", Honoured),
    keyword("tcp_user_timeout", "", Honoured),
    keyword("sslmode", "PGSSLMODE", Honoured),
    keyword("sslnegotiation", "PGSSLNEGOTIATION", Honoured),
    keyword("sslcompression", "PGSSLCOMPRESSION", NoEffect("no server compresses TLS any more")),
    keyword("sslcert", "PGSSLCERT", Honoured),
    keyword("sslkey", "PGSSLKEY", Honoured),
    keyword(
        "sslpassword",
        "",
        Refused(
            "an encrypted sslkey cannot be read here; give a key without a passphrase, readable only by you",
        ),
    ),
    keyword(
        "sslcertmode",
        "PGSSLCERTMODE",
        Only(
            &["allow", "disable"],
            "it cannot be checked that the server asked for the certificate",
        ),
    ),
    keyword("sslrootcert", "PGSSLROOTCERT", Honoured),
    keyword("sslcrl", "PGSSLCRL", Honoured),
    keyword("sslcrldir", "PGSSLCRLDIR", Refused("use sslcrl with one file of revocation lists")),
    keyword("sslsni", "PGSSLSNI", Honoured),
    keyword("requirepeer", "PGREQUIREPEER", Honoured),
    keyword(
        "require_auth",
        "PGREQUIREAUTH",
        Refused(
            "the method of authentication cannot be limited here; channel_binding=require forces SCRAM over TLS",
        ),
    ),
    keyword("ssl_min_protocol_version", "PGSSLMINPROTOCOLVERSION", Honoured),
    keyword("ssl_max_protocol_version", "PGSSLMAXPROTOCOLVERSION", Honoured),
    keyword(
        "min_protocol_version",
        "PGMINPROTOCOLVERSION",
        Only(&["3.0"], "protocol 3.0 is the one spoken here"),
    ),
    keyword("max_protocol_version", "PGMAXPROTOCOLVERSION", NoEffect("protocol 3.0 is spoken")),
    keyword("gssencmode", "PGGSSENCMODE", Only(&["disable", "prefer"], NO_GSS)),
    keyword("krbsrvname", "PGKRBSRVNAME", NoEffect(NO_GSS)),
    keyword("gsslib", "PGGSSLIB", NoEffect(NO_GSS)),
    keyword("gssdelegation", "PGGSSDELEGATION", Only(&["0"], NO_GSS)),
    keyword(
        "replication",
        "",
        Only(&["0", "off", "false", "no"], "a replication connection cannot answer queries"),
    ),
    keyword("target_session_attrs", "PGTARGETSESSIONATTRS", Honoured),
    keyword("load_balance_hosts", "PGLOADBALANCEHOSTS", Honoured),
    keyword("scram_client_key", "", Refused(NO_KEYS)),
    keyword("scram_server_key", "", Refused(NO_KEYS)),
    keyword("oauth_issuer", "", Refused(NO_OAUTH)),
    keyword("oauth_client_id", "", Refused(NO_OAUTH)),
    keyword("oauth_client_secret", "", Refused(NO_OAUTH)),
    keyword("oauth_scope", "", Refused(NO_OAUTH)),
    keyword("sslkeylogfile", "", Refused("it would write the keys of the session to a file")),
];

/// Every keyword, in the order of the documentation.
pub fn keywords() -> &'static [Keyword] {
    &KEYWORDS
}

/// The keyword of that exact name.
pub(super) fn find(name: &str) -> Option<&'static Keyword> {
    KEYWORDS.iter().find(|keyword| keyword.name == name)
}

/// The known keyword that looks most like `given`, if any does.
pub(super) fn nearest(given: &str) -> Option<&'static str> {
    // What other drivers call the same thing.
    const ALIASES: [(&str, &str); 8] = [
        ("database", "dbname"),
        ("username", "user"),
        ("hostname", "host"),
        ("server", "host"),
        ("timeout", "connect_timeout"),
        ("pwd", "password"),
        ("keepalives_retries", "keepalives_count"),
        ("applicationname", "application_name"),
    ];
    let given = given.to_lowercase();
    if let Some((_, known)) = ALIASES.iter().find(|(alias, _)| *alias == given) {
        return Some(known);
    }
    text::nearest(&given, KEYWORDS.iter().map(|keyword| keyword.name))
}

#[cfg(test)]
mod tests {
    use std::collections::HashSet;

    use super::*;

    #[test]
    fn no_keyword_and_no_variable_stands_twice() {
        let names: HashSet<_> = KEYWORDS.iter().map(|keyword| keyword.name).collect();
        assert_eq!(names.len(), KEYWORDS.len());
        let variables: Vec<_> = KEYWORDS.iter().filter_map(|keyword| keyword.variable).collect();
        assert_eq!(variables.iter().collect::<HashSet<_>>().len(), variables.len());
    }

    #[test]
    fn a_slip_of_the_pen_is_understood() {
        for (given, meant) in [
            ("hots", "host"),
            ("database", "dbname"),
            ("passwrod", "password"),
            ("ssl_mode", "sslmode"),
            ("USER", "user"),
            ("connection_timeout", "connect_timeout"),
        ] {
            let got = nearest(given);
            assert!(got == Some(meant), "{given}: {got:?}");
        }
        assert_eq!(nearest("zzz"), None);
    }
}

//! Our connection settings as the environment of PostgreSQL's own tools, so that they go where we go and no
//! password stands in an argument list.

use crate::{
    base::exec::Tool,
    resilience::conninfo::{Host, Place, Roots, Settings},
};

/// The tool, made to connect to one certain host of these settings and, when one is given, to another
/// database. Everything that libpq would take from the surroundings is set or cleared, so that both agree
/// (PostgreSQL documentation, "libpq: Environment Variables").
#[must_use]
pub fn connecting(tool: Tool, settings: &Settings, host: &Host, database: Option<&str>) -> Tool {
    let mut tool = tool
        .env("PGPORT", host.port.to_string())
        .env("PGUSER", &settings.user)
        .env("PGDATABASE", database.unwrap_or(&settings.dbname))
        .env("PGSSLMODE", settings.tls.mode.as_str())
        .env("PGSSLNEGOTIATION", settings.tls.negotiation.as_str())
        .env("PGCHANNELBINDING", settings.tls.channel_binding.as_str())
        .env("PGSSLSNI", if settings.tls.sni { "1" } else { "0" })
        // Ours speaks TLS only; without this a ticket in the surroundings would take another way.
        .env("PGGSSENCMODE", "disable")
        .env("PGAPPNAME", settings.session_name().unwrap_or("howdah"));
    match &host.place {
        Place::Unix(folder) => tool = tool.env("PGHOST", folder),
        Place::Tcp { name, address } => {
            if let Some(name) = name {
                tool = tool.env("PGHOST", name);
            }
            if let Some(address) = address {
                tool = tool.env("PGHOSTADDR", address.to_string());
            }
        }
    }
    match &settings.tls.roots {
        Roots::File(path) => tool = tool.env("PGSSLROOTCERT", path),
        Roots::System => tool = tool.env("PGSSLROOTCERT", "system"),
        Roots::None => {}
    }
    for (name, path) in [
        ("PGSSLCERT", &settings.tls.certificate),
        ("PGSSLKEY", &settings.tls.key),
        ("PGSSLCRL", &settings.tls.revoked),
        ("PGPASSFILE", &settings.passfile),
    ] {
        if let Some(path) = path {
            tool = tool.env(name, path);
        }
    }
    if let Some(password) = &settings.password {
        tool = tool.secret("PGPASSWORD", password);
    }
    if let Some(options) = &settings.options {
        tool = tool.env("PGOPTIONS", options);
    }
    if let Some(limit) = settings.connect_timeout {
        tool = tool.env("PGCONNECT_TIMEOUT", limit.as_secs().max(1).to_string());
    }
    if let Some(peer) = &settings.require_peer {
        tool = tool.env("PGREQUIREPEER", peer);
    }
    tool
}

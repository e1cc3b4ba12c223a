//! The table of all settings.

use std::fmt::Write as _;

use super::Kind;

/// One setting.
#[derive(Clone, Copy, Debug)]
pub struct Setting {
    /// Its full name; `*` stands for a name that the user gives.
    pub key: &'static str,
    /// What its value looks like.
    pub kind: Kind,
    /// Its default, as it would be written; empty when there is none.
    pub default: &'static str,
    /// What it means, in one line.
    pub meaning: &'static str,
    /// A value for the example file.
    pub example: &'static str,
}

impl Setting {
    /// The variable that sets it; settings with a user's name in them have none.
    pub fn variable(&self) -> Option<String> {
        if self.key.contains('*') {
            return None;
        }
        Some(format!("HOWDAH_{}", self.key.replace('.', "_").to_uppercase()))
    }

    /// True when `key` is this setting.
    pub fn is(&self, key: &[String]) -> bool {
        let parts: Vec<&str> = self.key.split('.').collect();
        parts.len() == key.len() && parts.iter().zip(key).all(|(part, k)| *part == "*" || part == k)
    }
}

const fn setting(
    key: &'static str,
    kind: Kind,
    default: &'static str,
    example: &'static str,
    meaning: &'static str,
) -> Setting {
    Setting { key, kind, default, meaning, example }
}

/// Every setting there is, in the order of the example file.
pub const TABLE: &[Setting] = &[
    setting(
        "default_target",
        Kind::Text,
        "",
        "prod-eu",
        "the target that is opened when none is named",
    ),
    setting("watch.interval", Kind::Span, "1s", "1s", "how often the server is asked"),
    setting(
        "watch.endpoint_interval",
        Kind::Span,
        "2s",
        "2s",
        "how often applications' endpoints are asked",
    ),
    setting("watch.rpo_target", Kind::Span, "15m", "15m", "the most that may be lost"),
    setting("watch.rto_target", Kind::Span, "1h", "1h", "the longest that a restore may take"),
    // Warn at 85 leaves time to act by daylight; at 95 Azure makes a server read-only by itself.
    setting(
        "watch.disk_used_warn",
        Kind::Percent,
        "85",
        "85",
        "a disk of which so many of a hundred bytes are used is a warning",
    ),
    setting(
        "watch.disk_used_crit",
        Kind::Percent,
        "95",
        "95",
        "a disk of which so many of a hundred bytes are used is critical",
    ),
    // The four hours of the check `wal_rate`; an hour is what it takes to be called and to free something.
    setting(
        "watch.disk_full_warn",
        Kind::Span,
        "4h",
        "4h",
        "a disk that will be full so soon, if it goes on as in the last minutes, is a warning",
    ),
    setting(
        "watch.disk_full_crit",
        Kind::Span,
        "1h",
        "1h",
        "one that will be full so soon is critical",
    ),
    setting(
        "recover.repository",
        Kind::Text,
        "",
        "/var/backups/howdah",
        "where backups, WAL and proofs of all targets are kept: a folder, or s3://bucket/prefix?region=…&endpoint=…",
    ),
    setting(
        "recover.recipients",
        Kind::List,
        "",
        "[\"age1ql3z7hjy54pw3hyww5ayyfg7zqgvc7w3j2elw8zmrj2kg5sfn9aqmcac8p\"]",
        "public keys of age, for which backups and WAL are encrypted from now on",
    ),
    setting(
        "recover.identity",
        Kind::Text,
        "",
        "/etc/howdah/identity",
        "a file with private keys of age (mode 0600), to read what is encrypted",
    ),
    setting(
        "recover.md5",
        Kind::Switch,
        "false",
        "false",
        "write NAME.md5 beside each file of a backup, for consumers that ask for it",
    ),
    setting(
        "recover.compress",
        Kind::Choice(&["server", "client"]),
        "server",
        "server",
        "who compresses a base backup, where the server can (15 and later): its processor, or this side's",
    ),
    setting(
        "console.theme",
        Kind::Text,
        "ansi",
        "ansi",
        "a theme by name: `howdah config path` tells where your own ones stand",
    ),
    setting(
        "console.color",
        Kind::Choice(&["auto", "always", "never"]),
        "auto",
        "auto",
        "colours; auto honours NO_COLOR and TERM",
    ),
    setting(
        "console.glyphs",
        Kind::Choice(&["auto", "unicode", "ascii"]),
        "auto",
        "auto",
        "glyphs; auto honours LC_ALL, LC_CTYPE and LANG",
    ),
    setting(
        "console.mouse",
        Kind::Switch,
        "false",
        "false",
        "the mouse is on from the start; off leaves selecting text to the terminal",
    ),
    setting(
        "log.level",
        Kind::Choice(&["error", "warn", "info", "debug", "trace"]),
        "info",
        "info",
        "what is logged",
    ),
    setting(
        "ledger.folder",
        Kind::Text,
        "",
        "/var/lib/howdah/ledger",
        "the folder of the ledger; without it the state folder's `ledger`",
    ),
    setting(
        "target.*.url",
        Kind::Secret,
        "",
        "postgresql://howdah@db.example/postgres?sslmode=verify-full",
        "a connection URL or keyword string; without it the PG* environment; passwords belong in ~/.pgpass",
    ),
    setting(
        "target.*.environment",
        Kind::Choice(&["production", "staging", "development"]),
        "",
        "production",
        "the kind of place, shown first on every screen",
    ),
    setting(
        "target.*.read_only",
        Kind::Switch,
        "",
        "true",
        "nothing may be changed through this console",
    ),
    setting(
        "target.*.two_people",
        Kind::Switch,
        "",
        "true",
        "a second person has to confirm the gravest acts: `--second NAME`, or `howdah guide second`",
    ),
    setting(
        "target.*.rpo_target",
        Kind::Span,
        "",
        "5m",
        "the promise of this target, if it differs",
    ),
    setting(
        "target.*.rto_target",
        Kind::Span,
        "",
        "30m",
        "the promise of this target, if it differs",
    ),
    setting(
        "target.*.repository",
        Kind::Text,
        "",
        "/mnt/backup/howdah",
        "where this target's backups, WAL and proofs are kept, if elsewhere",
    ),
    setting(
        "target.*.pgbackrest",
        Kind::Text,
        "",
        "main",
        "the stanza of pgBackRest that backs this cluster up",
    ),
    setting(
        "target.*.pgbackrest_config",
        Kind::Text,
        "",
        "/etc/pgbackrest/pgbackrest.conf",
        "pgBackRest's configuration file, if it stands elsewhere than by default",
    ),
    setting(
        "target.*.barman",
        Kind::Text,
        "",
        "main",
        "Barman's name of the server that this cluster is",
    ),
    setting(
        "target.*.barman_config",
        Kind::Text,
        "",
        "/etc/barman.conf",
        "Barman's configuration file, if it stands elsewhere than by default",
    ),
    setting(
        "target.*.walg",
        Kind::Text,
        "",
        "/etc/wal-g/main.json",
        "the configuration file of WAL-G that backs this cluster up",
    ),
    setting(
        "target.*.engine_account",
        Kind::Text,
        "",
        "postgres",
        "the account that these run as when howdah runs as root; else barman for Barman, and postgres",
    ),
    setting(
        "target.*.pgbouncer",
        Kind::Secret,
        "",
        "postgresql://stats@bouncer.example:6432/pgbouncer",
        "PgBouncer's admin console",
    ),
    setting(
        "target.*.metrics.*",
        Kind::Secret,
        "",
        "http://10.0.0.7:9000/metrics",
        "an application's metrics endpoint, by the application's name",
    ),
    setting(
        "target.*.metrics.*.url",
        Kind::Secret,
        "",
        "https://api-2.example:9000/metrics",
        "the same for one that wants more to be said",
    ),
    setting(
        "target.*.metrics.*.ca_file",
        Kind::Text,
        "",
        "/etc/ssl/example-ca.pem",
        "certificate authorities to trust instead of the system's (PEM)",
    ),
    setting(
        "target.*.metrics.*.token_file",
        Kind::Text,
        "",
        "/etc/howdah/api-2.token",
        "a bearer token, alone in a file that only you may read (0600)",
    ),
    setting(
        "target.*.control.*",
        Kind::Text,
        "",
        "unix:/run/api-1/control",
        "the control endpoint of an application's circuit breakers, by the application's name",
    ),
    setting(
        "target.*.control.*.url",
        Kind::Text,
        "",
        "http://127.0.0.1:9001",
        "the same on a loopback port, which wants a token",
    ),
    setting(
        "target.*.control.*.token_file",
        Kind::Text,
        "",
        "/etc/howdah/api-2.token",
        "its bearer token, alone in a file that only you may read (0600)",
    ),
    setting(
        "keys.*",
        Kind::List,
        "",
        "[\"q\", \"ctrl-q\"]",
        "keys of a command, by its id (see `howdah keys`)",
    ),
];

/// The example file: every setting with its meaning, commented out.
pub fn example() -> String {
    let mut out = String::from(
        "# howdah's configuration. Every line that is commented out shows a default or an example.\n\
         # Layers: default < this file < HOWDAH_* environment < command line.\n",
    );
    let mut section = String::new();
    for setting in TABLE {
        let path = setting.key.replacen("target.*", "target.prod-eu", 1);
        let path = path.replace(".*.", ".api-2.").replace("keys.*", "keys.quit");
        let path = path.replace(".*", ".api-1");
        let (table, name) = path.rsplit_once('.').unwrap_or(("", &path));
        if table != section {
            let _ = write!(out, "\n# [{table}]\n");
            table.clone_into(&mut section);
        }
        let value = match setting.kind {
            Kind::Switch | Kind::List | Kind::Percent => setting.example.to_owned(),
            Kind::Text | Kind::Secret | Kind::Span | Kind::Choice(_) => {
                format!("{:?}", setting.example)
            }
        };
        let values =
            setting.kind.choices().map_or_else(String::new, |choices| format!(" ({choices})"));
        let _ = write!(out, "# {}{values}\n# {name} = {value}\n", setting.meaning);
    }
    out
}

//! Settings that take one of a few words.

/// Declares an enum whose variants are written as libpq writes them.
macro_rules! choice {
    ($(#[$meta:meta])* $name:ident, $expected:literal,
     { $($(#[$doc:meta])* $variant:ident = $word:literal),+ $(,)? }) => {
        $(#[$meta])*
        #[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord)]
        pub enum $name { $($(#[$doc])* $variant),+ }

        impl $name {
            /// The word that libpq uses.
            pub const fn as_str(self) -> &'static str {
                match self { $(Self::$variant => $word),+ }
            }

            /// Reads that word; case matters, as in libpq.
            pub fn read(word: &str) -> Option<Self> {
                match word {
                    $($word => Some(Self::$variant),)+
                    _ => None,
                }
            }

            /// The words there are.
            pub(super) const EXPECTED: &'static str = $expected;
        }
    };
}

choice! {
    /// How much TLS protects, from nothing to everything.
    SslMode, "disable, allow, prefer, require, verify-ca or verify-full",
    {
        /// Never TLS.
        Disable = "disable",
        /// TLS only if the server refuses us without.
        Allow = "allow",
        /// TLS if the server has it, else without. libpq's default.
        Prefer = "prefer",
        /// TLS, with whom ever (the chain is checked too if there is a root certificate file).
        Require = "require",
        /// TLS with a server whose certificate a trusted authority signed.
        VerifyCa = "verify-ca",
        /// The same, and the certificate names the host we asked for.
        VerifyFull = "verify-full",
    }
}

choice! {
    /// Who starts TLS.
    SslNegotiation, "postgres or direct",
    {
        /// We ask in PostgreSQL's protocol first.
        Postgres = "postgres",
        /// TLS from the first byte; PostgreSQL 17 and later.
        Direct = "direct",
    }
}

choice! {
    /// Whether SCRAM is bound to the TLS session.
    ChannelBinding, "disable, prefer or require",
    {
        /// Never.
        Disable = "disable",
        /// If both sides can.
        Prefer = "prefer",
        /// Or not at all.
        Require = "require",
    }
}

choice! {
    /// Which session is wanted when several hosts are given.
    TargetSession,
    "any, read-write, read-only, primary, standby or prefer-standby",
    {
        /// The first that answers.
        Any = "any",
        /// One whose transactions may write.
        ReadWrite = "read-write",
        /// One whose transactions may not write by default.
        ReadOnly = "read-only",
        /// A server that is not in recovery.
        Primary = "primary",
        /// A server that is in recovery.
        Standby = "standby",
        /// A standby; any server when there is none.
        PreferStandby = "prefer-standby",
    }
}

choice! {
    /// A version of TLS. The two oldest are never spoken here; they are known so that they can be
    /// refused by name.
    TlsVersion, "TLSv1, TLSv1.1, TLSv1.2 or TLSv1.3",
    {
        /// TLS 1.0.
        V10 = "TLSv1",
        /// TLS 1.1.
        V11 = "TLSv1.1",
        /// TLS 1.2.
        V12 = "TLSv1.2",
        /// TLS 1.3.
        V13 = "TLSv1.3",
    }
}

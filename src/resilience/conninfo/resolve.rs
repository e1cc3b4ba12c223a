//! From words to settings: what the values mean, and what stands where nobody says anything.

use std::{
    net::IpAddr,
    path::{Path, PathBuf},
    time::Duration,
};

use super::{
    choice::{ChannelBinding, SslMode, SslNegotiation, TargetSession, TlsVersion},
    environment::Environment,
    error::ConninfoError,
    keywords,
    options::{self, Treatment},
    settings::{Entry, Host, Origin, Place, Roots, Settings, Tcp, Tls, socket_in},
    uri,
    values::Values,
};
use crate::base::secret::Secret;

/// libpq's compiled-in port.
const DEFAULT_PORT: u16 = 5432;

impl Settings {
    /// Reads a URL, a keyword string or a bare database name, and completes it from the service file
    /// and the environment.
    pub fn parse(text: &str, environment: &Environment) -> Result<Self, ConninfoError> {
        let pairs = if uri::is_uri(text) {
            uri::parse(text)?
        } else if text.contains('=') {
            keywords::parse(text)?
        } else if text.is_empty() {
            Vec::new()
        } else {
            vec![("dbname".to_owned(), text.to_owned())]
        };
        let mut values = Values::default();
        for (keyword, value) in pairs {
            values.give(&keyword, value)?;
        }
        values.complete(environment)?;
        values.settle(environment)
    }

    /// Settings that come from the environment alone.
    pub fn from_env(environment: &Environment) -> Result<Self, ConninfoError> {
        Self::parse("", environment)
    }
}

impl Values {
    /// Gives every value its meaning.
    fn settle(self, environment: &Environment) -> Result<Settings, ConninfoError> {
        self.check_treatment()?;
        let user =
            self.owned("user").or_else(|| environment.user.clone()).ok_or(ConninfoError::NoUser)?;
        let dbname = self.owned("dbname").unwrap_or_else(|| user.clone());
        let ports = self.ports()?;
        let first_port = ports.first().copied().unwrap_or(DEFAULT_PORT);
        let default_socket_dir = default_socket_dir(environment, first_port);
        let home_file = |name: &str| environment.home.as_ref().map(|home| home.join(name));
        let path = |keyword: &str, default: &str| {
            self.filled(keyword).map(PathBuf::from).or_else(|| home_file(default))
        };
        let tls = self.tls(path)?;
        let settings = Settings {
            hosts: self.hosts(&ports, &default_socket_dir)?,
            load_balance: self.choose(
                "load_balance_hosts",
                false,
                "disable or random",
                |word| match word {
                    "disable" => Some(false),
                    "random" => Some(true),
                    _ => None,
                },
            )?,
            target: self.choose(
                "target_session_attrs",
                TargetSession::Any,
                TargetSession::EXPECTED,
                TargetSession::read,
            )?,
            user,
            dbname,
            password: self.filled("password").map(Secret::new),
            passfile: path("passfile", ".pgpass"),
            // An empty name counts: it keeps the fallback away.
            application_name: self.get("application_name").map(str::to_owned),
            fallback_application_name: self.owned("fallback_application_name"),
            options: self.session_options(environment),
            connect_timeout: self.connect_timeout()?,
            tcp: self.tcp()?,
            tls,
            require_peer: self.owned("requirepeer"),
            default_socket_dir,
            entries: Vec::new(),
        };
        Ok(Settings { entries: self.entries(&settings), ..settings })
    }

    fn ports(&self) -> Result<Vec<u16>, ConninfoError> {
        let Some(list) = self.filled("port") else { return Ok(Vec::new()) };
        list.split(',')
            .map(|port| match port {
                "" => Ok(DEFAULT_PORT),
                _ => port
                    .trim()
                    .parse()
                    .ok()
                    .filter(|port| *port != 0)
                    .ok_or_else(|| self.bad("port", "numbers from 1 to 65535")),
            })
            .collect()
    }

    fn hosts(&self, ports: &[u16], socket_dir: &Path) -> Result<Vec<Host>, ConninfoError> {
        let list = |keyword| self.filled(keyword).map(|list| list.split(',').collect::<Vec<_>>());
        let (names, addresses) = (list("host"), list("hostaddr"));
        let count = addresses.as_ref().or(names.as_ref()).map_or(1, Vec::len);
        if names.as_ref().is_some_and(|names| names.len() != count) {
            return Err(ConninfoError::Conflict(format!(
                "host names {} hosts and hostaddr {count} addresses",
                names.map_or(0, |names| names.len())
            )));
        }
        if ports.len() > 1 && ports.len() != count {
            return Err(ConninfoError::Conflict(format!(
                "port names {} ports for {count} hosts",
                ports.len()
            )));
        }
        let entry = |list: &Option<Vec<&str>>, at: usize| {
            list.as_ref().and_then(|list| list.get(at)).map_or("", |part| *part).to_owned()
        };
        (0..count)
            .map(|at| {
                let port = ports.get(at).or_else(|| ports.first()).copied().unwrap_or(DEFAULT_PORT);
                let (name, address) = (entry(&names, at), entry(&addresses, at));
                let place = if !address.is_empty() {
                    let address: IpAddr =
                        address.parse().map_err(|_| self.bad("hostaddr", "IP addresses"))?;
                    Place::Tcp {
                        name: Some(name).filter(|name| !name.is_empty()),
                        address: Some(address),
                    }
                } else if name.is_empty() {
                    Place::Unix(socket_dir.to_owned())
                } else if name.starts_with(['/', '@']) {
                    Place::Unix(PathBuf::from(name))
                } else {
                    Place::Tcp { name: Some(name), address: None }
                };
                Ok(Host { place, port })
            })
            .collect()
    }

    /// Seconds; zero and less mean no limit, and one is too short to be meant (libpq raises it to two).
    fn connect_timeout(&self) -> Result<Option<Duration>, ConninfoError> {
        let seconds = self.number("connect_timeout")?.and_then(|n| u64::try_from(n).ok());
        Ok(seconds.filter(|n| *n > 0).map(|n| Duration::from_secs(n.max(2))))
    }

    fn tcp(&self) -> Result<Tcp, ConninfoError> {
        let ours = Tcp::default();
        // Given as zero or less, each of them leaves the matter to the system.
        let given = |keyword, ours, unit: fn(u64) -> Duration| {
            Ok(match self.number(keyword)? {
                None => ours,
                Some(n) => u64::try_from(n).ok().filter(|n| *n > 0).map(unit),
            })
        };
        let keepalives = match self.get("keepalives") {
            None => true,
            Some("") => false,
            Some(_) => self.number("keepalives")? != Some(0),
        };
        Ok(Tcp {
            user_timeout: given("tcp_user_timeout", ours.user_timeout, Duration::from_millis)?,
            keepalives,
            keepalives_idle: given("keepalives_idle", ours.keepalives_idle, Duration::from_secs)?,
            keepalives_interval: given(
                "keepalives_interval",
                ours.keepalives_interval,
                Duration::from_secs,
            )?,
            keepalives_count: match self.number("keepalives_count")? {
                None => ours.keepalives_count,
                Some(n) => u32::try_from(n).ok().filter(|n| *n > 0),
            },
        })
    }

    fn tls(&self, path: impl Fn(&str, &str) -> Option<PathBuf>) -> Result<Tls, ConninfoError> {
        let system = self.get("sslrootcert") == Some("system");
        let default = if system { SslMode::VerifyFull } else { SslMode::Prefer };
        let mode = self.choose("sslmode", default, SslMode::EXPECTED, SslMode::read)?;
        if system && mode != SslMode::VerifyFull {
            return Err(ConninfoError::Conflict(format!(
                "sslrootcert=system needs sslmode=verify-full, not {}: anybody can get a certificate from a public authority",
                mode.as_str()
            )));
        }
        let negotiation = self.choose(
            "sslnegotiation",
            SslNegotiation::Postgres,
            SslNegotiation::EXPECTED,
            SslNegotiation::read,
        )?;
        if negotiation == SslNegotiation::Direct && mode < SslMode::Require {
            return Err(ConninfoError::Conflict(format!(
                "sslnegotiation=direct needs sslmode=require or stronger, not {}",
                mode.as_str()
            )));
        }
        let version = |keyword, default| {
            let read = |word: &str| {
                [TlsVersion::V10, TlsVersion::V11, TlsVersion::V12, TlsVersion::V13]
                    .into_iter()
                    .find(|version| version.as_str().eq_ignore_ascii_case(word))
                    // An empty value means no limit.
                    .or(word.is_empty().then_some(default))
            };
            self.choose(keyword, default, TlsVersion::EXPECTED, read)
        };
        let oldest = version("ssl_min_protocol_version", TlsVersion::V12)?;
        let newest = version("ssl_max_protocol_version", TlsVersion::V13)?;
        if newest < TlsVersion::V12 {
            return Err(
                self.refused("ssl_max_protocol_version", "TLS before 1.2 is not spoken here")
            );
        }
        if oldest > newest {
            return Err(ConninfoError::Conflict(
                "ssl_min_protocol_version is above ssl_max_protocol_version".to_owned(),
            ));
        }
        let may_show = self.get("sslcertmode") != Some("disable");
        Ok(Tls {
            mode,
            negotiation,
            channel_binding: self.choose(
                "channel_binding",
                ChannelBinding::Prefer,
                ChannelBinding::EXPECTED,
                ChannelBinding::read,
            )?,
            roots: if system {
                Roots::System
            } else {
                path("sslrootcert", ".postgresql/root.crt").map_or(Roots::None, Roots::File)
            },
            certificate: path("sslcert", ".postgresql/postgresql.crt").filter(|_| may_show),
            key: path("sslkey", ".postgresql/postgresql.key").filter(|_| may_show),
            revoked: path("sslcrl", ".postgresql/root.crl"),
            sni: self.get("sslsni").is_none_or(|value| value.starts_with('1')),
            oldest,
            newest,
        })
    }

    /// `options`, and what PGTZ, PGDATESTYLE and PGGEQO ask for. libpq sends those three as settings of
    /// their own, which the server applies after `options`: so they stand last.
    fn session_options(&self, environment: &Environment) -> Option<String> {
        let variables = [("PGDATESTYLE", "datestyle"), ("PGTZ", "timezone"), ("PGGEQO", "geqo")];
        let settings = variables.iter().filter_map(|(variable, setting)| {
            let value = environment.get(variable)?;
            let escaped = value.replace('\\', r"\\").replace(' ', r"\ ");
            (!value.eq_ignore_ascii_case("default")).then(|| format!("-c {setting}={escaped}"))
        });
        let all: Vec<_> = self.owned("options").into_iter().chain(settings).collect();
        (!all.is_empty()).then(|| all.join(" "))
    }

    /// Every value with its origin; the defaults that matter stand there too.
    fn entries(&self, settings: &Settings) -> Vec<Entry> {
        options::keywords()
            .iter()
            .filter_map(|keyword| {
                if let Some((value, origin)) = self.source(keyword.name) {
                    let secret = keyword.treatment == Treatment::Secret;
                    return Some(Entry::new(keyword.name, value, secret, origin.clone()));
                }
                let default = match keyword.name {
                    "user" => settings.user.clone(),
                    "dbname" => settings.dbname.clone(),
                    "host" if self.get("hostaddr").is_none() => {
                        settings.hosts.first().map(Host::name)?
                    }
                    "port" => settings.hosts.first().map(|host| host.port.to_string())?,
                    "sslmode" => settings.tls.mode.as_str().to_owned(),
                    _ => return None,
                };
                Some(Entry::new(keyword.name, &default, false, Origin::Default))
            })
            .collect()
    }
}

/// The first folder that holds a socket of that port; without any, the first that exists.
fn default_socket_dir(environment: &Environment, port: u16) -> PathBuf {
    let folders = &environment.socket_dirs;
    folders
        .iter()
        .find(|folder| socket_in(folder, port).exists())
        .or_else(|| folders.iter().find(|folder| folder.exists()))
        .or_else(|| folders.first())
        .cloned()
        .unwrap_or_else(|| PathBuf::from("/tmp"))
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::resilience::conninfo::{KEEPALIVES_IDLE, TCP_USER_TIMEOUT};

    fn environment() -> Environment {
        let mut environment = Environment::bare();
        environment.user = Some("joe".to_owned());
        environment.home = Some(PathBuf::from("/home/joe"));
        environment
    }

    fn parse(text: &str) -> Settings {
        Settings::parse(text, &environment()).unwrap_or_else(|error| panic!("{text}: {error}"))
    }

    fn refusal(text: &str) -> String {
        Settings::parse(text, &environment()).expect_err(text).to_string()
    }

    #[test]
    fn each_value_knows_where_it_comes_from() {
        let environment = environment().with("PGPORT", "6000").with("PGPASSWORD", "s3cret");
        let settings = Settings::parse("host=h user=u", &environment).expect("readable");
        let entry = |keyword: &str| {
            let found = settings.entries().iter().find(|entry| entry.keyword == keyword);
            found.map(|entry| (entry.value.to_string(), entry.origin.clone()))
        };
        assert_eq!(entry("host"), Some(("h".into(), Origin::String)));
        assert_eq!(entry("port"), Some(("6000".into(), Origin::Variable("PGPORT"))));
        assert_eq!(entry("dbname"), Some(("u".into(), Origin::Default)));
        assert_eq!(entry("sslmode"), Some(("prefer".into(), Origin::Default)));
        assert_eq!(entry("password"), Some(("********".into(), Origin::Variable("PGPASSWORD"))));
        assert_eq!(entry("sslcert"), None);
        assert_eq!(settings.describe(), "h:6000/u as u");
        let printed = format!("{settings:?} {environment:?} {:?}", settings.entries());
        assert!(!printed.contains("s3cret"), "{printed}");
    }

    #[test]
    fn a_description_is_safe_to_show() {
        assert_eq!(
            parse("host=a,::1 port=1,2 dbname='x\u{1b}[2J'").describe(),
            "a:1,[::1]:2/x^[[2J as joe"
        );
        assert_eq!(parse("host=/run").describe(), "/run:5432/joe as joe");
    }

    #[test]
    fn what_is_not_honoured_is_refused_with_a_reason() {
        for (text, says) in [
            ("gssencmode=require", "GSSAPI is not built in"),
            ("client_encoding=LATIN1", "always speaks UTF8"),
            ("replication=database", "cannot answer queries"),
            ("require_auth=scram-sha-256", "channel_binding=require"),
            ("sslcertmode=require", "cannot be checked"),
            ("sslcrldir=/x", "use sslcrl"),
            ("min_protocol_version=3.2", "protocol 3.0"),
            ("ssl_max_protocol_version=TLSv1.1", "before 1.2"),
            ("sslnegotiation=direct", "needs sslmode=require"),
            ("sslrootcert=system sslmode=require", "verify-full"),
            ("load_balance_hosts=yes", "disable or random"),
            ("hots=x", "did you mean host?"),
            ("keepalives_retries=3", "did you mean keepalives_count?"),
            ("sslpassword=hunter2", "without a passphrase"),
            ("oauth_client_secret=hunter2", "OAuth"),
        ] {
            let error = refusal(text);
            assert!(error.contains(says) && !error.contains("hunter2"), "{text}: {error}");
        }
        let environment = environment().with("PGSSLMODE", "on");
        let error = Settings::from_env(&environment).expect_err("refused").to_string();
        assert!(error.contains("from PGSSLMODE"), "{error}");
    }

    #[test]
    fn every_keyword_is_honoured_or_refused_with_words() {
        for keyword in options::keywords() {
            let text = format!("{}=bogus", keyword.name);
            match (keyword.treatment, Settings::parse(&text, &environment())) {
                (Treatment::Refused(_) | Treatment::Only(..), Ok(_)) => {
                    panic!("{text} was accepted")
                }
                (Treatment::NoEffect(_) | Treatment::Secret, Err(error)) => panic!("{error}"),
                (_, Err(error)) => assert!(error.to_string().len() > 20, "{error}"),
                (_, Ok(_)) => {}
            }
        }
    }

    #[test]
    fn newer_keywords_are_honoured() {
        let settings = parse("sslrootcert=system host=h");
        assert_eq!((settings.tls.mode, settings.tls.roots), (SslMode::VerifyFull, Roots::System));
        let settings = parse("sslnegotiation=direct sslmode=verify-ca load_balance_hosts=random");
        assert_eq!(settings.tls.negotiation, SslNegotiation::Direct);
        assert!(settings.load_balance);
        assert_eq!(parse("sslcertmode=disable").tls.certificate, None);
        assert_eq!(parse("require_auth='' max_protocol_version=latest").user, "joe");
    }

    #[test]
    fn units_are_those_of_libpq_and_silence_gets_our_own_limits() {
        assert_eq!(parse("").tcp, Tcp::default());
        let tcp = parse("tcp_user_timeout=5000 keepalives_idle=7 keepalives_count=0").tcp;
        assert_eq!(tcp.user_timeout, Some(Duration::from_secs(5)));
        assert_eq!(tcp.keepalives_idle, Some(Duration::from_secs(7)));
        assert_eq!(tcp.keepalives_count, None);
        assert_eq!(parse("tcp_user_timeout=0").tcp.user_timeout, None);
        assert!(!parse("keepalives=0").tcp.keepalives);
        assert!(TCP_USER_TIMEOUT > KEEPALIVES_IDLE);
        for (text, limit) in [("0", None), ("-3", None), ("1", Some(2)), ("7", Some(7))] {
            let found = parse(&format!("connect_timeout={text}")).connect_timeout;
            assert_eq!(found, limit.map(Duration::from_secs), "{text}");
        }
    }

    #[test]
    fn the_socket_that_exists_is_preferred() {
        let (empty, full) =
            (tempfile::tempdir().expect("a folder"), tempfile::tempdir().expect("a folder"));
        std::fs::write(full.path().join(".s.PGSQL.7"), "").expect("written");
        let mut environment = environment();
        environment.socket_dirs = vec![empty.path().to_owned(), full.path().to_owned()];
        let place =
            |text| Settings::parse(text, &environment).expect("readable").hosts[0].place.clone();
        assert_eq!(place("port=7"), Place::Unix(full.path().to_owned()));
        assert_eq!(place("port=8"), Place::Unix(empty.path().to_owned()));
    }
}

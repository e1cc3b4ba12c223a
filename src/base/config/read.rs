//! Reads the layers into one configuration.

use std::{
    collections::BTreeMap,
    fs, io,
    path::{Path, PathBuf},
    time::Duration,
};

use toml::{Table, Value};

use super::{
    Config, ConfigError, ControlConfig, EndpointConfig, Entry, Kind, Origin, TargetConfig,
    settings::{Setting, TABLE},
};
use crate::base::{
    secret::{REDACTED, Secret},
    text::nearest,
    units,
};

/// Where values may come from, the weakest first.
#[derive(Clone, Debug, Default)]
pub struct Layers {
    /// The configuration file; it may be missing unless `file_named`.
    pub file: Option<PathBuf>,
    /// The user named the file, so it must be there.
    pub file_named: bool,
    /// Variables of the environment that are meant as settings: one that is none is an error.
    pub variables: BTreeMap<String, String>,
    /// Settings of the command line: full name and value.
    pub flags: Vec<(&'static str, String)>,
}

type Values = BTreeMap<Vec<String>, (Value, Origin)>;

/// Reads all layers; the first thing that cannot be is the error.
pub fn load(layers: &Layers) -> Result<Config, ConfigError> {
    let mut values = Values::new();
    for setting in TABLE.iter().filter(|setting| !setting.default.is_empty()) {
        let value = setting.kind.from_text(setting.default);
        values.insert(path(setting.key), (value, Origin::Default));
    }
    if let Some(file) = &layers.file {
        let table = read_file(file, layers.file_named)?;
        flatten(&table, &mut Vec::new(), &Origin::File(file.clone()), &mut values)?;
    }
    for (variable, text) in &layers.variables {
        let named = |setting: &&Setting| setting.variable().as_ref() == Some(variable);
        let setting = TABLE.iter().find(named).ok_or_else(|| unknown_variable(variable))?;
        let value = setting.kind.from_text(text);
        put(&mut values, path(setting.key), value, Origin::Variable(variable.clone()))?;
    }
    for (key, text) in &layers.flags {
        let key = path(key);
        let value = known(&key).map_or(Value::String(text.clone()), |s| s.kind.from_text(text));
        put(&mut values, key, value, Origin::Flag)?;
    }
    Ok(config(&values))
}

fn read_file(file: &Path, named: bool) -> Result<Table, ConfigError> {
    let text = match fs::read_to_string(file) {
        Ok(text) => text,
        Err(error) if error.kind() == io::ErrorKind::NotFound && !named => return Ok(Table::new()),
        Err(error) => {
            return Err(ConfigError::Unreadable { path: file.to_owned(), why: error.to_string() });
        }
    };
    toml::from_str(&text).map_err(|error| {
        let line =
            error.span().map_or(0, |span| text.get(..span.start).map_or(0, |t| t.lines().count()));
        let why = format!("line {}: {}", line.max(1), error.message());
        ConfigError::Syntax { path: file.to_owned(), why }
    })
}

fn path(key: &str) -> Vec<String> {
    key.split('.').map(str::to_owned).collect()
}

fn known(key: &[String]) -> Option<&'static Setting> {
    TABLE.iter().find(|setting| setting.is(key))
}

fn flatten(
    table: &Table,
    prefix: &mut Vec<String>,
    origin: &Origin,
    values: &mut Values,
) -> Result<(), ConfigError> {
    for (name, value) in table {
        prefix.push(name.clone());
        match value {
            Value::Table(inner) => flatten(inner, prefix, origin, values)?,
            _ => put(values, prefix.clone(), value.clone(), origin.clone())?,
        }
        prefix.pop();
    }
    Ok(())
}

fn put(
    values: &mut Values,
    key: Vec<String>,
    value: Value,
    origin: Origin,
) -> Result<(), ConfigError> {
    let Some(setting) = known(&key) else {
        let name = key.join(".");
        let candidates: Vec<String> = TABLE.iter().map(|s| with_given_names(s.key, &key)).collect();
        let nearest = nearest(&name, candidates.iter().map(String::as_str)).map(str::to_owned);
        return Err(ConfigError::UnknownKey { key: name, origin: origin.to_string(), nearest });
    };
    if !setting.kind.accepts(&value) {
        return Err(ConfigError::BadValue {
            key: key.join("."),
            value: shown(setting.kind, &value),
            origin: origin.to_string(),
            expected: setting.kind.expected(),
        });
    }
    values.insert(key, (value, origin));
    Ok(())
}

fn unknown_variable(name: &str) -> ConfigError {
    let known: Vec<String> = TABLE.iter().filter_map(Setting::variable).collect();
    let nearest = nearest(name, known.iter().map(String::as_str)).map(str::to_owned);
    let origin = "the environment".to_owned();
    ConfigError::UnknownKey { key: name.to_owned(), origin, nearest }
}

/// A known name with the user's own names in place of its stars.
fn with_given_names(known: &str, given: &[String]) -> String {
    let parts = known.split('.').enumerate().map(|(at, part)| match given.get(at) {
        Some(given) if part == "*" => given.as_str(),
        _ => part,
    });
    parts.collect::<Vec<_>>().join(".")
}

fn shown(kind: Kind, value: &Value) -> String {
    match (kind, value) {
        (Kind::Secret, Value::String(text)) => masked(text),
        (_, Value::String(text)) => text.clone(),
        (_, other) => other.to_string(),
    }
}

/// A connection string with its password masked; all of it when it cannot be told apart.
fn masked(text: &str) -> String {
    if let Some((scheme, rest)) = text.split_once("://") {
        let (authority, tail) = rest.split_at(rest.find(['/', '?']).unwrap_or(rest.len()));
        let authority = match authority.rsplit_once('@') {
            Some((user, host)) => match user.split_once(':') {
                Some((user, _)) => format!("{user}:{REDACTED}@{host}"),
                None => format!("{user}@{host}"),
            },
            None => authority.to_owned(),
        };
        if !tail.contains("password") {
            return format!("{scheme}://{authority}{tail}");
        }
    } else if !text.contains("password") {
        return text.to_owned();
    }
    REDACTED.to_owned()
}

fn config(values: &Values) -> Config {
    let get = |key: &str| values.get(&path(key)).map(|(value, _)| value);
    let text = |key: &str| get(key).and_then(Value::as_str).unwrap_or_default().to_owned();
    let span = |key: &str| units::parse_span(&text(key)).unwrap_or_default();
    let percent = |key: &str| {
        let number = get(key).and_then(Value::as_integer);
        number.and_then(|number| u8::try_from(number).ok()).unwrap_or(100)
    };
    let optional = |key: &str| get(key).and_then(Value::as_str).map(str::to_owned);
    let mut targets: BTreeMap<String, TargetConfig> = BTreeMap::new();
    let mut keys = BTreeMap::new();
    for (key, (value, _)) in values {
        let parts: Vec<&str> = key.iter().map(String::as_str).collect();
        match parts.as_slice() {
            ["target", name, rest @ ..] => {
                target_value(targets.entry((*name).to_owned()).or_default(), rest, value);
            }
            ["keys", command] => {
                keys.insert((*command).to_owned(), list(value));
            }
            _ => {}
        }
    }
    Config {
        default_target: optional("default_target"),
        interval: span("watch.interval"),
        endpoint_interval: span("watch.endpoint_interval"),
        rpo_target: span("watch.rpo_target"),
        rto_target: span("watch.rto_target"),
        disk_used: (percent("watch.disk_used_warn"), percent("watch.disk_used_crit")),
        disk_full: (span("watch.disk_full_warn"), span("watch.disk_full_crit")),
        repository: optional("recover.repository"),
        recipients: get("recover.recipients").map(list).unwrap_or_default(),
        identity: optional("recover.identity").map(PathBuf::from),
        md5: get("recover.md5").and_then(Value::as_bool).unwrap_or_default(),
        server_compresses: text("recover.compress") != "client",
        theme: text("console.theme"),
        color: text("console.color"),
        glyphs: text("console.glyphs"),
        mouse: get("console.mouse").and_then(Value::as_bool).unwrap_or_default(),
        log_level: text("log.level"),
        ledger_folder: Some(text("ledger.folder")).filter(|f| !f.is_empty()).map(PathBuf::from),
        targets,
        keys,
        entries: values.iter().map(|(key, (value, origin))| entry(key, value, origin)).collect(),
    }
}

fn list(value: &Value) -> Vec<String> {
    let texts = value.as_array().into_iter().flatten().filter_map(Value::as_str);
    texts.map(str::to_owned).collect()
}

fn entry(key: &[String], value: &Value, origin: &Origin) -> Entry {
    let kind = known(key).map_or(Kind::Secret, |setting| setting.kind);
    Entry { key: key.join("."), value: shown(kind, value), origin: origin.clone() }
}

fn target_value(target: &mut TargetConfig, rest: &[&str], value: &Value) {
    let text = || value.as_str().unwrap_or_default().to_owned();
    let span = || -> Option<Duration> { units::parse_span(value.as_str()?) };
    match rest {
        ["url"] => target.url = Secret::new(text()),
        ["environment"] => target.environment = Some(text()),
        ["read_only"] => target.read_only = value.as_bool().unwrap_or_default(),
        ["two_people"] => target.two_people = value.as_bool().unwrap_or_default(),
        ["repository"] => target.repository = value.as_str().map(str::to_owned),
        ["rpo_target"] => target.rpo_target = span(),
        ["rto_target"] => target.rto_target = span(),
        ["pgbouncer"] => target.pgbouncer = Some(Secret::new(text())),
        ["pgbackrest"] => target.engines.pgbackrest = Some(text()),
        ["pgbackrest_config"] => target.engines.pgbackrest_config = Some(text()),
        ["barman"] => target.engines.barman = Some(text()),
        ["barman_config"] => target.engines.barman_config = Some(text()),
        ["walg"] => target.engines.walg = Some(text()),
        ["engine_account"] => target.engines.account = Some(text()),
        ["control", name, rest @ ..] => {
            control_value(target.control.entry((*name).to_owned()).or_default(), rest, text());
        }
        ["metrics", name, rest @ ..] => {
            endpoint_value(target.metrics.entry((*name).to_owned()).or_default(), rest, text());
        }
        _ => {}
    }
}

fn control_value(control: &mut ControlConfig, rest: &[&str], text: String) {
    match rest {
        [] | ["url"] => control.url = text,
        ["token_file"] => control.token_file = Some(text.into()),
        _ => {}
    }
}

fn endpoint_value(endpoint: &mut EndpointConfig, rest: &[&str], text: String) {
    match rest {
        [] | ["url"] => endpoint.url = Secret::new(text),
        ["ca_file"] => endpoint.ca_file = Some(text.into()),
        ["token_file"] => endpoint.token_file = Some(text.into()),
        _ => {}
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::base::config::settings;

    fn with_file(text: &str) -> Result<Config, ConfigError> {
        let folder = tempfile::tempdir().expect("a folder");
        let file = folder.path().join("config.toml");
        fs::write(&file, text).expect("written");
        load(&Layers { file: Some(file), file_named: true, ..Layers::default() })
    }

    fn origin(config: &Config, key: &str) -> Origin {
        config.entries.iter().find(|e| e.key == key).expect(key).origin.clone()
    }

    #[test]
    fn each_layer_beats_the_one_below_and_says_so() {
        let folder = tempfile::tempdir().expect("a folder");
        let file = folder.path().join("config.toml");
        fs::write(&file, "[console]\ntheme = 'dark'\ncolor = 'never'\nglyphs = 'ascii'\n")
            .expect("written");
        let config = load(&Layers {
            file: Some(file.clone()),
            file_named: true,
            variables: [("HOWDAH_CONSOLE_COLOR", "always"), ("HOWDAH_CONSOLE_GLYPHS", "unicode")]
                .map(|(k, v)| (k.to_owned(), v.to_owned()))
                .into(),
            flags: vec![("console.glyphs", "auto".to_owned())],
        })
        .expect("a good configuration");
        assert_eq!((config.theme.as_str(), config.color.as_str()), ("dark", "always"));
        assert_eq!(config.glyphs, "auto");
        assert_eq!(origin(&config, "console.theme"), Origin::File(file));
        assert_eq!(
            origin(&config, "console.color"),
            Origin::Variable("HOWDAH_CONSOLE_COLOR".into())
        );
        assert_eq!(origin(&config, "console.glyphs"), Origin::Flag);
        assert_eq!(origin(&config, "log.level"), Origin::Default);
    }

    #[test]
    fn an_unknown_key_names_the_nearest_known_one() {
        for (text, nearest) in [
            ("[console]\nthme = 'dark'", "console.theme"),
            ("[watch]\nintervall = '1s'", "watch.interval"),
            ("[target.prod]\nread_olny = true", "target.prod.read_only"),
        ] {
            let error = with_file(text).expect_err(text);
            assert!(error.to_string().contains(&format!("'{nearest}'")), "{error}");
        }
    }

    #[test]
    fn a_slip_in_a_variable_is_told_too() {
        let variables = [("HOWDAH_CONSOLE_THME".to_owned(), "dark".to_owned())].into();
        let error = load(&Layers { variables, ..Layers::default() }).expect_err("a slip");
        assert!(error.to_string().contains("'HOWDAH_CONSOLE_THEME'"), "{error}");
    }

    #[test]
    fn a_value_that_does_not_fit_says_what_would() {
        for (text, words) in [
            ("[watch]\ninterval = '5'", "with its unit"),
            ("[watch]\ninterval = 5", "with its unit"),
            ("[watch]\ninterval = '0s'", "with its unit"),
            ("[console]\ncolor = 'sometimes'", "one of auto, always, never"),
            ("[console]\nmouse = 'yes'", "true or false"),
            ("[keys]\nquit = 'q'", "a list"),
        ] {
            let error = with_file(text).expect_err(text);
            assert!(error.to_string().contains(words), "{error}");
        }
    }

    #[test]
    fn a_broken_file_names_its_line_and_a_missing_one_matters_only_when_named() {
        let error = with_file("[console]\ntheme = \n").expect_err("broken");
        assert!(error.to_string().contains("line 2"), "{error}");
        let missing = PathBuf::from("/nonexistent/howdah.toml");
        let layers =
            |file_named| Layers { file: Some(missing.clone()), file_named, ..Layers::default() };
        assert!(load(&layers(false)).is_ok());
        assert!(matches!(load(&layers(true)), Err(ConfigError::Unreadable { .. })));
    }

    #[test]
    fn a_target_is_read_whole_and_its_password_shown_nowhere() {
        let config = with_file(
            "[target.prod]\nurl = 'postgresql://me:hunter2@db/app'\nenvironment = 'production'\n\
             read_only = true\nrpo_target = '5m'\n[target.prod.metrics]\napi-1 = 'http://a/metrics'\n\
             [target.prod.metrics.api-2]\nurl = 'https://me:hunter2@b/metrics'\n\
             ca_file = '/ca.pem'\ntoken_file = '/token'\n[target.prod.control]\napi-1 = 'unix:/run/a'\n\
             [target.prod.control.api-2]\nurl = 'http://127.0.0.1:9'\ntoken_file = '/t'\n",
        )
        .expect("a good configuration");
        let target = config.targets.get("prod").expect("the target");
        assert_eq!(target.url.expose(), "postgresql://me:hunter2@db/app");
        assert_eq!(target.rpo_target, Some(Duration::from_mins(5)));
        let endpoint = |name: &str| target.metrics.get(name).expect(name).clone();
        assert_eq!(endpoint("api-1").url.expose(), "http://a/metrics");
        assert_eq!(endpoint("api-2").url.expose(), "https://me:hunter2@b/metrics");
        assert_eq!(endpoint("api-2").ca_file, Some("/ca.pem".into()));
        assert_eq!(endpoint("api-2").token_file, Some("/token".into()));
        let control = |name: &str| target.control.get(name).expect(name).clone();
        assert_eq!(control("api-1"), ControlConfig { url: "unix:/run/a".into(), token_file: None });
        assert_eq!(control("api-2").token_file, Some("/t".into()));
        assert!(!format!("{config:?}").contains("hunter2"));
        let shown = config.entries.iter().find(|e| e.key == "target.prod.url").expect("shown");
        assert_eq!(shown.value, "postgresql://me:********@db/app");
        assert_eq!(masked("host=db password=hunter2"), REDACTED);
        assert_eq!(masked("postgresql://db/app?password=hunter2"), REDACTED);
    }

    #[test]
    fn the_example_with_every_line_switched_on_is_a_good_configuration() {
        let example = settings::example();
        let switched_on: Vec<&str> = example
            .lines()
            .filter_map(|line| line.strip_prefix("# "))
            .filter(|line| line.starts_with('[') || line.contains(" = "))
            .collect();
        let config = with_file(&switched_on.join("\n")).expect("the example");
        assert_eq!(config.targets.len(), 1);
        let named = config.entries.iter().filter(|e| e.origin != Origin::Default).count();
        assert_eq!(named, TABLE.len(), "every setting stands in the example");
    }
}

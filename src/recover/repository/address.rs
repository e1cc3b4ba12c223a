//! Where a repository is, in words: a folder's path, or a bucket's URL.

use std::{path::PathBuf, time::Duration};

use crate::{
    base::{text::nearest, units},
    recover::{Fault, Kind, Result},
};

/// What may stand behind the `?` of a bucket's URL.
const WORDS: [&str; 6] = ["region", "endpoint", "path_style", "profile", "timeout", "ca_file"];
/// What never may: a configuration and a command line are read by others.
const SECRETS: [&str; 5] = ["key", "secret", "token", "password", "credential"];
/// How long a bucket may take for one answer, where its URL does not say.
const TIMEOUT: Duration = Duration::from_mins(1);

/// Where a repository is.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum Address {
    /// A folder.
    Folder(PathBuf),
    /// A bucket that speaks S3.
    Bucket(Place),
}

/// Where a bucket is. It holds no credentials.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Place {
    /// Its name.
    pub bucket: String,
    /// What every name in it begins with; empty for nothing.
    pub prefix: String,
    /// The region; none to leave it to `AWS_REGION`.
    pub region: Option<String>,
    /// The server; none for Amazon's own, or `AWS_ENDPOINT_URL`.
    pub endpoint: Option<String>,
    /// `http://server/bucket` instead of `http://bucket.server`.
    pub path_style: bool,
    /// The profile of `~/.aws/credentials`; none for the environment.
    pub profile: Option<String>,
    /// How long one answer may take.
    pub timeout: Duration,
    /// Certificate authorities to trust instead of the system's (PEM).
    pub ca_file: Option<PathBuf>,
}

impl Address {
    /// Reads `/a/folder` or
    /// `s3://bucket/prefix?region=…&endpoint=…&path_style=true&profile=…&timeout=60s&ca_file=/a/file`.
    ///
    /// # Errors
    /// [`Kind::Config`] names the word that is wrong. A secret is refused without being repeated.
    pub fn parse(location: &str) -> Result<Self> {
        let Some(rest) = location.strip_prefix("s3://") else {
            if let Some((scheme, _)) = location.split_once("://") {
                let what = format!("a repository is a folder or a bucket (s3://…), not '{scheme}'");
                return Err(Fault::new(Kind::Config, what));
            }
            return Ok(Self::Folder(location.into()));
        };
        let (path, words) = rest.split_once('?').unwrap_or((rest, ""));
        if path.contains('@') {
            return Err(secret());
        }
        let (bucket, prefix) = path.split_once('/').unwrap_or((path, ""));
        if bucket.is_empty() {
            return Err(Fault::new(Kind::Config, "the bucket's name is missing behind 's3://'"));
        }
        let mut place = Place {
            bucket: bucket.to_owned(),
            prefix: prefix.trim_matches('/').to_owned(),
            region: None,
            endpoint: None,
            path_style: false,
            profile: None,
            timeout: TIMEOUT,
            ca_file: None,
        };
        for word in words.split('&').filter(|word| !word.is_empty()) {
            place.take(word)?;
        }
        Ok(Self::Bucket(place))
    }
}

impl Place {
    fn take(&mut self, word: &str) -> Result<()> {
        let (name, value) = word.split_once('=').unwrap_or((word, ""));
        let wrong = |expected: &str| {
            Fault::new(Kind::Config, format!("{name} = '{value}' (the bucket's URL): {expected}"))
        };
        match name {
            "endpoint" if value.contains('@') => return Err(secret()),
            "endpoint" if !value.starts_with("http://") && !value.starts_with("https://") => {
                return Err(wrong("it begins with http:// or https://"));
            }
            "endpoint" => self.endpoint = Some(value.trim_end_matches('/').to_owned()),
            "region" | "profile" if value.is_empty() => return Err(wrong("a name is expected")),
            "region" => self.region = Some(value.to_owned()),
            "profile" => self.profile = Some(value.to_owned()),
            "path_style" => {
                self.path_style = value.parse().map_err(|_| wrong("true or false is expected"))?;
            }
            "timeout" => {
                self.timeout = units::parse_span(value)
                    .filter(|span| !span.is_zero())
                    .ok_or_else(|| wrong("a duration with its unit is expected, such as '60s'"))?;
            }
            // Servers call us in folders of their own.
            "ca_file" if !value.starts_with('/') => {
                return Err(wrong("a path from the root is expected"));
            }
            "ca_file" => self.ca_file = Some(value.into()),
            _ if SECRETS.iter().any(|word| name.to_lowercase().contains(word)) => {
                return Err(secret());
            }
            _ => {
                let hint = nearest(name, WORDS)
                    .map_or_else(|| WORDS.join(", "), |near| format!("did you mean '{near}'?"));
                let what = format!("'{name}' is no word of a bucket's URL");
                return Err(Fault::new(Kind::Config, what).remedy(hint));
            }
        }
        Ok(())
    }
}

fn secret() -> Fault {
    let what = "a bucket's URL holds no credentials: it is read and shown by others";
    Fault::new(Kind::Config, what).remedy(
        "put them into AWS_ACCESS_KEY_ID and AWS_SECRET_ACCESS_KEY, or into a profile of ~/.aws/credentials \
         and its name behind profile=",
    )
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_bucket_is_read_whole_and_everything_else_is_a_folder() {
        let words = "s3://b/some/where/?region=eu-1&endpoint=http://127.0.0.1:9000/&path_style=true\
                     &profile=backup&timeout=5s&ca_file=/etc/ca.pem";
        let Address::Bucket(place) = Address::parse(words).expect("a bucket") else {
            panic!("a bucket")
        };
        assert_eq!((place.bucket.as_str(), place.prefix.as_str()), ("b", "some/where"));
        assert_eq!(place.endpoint.as_deref(), Some("http://127.0.0.1:9000"));
        assert!(place.path_style && place.profile.as_deref() == Some("backup"));
        assert_eq!(place.timeout, Duration::from_secs(5));
        assert_eq!(place.ca_file, Some("/etc/ca.pem".into()));
        let folder = Address::parse("/var/backups/a?b=c").expect("a folder");
        assert_eq!(folder, Address::Folder("/var/backups/a?b=c".into()));
    }

    #[test]
    fn secrets_and_slips_are_refused_by_name() {
        for (words, said) in [
            ("s3://AKIA:hunter2@b/x", "holds no credentials"),
            ("s3://b?secret_access_key=hunter2", "holds no credentials"),
            ("s3://b?endpoint=http://me:hunter2@host", "holds no credentials"),
            ("s3://b?regoin=x", "did you mean 'region'?"),
            ("s3://b?path_style=maybe", "true or false"),
            ("s3://b?timeout=5", "with its unit"),
            ("s3://b?endpoint=host:9000", "http://"),
            ("s3://b?ca_file=ca.pem", "from the root"),
            ("s3:///x", "name is missing"),
            ("gs://b/x", "not 'gs'"),
        ] {
            let fault = Address::parse(words).expect_err(words);
            assert_eq!(fault.kind, Kind::Config);
            assert!(fault.to_string().contains(said), "{fault}");
            assert!(!fault.to_string().contains("hunter2"), "{fault}");
        }
    }
}

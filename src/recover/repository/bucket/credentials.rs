//! Who we are to a bucket: the environment, or a profile of `~/.aws/credentials`.

use std::{env, fs, path::PathBuf};

use object_store::aws::AmazonS3Builder;

use crate::{
    base::secret::Secret,
    recover::{Fault, Kind, Result, repository::address::Place},
};

/// Who we are to a bucket.
#[derive(Clone, Debug)]
pub enum Credentials {
    /// A pair of keys, and the token that belongs to temporary ones.
    Keys {
        /// The access key: a name, not a secret.
        key: String,
        /// The secret key.
        secret: Secret,
        /// The session token.
        token: Option<Secret>,
    },
    /// What the environment says: keys, a web identity, or a container's role.
    Environment,
}

impl Credentials {
    /// The credentials of the profile that the place names, else of the environment, else of the profile
    /// that `AWS_PROFILE` names, else of the profile `default`.
    ///
    /// # Errors
    /// [`Kind::Config`] when there are none.
    pub fn find(place: &Place) -> Result<Self> {
        let set = |name: &str| env::var_os(name).is_some_and(|value| !value.is_empty());
        let given = set("AWS_ACCESS_KEY_ID") && set("AWS_SECRET_ACCESS_KEY");
        let role = [
            "AWS_WEB_IDENTITY_TOKEN_FILE",
            "AWS_CONTAINER_CREDENTIALS_RELATIVE_URI",
            "AWS_CONTAINER_CREDENTIALS_FULL_URI",
        ];
        let profile = match &place.profile {
            Some(profile) => profile.clone(),
            None if given || role.into_iter().any(set) => return Ok(Self::Environment),
            None => env::var("AWS_PROFILE").unwrap_or_else(|_| "default".to_owned()),
        };
        let path = credentials_file()?;
        let shown = path.display();
        let text = fs::read_to_string(&path).map_err(|error| {
            let what =
                format!("no credentials for the bucket '{}': '{shown}': {error}", place.bucket);
            Fault::new(Kind::Config, what)
                .remedy("set AWS_ACCESS_KEY_ID and AWS_SECRET_ACCESS_KEY, or write that file")
        })?;
        profile_of(&text, &profile).ok_or_else(|| {
            Fault::new(Kind::Config, format!("'{shown}' has no whole profile '{profile}'"))
                .remedy(format!("[{profile}] needs aws_access_key_id and aws_secret_access_key"))
        })
    }

    pub(super) fn tell(&self, builder: AmazonS3Builder) -> AmazonS3Builder {
        let Self::Keys { key, secret, token } = self else {
            // The builder has read the environment.
            return builder;
        };
        let builder = builder.with_access_key_id(key).with_secret_access_key(secret.expose());
        match token {
            Some(token) => builder.with_token(token.expose()),
            None => builder,
        }
    }
}

fn credentials_file() -> Result<PathBuf> {
    if let Some(path) = env::var_os("AWS_SHARED_CREDENTIALS_FILE") {
        return Ok(path.into());
    }
    env::home_dir().map(|home| home.join(".aws/credentials")).ok_or_else(|| {
        Fault::new(Kind::Config, "no credentials for the bucket: there is no home folder")
            .remedy("set AWS_ACCESS_KEY_ID and AWS_SECRET_ACCESS_KEY")
    })
}

/// One profile of a credentials file: `[name]`, then `word = value`.
fn profile_of(text: &str, name: &str) -> Option<Credentials> {
    let (mut inside, mut key, mut secret, mut token) = (false, None, None, None);
    for line in text.lines().map(str::trim) {
        if let Some(section) = line.strip_prefix('[') {
            inside = section.trim_end_matches(']').trim() == name;
        } else if let (true, Some((word, value))) = (inside, line.split_once('=')) {
            let value = value.trim().to_owned();
            match word.trim() {
                "aws_access_key_id" => key = Some(value),
                "aws_secret_access_key" => secret = Some(Secret::new(value)),
                "aws_session_token" => token = Some(Secret::new(value)),
                _ => {}
            }
        }
    }
    Some(Credentials::Keys { key: key?, secret: secret?, token })
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_profile_is_its_own_section_and_whole() {
        let text = "[default]\naws_access_key_id = A\naws_secret_access_key=B\n\n\
                    [backup]\n# mine\naws_access_key_id=C\naws_secret_access_key = D=E\n\
                    aws_session_token = F\n[half]\naws_access_key_id = G\n";
        let Some(Credentials::Keys { key, secret, token }) = profile_of(text, "backup") else {
            panic!("it is whole")
        };
        assert_eq!((key.as_str(), secret.expose()), ("C", "D=E"));
        assert_eq!(token.as_ref().map(Secret::expose), Some("F"));
        let default = profile_of(text, "default");
        assert!(matches!(default, Some(Credentials::Keys { token: None, .. })));
        assert!(profile_of(text, "half").is_none() && profile_of(text, "other").is_none());
    }
}

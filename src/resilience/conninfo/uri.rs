//! URLs: `postgresql://user:password@host1:5432,host2/database?keyword=value`.

use super::error::ConninfoError;

const PREFIXES: [&str; 2] = ["postgresql://", "postgres://"];

/// True for text that libpq reads as a URL.
pub(super) fn is_uri(text: &str) -> bool {
    PREFIXES.iter().any(|prefix| text.starts_with(prefix))
}

/// Takes a URL apart into keyword-value pairs. Hosts and ports become comma-separated lists.
pub(super) fn parse(text: &str) -> Result<Vec<(String, String)>, ConninfoError> {
    let rest = PREFIXES
        .iter()
        .find_map(|prefix| text.strip_prefix(prefix))
        .ok_or_else(|| syntax("it does not begin with postgresql://"))?;
    let mut pairs = Vec::new();

    // Who connects ends at the first "@", if it comes before any "/": a raw "@" in a password ends it too.
    let authority = rest.find('/').map_or(rest, |end| &rest[..end]);
    let rest = match authority.find('@') {
        None => rest,
        Some(at) => {
            let (user, password) = match authority[..at].split_once(':') {
                Some((user, password)) => (user, Some(password)),
                None => (&authority[..at], None),
            };
            push_if_given(&mut pairs, "user", user)?;
            push_if_given(&mut pairs, "password", password.unwrap_or_default())?;
            &rest[at + 1..]
        }
    };

    let rest = hosts(rest, &mut pairs)?;
    let (path, query) = match rest.split_once('?') {
        Some((path, query)) => (path, query),
        None => (rest, ""),
    };
    push_if_given(&mut pairs, "dbname", path.strip_prefix('/').unwrap_or_default())?;
    parameters(query, &mut pairs)?;
    Ok(pairs)
}

/// Reads `host[:port][,host[:port]...]` and returns what follows.
fn hosts<'a>(
    mut rest: &'a str,
    pairs: &mut Vec<(String, String)>,
) -> Result<&'a str, ConninfoError> {
    let (mut hosts, mut ports) = (Vec::new(), Vec::new());
    loop {
        if let Some(inside) = rest.strip_prefix('[') {
            let end = inside
                .find(']')
                .ok_or_else(|| syntax("an IPv6 address begins with \"[\" and has no \"]\""))?;
            if end == 0 {
                return Err(syntax("there is no IPv6 address between \"[\" and \"]\""));
            }
            hosts.push(&inside[..end]);
            rest = &inside[end + 1..];
            if !rest.is_empty() && !rest.starts_with([':', '/', '?', ',']) {
                return Err(syntax("after \"]\" comes \":\", \"/\", \"?\" or \",\""));
            }
        } else {
            let end = rest.find([':', '/', '?', ',']).unwrap_or(rest.len());
            hosts.push(&rest[..end]);
            rest = &rest[end..];
        }
        let port = match rest.strip_prefix(':') {
            None => "",
            Some(after) => {
                let end = after.find(['/', '?', ',']).unwrap_or(after.len());
                rest = &after[end..];
                &after[..end]
            }
        };
        ports.push(port);
        match rest.strip_prefix(',') {
            Some(next) => rest = next,
            None => break,
        }
    }
    push_if_given(pairs, "host", &hosts.join(","))?;
    push_if_given(pairs, "port", &ports.join(","))?;
    Ok(rest)
}

/// Reads `keyword=value&...`.
fn parameters(query: &str, pairs: &mut Vec<(String, String)>) -> Result<(), ConninfoError> {
    if query.is_empty() {
        return Ok(());
    }
    // One "&" at the end is allowed, as in libpq.
    let query = query.strip_suffix('&').filter(|query| !query.is_empty()).unwrap_or(query);
    for parameter in query.split('&') {
        let (keyword, value) = parameter
            .split_once('=')
            .ok_or_else(|| syntax("a parameter behind \"?\" has no \"=\""))?;
        if value.contains('=') {
            return Err(syntax("a parameter behind \"?\" has more than one \"=\" (write %3D)"));
        }
        let (keyword, value) = (decode(keyword)?, decode(value)?);
        // JDBC's way to ask for TLS.
        if keyword == "ssl" && value == "true" {
            pairs.push(("sslmode".to_owned(), "require".to_owned()));
        } else {
            pairs.push((keyword, value));
        }
    }
    Ok(())
}

fn push_if_given(
    pairs: &mut Vec<(String, String)>,
    keyword: &str,
    raw: &str,
) -> Result<(), ConninfoError> {
    if !raw.is_empty() {
        pairs.push((keyword.to_owned(), decode(raw)?));
    }
    Ok(())
}

/// Undoes percent-encoding; `+` stays `+`.
fn decode(raw: &str) -> Result<String, ConninfoError> {
    let mut bytes = Vec::with_capacity(raw.len());
    let mut rest = raw.bytes();
    while let Some(byte) = rest.next() {
        if byte != b'%' {
            bytes.push(byte);
            continue;
        }
        let digits = [rest.next(), rest.next()]
            .map(|digit| digit.and_then(|digit| char::from(digit).to_digit(16)));
        let [Some(high), Some(low)] = digits else {
            return Err(syntax("a \"%\" is not followed by two hexadecimal digits"));
        };
        match (high * 16 + low) as u8 {
            0 => return Err(syntax("%00 is not allowed")),
            decoded => bytes.push(decoded),
        }
    }
    String::from_utf8(bytes).map_err(|_| syntax("what it encodes with \"%\" is not UTF-8"))
}

fn syntax(problem: &str) -> ConninfoError {
    ConninfoError::Syntax(problem.to_owned())
}

#[cfg(test)]
mod tests {
    use proptest::prelude::*;

    use super::*;

    fn pairs(text: &str) -> Vec<(String, String)> {
        parse(text).expect("readable")
    }

    #[test]
    fn every_part_is_found() {
        let pairs = pairs(
            "postgresql://u%20x:p%40ss@h1:1,[::1]:2,h3/db%2Fx?sslmode=require&options=-c%20a",
        );
        let expected = [
            ("user", "u x"),
            ("password", "p@ss"),
            ("host", "h1,::1,h3"),
            ("port", "1,2,"),
            ("dbname", "db/x"),
            ("sslmode", "require"),
            ("options", "-c a"),
        ];
        assert_eq!(pairs, expected.map(|(k, v)| (k.to_owned(), v.to_owned())));
    }

    #[test]
    fn parts_may_be_missing() {
        assert_eq!(pairs("postgres://"), []);
        assert_eq!(pairs("postgres:///"), []);
        assert_eq!(pairs("postgres:///db"), [("dbname".into(), "db".into())]);
        assert_eq!(pairs("postgres://%2Ftmp/"), [("host".into(), "/tmp".into())]);
    }

    proptest! {
        #[test]
        fn any_text_is_read_or_refused(text in any::<String>()) {
            let _ = parse(&format!("postgresql://{text}"));
        }
    }
}

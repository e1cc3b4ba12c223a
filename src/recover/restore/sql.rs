//! Words and statements of SQL, as far as we must tell them apart.
//!
//! Lexical rules: PostgreSQL documentation, "SQL Syntax: Lexical Structure".

/// One lexical piece of SQL.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum Word {
    /// A key word or an unquoted name, in lower case.
    Plain(String),
    /// A quoted name, without its quotes.
    Quoted(String),
    /// A text, in whatever quotes.
    Text,
    /// Anything else.
    Sign(char),
}

impl Word {
    /// The name that it may be.
    pub fn name(&self) -> Option<&str> {
        match self {
            Self::Plain(name) | Self::Quoted(name) => Some(name),
            Self::Text | Self::Sign(_) => None,
        }
    }

    /// True for this key word.
    pub fn is(&self, key: &str) -> bool {
        matches!(self, Self::Plain(word) if word == key)
    }
}

/// The words of some SQL, comments left out.
pub fn words(sql: &str) -> Vec<Word> {
    pieces(sql).into_iter().filter_map(|(_, word)| word).collect()
}

/// The statements of a script, without their semicolons; empty ones and comments in front are left out.
pub fn statements(script: &str) -> Vec<&str> {
    let (mut found, mut start, mut empty) = (Vec::new(), 0, true);
    for (range, word) in pieces(script) {
        if word == Some(Word::Sign(';')) {
            if !empty {
                found.push(script.get(start..range.start).unwrap_or_default().trim());
            }
            (start, empty) = (range.end, true);
        } else if word.is_some() {
            if empty {
                start = range.start;
            }
            empty = false;
        }
    }
    if !empty {
        found.push(script.get(start..).unwrap_or_default().trim());
    }
    found
}

/// Pieces with where they stand; comments and white space have no word.
fn pieces(sql: &str) -> Vec<(std::ops::Range<usize>, Option<Word>)> {
    let mut found = Vec::new();
    let mut at = 0;
    while let Some(c) = sql.get(at..).and_then(|rest| rest.chars().next()) {
        let rest = &sql[at..];
        let (length, word) = piece(rest, c);
        found.push((at..at + length, word));
        at += length;
    }
    found
}

/// The length of the piece that `rest` begins with, and its word.
fn piece(rest: &str, c: char) -> (usize, Option<Word>) {
    let until = |what: &str, from: usize| {
        rest.get(from..).and_then(|r| r.find(what)).map_or(rest.len(), |at| from + at + what.len())
    };
    if c.is_whitespace() {
        return (c.len_utf8(), None);
    }
    if rest.starts_with("--") {
        return (rest.find('\n').map_or(rest.len(), |at| at + 1), None);
    }
    if rest.starts_with("/*") {
        return (until("*/", 2), None);
    }
    if c == '\'' {
        return (quoted(rest, '\'', false), Some(Word::Text));
    }
    if matches!(c, 'e' | 'E') && rest[1..].starts_with('\'') {
        return (1 + quoted(&rest[1..], '\'', true), Some(Word::Text));
    }
    if c == '"' {
        let length = quoted(rest, '"', false);
        let inner = rest.get(1..length.max(2) - 1).unwrap_or_default().replace("\"\"", "\"");
        return (length, Some(Word::Quoted(inner)));
    }
    if c == '$'
        && let Some(end) = rest[1..].find('$')
        && rest[1..=end].chars().all(|c| c.is_alphanumeric() || c == '_')
        && !rest[1..].starts_with(|c: char| c.is_ascii_digit())
    {
        let mark = &rest[..end + 2];
        return (until(mark, mark.len()), Some(Word::Text));
    }
    if c.is_alphabetic() || c == '_' {
        let inside = |c: char| c.is_alphanumeric() || matches!(c, '_' | '$');
        let length = rest.find(|c: char| !inside(c)).unwrap_or(rest.len());
        return (length, Some(Word::Plain(rest[..length].to_lowercase())));
    }
    (c.len_utf8(), Some(Word::Sign(c)))
}

/// The length of a quoted piece; a doubled quote stays inside, and with `escapes` a backslashed one, too.
fn quoted(rest: &str, quote: char, escapes: bool) -> usize {
    let mut chars = rest.char_indices().skip(1).peekable();
    while let Some((at, c)) = chars.next() {
        if escapes && c == '\\' {
            chars.next();
        } else if c == quote {
            if chars.peek().is_some_and(|(_, next)| *next == quote) {
                chars.next();
            } else {
                return at + 1;
            }
        }
    }
    rest.len()
}

/// The roles that a statement of privileges or of a policy names behind `TO`, `FROM`, `FOR ROLE` or
/// `GRANTED BY`; `with_from` is for privileges only, where `FROM` cannot begin a query's tables.
pub fn roles(sql: &str, with_from: bool) -> Vec<String> {
    let words = words(sql);
    let mut found = Vec::new();
    let mut at = 0;
    while let Some(word) = words.get(at) {
        at += 1;
        if !(word.is("to") || word.is("role") || word.is("by") || with_from && word.is("from")) {
            continue;
        }
        while let Some(name) = words.get(at).and_then(Word::name) {
            let special = ["public", "current_user", "session_user", "current_role"];
            if !matches!(&words[at], Word::Plain(name) if special.contains(&name.as_str())) {
                found.push(name.to_owned());
            }
            at += 1;
            if words.get(at) != Some(&Word::Sign(',')) {
                break;
            }
            at += 1;
        }
    }
    found
}

/// A name with something behind it, cut so that PostgreSQL takes it whole (`NAMEDATALEN` - 1 bytes).
pub fn tailed(name: &str, tail: &str) -> String {
    let mut head = name.to_owned();
    while head.len() + tail.len() > 63 && head.pop().is_some() {}
    head + tail
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn statements_end_where_postgresql_ends_them() {
        let script = "-- first;\nSELECT ';' = E'\\';' ; /* ; */ select $a$;$a$, \"a;\"\"b\";\n;";
        assert_eq!(statements(script), ["SELECT ';' = E'\\';'", "select $a$;$a$, \"a;\"\"b\""]);
        assert_eq!(statements("select 1"), ["select 1"]);
        assert!(statements("-- nothing\n;").is_empty());
    }

    #[test]
    fn roles_are_found_behind_their_key_words() {
        let found = roles("GRANT SELECT ON TABLE a.\"to\" TO \"Odd \"\"one\";", true);
        assert_eq!(found, ["Odd \"one"]);
        assert_eq!(roles("REVOKE ALL ON SCHEMA public FROM PUBLIC;", true), Vec::<String>::new());
        let policy = "CREATE POLICY p ON t TO a, b USING ((SELECT x FROM t) = 'to c');";
        assert_eq!(roles(policy, false), ["a", "b"]);
    }
}

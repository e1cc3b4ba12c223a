//! Keyword strings: `host=db.example port=5432 password='it''s\' here'`.

use super::error::ConninfoError;

/// Splits a keyword string into pairs, by libpq's quoting: white space around `=` is allowed, a value
/// with white space stands in single quotes, a backslash takes the next character as it is.
pub(super) fn parse(text: &str) -> Result<Vec<(String, String)>, ConninfoError> {
    let mut chars = text.chars().enumerate().peekable();
    let mut pairs = Vec::new();
    loop {
        while chars.next_if(|(_, c)| is_space(*c)).is_some() {}
        let Some(&(start, _)) = chars.peek() else { return Ok(pairs) };

        let mut keyword = String::new();
        while let Some((_, c)) = chars.next_if(|(_, c)| *c != '=' && !is_space(*c)) {
            keyword.push(c);
        }
        while chars.next_if(|(_, c)| is_space(*c)).is_some() {}
        if chars.next_if(|(_, c)| *c == '=').is_none() {
            // The word itself is not shown: behind an unquoted password it is a part of it.
            return Err(ConninfoError::Syntax(format!(
                "the word at character {} has no \"=\" behind it (a value with spaces needs single quotes)",
                start + 1
            )));
        }
        while chars.next_if(|(_, c)| is_space(*c)).is_some() {}

        let quoted = chars.next_if(|(_, c)| *c == '\'').is_some();
        let mut value = String::new();
        let mut closed = !quoted;
        while let Some((_, c)) = chars.next_if(|(_, c)| quoted || !is_space(*c)) {
            match c {
                '\'' if quoted => {
                    closed = true;
                    break;
                }
                '\\' => value.extend(chars.next().map(|(_, escaped)| escaped)),
                _ => value.push(c),
            }
        }
        if !closed {
            return Err(ConninfoError::Syntax(format!(
                "the quoted value of {keyword:?} does not end"
            )));
        }
        pairs.push((keyword, value));
    }
}

/// C's `isspace`.
fn is_space(c: char) -> bool {
    matches!(c, ' ' | '\t' | '\n' | '\x0b' | '\x0c' | '\r')
}

#[cfg(test)]
mod tests {
    use proptest::prelude::*;

    use super::*;

    fn pairs(text: &str) -> Vec<(String, String)> {
        parse(text).expect("readable")
    }

    fn pair(keyword: &str, value: &str) -> (String, String) {
        (keyword.to_owned(), value.to_owned())
    }

    #[test]
    fn quotes_and_escapes_are_libpqs() {
        assert_eq!(pairs("host=a port = 5"), [pair("host", "a"), pair("port", "5")]);
        assert_eq!(
            pairs(r"password='it\'s \\ here' user=u"),
            [pair("password", r"it's \ here"), pair("user", "u")]
        );
        assert_eq!(pairs(r"user=a\ b"), [pair("user", "a b")]);
        assert_eq!(pairs("user=''dbname=x"), [pair("user", ""), pair("dbname", "x")]);
        assert_eq!(pairs("user= dbname=x"), [pair("user", "dbname=x")]);
        assert_eq!(pairs("  \n"), []);
        assert_eq!(pairs("user="), [pair("user", "")]);
    }

    #[test]
    fn an_error_never_shows_a_piece_of_the_password() {
        let error = parse("password=correct horse battery").expect_err("no = behind horse");
        assert!(error.to_string().contains("character 18"), "{error}");
        assert!(!error.to_string().contains("horse"), "{error}");
        assert!(parse("password='open").is_err());
    }

    proptest! {
        #[test]
        fn any_value_survives_quoting(value in "[^\0]*") {
            let quoted = value.replace('\\', r"\\").replace('\'', r"\'");
            prop_assert_eq!(pairs(&format!("a='{quoted}' b=c")), [pair("a", &value), pair("b", "c")]);
        }

        #[test]
        fn any_text_is_read_or_refused(text in any::<String>()) {
            let _ = parse(&text);
        }
    }
}

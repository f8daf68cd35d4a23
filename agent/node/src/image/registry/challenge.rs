//! What a registry asks for in `WWW-Authenticate`, and the tokens it gives.
//!
//! Pure. The grammar is RFC 9110's; the bearer scheme is the distribution project's.

use std::collections::BTreeMap;

/// A way to be let in.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(crate) enum Challenge {
    Basic,
    Bearer { realm: String, service: Option<String>, scope: Option<String> },
}

/// All ways of one header's value that are known here, in order.
pub(crate) fn parse(header: &str) -> Vec<Challenge> {
    let mut found: Vec<(String, BTreeMap<String, String>)> = Vec::new();
    let mut rest = header.trim_start_matches([' ', ',', '\t']);
    while !rest.is_empty() {
        let end = rest.find([' ', ',', '=', '\t']).unwrap_or(rest.len());
        let (word, after) = rest.split_at(end);
        let after = after.trim_start_matches([' ', '\t']);
        match after.strip_prefix('=') {
            Some(value) => {
                let (value, after) = take_value(value.trim_start_matches([' ', '\t']));
                if let Some((_, parameters)) = found.last_mut() {
                    parameters.insert(word.to_ascii_lowercase(), value);
                }
                rest = after;
            }
            None => {
                found.push((word.to_ascii_lowercase(), BTreeMap::new()));
                rest = after;
            }
        }
        rest = rest.trim_start_matches([' ', ',', '\t']);
        if word.is_empty() && rest.starts_with('=') {
            // Not a header that anyone writes.
            return Vec::new();
        }
    }
    let known = |(scheme, mut parameters): (String, BTreeMap<String, String>)| match &*scheme {
        "basic" => Some(Challenge::Basic),
        "bearer" => Some(Challenge::Bearer {
            realm: parameters.remove("realm")?,
            service: parameters.remove("service"),
            scope: parameters.remove("scope"),
        }),
        _ => None,
    };
    found.into_iter().filter_map(known).collect()
}

/// A token or a quoted string, and what follows it.
fn take_value(text: &str) -> (String, &str) {
    let Some(quoted) = text.strip_prefix('"') else {
        let end = text.find([',', ' ', '\t']).unwrap_or(text.len());
        return (text[..end].to_owned(), &text[end..]);
    };
    let mut value = String::new();
    let mut characters = quoted.char_indices();
    while let Some((at, character)) = characters.next() {
        match character {
            '"' => return (value, &quoted[at + 1..]),
            '\\' => value.extend(characters.next().map(|(_, escaped)| escaped)),
            other => value.push(other),
        }
    }
    (value, "")
}

/// The token in a token server's answer.
pub(crate) fn token(body: &[u8]) -> Option<String> {
    #[derive(serde::Deserialize)]
    struct Answer {
        token: Option<String>,
        access_token: Option<String>,
    }
    let answer: Answer = serde_json::from_slice(body).ok()?;
    let token = answer.token.or(answer.access_token)?;
    // It becomes a header.
    let good = !token.is_empty() && token.bytes().all(|b| b.is_ascii_graphic());
    good.then_some(token)
}

#[cfg(test)]
mod tests {
    use super::*;

    fn bearer(realm: &str, service: Option<&str>, scope: Option<&str>) -> Challenge {
        Challenge::Bearer {
            realm: realm.into(),
            service: service.map(Into::into),
            scope: scope.map(Into::into),
        }
    }

    #[test]
    fn bearer_of_docker_hub_is_read() {
        let header = r#"Bearer realm="https://auth.docker.io/token",service="registry.docker.io",scope="repository:library/busybox:pull,push""#;
        let expected = bearer(
            "https://auth.docker.io/token",
            Some("registry.docker.io"),
            Some("repository:library/busybox:pull,push"),
        );
        assert_eq!(parse(header), [expected]);
    }

    #[test]
    fn odd_but_valid_headers_are_read() {
        assert_eq!(parse("basic realm=\"x, \\\"y\\\"\""), [Challenge::Basic]);
        assert_eq!(parse("BEARER Realm = \"r\" , Service=s"), [bearer("r", Some("s"), None)]);
        let both = parse("Negotiate, Basic realm=a, Bearer realm=\"b\"");
        assert_eq!(both, [Challenge::Basic, bearer("b", None, None)]);
    }

    #[test]
    fn useless_headers_yield_nothing() {
        for bad in
            ["", "Bearer", "Bearer service=x", "Digest realm=x", "=", "==,=", "\"", "Bearer realm"]
        {
            assert_eq!(parse(bad), [], "{bad}");
        }
    }

    #[test]
    fn tokens_that_would_break_a_header_are_refused() {
        assert_eq!(token(br#"{"token":"abc"}"#).as_deref(), Some("abc"));
        assert_eq!(token(br#"{"access_token":"abc","expires_in":1}"#).as_deref(), Some("abc"));
        assert_eq!(token(br#"{"token":"a\r\nX: y"}"#), None);
        assert_eq!(token(br#"{"token":""}"#), None);
        assert_eq!(token(b"<html>"), None);
    }

    proptest::proptest! {
        #[test]
        fn no_header_panics_or_hangs(header in "[ ,=\"\\\\a-cBb]{0,40}|.{0,40}") {
            let _ = parse(&header);
        }
    }
}

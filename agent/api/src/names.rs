//! Which texts are names: DNS labels, label keys and values, ports, environment variables, with
//! upstream's messages. Each check returns what is wrong, or nothing.

/// What is wrong with a text; empty when it is as it should be.
pub type Complaints = Vec<String>;

const LABEL: &str = "[a-z0-9]([-a-z0-9]*[a-z0-9])?";
const SUBDOMAIN: &str = r"[a-z0-9]([-a-z0-9]*[a-z0-9])?(\.[a-z0-9]([-a-z0-9]*[a-z0-9])?)*";
const QUALIFIED: &str = "([A-Za-z0-9][-A-Za-z0-9_.]*)?[A-Za-z0-9]";
const QUALIFIED_MESSAGE: &str = "must consist of alphanumeric characters, '-', '_' or '.', and must start and end with an alphanumeric character";

/// `must be no more than N characters`.
pub fn too_long(max: usize) -> String {
    format!("must be no more than {max} characters")
}

/// `must be between A and B, inclusive`.
pub fn not_between(low: i64, high: i64) -> String {
    format!("must be between {low} and {high}, inclusive")
}

/// A message that shows examples and the regular expression.
pub fn pattern(message: &str, pattern: &str, examples: &[&str]) -> String {
    let shown: Vec<String> = examples.iter().map(|example| format!("'{example}', ")).collect();
    let eg = if shown.is_empty() { "" } else { "e.g. " };
    format!("{message} ({eg}{}regex used for validation is '{pattern}')", shown.join("or "))
}

fn is_lower(byte: u8) -> bool {
    byte.is_ascii_lowercase() || byte.is_ascii_digit()
}

fn is_label(text: &str) -> bool {
    let bytes = text.as_bytes();
    bytes.first().is_some_and(|byte| is_lower(*byte))
        && bytes.last().is_some_and(|byte| is_lower(*byte))
        && bytes.iter().all(|byte| is_lower(*byte) || *byte == b'-')
}

fn is_subdomain(text: &str) -> bool {
    text.split('.').all(is_label)
}

fn is_qualified(text: &str) -> bool {
    let bytes = text.as_bytes();
    bytes.first().is_some_and(u8::is_ascii_alphanumeric)
        && bytes.last().is_some_and(u8::is_ascii_alphanumeric)
        && bytes.iter().all(|byte| byte.is_ascii_alphanumeric() || b"-_.".contains(byte))
}

/// A lower-case DNS label of RFC 1123, at most 63 characters.
pub fn dns_label(text: &str) -> Complaints {
    let mut wrong = Vec::new();
    if text.len() > 63 {
        wrong.push(too_long(63));
    }
    if !is_label(text) {
        wrong.push(if is_subdomain(text) {
            "must not contain dots".to_owned()
        } else {
            pattern(
                "a lowercase RFC 1123 label must consist of lower case alphanumeric characters or '-', and must start and end with an alphanumeric character",
                LABEL,
                &["my-name", "123-abc"],
            )
        });
    }
    wrong
}

/// A lower-case DNS name of RFC 1123, at most 253 characters.
pub fn dns_subdomain(text: &str) -> Complaints {
    let mut wrong = Vec::new();
    if text.len() > 253 {
        wrong.push(too_long(253));
    }
    if !is_subdomain(text) {
        wrong.push(pattern(
            "a lowercase RFC 1123 subdomain must consist of lower case alphanumeric characters, '-' or '.', and must start and end with an alphanumeric character",
            SUBDOMAIN,
            &["example.com"],
        ));
    }
    wrong
}

/// A DNS name whose first label is `*`.
pub fn wildcard_subdomain(text: &str) -> Complaints {
    let mut wrong = Vec::new();
    if text.len() > 253 {
        wrong.push(too_long(253));
    }
    if !text.strip_prefix("*.").is_some_and(is_subdomain) {
        wrong.push(pattern(
            "a wildcard DNS-1123 subdomain must start with '*.', followed by a valid DNS subdomain, which must consist of lower case alphanumeric characters, '-' or '.' and end with an alphanumeric character",
            &format!(r"\*\.{SUBDOMAIN}"),
            &["*.example.com"],
        ));
    }
    wrong
}

/// A DNS label of RFC 1035, which begins with a letter: what a Service is called.
pub fn dns_1035_label(text: &str) -> Complaints {
    let mut wrong = Vec::new();
    if text.len() > 63 {
        wrong.push(too_long(63));
    }
    if !(is_label(text) && text.starts_with(|c: char| c.is_ascii_lowercase())) {
        wrong.push(pattern(
            "a DNS-1035 label must consist of lower case alphanumeric characters or '-', start with an alphabetic character, and end with an alphanumeric character",
            "[a-z]([-a-z0-9]*[a-z0-9])?",
            &["my-name", "abc-123"],
        ));
    }
    wrong
}

/// A segment of a URL's path: anything but `.`, `..`, `/` and `%`. RBAC's objects are named so.
pub fn path_segment(text: &str) -> Complaints {
    if text == "." || text == ".." {
        return vec![format!("may not be '{text}'")];
    }
    ["/", "%"]
        .iter()
        .filter(|illegal| text.contains(**illegal))
        .map(|illegal| format!("may not contain '{illegal}'"))
        .collect()
}

/// A label's key, which is also the form of many other names: `[prefix/]name`.
pub fn qualified_name(text: &str) -> Complaints {
    let examples = &["MyName", "my.name", "123-abc"];
    let mut wrong = Vec::new();
    let (prefix, name) = match text.split_once('/') {
        None => (None, text),
        Some((prefix, name)) => (Some(prefix), name),
    };
    if name.contains('/') {
        let message = pattern(QUALIFIED_MESSAGE, QUALIFIED, examples);
        return vec![format!(
            "a valid label key {message} with an optional DNS subdomain prefix and '/' (e.g. 'example.com/MyName')"
        )];
    }
    match prefix {
        Some("") => wrong.push("prefix part must be non-empty".to_owned()),
        Some(prefix) => {
            wrong.extend(dns_subdomain(prefix).iter().map(|text| format!("prefix part {text}")));
        }
        None => {}
    }
    if name.is_empty() {
        wrong.push("name part must be non-empty".to_owned());
    } else if name.len() > 63 {
        wrong.push(format!("name part {}", too_long(63)));
    }
    if !is_qualified(name) {
        let message = pattern(QUALIFIED_MESSAGE, QUALIFIED, examples);
        wrong.push(format!("name part {message}"));
    }
    wrong
}

/// A label's value: empty, or like the name part of a key.
pub fn label_value(text: &str) -> Complaints {
    let mut wrong = Vec::new();
    if text.len() > 63 {
        wrong.push(too_long(63));
    }
    if !text.is_empty() && !is_qualified(text) {
        wrong.push(pattern(
            "a valid label must be an empty string or consist of alphanumeric characters, '-', '_' or '.', and must start and end with an alphanumeric character",
            &format!("({QUALIFIED})?"),
            &["MyValue", "my_value", "12345"],
        ));
    }
    wrong
}

/// A port's name of RFC 6335, as container ports carry it.
pub fn port_name(text: &str) -> Complaints {
    let mut wrong = Vec::new();
    if text.len() > 15 {
        wrong.push(too_long(15));
    }
    if text.is_empty() || !text.bytes().all(|byte| is_lower(byte) || byte == b'-') {
        wrong.push(
            "must contain only alpha-numeric characters (a-z, 0-9), and hyphens (-)".to_owned(),
        );
    }
    if !text.bytes().any(|byte| byte.is_ascii_lowercase()) {
        wrong.push("must contain at least one letter (a-z)".to_owned());
    }
    if text.contains("--") {
        wrong.push("must not contain consecutive hyphens".to_owned());
    }
    if text.starts_with('-') || text.ends_with('-') {
        wrong.push("must not begin or end with a hyphen".to_owned());
    }
    wrong
}

/// A port's number.
pub fn port_number(number: i64) -> Complaints {
    if (1..=65535).contains(&number) { vec![] } else { vec![not_between(1, 65535)] }
}

/// An environment variable's name: printable ASCII without `=`.
pub fn environment_variable(text: &str) -> Complaints {
    let mut wrong = Vec::new();
    if text.is_empty() {
        wrong.push("environment variable name must be non-empty".to_owned());
    }
    if !text.bytes().all(|byte| (b' '..=b'~').contains(&byte) && byte != b'=') {
        wrong.push("a valid environment variable name must consist only of printable ASCII characters other than '='".to_owned());
    }
    wrong
}

/// A key of a ConfigMap or Secret, which becomes a file's name.
pub fn config_map_key(text: &str) -> Complaints {
    let mut wrong = Vec::new();
    if text.len() > 253 {
        wrong.push(too_long(253));
    }
    if text.is_empty()
        || !text.bytes().all(|byte| byte.is_ascii_alphanumeric() || b"-._".contains(&byte))
    {
        wrong.push(pattern(
            "a valid config key must consist of alphanumeric characters, '-', '_' or '.'",
            "[-._a-zA-Z0-9]+",
            &["key.name", "KEY_NAME", "key-name"],
        ));
    }
    match text {
        "." | ".." => wrong.push(format!("must not be '{text}'")),
        _ if text.starts_with("..") => wrong.push("must not start with '..'".to_owned()),
        _ => {}
    }
    wrong
}

/// An HTTP header's name.
pub fn http_header(text: &str) -> Complaints {
    if !text.is_empty() && text.bytes().all(|byte| byte.is_ascii_alphanumeric() || byte == b'-') {
        return vec![];
    }
    vec![pattern(
        "a valid HTTP header must consist of alphanumeric characters or '-'",
        "[-A-Za-z0-9]+",
        &["X-Header-Name"],
    )]
}

/// A percentage such as `25%`.
pub fn percent(text: &str) -> Complaints {
    let digits = text.strip_suffix('%').unwrap_or_default();
    if !digits.is_empty() && digits.bytes().all(|byte| byte.is_ascii_digit()) {
        return vec![];
    }
    vec![pattern(
        "a valid percent string must be a numeric string followed by an ending '%'",
        "[0-9]+%",
        &["1%", "93%"],
    )]
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn names_are_told_from_other_texts() {
        type Check = fn(&str) -> Complaints;
        let cases: [(Check, &[&str], &[&str]); 8] = [
            (dns_label, &["a", "a-b", "0", "a9"], &["", "-a", "a-", "A", "a.b", "a_b", "é"]),
            (dns_subdomain, &["a.b", "a-b.c", "x"], &["", ".a", "a..b", "a.", "A.b"]),
            (dns_1035_label, &["a", "a-1"], &["1a", "", "a-"]),
            (qualified_name, &["a", "A_b.c", "x.io/Y"], &["", "/a", "a/", "a/b/c", "X.io/a", "-"]),
            (label_value, &["", "a", "A_b-c.9"], &["-", "a b", "_a"]),
            (port_name, &["http", "a-1"], &["", "1", "-a", "a--b", "HTTP", "abcdefghijklmnop"]),
            (config_map_key, &["a", ".a", "A_b-c"], &["", ".", "..", "..a", "a/b"]),
            (environment_variable, &["A", "1a", "a.b c"], &["", "a=b", "é", "a\n"]),
        ];
        for (index, (check, good, bad)) in cases.iter().enumerate() {
            for text in *good {
                assert_eq!(check(text), Complaints::new(), "case {index}: {text}");
            }
            for text in *bad {
                assert_ne!(check(text), Complaints::new(), "case {index}: {text}");
            }
        }
    }

    #[test]
    fn message_shows_examples_and_pattern() {
        assert_eq!(
            dns_label("A_b"),
            [
                "a lowercase RFC 1123 label must consist of lower case alphanumeric characters or '-', and must start and end with an alphanumeric character (e.g. 'my-name', or '123-abc', regex used for validation is '[a-z0-9]([-a-z0-9]*[a-z0-9])?')"
            ]
        );
        assert_eq!(dns_label(&"a".repeat(64)), ["must be no more than 63 characters"]);
        assert_eq!(dns_label("a.b"), ["must not contain dots"]);
    }
}

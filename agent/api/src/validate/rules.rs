//! Rules of `rules.txt`: each is about one field of one struct.

use crate::field::{FieldError, Path};
use crate::quantity::Quantity;
use crate::schema::TypeId;
use crate::{Value, names};
use std::net::IpAddr;
use std::sync::LazyLock;

const TEXT: &str = include_str!("rules.txt");

static RULES: LazyLock<Vec<Rule>> = LazyLock::new(|| {
    let mut rules: Vec<Rule> = lines().filter_map(read).collect();
    // Stable: rules of one field stay in the order of the text.
    rules.sort_by_key(|rule| rule.id);
    rules
});

/// A line of the text, with its type looked up.
pub(super) struct Rule {
    id: TypeId,
    field: &'static str,
    rule: &'static str,
    words: &'static str,
}

pub(super) fn lines() -> impl Iterator<Item = &'static str> {
    TEXT.lines().filter(|line| !line.starts_with('#'))
}

/// Reads a line. One that names nothing is left out; a test sees to it that there is none.
pub(super) fn read(line: &'static str) -> Option<Rule> {
    let mut words = line.splitn(4, ' ');
    let (name, field, rule) = (words.next()?, words.next()?, words.next()?);
    let id = TypeId::of_name(&format!("io.k8s.api.{name}"))?;
    id.field(field)?;
    KNOWN.contains(&rule).then_some(())?;
    Some(Rule { id, field, rule, words: words.next().unwrap_or_default() })
}

const KNOWN: [&str; 19] = [
    "enum",
    "required",
    "min",
    "between",
    "port",
    "int-or-port",
    "mode",
    "quantity",
    "relative",
    "dns-label",
    "dns-subdomain",
    "dns-1035",
    "qualified",
    "label-value",
    "port-name",
    "env",
    "http-header",
    "ip",
    "cidr",
];

/// Checks the fields of a struct.
pub(super) fn check_type(id: TypeId, object: &Value, path: &Path, errors: &mut Vec<FieldError>) {
    let first = RULES.partition_point(|rule| rule.id < id);
    for rule in RULES[first..].iter().take_while(|rule| rule.id == id) {
        let at = path.child(rule.field);
        match object.get(rule.field) {
            None | Some(Value::Null) if rule.rule == "required" => {
                errors.push(FieldError::required(&at, ""));
            }
            None | Some(Value::Null) => {}
            Some(value) if rule.rule == "required" => {
                if value.is_empty() {
                    errors.push(FieldError::required(&at, ""));
                }
            }
            // Nothing was said; whether something must be is a rule of its own.
            Some(Value::String(text)) if text.is_empty() => {}
            Some(Value::Array(items)) => {
                for (index, item) in items.iter().enumerate() {
                    check_value(rule, item, &at.index(index), errors);
                }
            }
            Some(value) => check_value(rule, value, &at, errors),
        }
    }
}

fn check_value(rule: &Rule, value: &Value, at: &Path, errors: &mut Vec<FieldError>) {
    let number = value.as_i64().unwrap_or_default();
    let text = value.as_str().unwrap_or_default();
    let bound = |index: usize| -> i64 {
        rule.words.split(' ').nth(index).and_then(|word| word.parse().ok()).unwrap_or_default()
    };
    let wrong: Vec<String> = match rule.rule {
        "enum" => {
            let allowed: Vec<&str> = rule.words.split(' ').collect();
            if !allowed.contains(&text) {
                errors.push(FieldError::not_supported(at, value, &allowed));
            }
            return;
        }
        "min" if number < bound(0) => match bound(0) {
            0 => vec!["must be greater than or equal to 0".to_owned()],
            1 => vec!["must be greater than zero".to_owned()],
            least => vec![format!("may not specify a duration less than {least} seconds")],
        },
        "between" if !(bound(0)..=bound(1)).contains(&number) => {
            vec![names::not_between(bound(0), bound(1))]
        }
        "port" => {
            // Zero is what Go's optional ports are without a value.
            if number == 0 { vec![] } else { names::port_number(number) }
        }
        "int-or-port" => match value {
            Value::String(text) => names::port_name(text),
            _ => names::port_number(number),
        },
        "mode" if !(0..=0o777).contains(&number) => {
            vec!["must be a number between 0 and 0777 (octal), both inclusive".to_owned()]
        }
        "quantity" => match text.parse::<Quantity>() {
            Ok(amount) if amount.sign() < 0 => {
                vec!["must be greater than or equal to 0".to_owned()]
            }
            _ => vec![],
        },
        "relative" => relative_path(text),
        "dns-label" => names::dns_label(text),
        "dns-subdomain" => names::dns_subdomain(text),
        "dns-1035" => names::dns_1035_label(text),
        "qualified" => names::qualified_name(text),
        "label-value" => names::label_value(text),
        "port-name" => names::port_name(text),
        "env" => names::environment_variable(text),
        "http-header" => names::http_header(text),
        "ip" => match text.parse::<IpAddr>() {
            Ok(_) => vec![],
            Err(_) => {
                vec!["must be a valid IP address, (e.g. 10.9.8.7 or 2001:db8::ffff)".to_owned()]
            }
        },
        "cidr" => match is_cidr(text) {
            true => vec![],
            false => {
                vec!["must be a valid CIDR value, (e.g. 10.9.8.0/24 or 2001:db8::/64)".to_owned()]
            }
        },
        _ => vec![],
    };
    errors.extend(wrong.iter().map(|detail| FieldError::invalid(at, value, detail)));
}

/// Whether the text is an address with the length of a prefix.
pub(super) fn is_cidr(text: &str) -> bool {
    let Some((address, length)) = text.split_once('/') else { return false };
    let most = match address.parse::<IpAddr>() {
        Ok(IpAddr::V4(_)) => 32,
        Ok(IpAddr::V6(_)) => 128,
        Err(_) => return false,
    };
    length.parse::<u8>().is_ok_and(|length| length <= most)
}

/// A path in a volume: relative, without `..`, not starting with it.
pub(super) fn relative_path(text: &str) -> Vec<String> {
    let mut wrong = Vec::new();
    if text.starts_with('/') {
        wrong.push("must be a relative path".to_owned());
    }
    if text.split('/').any(|part| part == "..") {
        wrong.push("must not contain '..'".to_owned());
    } else if text.starts_with("..") {
        wrong.push("must not start with '..'".to_owned());
    }
    wrong
}

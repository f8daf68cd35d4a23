//! Which names Kubernetes accepts. Pure.

/// What is wrong with a DNS label (RFC 1123): containers, volumes, namespaces.
pub fn label_problem(name: &str) -> Option<String> {
    let valid = (1..=63).contains(&name.len()) && label_characters(name);
    (!valid).then(|| {
        format!(
            "{name:?} is not a name of at most 63 characters a-z, 0-9 and '-', \
             with a letter or digit at both ends"
        )
    })
}

/// What is wrong with a DNS subdomain: pods.
pub fn subdomain_problem(name: &str) -> Option<String> {
    let valid = (1..=253).contains(&name.len()) && name.split('.').all(label_characters);
    (!valid).then(|| {
        format!(
            "{name:?} is not a name of at most 253 characters a-z, 0-9, '-' and '.', \
             with a letter or digit at both ends of each part"
        )
    })
}

/// What is wrong with the name of an environment variable.
pub fn env_problem(name: &str) -> Option<String> {
    let valid = !name.is_empty() && name.chars().all(|c| c.is_ascii_graphic() || c == ' ');
    (!valid || name.contains('='))
        .then(|| format!("{name:?} is not a name of printable ASCII characters other than '='"))
}

fn label_characters(name: &str) -> bool {
    let edge = |c: Option<char>| c.is_some_and(|c| c.is_ascii_lowercase() || c.is_ascii_digit());
    let inner = |c: char| c.is_ascii_lowercase() || c.is_ascii_digit() || c == '-';
    edge(name.chars().next()) && edge(name.chars().next_back()) && name.chars().all(inner)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn names_follow_dns() {
        for good in ["a", "web-1", "0", &"a".repeat(63)] {
            assert_eq!(label_problem(good), None, "{good}");
        }
        for bad in ["", "-a", "a-", "A", "a.b", "a/b", "..", "ä", &"a".repeat(64)] {
            assert!(label_problem(bad).is_some(), "{bad}");
        }
        assert_eq!(subdomain_problem("web.example-1.a"), None);
        for bad in ["", ".", "a..b", "a.", ".a", "a/../b", &"a".repeat(254)] {
            assert!(subdomain_problem(bad).is_some(), "{bad}");
        }
    }

    #[test]
    fn variables_have_no_equals_sign() {
        assert_eq!(env_problem("PATH"), None);
        assert_eq!(env_problem("my.var-1"), None);
        for bad in ["", "A=B", "A\nB", "A\0"] {
            assert!(env_problem(bad).is_some(), "{bad:?}");
        }
    }
}

//! The query of a request, decoded. Pure.

use crate::request::percent_decode;

/// Names and values, in the order in which they came.
#[derive(Debug, Clone, Default, PartialEq, Eq)]
pub struct Parameters(Vec<(String, String)>);

impl Parameters {
    /// Reads a query; what cannot be decoded is left out, as Go does.
    pub fn read(query: Option<&str>) -> Self {
        let pairs = query.unwrap_or_default().split('&').filter_map(|pair| {
            let (name, value) = pair.split_once('=').unwrap_or((pair, ""));
            let name = percent_decode(name, true)?;
            (!name.is_empty()).then_some((name, percent_decode(value, true)?))
        });
        Self(pairs.collect())
    }

    /// All of them.
    pub fn iter(&self) -> impl Iterator<Item = (&str, &str)> {
        self.0.iter().map(|(name, value)| (name.as_str(), value.as_str()))
    }

    /// The first value of `name`; empty when there is none.
    pub fn get(&self, name: &str) -> &str {
        self.iter().find(|(it, _)| *it == name).map_or("", |(_, value)| value)
    }

    /// Whether `name` is there and says neither `false` nor `0`.
    pub fn is_true(&self, name: &str) -> bool {
        self.0.iter().find(|(it, _)| it == name).is_some_and(|(_, value)| {
            !matches!(value.as_str(), "" | "0" | "false" | "False" | "FALSE" | "f" | "F")
        })
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn names_and_values_are_decoded() {
        let read = Parameters::read(Some("labelSelector=a%3Db%2Cc+in+(d)&watch&x=%zz&=y&limit=5"));
        assert_eq!(read.get("labelSelector"), "a=b,c in (d)");
        assert_eq!(read.get("limit"), "5");
        assert_eq!((read.get("watch"), read.get("x")), ("", ""));
        assert_eq!(read.iter().count(), 3);
        assert!(!read.is_true("watch"));
        assert!(Parameters::read(Some("watch=1")).is_true("watch"));
        assert!(!Parameters::read(None).is_true("watch"));
    }
}

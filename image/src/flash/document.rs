//! The node document that goes onto the target: the given one or the image's own, with what the
//! command line changes in it. Pure. Must never let an invalid document through.

use toml_edit::{ArrayOfTables, DocumentMut, Item, Table, value};

/// What the command line says of one node.
#[derive(Debug, Clone, Default, PartialEq, Eq)]
pub struct Changes {
    /// `node.hostname`.
    pub hostname: Option<String>,
    /// A wireless network that the node joins, beside those of the document.
    pub wifi: Option<Wifi>,
}

/// An entry of `[[wifi]]`.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Wifi {
    /// The network's name.
    pub ssid: String,
    /// Its passphrase; none for an open one.
    pub passphrase: Option<String>,
}

impl Changes {
    /// Whether the document stays as it is.
    pub fn is_empty(&self) -> bool {
        *self == Self::default()
    }
}

impl Changes {
    /// The options that were given, as a person wrote them.
    fn options(&self) -> String {
        let given = [("--hostname", self.hostname.is_some()), ("--wifi", self.wifi.is_some())];
        let given = given.into_iter().filter(|(_, is_given)| *is_given).map(|(name, _)| name);
        given.collect::<Vec<_>>().join(" and ")
    }
}

/// Why there is no valid document.
#[derive(Debug, thiserror::Error)]
pub enum Error {
    /// It is no TOML that could be changed.
    #[error("{0} is no text")]
    Text(String),
    /// The document is refused; a node would refuse it as well.
    #[error("the node document is not valid:\n{}", .0.join("\n"))]
    Invalid(Vec<String>),
}

/// Changes `document`, called `name` in problems, and checks the result. All else in it stays as
/// it was written, comments too.
pub fn amend(document: &[u8], name: &str, changes: &Changes) -> Result<String, Error> {
    let text = std::str::from_utf8(document).map_err(|_| Error::Text(name.to_owned()))?;
    // First as it is: positions in its problems are those in the file that the person has.
    check(text, name)?;
    if changes.is_empty() {
        return Ok(text.to_owned());
    }
    let invalid = |error: toml_edit::TomlError| Error::Invalid(vec![format!("{name}: {error}")]);
    let mut document: DocumentMut = text.parse().map_err(invalid)?;
    if let Some(hostname) = &changes.hostname {
        let node = document.entry("node").or_insert_with(|| Item::Table(Table::new()));
        if let Some(node) = node.as_table_like_mut() {
            match node.get_mut("hostname").and_then(Item::as_value_mut) {
                Some(old) => {
                    let decor = old.decor().clone();
                    *old = hostname.as_str().into();
                    *old.decor_mut() = decor;
                }
                None => _ = node.insert("hostname", value(hostname)),
            }
        }
    }
    if let Some(wifi) = &changes.wifi {
        let missing = || Item::ArrayOfTables(ArrayOfTables::new());
        // A document that has something else there was refused above.
        if let Some(networks) =
            document.entry("wifi").or_insert_with(missing).as_array_of_tables_mut()
        {
            let is_same =
                |table: &Table| table.get("ssid").and_then(Item::as_str) == Some(&wifi.ssid);
            networks.retain(|table| !is_same(table));
            networks.push(wifi.table());
        }
    }
    let text = document.to_string();
    check(&text, &format!("{name} with {}", changes.options()))?;
    Ok(text)
}

impl Wifi {
    fn table(&self) -> Table {
        let mut table = Table::new();
        table.insert("ssid", value(&self.ssid));
        match &self.passphrase {
            Some(passphrase) => table.insert("passphrase", value(passphrase)),
            None => table.insert("security", value("open")),
        };
        table
    }
}

fn check(text: &str, name: &str) -> Result<(), Error> {
    match holm_config::parse(text, name) {
        Ok(_) => Ok(()),
        Err(problems) => Err(Error::Invalid(problems.iter().map(ToString::to_string).collect())),
    }
}

#[cfg(test)]
mod tests {
    use proptest::prelude::*;

    use super::*;

    fn named(hostname: &str) -> Changes {
        Changes { hostname: Some(hostname.to_owned()), ..Changes::default() }
    }

    fn amended(text: &str, changes: &Changes) -> Result<String, Error> {
        amend(text.as_bytes(), "holm.toml", changes)
    }

    #[test]
    fn name_is_added_or_replaced_and_all_else_stays() {
        let cases = [
            ("", "[node]\nhostname = \"edge-7\"\n"),
            (
                "# ours\n[node]\nhostname = \"old\" # to be set\n\n[time]\nservers = []\n",
                "# ours\n[node]\nhostname = \"edge-7\" # to be set\n\n[time]\nservers = []\n",
            ),
            ("[node.labels]\nsite = \"berlin\"\n", "[node.labels]\nsite = \"berlin\"\n"),
            ("node = { labels = {} }\n", "node = { labels = {} , hostname = \"edge-7\" }\n"),
        ];
        for (before, after) in cases {
            let text = amended(before, &named("edge-7")).expect("valid");
            let config = holm_config::parse(&text, "holm.toml").expect("valid");
            assert_eq!(config.node.hostname.as_deref(), Some("edge-7"), "{text}");
            if before != "[node.labels]\nsite = \"berlin\"\n" {
                assert_eq!(text.replace("}  ,", "} ,"), after);
            } else {
                assert!(text.contains(after), "{text}");
            }
        }
    }

    fn wifi(ssid: &str, passphrase: Option<&str>) -> Changes {
        let passphrase = passphrase.map(str::to_owned);
        Changes { wifi: Some(Wifi { ssid: ssid.to_owned(), passphrase }), ..Changes::default() }
    }

    #[test]
    fn wireless_network_is_added_and_one_of_its_name_replaced() {
        let text = "# ours\n[[wifi]]\nssid = \"yard\"\npassphrase = \"old-secret\"\npriority = 3\n";
        let both = amended(text, &wifi("hall", Some("new-secret"))).expect("valid");
        let config = holm_config::parse(&both, "holm.toml").expect("valid");
        let names: Vec<_> = config.wifi.iter().map(|network| network.ssid.as_str()).collect();
        assert_eq!(names, ["yard", "hall"]);
        assert!(both.starts_with("# ours\n") && both.contains("priority = 3"), "{both}");
        let replaced = amended(text, &wifi("yard", Some("new-secret"))).expect("valid");
        assert!(replaced.contains("new-secret") && !replaced.contains("old-secret"), "{replaced}");
        let open = amended("[node]\n", &wifi("guests", None)).expect("valid");
        let config = holm_config::parse(&open, "holm.toml").expect("valid");
        assert_eq!(config.wifi[0].security, holm_config::WifiSecurity::Open);
    }

    #[test]
    fn bad_passphrase_names_the_option_and_is_not_shown() {
        let error = amended("", &wifi("hall", Some("short"))).expect_err("too short").to_string();
        assert!(error.contains("--wifi") && !error.contains("short"), "{error}");
        let error = amended("", &wifi("", Some("long enough"))).expect_err("no name").to_string();
        assert!(error.contains("--wifi"), "{error}");
    }

    #[test]
    fn problems_point_into_the_document_or_name_the_option() {
        let error = amended("[node]\nhostnme = \"a\"\n", &named("b")).expect_err("misspelt");
        assert!(error.to_string().contains("holm.toml:2:1"), "{error}");
        let error = amended("", &named("No Name")).expect_err("no host name");
        assert!(error.to_string().contains("--hostname"), "{error}");
        let error = amend(b"\xff\xfe", "holm.toml", &Changes::default()).expect_err("no text");
        assert_eq!(error.to_string(), "holm.toml is no text");
    }

    #[test]
    fn unchanged_document_keeps_every_byte() {
        let text = "# nothing\r\n\r\n[node]\r\nhostname   =   'a'\r\n";
        assert_eq!(amended(text, &Changes::default()).expect("valid"), text);
    }

    proptest! {
        #[test]
        fn result_is_valid_whatever_is_asked(text in "(\\[node\\]\n)?(hostname = \"[a-z]{1,4}\"\n)?(\\[time\\]\n)?", name in "\\PC{0,12}") {
            if let Ok(text) = amended(&text, &named(&name)) {
                let config = holm_config::parse(&text, "holm.toml").expect("checked");
                prop_assert_eq!(config.node.hostname, Some(name));
            }
        }
    }
}

//! What a request may ask for beside its body, as its query or an options object says it.

use crate::selector::{FieldSelector, LabelSelector};
use crate::{Status, Value};

/// Which state of the data a read wants.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Default)]
pub enum AtVersion {
    /// The newest state, consistently (the parameter is unset).
    #[default]
    Newest,
    /// Any state will do (`0`).
    Any,
    /// At least as new as this revision.
    NotOlderThan(u64),
    /// Exactly this revision.
    Exact(u64),
}

/// What a list or a watch asks for.
#[derive(Debug, Clone, PartialEq, Default)]
pub struct ListOptions {
    /// Which labels objects must have.
    pub labels: LabelSelector,
    /// Which fields objects must have.
    pub fields: FieldSelector,
    /// Which state of the data.
    pub at: AtVersion,
    /// The revision as it was written; empty when it was not. A watch begins after it.
    pub resource_version: String,
    /// The most objects to answer at once; 0 is no limit.
    pub limit: u64,
    /// Where an earlier answer ended.
    pub continue_token: String,
    /// Whether to watch.
    pub watch: bool,
    /// Whether to send bookmarks.
    pub bookmarks: bool,
    /// Whether a watch begins with the objects that are there; `None` when it was not said.
    pub send_initial_events: Option<bool>,
    /// Seconds after which the server ends a list or a watch.
    pub timeout_seconds: Option<u64>,
    /// Whether the answer is to be indented.
    pub pretty: bool,
}

impl ListOptions {
    /// Reads decoded query parameters; of a parameter that occurs twice the first counts.
    pub fn from_query<'a>(
        query: impl IntoIterator<Item = (&'a str, &'a str)>,
    ) -> Result<Self, Status> {
        let mut options = Self::default();
        let mut matching = "";
        let mut seen: Vec<&str> = Vec::new();
        for (name, value) in query {
            if seen.contains(&name) {
                continue;
            }
            seen.push(name);
            match name {
                "labelSelector" => {
                    options.labels = LabelSelector::parse(value).map_err(|error| {
                        Status::bad_request(format!("unable to parse label selector: {error}"))
                    })?;
                }
                "fieldSelector" => {
                    options.fields = FieldSelector::parse(value)
                        .map_err(|error| Status::bad_request(error.to_string()))?;
                }
                "resourceVersion" => options.resource_version = value.to_owned(),
                "resourceVersionMatch" => matching = value,
                "limit" => options.limit = number(name, value)?,
                "continue" => options.continue_token = value.to_owned(),
                "watch" => options.watch = truth(value),
                "allowWatchBookmarks" => options.bookmarks = truth(value),
                "sendInitialEvents" => options.send_initial_events = Some(truth(value)),
                "timeoutSeconds" => options.timeout_seconds = Some(number(name, value)?),
                "pretty" => options.pretty = truth(value),
                _ => {}
            }
        }
        options.check(matching)?;
        Ok(options)
    }

    /// The rules between parameters, worded as upstream's ValidateListOptions.
    fn check(&mut self, matching: &str) -> Result<(), Status> {
        let invalid = |message: &str| Err(list_options_error(message));
        if let Some(initial) = self.send_initial_events {
            if !self.watch {
                return invalid(
                    "sendInitialEvents: Forbidden: sendInitialEvents is forbidden for list",
                );
            }
            if initial && matching != "NotOlderThan" {
                return invalid(
                    "resourceVersionMatch: Forbidden: sendInitialEvents requires setting resourceVersionMatch to NotOlderThan",
                );
            }
        } else if self.watch && !matching.is_empty() {
            return invalid(
                "resourceVersionMatch: Forbidden: resourceVersionMatch is forbidden for watch unless sendInitialEvents is provided",
            );
        }
        let version = match self.resource_version.as_str() {
            "" => None,
            text => Some(resource_version(text)?),
        };
        if !self.continue_token.is_empty() && !self.watch {
            if !matching.is_empty() {
                return invalid(
                    "resourceVersionMatch: Forbidden: resourceVersionMatch is forbidden when continue is provided",
                );
            }
            if version.is_some_and(|version| version != 0) {
                return Err(Status::bad_request(
                    "specifying resource version is not allowed when using continue",
                ));
            }
        }
        if !matching.is_empty() && self.send_initial_events.is_none() {
            match (matching, version) {
                (_, None) => {
                    return invalid(
                        "resourceVersionMatch: Forbidden: resourceVersionMatch is forbidden unless resourceVersion is provided",
                    );
                }
                ("Exact", Some(0)) => {
                    return invalid(
                        "resourceVersionMatch: Forbidden: resourceVersionMatch \"Exact\" is forbidden for resourceVersion \"0\"",
                    );
                }
                ("Exact" | "NotOlderThan", _) => {}
                _ => {
                    return Err(list_options_error(&format!(
                        "resourceVersionMatch: Unsupported value: {matching:?}: supported values: \"Exact\", \"NotOlderThan\", \"\""
                    )));
                }
            }
        }
        self.at = match (version, matching) {
            (None, _) => AtVersion::Newest,
            (Some(0), _) => AtVersion::Any,
            (Some(version), "Exact") => AtVersion::Exact(version),
            // Without a rule, a limited list is served from exactly that revision.
            (Some(version), "") if self.limit > 0 && !self.watch => AtVersion::Exact(version),
            (Some(version), _) => AtVersion::NotOlderThan(version),
        };
        Ok(())
    }
}

fn list_options_error(message: &str) -> Status {
    Status::plain(422, "Invalid", format!("ListOptions.meta.k8s.io \"\" is invalid: {message}"))
        .with(|details| {
            details.group = "meta.k8s.io".to_owned();
            details.kind = "ListOptions".to_owned();
        })
}

/// A resource version as a number.
pub fn resource_version(text: &str) -> Result<u64, Status> {
    text.parse().map_err(|_| {
        Status::bad_request(format!("Invalid value: {text:?}: resource version must be a number"))
    })
}

fn number(name: &str, value: &str) -> Result<u64, Status> {
    value.parse().map_err(|_| {
        Status::bad_request(format!(
            "{name}: Invalid value: {value:?}: must be a number not below 0"
        ))
    })
}

/// Go's reading of a boolean parameter: `false` and `0` are false, all else is true.
fn truth(value: &str) -> bool {
    !matches!(value, "" | "0" | "false" | "False" | "FALSE" | "f" | "F")
}

/// What to do about fields that are unknown or occur twice.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Default)]
pub enum FieldValidation {
    /// Drop them in silence.
    Ignore,
    /// Drop them and say so in `Warning` headers.
    #[default]
    Warn,
    /// Refuse the request.
    Strict,
}

/// What a create, update or patch asks for.
#[derive(Debug, Clone, PartialEq, Eq, Default)]
pub struct WriteOptions {
    /// Whether nothing is to be kept.
    pub dry_run: bool,
    /// Who owns the fields that are set; empty when it was not said.
    pub field_manager: String,
    /// What to do about unknown fields.
    pub field_validation: FieldValidation,
    /// Whether an apply takes over fields of other owners.
    pub force: bool,
}

impl WriteOptions {
    /// Reads decoded query parameters.
    pub fn from_query<'a>(
        query: impl IntoIterator<Item = (&'a str, &'a str)>,
    ) -> Result<Self, Status> {
        let mut options = Self::default();
        for (name, value) in query {
            match name {
                "dryRun" => options.dry_run = dry_run(value)?,
                "fieldManager" => options.field_manager = field_manager(value)?,
                "force" => options.force = truth(value),
                "fieldValidation" => {
                    options.field_validation = match value {
                        "Ignore" => FieldValidation::Ignore,
                        "Warn" | "" => FieldValidation::Warn,
                        "Strict" => FieldValidation::Strict,
                        other => {
                            return Err(invalid_option(&format!(
                                "fieldValidation: Unsupported value: {other:?}: supported values: \"Ignore\", \"Strict\", \"Warn\""
                            )));
                        }
                    };
                }
                _ => {}
            }
        }
        Ok(options)
    }
}

fn dry_run(value: &str) -> Result<bool, Status> {
    match value {
        "" => Ok(false),
        "All" => Ok(true),
        other => Err(invalid_option(&format!(
            "dryRun: Unsupported value: {other:?}: supported values: \"All\""
        ))),
    }
}

fn field_manager(value: &str) -> Result<String, Status> {
    if value.len() > 128 {
        return Err(invalid_option("fieldManager: Too long: may not be more than 128 bytes"));
    }
    if value.chars().any(char::is_control) {
        return Err(invalid_option(&format!(
            "fieldManager: Invalid value: {value:?}: should only contain printable characters"
        )));
    }
    Ok(value.to_owned())
}

fn invalid_option(message: &str) -> Status {
    Status::plain(422, "Invalid", format!(" \"\" is invalid: {message}")).with(|_| {})
}

/// What becomes of objects that the deleted one owns.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Propagation {
    /// They lose their owner and stay.
    Orphan,
    /// They go later.
    Background,
    /// They go first.
    Foreground,
}

/// What a delete asks for.
#[derive(Debug, Clone, PartialEq, Eq, Default)]
pub struct DeleteOptions {
    /// Whether nothing is to be kept.
    pub dry_run: bool,
    /// Seconds that the object gets to end; `None` is its kind's default.
    pub grace_period_seconds: Option<i64>,
    /// What becomes of what it owns; `None` is its kind's default.
    pub propagation: Option<Propagation>,
    /// The uid that it must have.
    pub uid: Option<String>,
    /// The resource version that it must have.
    pub resource_version: Option<String>,
}

impl DeleteOptions {
    /// Reads decoded query parameters.
    pub fn from_query<'a>(
        query: impl IntoIterator<Item = (&'a str, &'a str)>,
    ) -> Result<Self, Status> {
        let mut object = Value::object();
        for (name, value) in query {
            match name {
                "gracePeriodSeconds" => {
                    let seconds = value.parse::<i64>().map_err(|_| {
                        Status::bad_request(format!(
                            "{name}: Invalid value: {value:?}: must be a number"
                        ))
                    })?;
                    object.set(&[name], seconds);
                }
                "propagationPolicy" => object.set(&[name], value),
                "dryRun" => object.make_object().entry(name).make_array().push(value.into()),
                "orphanDependents" => object.set(&[name], truth(value)),
                _ => {}
            }
        }
        Self::from_value(&object)
    }

    /// Reads a `DeleteOptions` object.
    pub fn from_value(object: &Value) -> Result<Self, Status> {
        let invalid = |message: String| {
            Err(Status::plain(422, "Invalid", format!("DeleteOptions \"\" is invalid: {message}"))
                .with(|details| details.kind = "DeleteOptions".to_owned()))
        };
        let text = |path: &[&str]| object.at(path).and_then(Value::as_str).map(str::to_owned);
        let orphan = object.get("orphanDependents").and_then(Value::as_bool);
        let policy = text(&["propagationPolicy"]);
        if orphan.is_some() && policy.is_some() {
            return invalid(
                "propagationPolicy: Invalid value: \"propagationPolicy\": orphanDependents and deletionPropagation cannot be both set".to_owned(),
            );
        }
        let propagation = match policy.as_deref() {
            Some("Orphan") => Some(Propagation::Orphan),
            Some("Background") => Some(Propagation::Background),
            Some("Foreground") => Some(Propagation::Foreground),
            Some(other) => {
                return invalid(format!(
                    "propagationPolicy: Unsupported value: {other:?}: supported values: \"Foreground\", \"Background\", \"Orphan\", \"nil\""
                ));
            }
            None => orphan.map(
                |orphan| {
                    if orphan { Propagation::Orphan } else { Propagation::Background }
                },
            ),
        };
        let mut options = Self {
            grace_period_seconds: object.int_at(&["gracePeriodSeconds"]),
            propagation,
            uid: text(&["preconditions", "uid"]),
            resource_version: text(&["preconditions", "resourceVersion"]),
            dry_run: false,
        };
        for value in object.items_at(&["dryRun"]) {
            options.dry_run |= dry_run(value.as_str().unwrap_or_default())?;
        }
        Ok(options)
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::value;

    fn list(query: &[(&str, &str)]) -> Result<ListOptions, String> {
        ListOptions::from_query(query.iter().copied()).map_err(|status| status.message)
    }

    #[test]
    fn resource_version_and_match_say_which_state_is_read() {
        let at = |query| list(query).unwrap().at;
        assert_eq!(at(&[]), AtVersion::Newest);
        assert_eq!(at(&[("resourceVersion", "0")]), AtVersion::Any);
        assert_eq!(at(&[("resourceVersion", "5")]), AtVersion::NotOlderThan(5));
        assert_eq!(at(&[("resourceVersion", "5"), ("limit", "9")]), AtVersion::Exact(5));
        assert_eq!(
            at(&[("resourceVersion", "5"), ("resourceVersionMatch", "Exact")]),
            AtVersion::Exact(5)
        );
    }

    #[test]
    fn contradictions_between_parameters_are_refused() {
        for (query, part) in [
            (&[("resourceVersionMatch", "Exact")][..], "unless resourceVersion is provided"),
            (&[("resourceVersion", "0"), ("resourceVersionMatch", "Exact")], "for resourceVersion"),
            (&[("resourceVersion", "1"), ("resourceVersionMatch", "Odd")], "Unsupported value"),
            (&[("resourceVersion", "x")], "must be a number"),
            (&[("sendInitialEvents", "true")], "forbidden for list"),
            (&[("watch", "1"), ("sendInitialEvents", "true")], "requires setting"),
            (&[("watch", "1"), ("resourceVersionMatch", "Exact")], "forbidden for watch"),
            (&[("continue", "x"), ("resourceVersion", "4")], "not allowed when using continue"),
            (&[("limit", "-1")], "limit"),
            (&[("labelSelector", "a b")], "unable to parse"),
        ] {
            let message = list(query).unwrap_err();
            assert!(message.contains(part), "{query:?}: {message}");
        }
    }

    #[test]
    fn watch_list_of_newer_clients_is_understood() {
        let options = list(&[
            ("watch", "true"),
            ("sendInitialEvents", "true"),
            ("resourceVersionMatch", "NotOlderThan"),
            ("allowWatchBookmarks", "true"),
        ])
        .unwrap();
        assert_eq!(options.send_initial_events, Some(true));
        assert!(options.watch && options.bookmarks);
        assert_eq!(options.at, AtVersion::Newest);
    }

    #[test]
    fn delete_options_are_read_from_object_and_query() {
        let object = value!({
            "gracePeriodSeconds": 0i64,
            "propagationPolicy": "Foreground",
            "preconditions": {"uid": "u"},
            "dryRun": ["All"],
        });
        let options = DeleteOptions::from_value(&object).unwrap();
        assert_eq!(options.propagation, Some(Propagation::Foreground));
        assert_eq!((options.grace_period_seconds, options.uid.as_deref()), (Some(0), Some("u")));
        assert!(options.dry_run);
        let query = [("gracePeriodSeconds", "5"), ("propagationPolicy", "Orphan")];
        let options = DeleteOptions::from_query(query).unwrap();
        assert_eq!(options.propagation, Some(Propagation::Orphan));
        assert!(DeleteOptions::from_query([("propagationPolicy", "Odd")]).is_err());
    }

    #[test]
    fn write_options_refuse_what_they_do_not_know() {
        let long = "x".repeat(129);
        let read = |name, value| WriteOptions::from_query([(name, value)]);
        assert!(read("dryRun", "All").unwrap().dry_run);
        assert!(read("dryRun", "Some").is_err());
        assert_eq!(
            read("fieldValidation", "Strict").unwrap().field_validation,
            FieldValidation::Strict
        );
        assert!(read("fieldValidation", "odd").is_err());
        assert!(read("fieldManager", &long).is_err());
        assert!(read("fieldManager", "a\nb").is_err());
    }
}

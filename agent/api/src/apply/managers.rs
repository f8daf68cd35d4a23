//! `metadata.managedFields`: who owns which fields, read and written.

use super::fields::Fields;
use crate::field::quote;
use crate::{Map, Value};

/// How a manager came to own fields.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord)]
#[allow(missing_docs)]
pub enum Operation {
    Apply,
    Update,
}

impl Operation {
    fn as_str(self) -> &'static str {
        match self {
            Self::Apply => "Apply",
            Self::Update => "Update",
        }
    }
}

/// Whom fields belong to.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Manager {
    /// The name that the client gave.
    pub name: String,
    /// How it came to own them.
    pub operation: Operation,
    /// The version in which it wrote.
    pub api_version: String,
    /// Through which subresource; empty for the object itself.
    pub subresource: String,
}

impl Manager {
    /// Of one that applies, the version does not matter: it is one owner.
    fn is_same(&self, other: &Self) -> bool {
        self.name == other.name
            && self.operation == other.operation
            && self.subresource == other.subresource
            && (self.operation == Operation::Apply || self.api_version == other.api_version)
    }
}

/// The owners of an object's fields.
#[derive(Debug, Clone, Default)]
pub struct Managers(Vec<Owned>);

#[derive(Debug, Clone)]
struct Owned {
    manager: Manager,
    fields: Fields,
    time: Option<String>,
}

/// Owners by update that are kept apart; older ones become one.
const MOST_UPDATERS: usize = 10;
const ANCIENT: &str = "ancient-changes";

impl Managers {
    /// Reads the owners of `object`. Entries that are malformed are dropped.
    pub fn read(object: &Value) -> Self {
        let entries = object.items_at(&["metadata", "managedFields"]);
        Self(entries.iter().filter_map(read_entry).collect())
    }

    /// Whether nobody owns anything.
    pub fn is_empty(&self) -> bool {
        self.0.is_empty()
    }

    /// Owners and their fields.
    pub fn iter(&self) -> impl Iterator<Item = (&Manager, &Fields)> {
        self.0.iter().map(|owned| (&owned.manager, &owned.fields))
    }

    /// The fields of one owner.
    pub fn fields_of(&self, manager: &Manager) -> Option<&Fields> {
        self.0.iter().find(|owned| owned.manager.is_same(manager)).map(|owned| &owned.fields)
    }

    /// Gives an owner these fields and no others; without a time, the old one stays.
    pub fn set(&mut self, manager: Manager, fields: Fields, time: Option<&str>) {
        let at = self.0.iter().position(|owned| owned.manager.is_same(&manager));
        let old = at.and_then(|at| self.0.remove(at).time);
        if !fields.is_empty() {
            self.0.push(Owned { manager, fields, time: time.map(str::to_owned).or(old) });
        }
    }

    /// Takes `changed` and `removed` away from all but `keeper`, who keeps what changed.
    pub fn take_away(&mut self, keeper: &Manager, changed: &Fields, removed: &Fields) {
        for owned in &mut self.0 {
            if !owned.manager.is_same(keeper) {
                owned.fields = owned.fields.difference(changed);
            }
            owned.fields = owned.fields.difference(removed);
        }
        self.0.retain(|owned| !owned.fields.is_empty());
    }

    /// Joins the oldest owners by update, when there are too many.
    pub fn cap(&mut self) {
        loop {
            let mut updaters: Vec<usize> = (0..self.0.len())
                .filter(|at| self.0[*at].manager.operation == Operation::Update)
                .filter(|at| self.0[*at].manager.subresource.is_empty())
                .collect();
            if updaters.len() <= MOST_UPDATERS {
                return;
            }
            updaters.sort_by(|a, b| self.0[*a].time.cmp(&self.0[*b].time));
            let (first, second) = (updaters[0], updaters[1]);
            let fields = self.0[first].fields.union(&self.0[second].fields);
            let time = self.0[second].time.clone();
            let manager = Manager { name: ANCIENT.to_owned(), ..self.0[second].manager.clone() };
            self.0.remove(first.max(second));
            self.0.remove(first.min(second));
            self.set(manager, fields, time.as_deref());
        }
    }

    /// Writes the owners into `object`, in upstream's order.
    pub fn write(mut self, object: &mut Value) {
        if self.0.is_empty() {
            object.remove(&["metadata", "managedFields"]);
            return;
        }
        self.0.sort_by(|a, b| {
            let key = |one: &Owned| {
                let Manager { name, operation, api_version, subresource } = one.manager.clone();
                (operation, one.time.clone(), name, api_version, subresource)
            };
            key(a).cmp(&key(b))
        });
        object.set(
            &["metadata", "managedFields"],
            self.0.iter().map(write_entry).collect::<Vec<Value>>(),
        );
    }

    /// A manager as conflict messages name it.
    pub(super) fn describe(&self, manager: &Manager) -> String {
        let mut text = quote(&manager.name);
        if !manager.subresource.is_empty() {
            text.push_str(&format!(" with subresource {}", quote(&manager.subresource)));
        }
        if manager.operation == Operation::Update {
            text.push_str(&format!(" using {}", manager.api_version));
            let owned = self.0.iter().find(|owned| owned.manager == *manager);
            if let Some(time) = owned.and_then(|owned| owned.time.as_ref()) {
                text.push_str(&format!(" at {time}"));
            }
        }
        text
    }
}

fn read_entry(entry: &Value) -> Option<Owned> {
    let text = |name: &str| entry.str_at(&[name]).to_owned();
    let operation = match entry.str_at(&["operation"]) {
        "Apply" => Operation::Apply,
        "Update" => Operation::Update,
        _ => return None,
    };
    let time = text("time");
    Some(Owned {
        manager: Manager {
            name: text("manager"),
            operation,
            api_version: text("apiVersion"),
            subresource: text("subresource"),
        },
        fields: Fields::read(&entry["fieldsV1"]),
        time: (!time.is_empty()).then_some(time),
    })
}

fn write_entry(owned: &Owned) -> Value {
    let mut map = Map::new();
    let Manager { name, operation, api_version, subresource } = &owned.manager;
    for (key, text) in [
        ("manager", name.as_str()),
        ("operation", operation.as_str()),
        ("apiVersion", api_version),
        ("time", owned.time.as_deref().unwrap_or_default()),
        ("fieldsType", "FieldsV1"),
        ("subresource", subresource),
    ] {
        if !text.is_empty() {
            map.insert(key, text);
        }
    }
    map.insert("fieldsV1", owned.fields.write());
    Value::Object(map)
}
